"""Fine detail that goes from a picture which stays where it is: a blur that is not the motion's.

A robot that turns in poor light smears its pictures too, but then they run sideways at least as far
as they are smeared. A mount that shakes, a lens that loses its focus or mists over takes the fine
detail, in one direction or in all, of a picture that shows the same as before at the same place.

How steep edges are depends on scene and lens, so a sensor is only held against itself a moment ago.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.image_figures import Grid, floats, one_channel
from anymodal_seg_ros.sensing.health.order import median, quantile
from anymodal_seg_ros.sensing.health.sudden_loss import HELD_NS

_STRIPS, _SMOOTHED = 10, 4
"""Strips across a picture, and lines whose mean each of them is: against noise."""
_FAR = 20
"""The width over the distance at which an edge has its full height."""
_LEAST_FAR = 12
_LEAST_SIDE = 64
_EDGES = 0.8
"""Share of the places of the strips that are no edge."""
_LEAST_EDGE = 3.0
"""Counts by which pixels differ at such a distance where there is an edge to speak of."""
_OVER_NOISE, _NOISE = 8.0, 3.5
"""Times the usual difference of neighbours: that this must be, and what may be noise of it."""
_SMEARED = 0.65
"""Of the least steep edges that a sensor has shown lately: where they are less so, it smears."""
_RAMP = 0.3
"""Steepness of edges that are ramps over a quarter of the distance and more."""
_SHARP_AGAIN = 0.9
"""Of the least steepness, from which on it is as before."""
_SHARP_IN_A_ROW = 2
_MEMORY, _FEWEST = 20, 6
"""Pictures from which that is known, and least of them."""
_SAME_PLACE = 0.75
"""Pixels of the coarse grid by which a picture may run: less than it is smeared by."""
_SAME, _STILL_SAME = 0.9, 0.8
"""Correlation of the picture with the last sharp one, and while it smears with the one before, both
made coarse."""
_COARSE = (40, 30)
_TAPERED = cv2.createHanningWindow(_COARSE, cv2.CV_32F)
"""So that the borders, which stay where they are, say nothing."""
_TINY = 1e-3

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Smear:
    """What was found.

    Attributes:
        direction: in which edges are smeared, in words.
        left: what is left of their steepness, 0 to 1.
    """

    direction: str
    left: float


@dataclass(slots=True)
class _Direction:
    """How steep the edges of one sensor are in one direction."""

    name: str
    usual: deque[float]
    smeared: bool = False
    sharp: int = 0
    """Pictures in a row that were sharp again."""
    left: float = 1.0


class SmearWatch:
    """Follows how steep the edges of one sensor's pictures are, across and down."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._directions = [
            _Direction(name, deque(maxlen=_MEMORY)) for name in ("sideways", "up and down")
        ]
        self._last: Floats | None = None
        self._sharp: Floats | None = None
        self._sharp_ns = 0

    def look(self, sampled: Grid, now_ns: int) -> Smear | None:
        """Look at a picture, 8 or 16 bits.

        Returns:
            What is smeared since an earlier picture; None if nothing is.
        """
        plane = one_channel(sampled.pixels)
        if plane.dtype.kind not in "ui" or min(plane.shape) < _LEAST_SIDE:
            return None
        coarse = cv2.resize(floats(sampled.values), _COARSE, interpolation=cv2.INTER_AREA)
        before, fresh = self._sharp, now_ns - self._sharp_ns <= 2 * HELD_NS
        last, self._last = self._last, coarse
        if any(d.smeared for d in self._directions) and (
            last is None or not _same_place(last, coarse, _STILL_SAME)
        ):
            for direction in self._directions:  # it runs after all: a robot that begins to turn
                direction.smeared = False

        def stays() -> bool:
            return before is not None and fresh and _same_place(before, coarse)

        far = max(_LEAST_FAR, max(plane.shape) // _FAR)
        sharp = True
        for direction, lines in zip(self._directions, (plane, plane.T), strict=True):
            figure = _steepness(lines, far)
            if figure is not None:
                sharp &= _judge(direction, figure, stays=stays)
        if sharp:
            self._sharp, self._sharp_ns = coarse, now_ns
        worst = min(self._directions, key=lambda d: d.left if d.smeared else 1.0)
        return Smear(worst.name, worst.left) if worst.smeared else None


def _judge(direction: _Direction, figure: float, *, stays: Callable[[], bool]) -> bool:
    """Take note of a figure; whether edges are about as steep as usual."""
    if len(direction.usual) < _FEWEST:
        direction.usual.append(figure)
        return True
    direction.left = figure / max(min(direction.usual), _TINY)
    if direction.smeared:
        direction.sharp = direction.sharp + 1 if direction.left >= _SHARP_AGAIN else 0
        direction.smeared = direction.sharp < _SHARP_IN_A_ROW
        return not direction.smeared
    if direction.left >= _SMEARED or figure > _RAMP:
        direction.usual.append(figure)
        return True
    direction.smeared, direction.sharp = stays(), 0
    if not direction.smeared:  # it looks at something else, or runs: that may be the new normal
        direction.usual.append(figure)
    return False


def _steepness(plane: Pixels, far: int) -> float | None:
    """Return the difference of neighbours over that of pixels far apart, at edges along rows.

    Returns:
        Near 0 of ramps, up to 1 of steps; None of lines with hardly an edge.
    """
    first = np.linspace(0, plane.shape[0] - _SMOOTHED, _STRIPS).astype(int)
    strips = plane[(first[:, None] + np.arange(_SMOOTHED)).reshape(-1)]
    rows = floats(strips).reshape(_STRIPS, _SMOOTHED, -1).mean(axis=1)
    near = np.abs(rows[:, 1:] - rows[:, :-1])
    apart = np.abs(rows[:, far:] - rows[:, :-far])
    usual = median(near[:, ::3])
    limit = max(_LEAST_EDGE, quantile(apart[:, ::3], _EDGES), _OVER_NOISE * usual)
    edges = apart >= limit
    if np.count_nonzero(edges) < 4 * far:
        return None
    # The steepest place between the two pixels, of each edge.
    near = np.maximum(near - np.float32(_NOISE * usual), np.float32(0.0))
    steepest = cv2.dilate(near, np.ones((1, far), np.uint8), anchor=(0, 0))[:, : apart.shape[1]]
    return float((steepest[edges] / apart[edges]).mean())


def _same_place(before: Floats, now: Floats, alike: float = _SAME) -> bool:
    """Whether a coarse picture shows what the other did, and where it did."""
    # What whole rows or columns share, as a horizon, shows no motion along them.
    for axis in (0, 1):
        one = before - before.mean(axis=axis, keepdims=True)
        other = now - now.mean(axis=axis, keepdims=True)
        norm = float(np.linalg.norm(one) * np.linalg.norm(other))
        if norm == 0.0 or float((one * other).sum()) < alike * norm:
            return False
    # OpenCV tapers its arguments in place.
    (across, down), _ = cv2.phaseCorrelate(before.copy(), now.copy(), _TAPERED)
    return bool(max(abs(across), abs(down)) <= _SAME_PLACE)
