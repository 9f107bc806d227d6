"""Lone rows or columns that from one picture to the next are of one and the same count.

A driver circuit that fails holds its line at a level, from one edge of the picture to the other,
between lines that show the world. Bars, a clipped sky and the walls of simulators are many such
lines side by side; and of an upright door a codec makes some for a picture or two.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.figures.order import median

DEAD_ABOVE = 0.04
"""Share of the rows or columns that are looked at."""
_WIDEST = 2
"""Such lines side by side, at most."""
_FEWEST = 4
"""Places at which there must be some."""
_LOOKS = 4
"""Pictures in a row in which there must be that many."""
_MOST_ALIKE = 0.25
"""Share of the line beside that may be of their count."""

Flags = npt.NDArray[np.bool_]


class DeadLinesWatch:
    """Follows which lines of one sensor's pictures show anything but one level."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._even: tuple[Flags, Flags] | None = None
        """Rows and columns of the last picture that were of one level."""
        self._dead: tuple[Flags, Flags] | None = None
        self._run = 0
        """Pictures in a row in which too many were dead."""

    def look(self, values: Pixels) -> float:
        """Look at some pixels of a picture, counts ``[H, W]``.

        Returns:
            The share of its rows, or of its columns, that have gone dead and are dead still.
        """
        share = self._dead_share(values)
        self._run = self._run + 1 if share > DEAD_ABOVE else 0
        return share if self._run >= _LOOKS else 0.0

    def _dead_share(self, values: Pixels) -> float:
        before, self._even = self._even, _even_lines(values)
        if before is None or before[0].shape + before[1].shape != values.shape:
            self._dead = None
            return 0.0
        if not any(flags.any() for flags in self._even):
            self._dead = None
            return 0.0
        dead_before = self._dead or tuple(np.zeros_like(flags) for flags in before)
        self._dead = (
            self._even[0] & (dead_before[0] | ~before[0]),
            self._even[1] & (dead_before[1] | ~before[1]),
        )
        return max(
            _lone_share(dead, even, lines)
            for dead, even, lines in zip(self._dead, self._even, (values, values.T), strict=True)
        )


def _even_lines(values: Pixels) -> tuple[Flags, Flags]:
    rows = np.asarray((values == values[:, :1]).all(axis=1))
    return rows, np.asarray((values == values[:1]).all(axis=0))


def _lone_share(dead: Flags, even: Flags, lines: Pixels) -> float:
    """Return the share of the lines that are dead, in runs that are narrow; 0 if they are few."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], even, [False]]).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    lone = dead[begins] & (ends - begins <= _WIDEST) & (begins > 0)
    first = begins[lone]
    if first.size < _FEWEST:
        return 0.0
    # Of what is hardly lit, some lines are all at the lowest count by chance.
    alike = (lines[first - 1] == lines[first]).mean(axis=1)
    return float(dead.mean()) if median(alike) <= _MOST_ALIKE else 0.0
