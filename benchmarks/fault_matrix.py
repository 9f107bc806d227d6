"""Every fault of every sensor at every moment, on real DDS, and what became of the masks.

    python benchmarks/fault_matrix.py                     all of it, about 40 minutes
    python benchmarks/fault_matrix.py --only "rgb: killed" subsets
    python benchmarks/fault_matrix.py --write docs/reliability/fault-matrix.md

Cameras and node are processes; small pictures and the arithmetic of the tests' model, so that what
is lost is lost by the node and not for want of time. What has been measured is kept in ``--json``
and not measured again, unless it failed or ``--again`` asks for it. 1 is returned if something that
was measured now is not as promised.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

from fixtures.fault_cases import (  # noqa: E402
    BAD,
    DOWN,
    INFO_KINDS,
    MOMENTS,
    NODE_KINDS,
    NOTICE_S,
    SENSOR_KINDS,
    SIM_KINDS,
    Case,
    Outcome,
    lost,
    run,
)
from fixtures.robot import ALIVE, RATES, Robot, own_graph  # noqa: E402
from fixtures.ros_graph import Graph, unused_domain  # noqa: E402

SENSORS = tuple(RATES)
SUBSETS = [frozenset(s) for n in range(1, 5) for s in combinations(SENSORS, n)]
QUIET = 1.5
"""Processes that run or want to, on a core: the cameras and the node of a case are most of them."""
GRACE_S = 5.0
"""As by default: Fast DDS may take 4 s to find a camera."""
AHEAD = "0 0 0 0 0 0 1"
"""Both cameras look where the first one does."""


def cases() -> Iterator[Case]:
    """Yield every case, in an order that starts the node as seldom as possible."""
    for moment in ("steady", "recovery", "start"):
        for kind, how in SENSOR_KINDS.items():
            for sensor in how.sensors:
                yield Case(sensor, kind, moment)
    yield from (Case("node", kind, "steady") for kind in NODE_KINDS)
    yield from (Case("node", kind, "steady") for kind in SIM_KINDS)
    yield from (Case(s, kind, m) for kind, how in INFO_KINDS.items() for s in how.sensors
                for m in ("steady", "start"))  # fmt: skip


def walk(seed: int = 0) -> list[frozenset[str]]:
    """Return a way through the 15 subsets that takes each of the 210 transitions once."""
    draw = random.Random(seed)
    left = {a: draw.sample([b for b in SUBSETS if b != a], len(SUBSETS) - 1) for a in SUBSETS}
    way, stack = [], [frozenset(SENSORS)]
    while stack:  # Hierholzer's way round a graph in which as many edges come as go
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            way.append(stack.pop())
    return way[::-1]


def said(subset: frozenset[str]) -> str:
    """Return a subset's name, in configured order."""
    return "+".join(name for name in SENSORS if name in subset)


def go(robot: Robot, before: frozenset[str], after: frozenset[str]) -> dict[str, Any]:
    """Stop and continue cameras until exactly those of the new subset send; measure the way."""
    begin_ns = time.monotonic_ns()
    for name in before - after:
        robot.cameras[name].pause()
    for name in after - before:
        robot.cameras[name].resume()

    def there() -> bool:
        return all((robot.state(n) in ALIVE) == (n in after) for n in SENSORS) and all(
            robot.state(n) in DOWN for n in set(SENSORS) - after
        )

    came = robot.wait(there, 20.0)
    right_ns = time.monotonic_ns()
    right_s, starved = (right_ns - begin_ns) / 1e9, robot.starvation.explains(begin_ns, right_ns)
    time.sleep(0.3)
    row: dict[str, Any] = {"right_s": right_s if came else None, "failed": []}
    row["starved_right"] = starved
    if not came:
        row["failed"].append(f"the states are {robot.seen.states}")
    row["bound_s"] = bound_s = (1.5 if "thermal" in before - after else 0.7) + NOTICE_S
    if right_s > bound_s and not starved:
        row["failed"].append(f"right after {right_s:.2f} s, {bound_s:.2f} allowed")
    stay = [name for name in SENSORS if name in before & after]
    if stay:
        until_ns = time.monotonic_ns() - 200_000_000
        row["frames"], row["lost"], row["starved"] = lost(robot, stay[0], begin_ns, until_ns)
        if row["lost"] > row["starved"]:
            row["failed"].append(f"{row['lost']} of {row['frames']} frames have no mask")
    false = [
        f"{name} {state}"
        for at, name, state in robot.seen.changes
        if at >= begin_ns and name in stay and state in BAD and not robot.was_held_up(name, at)
    ]
    if false:
        row["failed"].append(f"false states: {', '.join(false)}")
    return row


