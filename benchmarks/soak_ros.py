"""Hours on real DDS with random faults: does anything grow, slow down, or go missing uncounted?

    python benchmarks/soak_ros.py --minutes 60 --hz 30
    python benchmarks/soak_ros.py --minutes 0.5          as the tests run it

Cameras and node are processes. A fault begins at random, of a kind that the fault matrix knows, is
undone some seconds later, and so on. The node's memory, threads, open files, latencies and counters
are taken twice a second from /proc and /diagnostics. Afterwards it is said whether

* memory, threads and open files of the last tenth are those of the second tenth (1 % and none);
* the p99 latency of the last tenth is within 10 % of that of the second;
* the counters add up: all that was sent has arrived or was lost on the way, and all that arrived
  was taken, dropped for a reason, or rejected for one.

What a loaded machine does to the latencies is told beside them: how often a thread of the robot
waited 40 ms for a core.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

from fixtures.fault_cases import SENSOR_KINDS  # noqa: E402
from fixtures.robot import RATES, Robot, footprint, own_graph  # noqa: E402
from fixtures.ros_graph import Graph, unused_domain  # noqa: E402

FAULTS = [name for name in SENSOR_KINDS if name not in ("other name", "other QoS")]
"""Kinds that are undone in a moment; the others only kill and start the process anew, as ``killed``
does."""

SAMPLE_S = 0.5
UNCOUNTED = ("killed", "two publishers")
"""What a new process sends before it is found by the node, and what a second one sends, is not
known: of such a camera only what arrived is accounted for."""

ON_THE_WAY = 24
"""Messages of a camera that may be in buffers, or on their way, when the counters are read."""


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment."""

    at_s: float
    rss_mb: float
    threads: int
    descriptors: int
    masks: int
    p99_ms: float


def rates(hz: float) -> dict[str, float]:
    """Return the cameras' rates, where the fastest sends so often."""
    return {name: hz * rate / max(RATES.values()) for name, rate in RATES.items()}


def soak(robot: Robot, seconds: float, seed: int, every_s: float) -> dict[str, Any]:
    """Let faults come and go on a robot that runs, and return what was measured."""
    draw = random.Random(seed)
    samples: list[Sample] = []
    faults: list[str] = []
    robot.settled()
    at_first, failed_before = counters(robot), _failures(robot)
    begin = time.monotonic()
    next_fault, undo_at, undo = begin + 1.0, float("inf"), lambda: None
    while (now := time.monotonic()) < begin + seconds:
        if robot.died():
            break
        if now >= undo_at:
            undo()
            undo_at = float("inf")
            next_fault = now + draw.uniform(0.3, 1.0) * every_s
        elif undo_at == float("inf") and now >= next_fault and now < begin + seconds - 4.0:
            kind = draw.choice(FAULTS)
            sensor = draw.choice(SENSOR_KINDS[kind].sensors)
            how = SENSOR_KINDS[kind]
            faults.append(f"{sensor}: {kind}")
            how.does(robot, sensor)
            undo_at = now + draw.uniform(0.2, 1.0) * every_s

            def undo(how: Any = how, sensor: str = sensor) -> None:
                how.undoes(robot, sensor)

        samples.append(_sample(robot, now - begin))
        time.sleep(SAMPLE_S)
    if undo_at < float("inf"):
        undo()
    well = robot.wait_well(30.0)
    for camera in robot.cameras.values():
        camera.pause()
    time.sleep(1.5)  # what was under way has come, and a report has told of it
    return {
        "seconds": seconds,
        "seed": seed,
        "faults": faults,
        "died": robot.died(),
        "well_afterwards": well,
        "starved": robot.starvation.count,
        "load": os.getloadavg()[0],
        "samples": [asdict(sample) for sample in samples],
        "counters": counters(robot),
        "at_first": at_first,
        "masks": robot.seen.values.get("pipeline", {}).get("masks", ""),
        "superseded": robot.seen.values.get("pipeline", {}).get("superseded", ""),
        "failures": _failures(robot) - failed_before,
    }


def _failures(robot: Robot) -> int:
    return int(robot.seen.values.get("pipeline", {}).get("failures") or 0)


def _sample(robot: Robot, at_s: float) -> Sample:
    held = footprint(robot.pid)
    told = robot.seen.values.get("pipeline", {})
    return Sample(
        at_s,
        held.rss_mb,
        held.threads,
        held.descriptors,
        int(told.get("masks") or 0),
        float(told.get("latency_p99_ms") or 0.0),
    )


