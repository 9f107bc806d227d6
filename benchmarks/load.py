"""Far more pictures than a machine can carry, on real DDS: is what goes whole, old and counted?

    python benchmarks/load.py                      four cameras of 1920x1080 at 60 Hz, 20 s
    python benchmarks/load.py --huge 8192          and thermal of 8192x8192, twice a second

Measured are the answers of a service, ten times a second, the age of the newest mask (now minus its
stamp) and what share of the reference's frames has a mask. Where the others went is told by the
node's own counters. Cameras, node and this program share the machine: a camera that is not given
the time to send its frames sends fewer, and that is told as well.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

from fixtures.robot import NODE, Robot, footprint, own_graph  # noqa: E402
from fixtures.ros_graph import Graph, unused_domain  # noqa: E402
from lifecycle_msgs.srv import GetState  # noqa: E402

SERVICE_LIMIT_MS = 100.0
SERVICE_EVERY_S = 0.1
LOOK_EVERY_S = 0.01


def answers(graph: Graph, robot: Robot, ended: threading.Event, found: list[float]) -> None:
    """Ask the node for its state again and again, and note how long each answer takes, in ms."""
    client = graph.node.create_client(GetState, f"{robot.namespace}/{NODE}/get_state")
    graph.wait_until_answered(f"{robot.namespace}/{NODE}")
    while not ended.wait(SERVICE_EVERY_S):
        came = threading.Event()
        begin = time.perf_counter()
        future = client.call_async(GetState.Request())
        future.add_done_callback(lambda _, came=came: came.set())
        came.wait(10.0)
        found.append((time.perf_counter() - begin) * 1e3)
    graph.node.destroy_client(client)


def ages(robot: Robot, ended: threading.Event, found: list[float]) -> None:
    """Note how old the newest mask is, in ms."""
    while not ended.wait(LOOK_EVERY_S):
        if robot.seen.masks:
            found.append((time.time_ns() - robot.seen.masks[-1][1]) / 1e6)


def measure(graph: Graph, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Let the cameras send for a while, and return what became of it."""
    sensors = ("rgb", "events", "depth", "thermal")
    hz = dict.fromkeys(sensors, options.hz)
    if options.huge:
        hz["thermal"] = 2.0
    parameters = {f"rig.sensors.{name}.expected_hz": rate for name, rate in hz.items()}
    parameters |= {"diagnostics_hz": 2.0, "workers": 0}
    size = {"height": options.height, "width": options.width, "pictures": 3}
    model = options.model or None
    with Robot(
        graph, "/load", folder, sensors, parameters=parameters, settings=size, model=model
    ) as robot:
        for name in sensors:
            huge = {"height": options.huge, "width": options.huge, "pictures": 2}
            robot.start_camera(
                name, hz=hz[name], **(huge if options.huge and name == "thermal" else {})
            )
        robot.start_node()
        if not robot.wait(lambda: len(robot.seen.masks) > 5, 120.0):
            raise SystemExit(f"no masks come: {robot.seen.words}")
        before = footprint(robot.pid)
        ended, answered, aged = threading.Event(), [], []
        watchers = [
            threading.Thread(target=answers, args=(graph, robot, ended, answered)),
            threading.Thread(target=ages, args=(robot, ended, aged)),
        ]
        for watcher in watchers:
            watcher.start()
        begin_ns, first = time.monotonic_ns(), len(robot.seen.masks)
        time.sleep(options.seconds)
        end_ns = time.monotonic_ns()
        ended.set()
        for watcher in watchers:
            watcher.join()
        masks = robot.seen.masks[first:]
        frames = [stamp for at, stamp in robot.sent("rgb") if begin_ns <= at <= end_ns]
        served = set(frames) & {stamp for _, stamp in robot.seen.masks}
        stamps = [stamp for _, stamp in masks]
        told = {name: robot.seen.values.get(name, {}) for name in (*sensors, "pipeline")}
        after = footprint(robot.pid)
        return {
            "sent_hz": {
                name: sum(begin_ns <= at <= end_ns for at, _ in robot.sent(name)) / options.seconds
                for name in sensors
            },
            "wanted_hz": hz,
            "frames": len(frames),
            "served": len(served),
            "masks": len(masks),
            "in_order": all(a < b for a, b in pairwise(stamps)),
            "service_ms": _summary(answered),
            "age_ms": _summary(aged),
            "rss_mb": (before.rss_mb, after.rss_mb),
            "superseded": told["pipeline"].get("superseded"),
            "callback_max_ms": told["pipeline"].get("callback_max_ms"),
            "reasons": {
                name: {
                    key: value
                    for key, value in told[name].items()
                    if key.startswith(("dropped: ", "rejected: ")) or key == "lost_on_the_way"
                }
                for name in sensors
            },
            "states": dict(robot.seen.states),
            "load": os.getloadavg()[0],
        }


def _summary(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p99 = np.percentile(values, (50, 99))
    return {"n": len(values), "p50": float(p50), "p99": float(p99), "max": max(values)}


def main() -> int:
    """Measure, and say what came of it; 1 if a service was slow or masks came out of order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--hz", type=float, default=60.0)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--huge", type=int, default=0, help="side of thermal's pictures, at 2 Hz")
    parser.add_argument(
        "--model", default="rig-nano", help="empty: arithmetic instead of a network"
    )
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    with own_graph(unused_domain()) as graph, tempfile.TemporaryDirectory() as scratch:
        found = measure(graph, Path(scratch), options)
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    slow = found["service_ms"]["p99"] > SERVICE_LIMIT_MS
    return 1 if slow or not found["in_order"] else 0


if __name__ == "__main__":
    sys.exit(main())
