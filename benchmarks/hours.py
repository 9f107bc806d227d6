"""How long nobody cries wolf: hours of streets in which every sensor is well.

    PYTHONPATH=.:benchmarks python benchmarks/hours.py --log runs/hours.jsonl --hours 10

Place after place in every weather, by day and night, driving and standing, drawn as it is played:
what the content checks tell of each image, and the cross-check of four sensors with each other,
is a false alarm. A line is written after each drive; started again with the same file, it goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
from lying import KINDS as MODALITIES
from lying import Watch, structure

from anymodal_seg_ros.config import ChecksConfig, RigConfig, SensorConfig
from anymodal_seg_ros.frames import Image, SensorState
from anymodal_seg_ros.inference.agreement import load_agreement
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.watchdog import Watchdog
from anymodal_seg_ros.simulation.rig import Rig
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig
from anymodal_seg_ros.simulation.world.street import KINDS as STREETS
from anymodal_seg_ros.simulation.world.weather import WEATHERS

S = 1_000_000_000
HZ, SECONDS = 10, 16.0
LOOPS_S = (8.0, 16.0)
"""In which the same way is covered: fast, and slowly."""
FIRST_SEED = 4_000_000
"""Of the places: nothing was learned from them, and no threshold chosen by them."""
EVERY = 3
"""Images from look to look of the cross-check, 0.3 s as by default."""


def main() -> None:
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--first", type=int, default=0, help="drives before it are left out")
    arguments = parser.parse_args()
    arguments.log.parent.mkdir(parents=True, exist_ok=True)
    arguments.log.touch()
    played = [json.loads(line) for line in arguments.log.read_text().splitlines()]
    hours = sum(one["seconds"] for one in played) / 3600
    alarms = sum(len(one["alarms"]) for one in played)
    drives = itertools.islice(places(), arguments.first + len(played), None)
    watch = Watcher(arguments.model)
    while hours < arguments.hours:
        place = next(drives)
        found = watch.play(place)
        hours, alarms = hours + SECONDS / 3600, alarms + len(found)
        shown = {"place": [place.kind, place.weather, place.ego, place.seed]}
        with arguments.log.open("a") as log:
            log.write(json.dumps({**shown, "seconds": SECONDS, "alarms": found}) + "\n")
        print(f"{hours:.2f} h, {alarms} alarms", *found, flush=True)


def places() -> Iterator[SceneConfig]:
    """Yield other places for ever, of every kind; one in three stands."""
    every = list(itertools.product(("driving", "driving", "standing"), STREETS, WEATHERS))
    for number in itertools.count():
        # A step that has no divisor in common with their number: weathers and places change.
        ego, kind, weather = every[number * 23 % len(every)]
        loop_s = LOOPS_S[number % len(LOOPS_S)]
        yield SceneConfig(FIRST_SEED + number, weather, kind=kind, ego=ego, loop_s=loop_s)


class Watcher:
    """Looks at four sensors as the node does."""

    def __init__(self, model: str) -> None:
        loaded = load_model(model)
        normal = load_agreement(loaded)
        if normal is None:
            raise SystemExit(f"{loaded.folder} has no agreement file")
        self._manifest, self._normal = loaded.manifest, normal

    def play(self, place: SceneConfig) -> list[str]:
        """Return what is told in one drive, each word once."""
        rig, scene = Rig(), Scene(place)
        checkers = {n: ContentChecker(kind, ChecksConfig()) for n, kind in MODALITIES.items()}
        sensors = {n: SensorConfig(n, kind, expected_hz=HZ) for n, kind in MODALITIES.items()}
        watchdog, cross = Watchdog(sensors, S), Watch(self._normal, RigConfig())
        told: dict[str, str] = {}
        for number in range(round(SECONDS * HZ)):
            now_ns = number * S // HZ
            images = rig.capture(scene, now_ns).images
            for name, image in images.items():
                fault = checkers[name].inspect(image, now_ns)
                watchdog.observe(name, now_ns, fault)
                state = watchdog.states()[name]
                if fault is not None and (fault.lasting or state is not SensorState.OK):
                    told.setdefault(name, f"{name}, {now_ns / S:.1f} s: {fault.reason}")
            if number % EVERY == 0:
                self._look(cross, images, now_ns, told)
        return list(told.values())

    def _look(
        self, cross: Watch, images: Mapping[str, Image], now_ns: int, told: dict[str, str]
    ) -> None:
        cross.look({n: structure(self._manifest, n, image) for n, image in images.items()})
        for name in cross.comparison.doubted:
            told.setdefault(f"{name} doubted", f"{name}, {now_ns / S:.1f} s: doubted")


if __name__ == "__main__":
    main()
