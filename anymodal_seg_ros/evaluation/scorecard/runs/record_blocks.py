"""The records of a run of any length in little memory.

An hour at 30 masks per second is 108,000 records, which as objects take some 200 MB. Figures read
them from the first to the last, again and again; so they lie packed, in blocks, and the first
blocks of all runs together, up to a limit, stay unpacked: that is all of what a sweep has.
"""

from __future__ import annotations

import itertools
import pickle
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from anymodal_seg_ros.evaluation.scorecard.runs.records import MaskRecord

BLOCK = 256
"""Records that are packed together."""

UNPACKED = 8192
"""Records of all runs together that stay unpacked: about 16 MB."""

_unpacked = 0


class RecordBlocks(Sequence[MaskRecord]):
    """Records in the order in which they were given; read-only."""

    def __init__(self, records: Iterable[MaskRecord]) -> None:
        """Take records one by one; they may come from a file that is read meanwhile."""
        self._blocks: list[tuple[MaskRecord, ...] | bytes] = []
        self._length = 0
        self._last: tuple[int, tuple[MaskRecord, ...]] = (-1, ())
        kept = [0]
        weakref.finalize(self, _give_back, kept)
        given = iter(records)
        while block := tuple(itertools.islice(given, BLOCK)):
            self._length += len(block)
            if _unpacked + len(block) <= UNPACKED:
                _take(len(block), kept)
                self._blocks.append(block)
            else:
                self._blocks.append(zlib.compress(pickle.dumps(block, protocol=5), 1))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[MaskRecord]:
        for number in range(len(self._blocks)):
            yield from self._block(number)

    @overload
    def __getitem__(self, index: int) -> MaskRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[MaskRecord]: ...
    def __getitem__(self, index: int | slice) -> MaskRecord | Sequence[MaskRecord]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(self._length)))
        place = index + self._length if index < 0 else index
        if not 0 <= place < self._length:
            raise IndexError(f"record {index} of {self._length}")
        return self._block(place // BLOCK)[place % BLOCK]

    def _block(self, number: int) -> tuple[MaskRecord, ...]:
        block = self._blocks[number]
        if not isinstance(block, bytes):
            return block
        if self._last[0] != number:
            # Packed by this object, a moment ago, in this process: nobody else's bytes.
            self._last = (number, pickle.loads(zlib.decompress(block)))
        return self._last[1]


def _take(number: int, kept: list[int]) -> None:
    global _unpacked
    _unpacked += number
    kept[0] += number


def _give_back(kept: list[int]) -> None:
    global _unpacked
    _unpacked -= kept[0]
