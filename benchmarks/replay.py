"""What an evaluation costs beside the bare network, and how its memory grows with the bag.

    PYTHONPATH=. python benchmarks/replay.py [--only rate|memory] [--minutes 60]

Rate: four sensors of 320x240 at 30, 10, 15 and 30 Hz through the pipeline, with and without the
counting of a scorecard. It is held against two bare networks on one thread: the same calls of the
engine, done again with nothing around them; and the whole graph with all four sensors for every
mask, which is what runs where nothing is kept from mask to mask. Where there is a second core the
pipeline encodes there what is to come (``taskset -c 0`` takes it away).

Memory: the same small pictures over and over, for a minute and for an hour of the bag, evaluated
with report by a process each. The network is a stand-in (an hour of masks would take an hour), but
the model is loaded; all else is what ``anymodal-seg evaluate`` does.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from anymodal_seg_ros.config import RigConfig, SegConfig, SensorConfig
from anymodal_seg_ros.evaluation.bag_writer import ImageBagWriter
from anymodal_seg_ros.evaluation.scorecard.plan import Trial, jobs_of
from anymodal_seg_ros.evaluation.scorecard.replays import job as job_module
from anymodal_seg_ros.evaluation.scorecard.replays.fleet import run_jobs
from anymodal_seg_ros.evaluation.scorecard.replays.job import Subject
from anymodal_seg_ros.evaluation.scorecard.report.report import write_report
from anymodal_seg_ros.evaluation.scorecard.report.tables import write_tables
from anymodal_seg_ros.evaluation.scorecard.scorecard import load_scorecard
from anymodal_seg_ros.frames import Features, Image, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.engine_protocol import SplitEngine
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.model import Model, load_model

START_NS = 1_700_000_000_000_000_000
PICTURES = 50
"""Different ones of each sensor, which come one after the other, again and again."""
PICTURES_HZ = 30.0
RIG = {"rgb": 30.0, "thermal": 10.0, "depth": 15.0, "events": 30.0}
Call = Callable[[], object]
MODALITY = {"rgb": "rgb", "thermal": "thermal", "depth": "depth", "events": "event"}


def main() -> None:
    options = arguments()
    if options.child:
        evaluate_alone(Path(options.child[0]), Path(options.child[1]), float(options.child[2]))
        return
    with tempfile.TemporaryDirectory() as place:
        if options.only != "memory":
            tell_rate(Path(place), options.seconds, options.model, options.engine)
        if options.only != "rate":
            tell_memory(Path(place), options.minutes, options.hz)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=("rate", "memory"), default="")
    parser.add_argument("--model", default="rig-nano")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the bag for the rate")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the long bag")
    parser.add_argument("--hz", type=float, default=30.0, help="masks per second of the long bag")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def pictures(modality: str, height: int, width: int) -> list[Image]:
    """Return pictures of something that moves, as a kind of sensor sees it."""
    random = np.random.default_rng(7)
    blocks = random.random((max(2, height // 30), max(2, 4 * width // 30)), np.float32)
    scene = cv2.resize(blocks, (4 * width, height), interpolation=cv2.INTER_NEAREST)
    scene = cv2.GaussianBlur(scene, (0, 0), height / 240)
    found = []
    for number in range(PICTURES):
        part, before = (scene[:, 3 * n : 3 * n + width] for n in (number + 1, number))
        noisy = np.clip(part + random.normal(0.0, 0.01, part.shape), 0.0, 1.0)
        if modality == "thermal":
            found.append(Image((29_000 + 2_000 * noisy).astype(np.uint16), "mono16"))
        elif modality == "depth":
            found.append(Image((1_000 + 20_000 * noisy).astype(np.uint16), "16UC1"))
        elif modality == "event":
            change = (part - before) / np.abs(part - before).max()
            fired = random.random(part.shape) < 0.5 * np.abs(change)
            colours = np.zeros((height, width, 3), np.uint8)
            colours[fired & (change > 0)], colours[fired & (change < 0)] = (255, 0, 0), (0, 0, 255)
            found.append(Image(colours, "rgb8"))
        else:
            colours = np.stack([noisy, np.roll(noisy, 5, 1), noisy[::-1]], 2)
            found.append(Image((255 * colours).astype(np.uint8), "rgb8"))
    return found


def write_bag(
    path: Path, rates: dict[str, float], seconds: float, size: tuple[int, int]
) -> RigConfig:
    """Write a bag of these sensors with labels of the first one, and return its rig."""
    shown = {name: pictures(MODALITY[name], *size) for name in rates}
    label = Image(np.zeros(size, np.uint8), "mono8")
    stamps = sorted(
        (round(number * 1e9 / hz), name)
        for name, hz in rates.items()
        for number in range(round(seconds * hz))
    )
    first = next(iter(rates))
    with ImageBagWriter(path) as bag:
        for time_ns, name in stamps:
            image = shown[name][round(time_ns * PICTURES_HZ / 1e9) % PICTURES]
            stamp, log = START_NS + time_ns, START_NS + time_ns + 2_000_000
            bag.write(f"/{name}/image", image, stamp, log, name)
            if name == first:
                bag.write(f"/{name}/labels", label, stamp, log, name)
    sensors = {
        name: SensorConfig(f"/{name}/image", MODALITY[name], expected_hz=hz)
        for name, hz in rates.items()
    }
    return RigConfig(sensors)


class Counted:
    """An engine that remembers what it was asked for."""

    splits = True

    def __init__(self, engine: SplitEngine) -> None:
        self._engine, self.name = engine, engine.name
        self._calls: dict[str, Call] = {}
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def run(self, batch: ModalityBatch) -> Segmentation:
        """Run the whole graph."""
        return self._engine.run(batch)

    def encode(self, batch: ModalityBatch) -> tuple[Features, ...]:
        """Encode."""
        self._count("encode", lambda: self._engine.encode(batch))
        return self._engine.encode(batch)

    def fuse(self, features: Sequence[Features]) -> Segmentation:
        """Fuse."""
        self._count(f"fuse {len(features)}", lambda: self._engine.fuse(features))
        return self._engine.fuse(features)

    def begin(self) -> None:
        """Count from here on."""
        self._counts.clear()

    def seconds_alone(self) -> float:
        """Do again what was asked for since :meth:`begin`, and nothing else; return how long."""
        started = time.perf_counter()
        for what, count in sorted(self._counts.items()):
            for _ in range(count):
                self._calls[what]()
        return time.perf_counter() - started

    def _count(self, what: str, call: Call) -> None:
        with self._lock:
            self._calls[what] = call
            self._counts[what] += 1


def tell_rate(place: Path, seconds: float, name: str, kind: str) -> None:
    """Print the pipeline's frame rate over that of the bare network."""
    cv2.setNumThreads(1)
    rig = write_bag(place / "rate", RIG, seconds, (240, 320))
    model = load_model(name)
    counted = Counted(create_engine(kind, model, 1))  # type: ignore[arg-type]
    whole = whole_graphs_per_s(counted, model)
    heads = ("masks", "all /s", "same calls alone /s", "share", "whole graphs /s", "share")
    print(f"| {name} on {counted.name}, one thread each | {' | '.join(heads)} |")
    print(f"|---|{'---|' * len(heads)}")
    for words, truth in (("pipeline", "none"), ("pipeline and scorecard", "auto")):
        counted.begin()
        masks, total = score(place / "rate", rig, name, counted, model, place / words, truth)
        rate, bare = masks / total, masks / counted.seconds_alone()
        print(
            f"| {words} | {masks} | {rate:.1f} | {bare:.1f} | {100 * rate / bare:.0f} % | "
            f"{whole:.1f} | {100 * rate / whole:.0f} % |",
            flush=True,
        )


