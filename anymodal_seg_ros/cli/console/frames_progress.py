"""A progress bar for commands that draw frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

WORKERS = click.option(
    "--workers",
    default=max(1, os.cpu_count() or 1),
    show_default=True,
    type=click.IntRange(min=1, max=256),
    help="Processes to draw with. The result does not depend on it.",
)


@contextmanager
def frames_progress(what: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a bar; yields a function to be told the number of frames done and of all frames."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
