"""A clock that is set back by less than a jump: one stamp does not show it, several in a row do."""

from __future__ import annotations

SET_BACK_AFTER = 6
"""Samples in a row, in order but older than what was there: their sensor's clock was set back.

Long enough that messages which overtook one another, and a sensor of which the others show that its
clock is wrong, are told from it.
"""


class SetBack:
    """Counts the samples of one sensor that come in order, but are behind where it had been."""

    def __init__(self) -> None:
        """Begin with none."""
        self._count = 0
        self._last_ns = 0

    def seen(self, time_ns: int, *, behind: bool) -> bool:
        """Take the next sample; say whether the clock has gone back for good.

        Args:
            time_ns: of the sample.
            behind: whether that is before where the sensor had been.
        """
        in_order = self._count == 0 or time_ns > self._last_ns
        self._count = (self._count if in_order else 0) + 1 if behind else 0
        self._last_ns = time_ns
        return self._count > SET_BACK_AFTER

    def clear(self) -> None:
        """Begin anew."""
        self._count = 0
