"""The log of a run: one JSON object per line, and curves for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class RunLog:
    """Writes numbers as they come; a line that was written stays."""

    def __init__(self, path: Path, first_step: int) -> None:
        """Open the log and drop the lines from ``first_step`` on, which are about to come again."""
        kept = []
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if 0 <= _step_of(line) < first_step]
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._curves = SummaryWriter(str(path.parent / "tensorboard"), purge_step=first_step)

    def write(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Write one line; the numbers in it also become points of curves."""
        self._file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._curves.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._curves.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read all whole lines of a log."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if _step_of(line) >= 0]


def _step_of(line: str) -> int:
    """The step of a line; -1 for one that a crash has cut off, so that it is not trusted."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1
