"""Data lines that hang: bits which from one image to the next are the same in every pixel.

A line that has come loose, or a byte that is lost, changes a picture in one way only: those pixels
in which the bit was another one jump by just what that bit counts, and all others stay. Nothing in
the world does that, and no exposure, shutter or gain. Where the picture moves meanwhile, the counts
themselves tell: they fill the stretches between the gaps that such a bit leaves, up to their ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.damage.sudden_loss import HELD_NS
from anymodal_seg_ros.sensing.health.figures.order import median

_LEAST = 0.1
"""Share of the pixels in which the bits were others before."""
_FREE = 0.01
"""Share of the pixels in which they are others again where they are free again."""
_LOWEST = {1: 4, 2: 6}
"""The lowest bits of an image of so many bytes per pixel that matter: of 16 and of 64 counts."""
_MOVED = 1 / 8
"""Of what the lowest of the bits counts: what a picture changes by meanwhile."""
_ALL_BITS, _EXACTLY = 1 << 11, 8.0
"""Where all pixels shift by the same, as of the highest bits: counts that they must make at least,
since the shutter of a thermal camera may shift all by some; and how exact the shift must be."""
_NO_DEPTH = (0, 65535)
_FILLED = 0.05
"""Share of the pixels in a stretch of counts, between two gaps, that is filled."""
_PER_END, _AT_AN_END = 8, 0.005
"""Ends that a stretch is long, and share of the pixels at each beside a gap: counts of anything but
such a bit thin out, or go on."""

Counts = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Values:
    """Some pixels of an image, the bits that all of them have or none has, and when it came."""

    values: Pixels
    everywhere: int
    nowhere: int
    time_ns: int


def _seen(values: Pixels, now_ns: int) -> _Values:
    everywhere = int(np.bitwise_and.reduce(values, axis=None))
    nowhere = ~int(np.bitwise_or.reduce(values, axis=None))
    return _Values(values, everywhere, nowhere, now_ns)


class StuckBitsWatch:
    """Compares the bits of each image of one sensor with those of the one before."""

    def __init__(self, *, depth: bool) -> None:
        """Set up for pictures, or for depth."""
        self._depth = depth
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._before: _Values | None = None
        self._mask = self._level = 0
        """The bits that are stuck, and at what."""

    def look(self, values: Pixels, now_ns: int) -> str:
        """Look at some pixels of an image, ``[H, W]``, in native byte order.

        Returns:
            Which bits are stuck since an earlier image, in words; empty if none are, and of
            anything but 8 and 16 bits.
        """
        if values.dtype.kind != "u" or values.dtype.itemsize not in _LOWEST:
            self._before, self._mask = None, 0
            return ""
        now = _seen(values, now_ns)
        before, self._before = self._before, now
        if before is not None and before.values.dtype != values.dtype:
            before, self._mask = None, 0
        if self._mask:
            others = (values & self._mask) != self._level
            if float(others.mean()) >= _FREE:
                self._mask = 0
        elif (
            before is not None
            and now_ns - before.time_ns <= HELD_NS
            and before.values.shape == values.shape
        ):
            self._compare(before, now)
        bits = [str(bit) for bit in range(16) if self._mask >> bit & 1]
        return f"with bit {', '.join(bits)} the same in every pixel" if bits else ""

    def _compare(self, before: _Values, now: _Values) -> None:
        size, everywhere = now.values.dtype.itemsize, now.everywhere
        constant = (everywhere | now.nowhere) & ((1 << 8 * size) - (1 << _LOWEST[size]))
        if not constant & ~(everywhere & before.everywhere | now.nowhere & before.nowhere):
            return  # what is constant was so before
        known = np.ones(now.values.shape, bool)
        if self._depth:
            known = ~np.isin(before.values, _NO_DEPTH) & ~np.isin(now.values, _NO_DEPTH)
        was, is_ = (some.values[known].astype(np.int32) for some in (before, now))
        if was.size < _LEAST * known.size:
            return
        other = (was ^ everywhere) & constant
        stuck = [
            1 << bit
            for bit in range(_LOWEST[size], 8 * size)
            if constant >> bit & 1 and float((other >> bit & 1).mean()) >= _LEAST
        ]
        mask = sum(stuck)
        if not mask or not _explains(mask, everywhere & mask, was, is_, all_too=not self._depth):
            mask = sum(bit for bit in stuck if _leaves_gaps(bit, is_))
        if mask:
            self._mask, self._level = mask, everywhere & mask


def _explains(mask: int, level: int, before: Counts, now: Counts, *, all_too: bool) -> bool:
    """Whether an image is the one before, but for these bits, whatever they were in a pixel.

    In those that they change by as much as most, and elsewhere, since what moves up by a little
    everywhere may leave no pixel below a power of two.
    """
    expected = (before & ~mask) | level
    lowest = mask & -mask
    shift = expected - before
    most = shift == np.bincount(shift - shift.min()).argmax() + shift.min()
    if float((~most).mean()) < _LEAST:
        return all_too and lowest >= _ALL_BITS and abs(median(now - expected)) <= _EXACTLY
    apart = np.abs(now - expected)
    return max(median(apart[most]), median(apart[~most])) <= _MOVED * lowest


def _leaves_gaps(bit: int, counts: Counts) -> bool:
    """Whether counts, in which a bit is always the same, go on right up to the gaps it leaves."""
    end = max(bit // _PER_END, 1)
    stretch, place = counts // (2 * bit), counts % bit
    filled = np.flatnonzero(np.bincount(stretch) >= _FILLED * counts.size)
    low, high = (
        np.bincount(stretch[at_end], minlength=int(stretch.max()) + 1) >= _AT_AN_END * counts.size
        for at_end in (place < end, place >= bit - end)
    )
    below, above = filled[:-1], filled[1:]
    beside = above == below + 1
    return bool(beside.any() and (high[below] & low[above])[beside].all())
