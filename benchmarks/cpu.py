"""What of a processor one mask takes, network and our own work apart: no clock, so no haste.

    python benchmarks/cpu.py
    python benchmarks/cpu.py --street
    python benchmarks/cpu.py --size 320x240 --engine openvino

Messages at 30/30/15/10 Hz go through a pipeline one after the other, as fast as that is done and
everything encoded, in one thread: once with one graph for all sensors, once encoded once each and
fused. The two take turns, and medians are told: so the figures hold on a busy machine, too, and on
one whose clocks change, as far as its caches allow. Time is that of the whole process, less making
the messages; below it, the parts that are known by name. The pictures are made up, or with
``--street`` those of a drive of the simulated rig (needs the extra sim), whose masks have as many
borders as a street has.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import traffic
from rich.console import Console
from rich.table import Table

import anymodal_seg_ros.pipeline.fusion as fusion
import anymodal_seg_ros.pipeline.stages as stages
from anymodal_seg_ros.config import RigConfig, default_sensors
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.engine_protocol import WholeEngine
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.model import DEFAULT_MODEL, load_model
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.intake import Intake

WARM_UP_S = 1.0
START_NS = 1_000_000_000
SCENE, DRIVEN = 1006, 20
"""Seed of the street that is driven through, and pictures of it."""


class Clock:
    """Adds up the processor time of functions by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def watch(self, owner: Any, name: str, label: str) -> None:
        """Time a function of a module or class from now on."""
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[label] += time.process_time() - started

        setattr(owner, name, timed)


def made_up(rig: RigConfig) -> dict[str, list[Image]]:
    """Return pictures by sensor that no content check takes for a fault."""
    return {
        name: [
            Image(pixels, traffic.ENCODINGS[sensor.modality])
            for pixels in traffic.pictures(sensor.modality)
        ]
        for name, sensor in rig.sensors.items()
    }


def driven(rig: RigConfig) -> dict[str, list[Image]]:
    """Return what the sensors see on a drive, in steps of a thirtieth of a second."""
    from anymodal_seg_ros.simulation.dataset.frames import sized_sensors
    from anymodal_seg_ros.simulation.rig import Rig
    from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig

    scene = Scene(SceneConfig(SCENE, "cloud", kind="urban"))
    sensors = Rig(sized_sensors(traffic.WIDTH, traffic.HEIGHT))
    kinds = {sensor.modality: name for name, sensor in sensors.sensors.items()}
    frames = [sensors.capture(scene, round(k * 1e9 / 30)) for k in range(DRIVEN)]
    return {
        name: [frame.images[kinds[sensor.modality]] for frame in frames]
        for name, sensor in rig.sensors.items()
    }


def measure(
    way: str, options: argparse.Namespace, images: Mapping[str, Sequence[Image]], clock: Clock
) -> dict[str, float]:
    """Return the time of one mask, in ms, and of its parts."""
    rig, model = RigConfig(default_sensors()), load_model(options.model)
    engine = create_engine(options.engine, model, 1)
    for name in ("run", "encode", "fuse"):
        if hasattr(engine, name):
            clock.watch(engine, name, "network")
    pipeline = Pipeline(rig, model, WholeEngine(engine) if way == "whole" else engine)
    masks, total_s = 0, 0.0
    for at, name, number in traffic.due(rig):
        if at >= WARM_UP_S + options.seconds:
            break
        stamp, now_ns = 10**18 + round(at * 1e9), START_NS + round(at * 1e9)
        image = images[name][number % len(images[name])]
        made = traffic.message(image.pixels, image.encoding, stamp)
        if at < WARM_UP_S:
            clock.seconds.clear()
        started = time.process_time()
        pipeline.push_message(name, made, now_ns)
        while (progress := pipeline.work(now_ns, ahead=True)).worked:
            masks += progress.prediction is not None and at >= WARM_UP_S
        total_s += (time.process_time() - started) if at >= WARM_UP_S else 0.0
    parts = {label: 1e3 * seconds / masks for label, seconds in clock.seconds.items()}
    total = 1e3 * total_s / masks
    return {"a mask": total, **parts, "the rest": total - sum(parts.values())}


def main() -> int:
    """Measure both ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--street", action="store_true", help="pictures of the simulated rig")
    parser.add_argument("--seconds", type=float, default=2.0, help="of messages, each turn")
    parser.add_argument("--turns", type=int, default=9, help="of each way")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args()
    traffic.WIDTH, traffic.HEIGHT = (int(side) for side in options.size.split("x"))
    cv2.setNumThreads(1)  # as in the node
    rig = RigConfig(default_sensors())
    images = driven(rig) if options.street else made_up(rig)
    clock = Clock()
    clock.watch(stages, "planes", "planes")
    clock.watch(stages, "byte_planes", "planes")  # normalised with their batch, by the network
    clock.watch(stages, "lack_of_evidence", "evidence")
    clock.watch(fusion, "lazy_argmax", "mask from logits")
    clock.watch(Intake, "_inspect", "content checks")
    found: dict[str, list[dict[str, float]]] = {"whole": [], "split": []}
    for _ in range(options.turns):
        for way, turns in found.items():
            clock.seconds.clear()
            turns.append(measure(way, options, images, clock))
    results = {
        way: {label: median(turn.get(label, 0.0) for turn in turns) for label in turns[0]}
        for way, turns in found.items()
    }
    shares = (
        s["a mask"] / w["a mask"] for s, w in zip(found["split"], found["whole"], strict=True)
    )
    table = Table(title=f"processor time of a mask in ms, {options.engine}, {options.size}")
    table.add_column("")
    for way in results:
        table.add_column(way)
    for label in results["whole"]:
        table.add_row(label, *(f"{row.get(label, 0.0):.2f}" for row in results.values()))
    console = Console()
    console.print(table)
    console.print(f"split / whole, turn by turn: {median(shares):.2f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
