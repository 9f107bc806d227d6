"""What is lost when there is less time than work: four sensors in real time, several ways to work.

    python benchmarks/overload.py        two cores for themselves, and one of them taken

Colour and events come at 30 Hz, depth at 15, thermal at 10, 640x480 each, into the pipeline and the
worker threads of the node, each way in a process of its own that starts afresh:

* whole: one graph for all sensors of a frame set, as networks need it whose encoders exchange;
* reuse: each sample is encoded once, when it has come, and every frame set waits for all of them;
* budget: the same, and what does not fit in is left out, the reference never.

A frame is lost if the reference sensor took it and no mask rests on it. CPU time is that of the
process, with feeding (the same for all).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from traffic import ENCODINGS, Burning, due, message, pictures, rss_mb, sleep_until

from anymodal_seg_ros.config import RigConfig, default_sensors
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.engine_protocol import Engine, WholeEngine
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.model import DEFAULT_MODEL, load_model
from anymodal_seg_ros.nodes.worker import PipelineWorker
from anymodal_seg_ros.pipeline import Pipeline

WAYS = ("whole", "reuse", "budget")
WARM_UP_S = 2.0


def measure(way: str, model: str, seconds: float, threads: int) -> dict[str, Any]:
    """Feed a pipeline in real time and count what becomes of the reference's frames."""
    rig = RigConfig(default_sensors())
    opened = load_model(model)
    engine: Engine = create_engine("onnxruntime", opened, 1 if way != "whole" else 0)
    pipeline = Pipeline(
        rig, opened, WholeEngine(engine) if way == "whole" else engine, in_time=way == "budget"
    )
    kinds = {name: sensor.modality for name, sensor in rig.sensors.items()}
    images = {name: pictures(kind) for name, kind in kinds.items()}
    latencies: list[float] = []
    subsets: Counter[str] = Counter()
    served: set[int] = set()

    def publish(prediction: Prediction) -> None:
        reference = prediction.frame_set.reference_sample
        latencies.append((time.monotonic_ns() - reference.received_ns) / 1e6)
        subsets["+".join(prediction.sensors)] += 1
        if "rgb" in prediction.sensors:
            served.add(reference.stamp_ns)

    failures: list[Exception] = []
    worker = PipelineWorker(pipeline, time.monotonic_ns, publish, failures.append, threads=threads)
    worker.start()
    start, epoch_ns = time.monotonic() + 0.1, time.time_ns()
    sent: set[int] = set()
    cpu_before, rss = 0.0, []
    for at, name, number in due(rig):
        if at >= seconds + WARM_UP_S:
            break
        sleep_until(start + at)
        if not cpu_before and at >= WARM_UP_S:
            cpu_before = time.process_time()
            latencies.clear()
            subsets.clear()
        stamp = epoch_ns + round(at * 1e9)
        if name == "rgb" and at >= WARM_UP_S:
            sent.add(stamp)
            if number % 300 == 0:
                rss.append(rss_mb())
        pixels = images[name][number % len(images[name])]
        pipeline.push_message(
            name, message(pixels, ENCODINGS[kinds[name]], stamp), time.monotonic_ns()
        )
        worker.notify()
    time.sleep(0.3)
    cpu_s = time.process_time() - cpu_before
    worker.stop()
    if failures:
        raise failures[0]
    p50, p99 = np.percentile(latencies, (50, 99))
    shares = {s.sensor: s.fused for s in pipeline.status(time.monotonic_ns())}
    masks = sum(subsets.values())
    return {
        "frames": len(sent),
        "lost": len(sent - served),
        "masks_per_second": masks / seconds,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "all_four": subsets["rgb+events+depth+thermal"] / masks,
        "cpu_ms_per_mask": 1e3 * cpu_s / masks,
        "encoded_per_s": sum(s.encoded for s in shares.values()) / (seconds + WARM_UP_S),
        "skipped": sum(s.skipped for s in shares.values()),
        "rss_mb": [round(value) for value in (rss[0], rss[-1])] if rss else [],
    }


def in_a_process(way: str, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Measure one way in a process of its own."""
    arguments = ["--way", way, "--model", options.model, "--seconds", str(seconds)]
    command = [sys.executable, __file__, *arguments, "--threads", str(options.threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Measure all ways, quiet and beside a process that burns one core; print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--seconds", type=float, default=24.0, help="of each way; 720 frames")
    parser.add_argument("--threads", type=int, default=0, help="workers; 0: one per core")
    parser.add_argument("--json", help="write the numbers here as well")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.model, options.seconds, options.threads)))
        return 0
    results: dict[str, dict[str, Any]] = {}
    for cores, title in ((0, "quiet"), (1, "one core burning")):
        with Burning(cores):
            for way in WAYS:
                results[f"{way}, {title}"] = in_a_process(way, options, options.seconds)
    table = Table(title=f"{options.model}, 640x480, 30/30/15/10 Hz")
    table.add_column("")
    for name in next(iter(results.values())):
        table.add_column(name)
    for title, row in results.items():
        cells = (f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values())
        table.add_row(title, *cells)
    Console(width=160).print(table)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
