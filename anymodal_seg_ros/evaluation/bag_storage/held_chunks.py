"""The unpacked chunks whose messages are given out in order: not more than memory holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from anymodal_seg_ros.evaluation.bag_storage.recording import BagError, Channel, Record
from anymodal_seg_ros.evaluation.bag_storage.unpack import MAX_UNPACKED

_MOST = 2 * MAX_UNPACKED

Found = tuple[int, int, int, int]
"""Log time of a message, where in its chunk it begins and ends, and the number of its channel."""


class HeldChunks:
    """Counts what is held of the chunks that overlap in time."""

    def __init__(self, path: Path, mend: str) -> None:
        """Begin with none.

        Args:
            path: of the file.
            mend: the command that puts its messages in order.
        """
        self._path, self._mend, self._held = path, mend, 0

    def give_out(
        self, content: bytes, found: Collection[Found], channels: Mapping[int, Channel]
    ) -> Iterator[Record]:
        """Yield messages of one chunk in order of log time, and hold it as long as that takes.

        Raises:
            BagError: too much is held then.
        """
        self._held += len(content)
        try:
            if self._held > _MOST:
                raise BagError(
                    f"{self._path}: its chunks overlap in time so much that they do not fit into "
                    f"{_MOST // 1024**2} MiB: put it in order with '{self._mend}'"
                )
            for log_ns, start, end, number in sorted(found):
                yield log_ns, channels[number], content[start:end]
        finally:
            self._held -= len(content)