def counters(robot: Robot) -> dict[str, dict[str, int]]:
    """Return where every camera's messages went, as the node tells."""
    found = {}
    for sensor in robot.sensors:
        told = robot.seen.values[sensor]
        whole = {key: int(value) for key, value in told.items() if value.isdigit()}
        found[sensor] = {
            "sent": len(robot.sent(sensor)),
            "lost_on_the_way": whole.get("lost_on_the_way", 0),
            "arrived": whole["arrived"],
            "taken": whole["taken"],
            "dropped": sum(n for key, n in whole.items() if key.startswith("dropped: ")),
            "rejected": whole["rejected"],
        }
    return found


def judge(found: dict[str, Any]) -> list[str]:
    """Return what is not as promised."""
    wrong = []
    if found["died"]:
        return ["the node has ended"]
    if not found["well_afterwards"]:
        wrong.append("not every sensor was OK afterwards")
    if found["failures"]:
        wrong.append(f"{found['failures']} inferences failed")
    samples = found["samples"]
    tenth = max(len(samples) // 10, 1)
    second, last = samples[tenth : 2 * tenth] or samples[:1], samples[-tenth:]
    for key, allowed in (("rss_mb", 1.01), ("threads", 1.0), ("descriptors", 1.0)):
        before, after = _median(second, key), _median(last, key)
        if after > allowed * before + (4.0 if key == "rss_mb" else 0.0):
            wrong.append(f"{key} went from {before:g} to {after:g}")
    before, after = _median(second, "p99_ms"), _median(last, "p99_ms")
    if after > 1.1 * before + 1.0 and not found["starved"]:
        wrong.append(f"p99 went from {before:.1f} to {after:.1f} ms")
    for sensor, count in found["counters"].items():
        ended = count["taken"] + count["dropped"] + count["rejected"]
        if not 0 <= count["arrived"] - ended <= ON_THE_WAY:
            wrong.append(f"{sensor}: {count['arrived']} arrived, {ended} ended: {count}")
        if any(f"{sensor}: {kind}" in found["faults"] for kind in UNCOUNTED):
            continue
        new = {key: count[key] - found["at_first"][sensor][key] for key in count}
        missing = new["sent"] - new["arrived"] - new["lost_on_the_way"]
        # What a node that gets no core does not take in time is overwritten in the middleware's
        # history, of which it does not tell.
        if missing < -ON_THE_WAY or (missing > ON_THE_WAY and not found["starved"]):
            wrong.append(f"{sensor}: of {new['sent']} sent {new['arrived']} arrived")
    return wrong


def _median(samples: Sequence[dict[str, Any]], key: str) -> float:
    return float(np.median([sample[key] for sample in samples]))


def run(graph: Graph, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Start a robot, and soak it."""
    hz = rates(options.hz)
    parameters = {f"rig.sensors.{name}.expected_hz": rate for name, rate in hz.items()}
    with Robot(graph, "/soak", folder, parameters=parameters) as robot:
        for sensor in robot.sensors:
            robot.start_camera(sensor, hz=hz[sensor])
        robot.start_node()
        if not robot.wait_well(60.0):
            raise SystemExit(f"the robot does not start: {robot.seen.words}")
        return soak(robot, 60.0 * options.minutes, options.seed, options.every)


def main() -> int:
    """Soak, and say what came of it; 1 if something is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--hz", type=float, default=30.0, help="of the fastest cameras")
    parser.add_argument("--every", type=float, default=5.0, help="longest time to the next fault")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--json", type=Path, help="write all that was measured here")
    options = parser.parse_args()
    with own_graph(unused_domain()) as graph, tempfile.TemporaryDirectory() as scratch:
        found = run(graph, Path(scratch), options)
    wrong = judge(found)
    first, last = found["samples"][0], found["samples"][-1]
    print(
        f"{found['seconds']:g} s, {len(found['faults'])} faults, {found['masks']} masks, "
        f"{found['superseded']} superseded; {first['rss_mb']:.1f} to {last['rss_mb']:.1f} MB, "
        f"{first['threads']} to {last['threads']} threads, {first['descriptors']} to "
        f"{last['descriptors']} files, p99 {first['p99_ms']:.1f} to {last['p99_ms']:.1f} ms; "
        f"a thread waited for a core {found['starved']} times, load {found['load']:.1f}"
    )
    for sensor, count in found["counters"].items():
        print(f"  {sensor}: " + ", ".join(f"{n} {key}" for key, n in count.items()))
    print(*wrong or ["as promised"], sep="\n")
    if options.json:
        options.json.write_text(json.dumps({**found, "wrong": wrong}, indent=1), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
