"""The masks of a replay become records, lines and pictures, while the next ones are made."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TextIO

from anymodal_seg_ros.evaluation.scorecard.runs.recorder import Recorder
from anymodal_seg_ros.evaluation.scorecard.runs.records import to_line
from anymodal_seg_ros.evaluation.scorecard.runs.worst import WorstMasks
from anymodal_seg_ros.frames import Mask, Prediction
from anymodal_seg_ros.written_files import naming

_WAITING = 4
"""Masks that may wait; then the replay does. They hold the pictures that they were made of."""


class Ledger:
    """Enters masks in their order, by a thread of its own. It is closed by ``with``.

    Attributes:
        masks: entered so far.
        labelled: those with a label.
    """

    def __init__(self, path: Path, recorder: Recorder, worst: WorstMasks) -> None:
        """Open the file of records.

        Args:
            path: gets a line for every mask.
            recorder: makes the records.
            worst: keeps the masks that the report shows.

        Raises:
            OSError: the file cannot be opened.
        """
        self.masks = self.labelled = 0
        self._path, self._recorder, self._worst = path, recorder, worst
        with naming(path):
            self._lines: TextIO = path.open("w", encoding="utf-8")
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._entering: deque[Future[None]] = deque()

    def __enter__(self) -> Ledger:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Enter what waits, unless there was an error, and close the file."""
        self._thread.shutdown(cancel_futures=kind is not None)
        with naming(self._path), self._lines:
            while kind is None and self._entering:
                self._entering.popleft().result()

    def add(self, prediction: Prediction, label: Mask | None) -> None:
        """Take the next mask, with its label if it has one.

        Raises:
            OSError: one before it could not be written.
        """
        self.masks += 1
        self.labelled += label is not None
        if len(self._entering) == _WAITING:
            self._entering.popleft().result()
        self._entering.append(self._thread.submit(self._enter, prediction, label))

    def _enter(self, prediction: Prediction, label: Mask | None) -> None:
        record = self._recorder.record(prediction, label)
        with naming(self._path):
            self._lines.write(to_line(record) + "\n")
        self._worst.add(record, prediction, label)
