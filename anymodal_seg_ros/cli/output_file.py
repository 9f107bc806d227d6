"""Files that a command writes when its work is done: looked at before it begins."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


class OutputFile(click.Path):
    """A path at which a file can be written, as far as can be told without writing.

    Args:
        endings: of its name that are understood; empty for all.
    """

    def __init__(self, endings: Sequence[str] = ()) -> None:
        super().__init__(path_type=Path, dir_okay=False, writable=True)
        self._endings = tuple(endings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or end with a usage error."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if self._endings and path.suffix.lower() not in self._endings:
            self.fail(f"'{path}' does not end with {' or '.join(self._endings)}", param, ctx)
        folder = path.parent
        if not folder.is_dir():
            self.fail(f"'{path}' cannot be written: there is no folder '{folder}'", param, ctx)
        if not os.access(folder, os.W_OK | os.X_OK):
            self.fail(f"'{path}' cannot be written: '{folder}' is not yours to write", param, ctx)
        return path
