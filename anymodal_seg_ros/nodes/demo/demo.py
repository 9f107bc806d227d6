"""The demo's own process: it starts the others, watches what they publish, and draws the end."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from anymodal_seg_ros.config import RigConfig, SegConfig
from anymodal_seg_ros.demo.numbers import measure
from anymodal_seg_ros.demo.picture import Column, draw
from anymodal_seg_ros.demo.processes import Processes
from anymodal_seg_ros.demo.records import Snapshot
from anymodal_seg_ros.demo.run import Course, run_course
from anymodal_seg_ros.demo.screen import live_table
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.frames import Mask
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.nodes.demo.watcher import Watcher
from anymodal_seg_ros.nodes.environment import dds_environment
from anymodal_seg_ros.nodes.process.shared_memory import remove_dead_segments
from anymodal_seg_ros.nodes.process.shutdown import ros_session, spinning
from anymodal_seg_ros.simulation.recorded import Sequence

_PLAIN_PRINT_S = 2.0
"""Where there is no terminal, the table is printed this often instead of redrawn."""


def watch(sequence: Sequence, out: Path, seconds: float, console: Console) -> dict[str, Any]:
    """Run the demo, write ``demo.png`` and return the numbers.

    Args:
        sequence: what the simulated sensors show.
        out: folder for the picture; its subfolder ``logs`` exists.
        seconds: length of each phase.
        console: where the live table goes.

    Raises:
        AnymodalError: a process ended by itself, no masks came, or the user pressed Ctrl-C.
    """
    rig = SegConfig().rig
    manifest = load_model().manifest
    epoch_ns = time.time_ns()

    def label_at(sensor: str, stamp_ns: int) -> Mask:
        return sequence.label(sensor, sequence.index_at(stamp_ns - epoch_ns))

    environment = {**os.environ, **dds_environment()}
    with ros_session([]) as stop, Processes(out / "logs", environment) as processes:
        watcher = Watcher(label_at, len(manifest.classes))
        try:
            with spinning(watcher, stop), Screen(watcher, rig, console, stop) as screen:
                course = run_course(
                    processes, watcher, rig, sequence.folder, epoch_ns, seconds, screen.show
                )
            records = watcher.records()
        finally:
            watcher.destroy_node()
    remove_dead_segments()
    columns = [_column(s, course, sequence, epoch_ns) for s in course.snapshots]
    draw(columns, manifest, out / "demo.png")
    period_ns = next(iter(rig.sensors.values())).period_ns
    return measure(records, course.phases, course.incidents, period_ns)


class Screen:
    """Keeps the live table up to date; a plain print now and then where there is no terminal."""

    def __init__(
        self, watcher: Watcher, rig: RigConfig, console: Console, stop: threading.Event
    ) -> None:
        self._watcher = watcher
        self._rig = rig
        self._console = console
        self._stop = stop
        self._live = Live(console=console, auto_refresh=False)
        self._printed_s = 0.0

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, happening: str) -> None:
        """Draw the table anew.

        Raises:
            AnymodalError: the user pressed Ctrl-C.
        """
        if self._stop.is_set():
            raise AnymodalError("the demo was interrupted")
        table = live_table(self._rig, self._watcher.records(), time.time_ns(), happening)
        if self._console.is_terminal:
            self._live.update(table, refresh=True)
        elif time.monotonic() - self._printed_s >= _PLAIN_PRINT_S:
            self._printed_s = time.monotonic()
            self._console.print(table)


def _column(snapshot: Snapshot, course: Course, sequence: Sequence, epoch_ns: int) -> Column:
    """Gather what the picture shows of one phase."""
    phase = next(p for p in course.phases if p.title == snapshot.phase)
    record = snapshot.record
    index = sequence.index_at(record.stamp_ns - epoch_ns)
    return Column(
        title=phase.title,
        subtitle=f"mask from {', '.join(record.sensors)}",
        images={name: sequence.image(name, index) for name in sequence.images},
        dead=phase.dead,
        reference=record.reference,
        mask=snapshot.mask,
        label=sequence.label(record.reference, index),
    )
