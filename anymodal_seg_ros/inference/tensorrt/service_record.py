"""Which processes serve with a plan, and how many of them ended without a word.

An engine that crashes or hangs ends its process, whatever the process does about it, and a launch
file starts it again: with the same plan, for ever. So who serves leaves a note, and takes it away
when it stops in an orderly way. A note of a process that is gone is an end without a word; after
some of these the plan does not serve any more. Only ends since the machine was started count:
power is cut off from robots all the time.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.inference.tensorrt.kept_files import (
    folder_held,
    read_kept,
    remove_kept,
    write_held,
)

MOST_ENDS = 2
"""Processes in a row that a plan may have ended."""

Notes = dict[str, str]
"""When each process that serves was started, by its id."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ServiceRecord:
    """The notes about one plan.

    Args:
        plan: path of the plan, beside which they are kept.
    """

    def __init__(self, plan: Path) -> None:
        self._path = plan.with_suffix(".service")

    def begin(self) -> None:
        """Leave a note that this process serves from now on."""
        pid = os.getpid()
        self._change(lambda notes, ends: ({**notes, str(pid): _born(pid)}, ends))

    def end(self) -> None:
        """Take the note away: this process goes on, or stops, in an orderly way."""
        pid = str(os.getpid())

        def without_me(notes: Notes, ends: int) -> tuple[Notes, int]:
            if pid not in notes:
                return notes, ends
            return {other: born for other, born in notes.items() if other != pid}, 0

        self._change(without_me)

    def unfit(self) -> str:
        """Say why the plan is not to serve any more, with the mend; empty if it may."""
        _, ends = self._read()
        if ends < MOST_ENDS:
            return ""
        return (
            f"TensorRT has ended {ends} processes in a row without a word, by a crash or by "
            "hanging: anymodal-seg build-engine --rebuild builds it anew; it is tried again, too, "
            "after the next start of the machine"
        )

    def forget(self) -> None:
        """Begin anew, with a new plan."""
        remove_kept(self._path)

    def _read(self) -> tuple[Notes, int]:
        """Return the notes of those who live, by process id, and how many ended in a row."""
        try:
            _, about = read_kept(self._path)
        except (FileNotFoundError, EngineError):
            return {}, 0
        notes: Any = about.get("processes")
        if about.get("boot") != _boot() or not isinstance(notes, dict):
            return {}, 0
        try:
            living = {pid: born for pid, born in notes.items() if _born(int(pid)) == born}
            return living, int(about.get("ends", 0)) + len(notes) - len(living)
        except (ValueError, TypeError):  # damaged
            return {}, 0

    def _change(self, change: Callable[[Notes, int], tuple[Notes, int]]) -> None:
        """Write other notes and ends; nobody else leaves a note meanwhile, which would be lost."""
        # Where nothing can be written, plans can neither: nothing to be found out about.
        with contextlib.suppress(EngineError), folder_held(self._path):
            before = self._read()
            if (after := change(*before)) != before:
                about = {"boot": _boot(), "processes": after[0], "ends": after[1]}
                write_held(self._path, json.dumps(about).encode(), about)


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _born(pid: int) -> str:
    """Return when a process was started, in ticks since the machine was; empty if it is gone."""
    try:
        # The name, in brackets, may have spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
