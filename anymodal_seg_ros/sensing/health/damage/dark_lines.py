"""Whole rows or columns that from one picture to the next show nothing at all.

Packets that a network loses, a sensor's rows that die and a picture that is cut off leave lines at
the lowest count, or without any depth, from one edge to the other, right beside lines that are as
bright as before. The dark does not: it comes to an end by and by, and not along a line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.figures.order import median

DARK_ABOVE = 0.04
"""Share of the rows or columns that are looked at."""
_BRIGHT = 0.04
"""Of full scale: the mean of a line that showed something; of more than 8 bits, anything did."""
_AS_BRIGHT = 0.5
"""Of what the lines beside showed before, that they must show."""
_MOSTLY_DARK = 0.5
"""Share of a line beside that may be at the lowest count: a cold sky that a thermal camera clips
has no straight edge, nor has the night."""

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(slots=True)
class _Lines:
    """The lines of the last picture in one direction."""

    levels: Floats
    dark: Flags
    """Those that had shown something and, from one picture to the next, nothing."""


class DarkLinesWatch:
    """Follows which lines of one sensor's pictures show anything."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._before: Pixels | None = None
        self._lines: list[_Lines] | None = None
        """Rows and columns of the last picture; None if none of them was empty."""

    def look(self, values: Pixels, full_scale: float) -> float:
        """Look at some pixels of a picture, counts ``[H, W]``.

        Returns:
            The share of its rows, or of its columns, that have gone dark and are dark still.
        """
        before, self._before = self._before, values
        empty: list[Flags] | None = None
        if not values.all():
            empty = [np.asarray(~values.any(axis=axis)) for axis in (1, 0)]
        comparable = before is not None and before.shape == values.shape
        if empty is None or not comparable or not any(flags.any() for flags in empty):
            self._lines = None
            return 0.0
        assert before is not None
        lines = self._lines or [
            _Lines(_levels(before, axis), np.zeros_like(flags)) for axis, flags in enumerate(empty)
        ]
        least = _BRIGHT * full_scale if full_scale <= np.iinfo(np.uint8).max else 0.0
        self._lines, shares = [], []
        for axis, (flags, last) in enumerate(zip(empty, lines, strict=True)):
            levels = _levels(values, axis)
            dark = flags & (last.dark | (last.levels > least))
            told = dark.any() and _ends_at_once(dark, flags, levels, last.levels)
            told = told and not _goes_over(dark, flags, values if axis == 0 else values.T)
            shares.append(float(dark.mean()) if told else 0.0)
            # What has gone dark has no level: it keeps the one of before.
            self._lines.append(_Lines(np.where(flags, last.levels, levels), dark))
        return max(shares)


def _levels(values: Pixels, axis: int) -> Floats:
    return np.asarray(values.mean(axis=1 - axis, dtype=np.float32))


def _ends_at_once(dark: Flags, empty: Flags, levels: Floats, before: Floats) -> bool:
    """Whether the lines beside those that are dark are as bright as before."""
    beside = _beside(dark, empty) & (before > 0)
    return bool(beside.any()) and median(levels[beside] / before[beside]) >= _AS_BRIGHT


def _goes_over(dark: Flags, empty: Flags, lines: Pixels) -> bool:
    """Whether the lines beside those that are dark are so for the most part, in the median."""
    beside = lines[_beside(dark, empty)]
    return bool(beside.size) and median((beside == 0).mean(axis=1)) > _MOSTLY_DARK


def _beside(dark: Flags, empty: Flags) -> Flags:
    beside = np.zeros_like(dark)
    beside[1:] |= dark[:-1]
    beside[:-1] |= dark[1:]
    return np.asarray(beside & ~empty)