class Matrix:
    """What has been measured, on disk after every case."""

    def __init__(self, path: Path, only: list[str], again: bool) -> None:
        self._path, self._only, self._again = path, only, again
        self.rows: dict[str, dict[str, Any]] = {}
        if path.exists():
            self.rows = json.loads(path.read_text(encoding="utf-8"))
        self.failed = self.done = 0
        self._measured: set[str] = set()

    def wants(self, name: str) -> bool:
        """Whether a case is to be measured now."""
        chosen = not self._only or any(word in name for word in self._only)
        if not chosen or name in self._measured:
            return False
        known = self.rows.get(name)
        return known is None or self._again or bool(known["failed"])

    def keep(self, name: str, row: dict[str, Any]) -> None:
        """Keep what was measured, with the load of the machine, and say it."""
        row["load"] = round(os.getloadavg()[0], 1)
        self.rows[name] = row
        self._measured.add(name)
        self.done += 1
        self.failed += bool(row["failed"])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
        right = "-" if row.get("right_s") is None else f"{row['right_s']:.2f} s"
        what = "; ".join(row["failed"]) or "as promised"
        print(f"{name}: lost {row.get('lost', '-')}, right after {right}: {what}", flush=True)


@contextmanager
def cameras(graph: Graph, folder: Path, name: str, **options: Any) -> Iterator[Robot]:
    """Yield a robot whose cameras run."""
    settings = options.pop("cameras", {})
    parameters = {"rig.startup_grace_s": GRACE_S, **options.pop("parameters", {})}
    with Robot(graph, f"/{name}", folder / name, parameters=parameters, **options) as robot:
        for sensor in robot.sensors:
            robot.start_camera(sensor, **settings.get(sensor, {}))
        yield robot


def measure_cases(matrix: Matrix, graph: Graph, folder: Path) -> None:
    """Measure every fault that is wanted."""
    groups: list[tuple[str, Callable[[Case], bool], dict[str, Any]]] = [
        ("robot", lambda c: c.kind in {**SENSOR_KINDS, **NODE_KINDS}, {}),
        ("simulated", lambda c: c.kind in SIM_KINDS, {"sim": True}),
        ("calibrated", lambda c: c.kind in INFO_KINDS, calibrated()),
    ]
    for name, belongs, options in groups:
        todo = [case for case in cases() if belongs(case) and matrix.wants(case.name)]
        if not todo:
            continue
        with cameras(graph, folder, name, **options) as robot:
            for case in todo:
                row = run(robot, case).row()
                if row["failed"] and row["died"]:
                    robot.start_node()
                matrix.keep(case.name, row)


def calibrated() -> dict[str, Any]:
    """Return a rig of two cameras, each with its CameraInfo."""
    parameters = {
        **{f"rig.sensors.{n}.registration.camera_info": f"{n}/info" for n in ("rgb", "thermal")},
        "rig.sensors.thermal.registration.method": "cameras",
        "rig.sensors.thermal.registration.extrinsics": f"'{AHEAD}'",
    }
    told = {"rgb": {"info": 60.0}, "thermal": {"info": 60.0}}
    return {"sensors": ("rgb", "thermal"), "parameters": parameters, "cameras": told}


def measure_subsets(matrix: Matrix, graph: Graph, folder: Path, most: int) -> None:
    """Take the way through all subsets, or its beginning."""
    way = walk()[: most + 1 if most else None]
    steps = [(a, b, f"subsets: {said(a)} to {said(b)}") for a, b in pairwise(way)]
    if not any(matrix.wants(name) for _, _, name in steps):
        return
    with cameras(graph, folder, "subsets") as robot:
        robot.start_node()
        robot.wait_well(60)
        now = frozenset(SENSORS)
        for before, after, name in steps:
            if not matrix.wants(name):
                continue
            if now != before:
                go(robot, now, before)
            matrix.keep(name, go(robot, before, after))
            now = after


