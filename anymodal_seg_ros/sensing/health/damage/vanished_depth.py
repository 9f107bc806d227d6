"""Depth that was there, and from one picture to the next is not any more.

Motion takes a little of it away at edges, and so does what comes too near to be measured: the
nearest first. Mud or a hand before the lens, or one eye that goes blind, take much at once, near
and far, while what is left measures what it measured.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.damage.sudden_loss import HELD_NS, RECOVERED, Loss
from anymodal_seg_ros.sensing.health.figures.blocks import (
    COLUMNS,
    ROWS,
    Flags,
    block_means,
    largest_patch,
)
from anymodal_seg_ros.sensing.health.figures.order import median, quantile

_MUCH = 0.3
"""Share of the pixels with a depth that must lose it at once."""
_A_PART, _ELSEWHERE = 0.12, 0.03
"""Share that is enough where it goes from one part, and elsewhere no more than so much goes."""
_ALL = 0.95
"""Of what a block had, gone: it is one of that part."""
_UNUSUAL = 2.0
"""Times the most that this sensor's pictures have lost before."""
_MEMORY, _FEWEST = 30, 5
"""Pictures from which that is known, and so many of them at least."""
_MOST_MOVED = 0.15
"""Of its distance: by so much what is left may have moved, in the median and with its noise."""
_NEAREST = 0.1
"""Share of what is left that counts as near."""
_BEYOND_NEAREST = 0.4
"""Share of what has gone above which that was farther away."""
_SPREAD = 1.3
"""Times its nearest distances that the farthest of a wall may have which comes too near at once."""
_FEWEST_LEFT = 50
"""Pixels that tell whether the picture has stayed where it was."""
_GONE = 0.5
"""Share of its depth with which a block counts as lost."""

Floats = npt.NDArray[np.float32]


class VanishedDepthWatch:
    """Follows which pixels of one sensor's pictures have a depth."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._before: Floats | None = None
        self._seen_ns = 0
        self._usual: deque[float] = deque(maxlen=_MEMORY)
        self._gone: Flags | None = None
        self._blocks = np.zeros((ROWS, COLUMNS), bool)

    def look(self, depth_m: Floats, now_ns: int) -> Loss | None:
        """Look at a picture.

        Args:
            depth_m: pixels spread over it, ``[H, W]`` in metres, NaN where there is no depth; at
                least as many as blocks.
            now_ns: when it came.

        Returns:
            What is lost since an earlier picture; None if nothing.
        """
        before, self._before = self._before, depth_m
        recent = now_ns - self._seen_ns <= HELD_NS
        self._seen_ns = now_ns
        known = np.isfinite(depth_m)
        if self._gone is not None and self._gone.shape != known.shape:
            self._gone = None
        if self._gone is None and before is not None and before.shape == depth_m.shape and recent:
            self._compare(before, depth_m, known)
        if self._gone is None:
            return None
        left = float(known[self._gone].mean())
        if left > RECOVERED:
            self._gone = None
            return None
        return Loss(self._blocks, left)

    def _compare(self, before: Floats, depth_m: Floats, known: Flags) -> None:
        had = np.isfinite(before)
        gone, both = had & ~known, had & known
        share = int(np.count_nonzero(gone)) / max(1, int(np.count_nonzero(had)))
        some = _A_PART <= share < _MUCH
        much = _A_PART if some and _from_one_part(had, known) else _MUCH
        if len(self._usual) < _FEWEST or share < max(much, _UNUSUAL * max(self._usual)):
            self._usual.append(share)
            return
        if np.count_nonzero(both) < _FEWEST_LEFT:
            return
        now, then = depth_m[both], before[both]
        still = median(np.abs(now - then) / then) <= _MOST_MOVED
        if still and not _came_too_near(before[gone], now):
            self._gone = gone
            coverage = block_means(had.astype(np.float32))
            left = block_means(known.astype(np.float32))
            self._blocks = (coverage > 0.0) & (left < _GONE * coverage)


def _from_one_part(had: Flags, known: Flags) -> bool:
    """Whether whole blocks side by side have lost all that they had, and the rest hardly any."""
    coverage = block_means(had.astype(np.float32))
    lost = block_means((had & ~known).astype(np.float32))
    patch = largest_patch((coverage > 0.0) & (lost >= _ALL * coverage))
    # A part that dies may end within a block.
    beside = cv2.dilate(patch.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    rest = float(coverage[~beside].sum())
    return bool(patch.any()) and float(lost[~beside].sum()) <= _ELSEWHERE * rest


def _came_too_near(gone: Floats, left: Floats) -> bool:
    """Whether what has gone was one surface, nearer than all else."""
    spread = quantile(gone, 1.0 - _NEAREST) / quantile(gone, _NEAREST)
    beyond = float((gone > quantile(left, _NEAREST)).mean())
    return spread < _SPREAD and beyond < _BEYOND_NEAREST
