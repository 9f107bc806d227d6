"""Noise is new in every picture: where it comes again, the picture before comes again.

A picture that was compressed anew, or to which something adds a count here and there, is not equal
to the one before. But its flattest parts show the noise of that one, and change by less than the
sensor's own noise would.

How noisy a sensor is, is only known while nothing moves: on a drive, gravel is as new in every
picture as noise is, and when the robot halts, it stays. So this finds a sensor that hangs while it
stands, and goes on finding it when the robot drives off.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.figures.blocks import Blocks
from anymodal_seg_ros.sensing.health.figures.order import in_order, quantile, quantile_of_sorted

FEWEST_PIXELS = 12
"""Pixels of a block; of fewer, too many agree by chance."""
_ECHO, _MORE_ECHO = 0.35, 0.2
"""Correlation of the noise of two pictures from which on it is the same, and by how much that must
exceed the sensor's usual one: cameras have a pattern of their own that stays."""
_SAME, _LESS, _OWN = 0.66, 0.9, 0.95
"""Shares of its own noise by which the flat blocks of a sensor change: by less than the first if
that is so, by less than the second from its first picture on, by more than the last if it is not.
"""
_SHOWN = 0.8
"""Share of its noise that a picture must have shown for the next one to be the same again.

Where a lamp goes on, a camera has less noise from then on: the picture that changed shows it.
"""
_MEMORY, _FEWEST = 100, 8
"""Pictures in a row, of a scene that stands, from which what is usual is known; least of them."""
_FLAT, _FLATTEST, _MOST = 0.25, 0.1, 0.75
"""Shares of the blocks: that are looked at, that show how noisy a sensor is, and that must change
by less than that, so that it is not a part that has died."""

Floats = npt.NDArray[np.float32]


class SameNoiseWatch:
    """Compares the noise of each picture of one sensor with that of the one before."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._power: Floats | None = None
        self._detail = 0.0
        self._less = self._again = False
        """Whether it changes by less than its noise, and whether that noise has come again."""
        self._usual: deque[tuple[float, float]] = deque(maxlen=_MEMORY)
        """Of pictures: the echo of the one before; detail or change of the flattest blocks."""

    def look(self, blocks: Blocks, least: float) -> bool:
        """Look at a picture that is not the one before again, byte by byte.

        Args:
            blocks: of the picture.
            least: counts of noise below which nothing can be said.

        Returns:
            Whether its noise is that of the one before.
        """
        before, self._power = self._power, blocks.power
        detail_before = self._detail
        if blocks.size < FEWEST_PIXELS or blocks.change is None or before is None:
            return False
        if not blocks.many_seen:
            return False
        self._detail = quantile_of_sorted(blocks.details, _FLATTEST)
        echo = _echo(blocks, before)
        changes = in_order(blocks.seen_change)
        changed = quantile_of_sorted(changes, _FLAT)
        if len(self._usual) >= _FEWEST:
            noise = min(level for _, level in self._usual)
            if noise < least or changed >= _OWN * noise:
                self._less = self._again = False
            elif changed < _LESS * noise and detail_before >= _SHOWN * noise:
                self._less = True
            if self._less and not self._again and echo >= _ECHO and changed < _SAME * noise:
                usual = quantile(np.array([echo for echo, _ in self._usual]), 0.9)
                same = echo >= usual + _MORE_ECHO
                self._again = same and quantile_of_sorted(changes, _MOST) < noise
        if not self._less:
            if not blocks.stands:
                self._usual.clear()
            self._usual.append((echo, min(self._detail, changed)))
        return self._again


def _echo(blocks: Blocks, power_before: Floats) -> float:
    """Return the correlation of the flattest blocks' edges with those before."""
    assert blocks.echo is not None
    flat = blocks.seen & (blocks.detail <= quantile_of_sorted(blocks.details, _FLAT))
    power = float(blocks.power[flat].sum()) * float(power_before[flat].sum())
    return float(blocks.echo[flat].sum()) / power**0.5 if power > 0.0 else 0.0
