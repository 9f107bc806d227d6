"""The log of a run: one JSON object per line, and curves for TensorBoard."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from anymodal_seg_ros.json_files import parse_json
from anymodal_seg_training.checkpoint import write_text_atomically
from anymodal_seg_training.errors import TrainingError


class RunLog:
    """Writes numbers as they come; a line that was written stays."""

    def __init__(self, path: Path, first_step: int) -> None:
        """Open the log and drop the lines from ``first_step`` on, which are about to come again.

        Raises:
            TrainingError: it cannot be written; what was there before is intact.
        """
        kept = []
        if path.exists():
            kept = [line for line in _lines(path) if 0 <= _step_of(line) < first_step]
        write_text_atomically(path, "".join(f"{line}\n" for line in kept))
        self._path = path
        with self._writing():
            self._file = path.open("a", encoding="utf-8")
            self._curves = SummaryWriter(str(path.parent / "tensorboard"), purge_step=first_step)

    def write(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Write one line; the numbers in it also become points of curves.

        Raises:
            TrainingError: it cannot be written, for example because the disk is full.
        """
        with self._writing():
            self._file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
            self._file.flush()
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._curves.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Close the files."""
        # What could not be written was told when it was.
        for opened in (self._file, self._curves):
            with contextlib.suppress(OSError):
                opened.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"cannot write {self._path}: {error}; the last checkpoint is intact: make room or "
                "mend the permissions, then go on with --resume"
            ) from error


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read all whole lines of a log.

    Raises:
        TrainingError: it cannot be read.
    """
    return [json.loads(line) for line in _lines(path) if _step_of(line) >= 0]


def _lines(path: Path) -> list[str]:
    try:
        if not path.is_file():  # a pipe would be waited for
            raise OSError("it is no file")
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise TrainingError(f"cannot read the log {path}: {error}") from error


def _step_of(line: str) -> int:
    """The step of a line; -1 for one that a crash has cut off, so that it is not trusted."""
    try:
        step = parse_json(line)["step"]
    except (ValueError, KeyError, TypeError):
        return -1
    return step if type(step) is int else -1
