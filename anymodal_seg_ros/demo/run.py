"""The course of the demo: start everything, kill two sensors, bring them back, keep the books."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.demo.processes import Processes
from anymodal_seg_ros.demo.records import Incident, Phase, ScoredMask, Snapshot
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.frames import Mask

_TICK_S = 0.1
_START_LIMIT_S = 120.0
"""The first start on a slow machine tries out every engine that is installed."""
_WARM_UP_S = 2.0

Step = tuple[str, tuple[tuple[str, bool], ...]]
"""Title of a phase, and what is done at its beginning: sensors and whether they come alive."""

SCENARIO: tuple[Step, ...] = (
    ("all four alive", ()),
    ("thermal killed", (("thermal", False),)),
    ("RGB killed too", (("rgb", False),)),
    ("both brought back", (("rgb", True), ("thermal", True))),
)


class ScoredMasks(Protocol):
    """What the course needs of the watcher."""

    def records(self) -> list[ScoredMask]:
        """Return every mask so far."""
        ...

    def newest(self) -> tuple[ScoredMask, Mask] | None:
        """Return the newest mask with its pixels."""
        ...


@dataclass(frozen=True, slots=True)
class Course:
    """What was done and when.

    Attributes:
        phases: in the order of time.
        incidents: in the order of time.
        snapshots: one mask of each phase, from near its end.
    """

    phases: tuple[Phase, ...]
    incidents: tuple[Incident, ...]
    snapshots: tuple[Snapshot, ...]


def run_course(
    processes: Processes,
    masks: ScoredMasks,
    rig: RigConfig,
    sequence: Path,
    epoch_ns: int,
    seconds: float,
    show: Callable[[str], None],
) -> Course:
    """Run the demo with real processes.

    Args:
        processes: runs them.
        masks: what they published.
        rig: the sensors.
        sequence: folder of the rendered sequence that the sensors show.
        epoch_ns: when, on the system clock, the sequence begins.
        seconds: length of each phase.
        show: called ten times a second with what is happening, in words.

    Raises:
        AnymodalError: a process ended by itself, or no masks came.
    """

    def start_sensor(name: str) -> None:
        arguments = ["--sequence", str(sequence), "--sensor", name, "--epoch-ns", str(epoch_ns)]
        # A camera has a processor of its own: what its stand-in takes up, the robot has first.
        processes.start(name, "anymodal_seg_ros.nodes.demo.demo_camera", arguments, niceness=5)

    node = "anymodal_seg_ros.nodes.segmentation_node"
    processes.start(
        "segmentation_node", node, ["--ros-args", "-p", "demo:=true", "-p", "engine:=auto"]
    )
    for name in rig.sensors:
        start_sensor(name)
    _wait_for_all(processes, masks, rig, show)

    phases: list[Phase] = []
    incidents: list[Incident] = []
    snapshots: list[Snapshot] = []
    dead: set[str] = set()
    for title, switched in SCENARIO:
        start_ns = time.time_ns()
        for sensor, alive in switched:
            if alive:
                start_sensor(sensor)
                dead.discard(sensor)
            else:
                processes.kill(sensor)
                dead.add(sensor)
            incidents.append(Incident(time.time_ns(), sensor, alive))
        # Coming back takes longer than dying: a process starts and its sensor must earn its place.
        patience = seconds + (4.0 if any(alive for _, alive in switched) else 0.0)
        for _ in _ticks(patience, processes):
            show(title)
        newest = masks.newest()
        if newest is not None:
            snapshots.append(Snapshot(title, *newest))
        phases.append(Phase(title, start_ns, time.time_ns(), tuple(sorted(dead))))
    return Course(tuple(phases), tuple(incidents), tuple(snapshots))


def _wait_for_all(
    processes: Processes, masks: ScoredMasks, rig: RigConfig, show: Callable[[str], None]
) -> None:
    """Wait until a mask rests on every sensor, then a little more."""
    everybody: Sequence[str] = tuple(rig.sensors)
    for _ in _ticks(_START_LIMIT_S, processes):
        show("starting: waiting for masks made from all four sensors")
        newest = masks.newest()
        if newest is not None and set(newest[0].sensors) == set(everybody):
            break
    else:
        seen = masks.newest()
        last = "no mask at all" if seen is None else f"only {', '.join(seen[0].sensors)}"
        raise AnymodalError(
            f"after {_START_LIMIT_S:.0f} s there was no mask made from all of "
            f"{', '.join(everybody)}, but {last}; look into the logs of the processes"
        )
    for _ in _ticks(_WARM_UP_S, processes):
        show("started: all four sensors are in the masks")


def _ticks(seconds: float, processes: Processes) -> Iterator[None]:
    """Yield every tenth of a second, while all processes are well."""
    stop_s = time.monotonic() + seconds
    while (left_s := stop_s - time.monotonic()) > 0:
        processes.check()
        yield
        time.sleep(min(_TICK_S, left_s))
