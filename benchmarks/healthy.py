"""Whether the content checks cry wolf: a minute of every healthy camera that looks unusual.

    PYTHONPATH=. python benchmarks/healthy.py --seconds 60

Codecs, flat walls, bars, text, bonnets, drops, tunnels, flickering lamps and more; see
``test/fixtures/healthy_streams.py`` and, of rarer ones, ``rare_streams.py``; on fields, in stores,
corridors and tunnels, with odd drivers: ``working_streams.py``. And event cameras that
are silent while nothing moves, beside a camera: ``quiet_events.py``; and LiDARs indoors that dock,
or send turns in parts: ``lidar_streams.py``. Every line that is written is a fault of the checks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

from fixtures.healthy_streams import FAMILIES, Family  # noqa: E402
from fixtures.lidar_streams import LIDARS  # noqa: E402
from fixtures.quiet_events import ROBOTS, Robot, states  # noqa: E402
from fixtures.rare_streams import RARE  # noqa: E402
from fixtures.working_streams import WORKING  # noqa: E402

from anymodal_seg_ros.config import ChecksConfig, SensorConfig  # noqa: E402
from anymodal_seg_ros.frames import SensorState  # noqa: E402
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker  # noqa: E402
from anymodal_seg_ros.sensing.health.watchdog import Watchdog  # noqa: E402

S = 1_000_000_000


def main() -> None:
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of the names of what is played")
    arguments = parser.parse_args()
    every = {**FAMILIES, **RARE, **WORKING, **LIDARS, **ROBOTS}
    played = {name: one for name, one in every.items() if arguments.only in name}
    alarms = 0
    for name, one in played.items():
        if isinstance(one, Robot):
            told = watch(one, arguments.seconds)
        else:
            told = play(one, arguments.seconds, arguments.seed)
        alarms += bool(told)
        if told:
            print(f"{name}: {told}", flush=True)
    print(f"{alarms} alarms in {len(played)} streams of {arguments.seconds:g} s")


def play(family: Family, seconds: float, seed: int) -> str:
    """Return the first fault that is told of a healthy stream; empty if none is."""
    checker = ContentChecker(family.modality, ChecksConfig())
    watchdog = Watchdog({"one": SensorConfig("one", family.modality, expected_hz=family.hz)}, S)
    for now_ns, image in family.stream(seconds, seed):
        fault = checker.inspect(image, now_ns)
        watchdog.observe("one", now_ns, fault)
        state = watchdog.states()["one"]
        if fault is not None and (fault.lasting or state is not SensorState.OK):
            return f"{now_ns / S:.1f} s, {state.value}, {fault.reason}"
    return ""


def watch(robot: Robot, seconds: float) -> str:
    """Return the first fault that is told of a healthy event camera; empty if none is."""
    for at_s, state, fault in states(robot, seconds):
        if state not in ("WAITING", "OK"):
            return f"{at_s:.1f} s, {state}, {fault}"
    return ""


if __name__ == "__main__":
    main()