def measure_hang(matrix: Matrix, graph: Graph, folder: Path) -> None:
    """Let the engine hang: the process must end with 1, and a new one must serve."""
    name = "node: engine hangs, steady"
    if not matrix.wants(name):
        return
    parameters = {"inference_timeout_s": 3.0}
    with cameras(graph, folder, "hang", parameters=parameters) as robot:
        robot.start_node()
        outcome = Outcome(bound_s=3.0 + 2.0)
        robot.wait_well(60)
        begin, begin_ns = time.monotonic(), time.monotonic_ns()
        robot.engine_fault.write_text("hang")
        if robot.wait(robot.died, 30.0):
            outcome.right_s, outcome.died = time.monotonic() - begin, True
        outcome.starved_right = robot.starvation.explains(begin_ns, time.monotonic_ns())
        if (outcome.right_s or 30.0) > outcome.bound_s and not outcome.starved_right:
            outcome.failed.append(f"ended after {outcome.right_s} s, {outcome.bound_s:g} allowed")
        assert robot.node is not None
        if robot.node.process.returncode != 1:
            outcome.failed.append(f"exit code {robot.node.process.returncode}, expected 1")
        robot.engine_fault.write_text("")
        begin = time.monotonic()
        robot.start_node()
        if robot.wait_well(60):
            outcome.well_again_s = time.monotonic() - begin
        else:
            outcome.failed.append("a new process makes no masks")
        matrix.keep(name, outcome.row())


# -- the page --


