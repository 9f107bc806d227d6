"""How long a callback holds the executor at 640x480, while the bundled model runs beside it.

    python benchmarks/callback.py

Four sensors at 30/30/15/10 Hz push rclpy's messages into the pipeline, as the node's callbacks do,
and a worker polls it. Needs the extras ros and train.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time

import numpy as np
from traffic import ENCODINGS, pictures

from anymodal_seg_ros.config import SegConfig
from anymodal_seg_ros.nodes.messages import image_message
from anymodal_seg_ros.pipeline import Pipeline


def measure(seconds: float) -> list[float]:
    """Return the time of every push, in ms."""
    pipeline = Pipeline.from_config(SegConfig())
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.001):
            while pipeline.poll(time.monotonic_ns()) is not None:
                pass

    worker = threading.Thread(target=work)
    worker.start()
    kinds = {name: sensor.modality for name, sensor in pipeline.rig.sensors.items()}
    images = {name: pictures(kind, 1)[0] for name, kind in kinds.items()}
    took: list[float] = []
    periods = {name: 1 / s.expected_hz for name, s in pipeline.rig.sensors.items()}
    due = dict.fromkeys(periods, time.monotonic())
    stop = time.monotonic() + seconds
    while (now := time.monotonic()) < stop:
        name = min(due, key=lambda sensor: due[sensor])
        time.sleep(max(0.0, due[name] - now))
        due[name] += periods[name]
        images[name] = np.roll(images[name], 1, axis=1)
        message = image_message(images[name], ENCODINGS[kinds[name]], time.time_ns(), name)
        started = time.perf_counter()
        pipeline.push_message(name, message, time.monotonic_ns())
        took.append((time.perf_counter() - started) * 1e3)
    ended.set()
    worker.join()
    return took


def main() -> int:
    """Measure and print the percentiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    took = measure(parser.parse_args().seconds)
    p50, p99 = np.percentile(took, (50, 99))
    print(f"{len(took)} callbacks: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {max(took):.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
