"""For long: a rig that asks for twice what the threads can do. Is any reference frame lost?

    python benchmarks/soak.py --minutes 60

An rgb camera at 30 Hz, and so many other cameras at 30 Hz that all the work, from the message to
its share of the mask, would take the workers ``--load`` times as long as there is: how many that
is, is measured at the beginning. 640x480, in real time, into the pipeline and the worker threads of
the node. Told minute by minute, and at the end by tenths of the time: reference frames without a
mask, latency, memory, threads, open files; and whether every message is accounted for: what came in
was used, or dropped for a reason, or left out of a mask that says why, or still waits. Exits with 1
if a reference frame was lost, memory grew by more than 5 %, threads or files became more, or a
message went missing.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from traffic import ENCODINGS, descriptors, due, message, pictures, rss_mb, sleep_until

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.engine_protocol import SplitEngine, can_split
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.model import DEFAULT_MODEL, Model, load_model
from anymodal_seg_ros.inference.verification.contract import warm_up
from anymodal_seg_ros.nodes.worker import PipelineWorker
from anymodal_seg_ros.pipeline import Pipeline

HZ = 30.0
OTHERS = ("event", "depth", "thermal")
WARM_UP_S = 3.0
SETTLE_S = 1.0
TENTHS = 10
LONGEST_MS = 5000
MOST_GROWTH = 0.05
WAITING = 16
"""Samples of a sensor that may be in its buffer when all is over."""


@dataclass
class Stretch:
    """What happened in a part of the time."""

    frames: int = 0
    masks: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    rss_mb: float = 0.0
    threads: int = 0
    files: int = 0
    fed_late_ms: float = 0.0
    """How late a message was handed over at the worst: then the process itself had stood still, and
    what piled up meanwhile came at once."""


@dataclass
class Ledger:
    """What is known of the frames, in counts, so that hours of them take no memory."""

    start_ns: int
    length_ns: int
    sent: Counter[int] = field(default_factory=Counter)
    served: Counter[int] = field(default_factory=Counter)
    """Reference frames by second."""
    used: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    """By sensor: samples that masks rest on, and masks that went without one."""
    latencies: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((TENTHS, LONGEST_MS), np.int64)
    )
    """Masks by tenth and milliseconds."""
    _newest_ns: dict[str, int] = field(default_factory=dict)

    def tenth(self, stamp_ns: int) -> int:
        """Return the tenth of the time that a stamp is in."""
        at = (stamp_ns - self.start_ns) * TENTHS // self.length_ns
        return min(max(at, 0), TENTHS - 1)

    def second(self, stamp_ns: int) -> int:
        """Return the second that a stamp is in; negative in the warm-up."""
        return (stamp_ns - self.start_ns) // 1_000_000_000

    def take(self, prediction: Prediction) -> None:
        """Take note of a mask."""
        reference = prediction.frame_set.reference_sample
        for name in prediction.sensors:
            stamp_ns = prediction.frame_set.samples[name].stamp_ns
            if stamp_ns > self._newest_ns.get(name, 0):  # masks leave in order
                self._newest_ns[name] = stamp_ns
                self.used[name] += 1
        self.left_out.update(prediction.frame_set.missing.keys())
        if "rgb" in prediction.sensors and reference.sensor == "rgb":
            self.served[self.second(reference.stamp_ns)] += 1
        if reference.stamp_ns >= self.start_ns:
            latency_ms = (time.monotonic_ns() - reference.received_ns) // 1_000_000
            self.latencies[self.tenth(reference.stamp_ns), min(latency_ms, LONGEST_MS - 1)] += 1

    def lost(self, first: int, end: int) -> tuple[int, int]:
        """Return how many reference frames of some seconds have no mask, and how many there are."""
        frames = sum(self.sent[second] for second in range(first, end))
        return frames - sum(self.served[second] for second in range(first, end)), frames

    def percentile_ms(self, tenth: int, share: float) -> float:
        """Return the latency that a share of a tenth's masks did not exceed, in whole ms."""
        counts = np.cumsum(self.latencies[tenth])
        return float(np.searchsorted(counts, share * counts[-1]))