def whole_graphs_per_s(engine: Counted, model: Model, repeats: int = 60) -> float:
    """Run the whole graph with all sensors, again and again."""
    manifest = model.manifest
    planes = np.random.default_rng(0).normal(size=(4, 3, manifest.height, manifest.width))
    ids = np.array([manifest.modalities[MODALITY[name]].id for name in RIG], np.int64)
    batch = ModalityBatch(planes.astype(np.float32), ids)
    engine.run(batch)
    started = time.perf_counter()
    for _ in range(repeats):
        engine.run(batch)
    return repeats / (time.perf_counter() - started)


def score(
    bag: Path,
    rig: RigConfig,
    name: str,
    engine: object,
    model: Model,
    out: Path,
    truth: str,
) -> tuple[int, float]:
    """Run one job with this engine; return its masks and the time in s."""
    config = SegConfig(model=name, rig=rig)
    subject = Subject(bag, "bag", config, truth=job_module.Truth(truth))
    jobs, _ = jobs_of([Trial(subject)], out)
    job_module._engine = lambda *_: (model, engine)  # type: ignore[assignment]
    started = time.perf_counter()
    for failure in run_jobs(jobs):
        sys.exit(failure.reason)
    took = time.perf_counter() - started
    (run,) = load_scorecard(out).runs
    return run.masks, took


class StandIn:
    """An engine that costs nothing."""

    name = "stand-in"
    splits = False

    def __init__(self, height: int, width: int) -> None:
        self._mask = np.zeros((height, width), np.uint8)

    def run(self, batch: ModalityBatch) -> Segmentation:
        """Say that all is of one class."""
        return Segmentation(mask=self._mask.copy())


def evaluate_alone(bag: Path, out: Path, hz: float) -> None:
    """Evaluate a bag with all that belongs to it, and print the peak of this process in MB."""
    rig = RigConfig({"rgb": SensorConfig("/rgb/image", "rgb", expected_hz=hz)})
    model = load_model("rig-nano")
    create_engine("onnxruntime", model, 1)
    stand_in = StandIn(model.manifest.height, model.manifest.width)
    masks, _ = score(bag, rig, "rig-nano", stand_in, model, out, "auto")
    replayed = peak_mb()
    card = load_scorecard(out)
    write_tables(card.folder, card.runs, None)
    write_report(card, None, "")
    print(masks, f"{replayed:.1f}", f"{peak_mb():.1f}")


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tell_memory(place: Path, minutes: float, hz: float) -> None:
    """Print the peaks of a minute and of the long bag."""
    print("\n| bag | masks | peak of the replay | with figures and report | of one minute's |")
    print("|---|---|---|---|---|")
    first = 0.0
    for length in (1.0, minutes):
        bag = place / f"minutes_{length:g}"
        write_bag(bag, {"rgb": hz}, 60.0 * length, (48, 64))
        command = [sys.executable, __file__, "--child", str(bag), f"{bag}_card", f"{hz:g}"]
        masks, replayed, peak = measured(command)
        first = first or peak
        print(
            f"| {length:g} min | {masks:.0f} | {replayed:.0f} MB | {peak:.0f} MB | "
            f"{peak / first:.2f} |",
            flush=True,
        )


def measured(command: Sequence[str]) -> Iterator[float]:
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return map(float, said.split())


if __name__ == "__main__":
    main()