def page(rows: dict[str, dict[str, Any]]) -> str:
    """Return the table as a page of the documentation."""
    loads = [row["load"] for row in rows.values()] or [0.0]
    failed = {name: row for name, row in rows.items() if row["failed"]}
    lines = [
        "# Fault matrix",
        "",
        "<!-- Made by: python benchmarks/fault_matrix.py --write docs/reliability/fault-matrix.md"
        " -->",
        "",
        "Four cameras (rgb, events and depth at 15 Hz, thermal at 10 Hz) and the node, each a "
        "process, on real DDS. Each fault is",
        "brought about before the node starts, in a quiet run, and while another sensor is about "
        "to come back. *Lost*: frames of",
        "the reference, or of the healthy sensor that stands in for it, without a mask. *Right "
        "after*: until the node tells the",
        "right state, the worst of the sensors. *False*: sensors with nothing wrong that were "
        "told to be down. *Well again*: from",
        "the end of the fault until every sensor is OK, the start of a process included. In "
        "brackets what happened while a thread of",
        "the node or of a camera waited 40 ms for a core, by the books of the kernel's run queue: "
        "that is the machine's. Memory,",
        "threads and open files are the node's, the largest growth of one case. " + _where(loads),
        "",
        f"{len(rows)} cases measured, {len(failed)} not as promised{_quietly(rows)}.",
        "",
        "| fault | sensors | moments | frames | lost | right after | bound | false | well again "
        "| memory | threads | files |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    grouped: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for name, row in rows.items():
        if not name.startswith("subsets: "):
            grouped[name.split(": ", 1)[1].rsplit(", ", 1)[0]][name] = row
    lines += [_line(kind, group) for kind, group in grouped.items()]
    steps = {name: row for name, row in rows.items() if name.startswith("subsets: ")}
    if steps:
        lines += [
            "",
            f"**Subsets.** {len(steps)} of the 210 transitions between the 15 subsets, cameras "
            "stopped and continued:",
            f"{_lost(steps)} of {_total(steps, 'frames')} frames of the sensors that "
            f"stayed were lost, the right states after {_right(steps.values())}",
            "at most (a thermal camera may be silent for 1.5 s).",
        ]
    if failed:
        lines += ["", "## Not as promised", ""]
        lines += [f"* {name} (load {row['load']:g}): {'; '.join(row['failed'])}"
                  for name, row in failed.items()]  # fmt: skip
    return "\n".join([*lines, ""])


def _where(loads: list[float]) -> str:
    cores = os.cpu_count() or 1
    quiet = "a quiet machine" if max(loads) <= QUIET * cores else "not all measured quietly"
    return f"Load while measured: {min(loads):g} to {max(loads):g} on {cores} cores ({quiet})."


def _quietly(rows: dict[str, dict[str, Any]]) -> str:
    """Say what of it holds where the machine had little else to do; empty if that is all of it."""
    most = QUIET * (os.cpu_count() or 1)
    quiet = [row for row in rows.values() if row["load"] <= most]
    if len(quiet) == len(rows):
        return ""
    failed = sum(bool(row["failed"]) for row in quiet)
    return (
        f"; of these {len(quiet)} quietly, at a load of {most:g} or less, {failed} not as "
        f"promised, right states after {_right(quiet)}"
    )


def _total(rows: dict[str, dict[str, Any]], key: str) -> int:
    return sum(row.get(key) or 0 for row in rows.values())


def _lost(rows: dict[str, dict[str, Any]]) -> str:
    starved = _total(rows, "starved")
    return f"{_total(rows, 'lost') - starved} ({starved})"


def _right(rows: Iterable[dict[str, Any]]) -> str:
    """Return the worst of the times, and in brackets the worst of those that were the machine's."""
    own: list[float | None] = [0.0]
    machine: list[float | None] = [0.0]
    for row in rows:
        right_s, failed = row["right_s"], bool(row["failed"])
        late = right_s is None or right_s > row.get("bound_s", right_s)
        starved = row.get("starved_right", late and not failed)
        (machine if late and starved else own).append(right_s)

    def worst(times: list[float | None]) -> str:
        return "never" if None in times else f"{max(t for t in times if t is not None):.2f} s"

    return f"{worst(own)} ({worst(machine)})" if len(machine) > 1 else worst(own)


def _line(kind: str, rows: dict[str, dict[str, Any]]) -> str:
    sensors = {name.split(": ")[0]: None for name in rows}
    moments = Counter(name.rsplit(", ", 1)[1] for name in rows)
    again = [row["well_again_s"] for row in rows.values()]
    false = sum(len(row["false_states"]) for row in rows.values())

    def growth(key: str) -> float:
        return max((row[key][1] - row[key][0] for row in rows.values()), default=0.0)

    cells = [
        kind,
        "all" if len(sensors) == len(SENSORS) else ", ".join(sensors),
        "all" if len(moments) == len(MOMENTS) else ", ".join(moments),
        str(_total(rows, "frames")),
        _lost(rows),
        _right(rows.values()),
        f"{max(row['bound_s'] for row in rows.values()):.2f} s",
        f"{false} ({_total(rows, 'starved_states')})",
        "never" if None in again else f"{max(again):.1f} s",
        f"{growth('rss_mb'):+.1f} MB",
        f"{growth('threads'):+.0f}",
        f"{growth('descriptors'):+.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Measure what is wanted, and write the page if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORDS", help="cases whose name has one of these"
    )
    parser.add_argument("--again", action="store_true", help="also what has been measured")
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parser.add_argument("--transitions", type=int, default=0, help="at most so many; 0: all 210")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "fault_matrix.json")
    parser.add_argument("--write", type=Path, help="write the page of all that was measured")
    options = parser.parse_args()
    # Whoever stops it must not leave the robot's processes behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    matrix = Matrix(options.json, options.only, options.again)
    if options.list:
        print(*(case.name for case in cases()), "node: engine hangs, steady", sep="\n")
        return 0
    with own_graph(unused_domain()) as graph, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        measure_cases(matrix, graph, folder)
        measure_hang(matrix, graph, folder)
        measure_subsets(matrix, graph, folder, options.transitions)
    if options.write:
        options.write.write_text(page(matrix.rows), encoding="utf-8")
    print(f"{matrix.done} measured, {matrix.failed} not as promised")
    return 1 if matrix.failed else 0


if __name__ == "__main__":
    sys.exit(main())
