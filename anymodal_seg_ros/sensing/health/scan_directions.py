"""What a LiDAR's scans hold by direction, brought together where it sends a turn in parts.

Some drivers send each packet, or each quarter of a turn, as a message of its own. What one of those
holds is not what the one before did: only together they are what the sensor sees.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SECTORS = 24
CLOSE_M = 0.6
_FARTHEST_M = 20.0
"""Ranges beyond count as this, so that a few do not make a mean."""
_FEW = 5
"""Of the points that are looked at: a direction with fewer tells nothing."""
_TOGETHER_NS = 195_000_000
"""Parts of so long are put together: a turn, and that of slow scanners."""
_SURE_NS = 600_000_000
"""So long a sensor must look as if it sent parts, or turns, until that is believed."""
_PARTS = 1.6
"""Times the directions of one message that those of some together have, if they are parts."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Directions:
    """Returns by direction; arrays ``[SECTORS]``.

    Attributes:
        returns: how many there are.
        far: those of them that are not close to the sensor.
        reach: mean distance of all of them, in m; 0 where there is none.
        few: returns that tell nothing of a direction.
    """

    returns: Floats
    far: Floats
    reach: Floats
    few: float

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Directions in which there is something."""
        return self.returns > self.few

    @property
    def close(self) -> npt.NDArray[np.bool_]:
        """Directions in which there is something right before the sensor, and little else."""
        return self.seen & (self.far < 0.5 * self.returns)


def directions(points: Floats, ranges: Floats, each: float) -> Directions:
    """Sort returns by direction.

    Args:
        points: ``[N, 3]``.
        ranges: ``[N]``.
        each: points of the scan that each of them stands for.
    """
    angle = np.arctan2(points[:, 1], points[:, 0])
    sector = ((angle + np.pi) * (SECTORS / (2 * np.pi))).astype(int) % SECTORS

    def count(weights: Floats | None = None) -> Floats:
        return np.bincount(sector, weights, SECTORS).astype(np.float32)

    returns = count()
    reach = count(np.minimum(ranges, _FARTHEST_M)) / np.maximum(returns, 1)
    far, many = count((ranges >= CLOSE_M).astype(np.float32)), np.float32(each)
    return Directions(returns * many, far * many, reach.astype(np.float32), _FEW * each)


class TurnGatherer:
    """Hands out what a sensor sees all in all, whether it sends turns or parts of them."""

    def __init__(self) -> None:
        """Begin without knowing which."""
        self._lately: deque[tuple[int, Directions]] = deque()
        self._in_parts: bool | None = None
        self._looks: tuple[bool, int] | None = None
        """Whether it looks like parts, and since when."""
        self._handed_ns: int | None = None

    def add(self, message: Directions, now_ns: int) -> Directions | None:
        """Take the directions of a message.

        Returns:
            Those to be judged; None where they are not complete, or it is not known yet.
        """
        self._lately.append((now_ns, message))
        while not 0 <= now_ns - self._lately[0][0] <= _TOGETHER_NS:
            self._lately.popleft()
        self._learn(now_ns)
        if self._in_parts is None:
            return None
        if not self._in_parts:
            return message
        if self._handed_ns is not None and 0 <= now_ns - self._handed_ns < _TOGETHER_NS:
            return None
        self._handed_ns = now_ns
        return _together([one for _, one in self._lately])

    def _learn(self, now_ns: int) -> None:
        each = sorted(int(np.count_nonzero(one.seen)) for _, one in self._lately)
        both = np.logical_or.reduce([one.seen for _, one in self._lately])
        looks = int(np.count_nonzero(both)) >= _PARTS * max(1, each[len(each) // 2])
        if self._looks is None or self._looks[0] is not looks:
            self._looks = looks, now_ns
        if now_ns - self._looks[1] >= _SURE_NS:
            self._in_parts = looks


def _together(parts: list[Directions]) -> Directions:
    returns = np.sum([one.returns for one in parts], axis=0)
    reach = np.sum([one.returns * one.reach for one in parts], axis=0) / np.maximum(returns, 1)
    far = np.sum([one.far for one in parts], axis=0)
    return Directions(returns, far, reach.astype(np.float32), max(one.few for one in parts))