def rig_of(others: int) -> RigConfig:
    """Return a rig of the reference camera and so many others."""
    sensors = {"rgb": SensorConfig("rgb", "rgb", expected_hz=HZ)}
    for k in range(others):
        name = f"{OTHERS[k % 3]}{k // 3}"
        sensors[name] = SensorConfig(name, OTHERS[k % 3], expected_hz=HZ)
    return RigConfig(sensors)


def shown_by(rig: RigConfig, count: int = 6) -> dict[str, list[np.ndarray[Any, Any]]]:
    """Return pictures of every sensor."""
    return {
        name: pictures(sensor.modality, count, seed)
        for seed, (name, sensor) in enumerate(rig.sensors.items())
    }


def message_ms(model: Model, engine: SplitEngine, seconds: float = 4.0) -> float:
    """Return what a message costs of a processor, with its share of the masks, where all is done.

    Four cameras, of whom nothing is left out for want of time; without the first quarter, in which
    they have yet to prove themselves.
    """
    rig = rig_of(3)
    pipeline, images = Pipeline(rig, model, engine), shown_by(rig)
    counted, started = 0, 0.0
    for at, name, number in due(rig):
        if at >= seconds:
            break
        if at >= seconds / 4:
            started = started or time.process_time()
            counted += 1
        pixels, now_ns = images[name][number % len(images[name])], round(at * 1e9)
        made = message(pixels, ENCODINGS[rig.sensors[name].modality], now_ns)
        pipeline.push_message(name, made, now_ns)
        while pipeline.poll(now_ns) is not None:
            pass
    return 1e3 * (time.process_time() - started) / counted


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Feed a pipeline for as long as was asked for, and keep the books."""
    model = load_model(options.model)
    engine = create_engine(options.engine, model, 1)
    if not can_split(engine):
        raise SystemExit("the model has no halves: its sensors cannot be left out one by one")
    cost_ms = message_ms(model, engine)
    rig = rig_of(max(1, math.ceil(1e3 * options.load * options.threads / (HZ * cost_ms)) - 1))
    console.print(
        f"{engine.name}: a message costs {cost_ms:.1f} ms with its share of the mask; "
        f"{len(rig.sensors)} cameras at {HZ:g} Hz for {options.threads} thread(s)"
    )
    warm_up(engine, model.manifest, len(rig.sensors))
    pipeline = Pipeline(rig, model, engine, in_time=True)
    images = shown_by(rig)
    seconds = options.minutes * 60.0
    epoch_ns, start = time.time_ns(), time.monotonic() + 0.1
    books = Ledger(epoch_ns + round(WARM_UP_S * 1e9), round(seconds * 1e9))
    tenths = [Stretch() for _ in range(TENTHS)]
    failures: list[Exception] = []
    worker = PipelineWorker(
        pipeline, time.monotonic_ns, books.take, failures.append, threads=options.threads
    )
    worker.start()
    sent: Counter[str] = Counter()
    minute = 0
    for at, name, number in due(rig):
        if at >= WARM_UP_S + seconds:
            break
        sleep_until(start + at)
        stamp = epoch_ns + round(at * 1e9)
        if name == "rgb" and at >= WARM_UP_S:
            books.sent[books.second(stamp)] += 1
            tenth = tenths[books.tenth(stamp)]
            if not tenth.frames:
                tenth.rss_mb, tenth.files = rss_mb(), descriptors()
                tenth.threads = threading.active_count()
            tenth.frames += 1
            tenth.fed_late_ms = max(tenth.fed_late_ms, 1e3 * (time.monotonic() - start - at))
        pixels = images[name][number % len(images[name])]
        made = message(pixels, ENCODINGS[rig.sensors[name].modality], stamp)
        pipeline.push_message(name, made, time.monotonic_ns())
        worker.notify()
        sent[name] += 1
        if at - WARM_UP_S - SETTLE_S >= 60.0 * (minute + 1):
            minute += 1
            _tell_minute(console, minute, books)
    time.sleep(SETTLE_S)
    worker.stop()
    lost, _ = books.lost(0, int(seconds) + 1)
    for number, tenth in enumerate(tenths):
        tenth.masks = int(books.latencies[number].sum())
        tenth.p50_ms = books.percentile_ms(number, 0.5)
        tenth.p99_ms = books.percentile_ms(number, 0.99)
    return {
        "engine": engine.name,
        "minutes": options.minutes,
        "sensors": len(rig.sensors),
        "reference_frames": sum(tenth.frames for tenth in tenths),
        "reference_frames_without_mask": lost,
        "failures": len(failures),
        "superseded": pipeline.superseded,
        "end": {"rss_mb": rss_mb(), "files": descriptors()},
        "tenths": [asdict(tenth) for tenth in tenths],
        "messages": _accounts(pipeline, sent, books),
    }


def _tell_minute(console: Console, minute: int, books: Ledger) -> None:
    lost, frames = books.lost(60 * (minute - 1), 60 * minute)
    console.print(
        f"minute {minute}: {lost} of {frames} reference frames without a mask, "
        f"{rss_mb():.0f} MB, {threading.active_count()} threads, {descriptors()} files"
    )


def _accounts(pipeline: Pipeline, sent: Counter[str], books: Ledger) -> dict[str, Any]:
    """Say what became of the messages of every sensor."""
    accounts = {}
    for status in pipeline.status(time.monotonic_ns()):
        used, dropped = books.used[status.sensor], sum(status.dropped.values())
        rejected = sum(status.rejected.values())
        # Chosen for a frame set that went without them, with an older one, or was superseded; or
        # still buffered.
        rest = sent[status.sensor] - rejected - used - dropped
        left_out = books.left_out[status.sensor]
        most = left_out + status.fused.reused + pipeline.superseded + WAITING
        accounts[status.sensor] = {
            "sent": sent[status.sensor],
            "used": used,
            "rejected": rejected,
            "dropped": dict(status.dropped),
            "left_out_or_waiting": rest,
            "consistent": sent[status.sensor] == status.received + rejected and 0 <= rest <= most,
        }
    return accounts


def complaints(found: dict[str, Any]) -> list[str]:
    """Say what should not have been."""
    tenths, end = found["tenths"], found["end"]
    said: list[str] = []
    if lost := found["reference_frames_without_mask"]:
        said.append(f"{lost} reference frames have no mask")
    grown = end["rss_mb"] / tenths[1]["rss_mb"] - 1.0
    if grown > MOST_GROWTH:
        said.append(f"memory has grown by {grown:.0%} since the first tenth")
    if tenths[-1]["threads"] > tenths[1]["threads"] or tenths[-1]["files"] > tenths[1]["files"]:
        said.append("threads or open files have become more")
    said += [
        f"{n}: messages unaccounted" for n, a in found["messages"].items() if not a["consistent"]
    ]
    if found["failures"]:
        said.append(f"inference or publishing failed {found['failures']} times")
    return said


def main() -> int:
    """Run, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--load", type=float, default=2.0, help="work over the time there is")
    parser.add_argument("--threads", type=int, default=1, help="workers")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args()
    console = Console(width=120)
    found = run(options, console)
    table = Table(title=f"{found['minutes']:g} minutes by tenths")
    for name in ("", *asdict(Stretch())):
        table.add_column(name)
    for number, tenth in enumerate(found["tenths"], 1):
        table.add_row(str(number), *(f"{value:.4g}" for value in tenth.values()))
    console.print(table)
    for name, account in found["messages"].items():
        console.print(name, account, highlight=False)
    found["complaints"] = complaints(found)
    console.print(*(found["complaints"] or ["nothing to complain of"]), sep="\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 1 if found["complaints"] else 0


if __name__ == "__main__":
    sys.exit(main())
