"""What somebody who waits for a run sees: progress bars on a terminal, lines in a file."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

EVERY_S = 10.0
"""Least time between two lines where there is no terminal: whoever reads a log later wants few."""


class Display:
    """Progress of several things, one after the other. Use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw on a console, standard error by default."""
        self._console = console or Console(stderr=True, markup=False, emoji=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._printed: dict[str, int] = {}
        self._printed_s = time.monotonic()

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        """Show how far something is.

        Where there is no terminal, a line tells that it is done, and before that at most one for
        each twentieth of it and each :data:`EVERY_S`.
        """
        if self._console.is_terminal:
            if what not in self._tasks:
                self._tasks[what] = self._progress.add_task(what, total=total, note=note)
            self._progress.update(self._tasks[what], completed=done, total=total, note=note)
            return
        twentieth, now_s = 20 * done // max(total, 1), time.monotonic()
        if self._printed.get(what) != twentieth and (
            done >= total or now_s - self._printed_s >= EVERY_S
        ):
            self._printed[what], self._printed_s = twentieth, now_s
            self.say(f"{what}: {done}/{total} {note}".rstrip())

    def say(self, text: str) -> None:
        """Print one line that stays."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
