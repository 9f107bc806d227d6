"""A picture that stops at once from a pace at which nothing of any mass does.

What is shown over and over, compressed anew or with a count added here and there, is not equal to
the picture before, and changes by no less than that of a robot that stands. But where nothing is
where it was a tenth of a second ago, nor beside it, as in a turn by a third of the picture or more,
no robot halts from one picture to the next, and then shows the noise of before: the picture before
comes again. A slower turn may end at once, and a camera that has little noise, or smooths it away,
shows little that is new from then on.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.figures.blocks import COLUMNS, ROWS, Blocks
from anymodal_seg_ros.sensing.health.figures.likeness import likeness
from anymodal_seg_ros.sensing.health.figures.order import median, quantile

_FLAT, _LEAST = 0.25, 0.2
"""Share of the blocks, the flattest, whose noise is looked at, and the counts that it has at least.
"""
_FEWEST = 12
"""Of such blocks."""
_NEW, _AGAIN = 0.25, 0.35
"""Correlation of their noise with that of the picture before: at most, of what moves, and at least,
in the mean, where the picture before is shown again."""
_STOPPED = 0.5
"""Of what half of a moving picture changes by at least: what it changes by when it has stopped."""
_ELSEWHERE, _MOVED, _STAYS = 0.6, 0.85, 0.99
"""Correlation of coarse pictures one after the other: of a turn in the mean and at most, at which a
twelfth of the picture goes by; and of what stands at least."""
_IN_A_ROW, _APART_NS = 3, 150_000_000
"""Pictures that went by like that before they stopped, and how far apart they are at most."""
_FARTHEST, _FARTHEST_DOWN, _FINER = 4, 2, 2
"""Blocks by which a picture may have moved in a turn that may end at once; steps of a block."""
_MOVED_ON, _BY_CHANCE = 0.65, 1
"""Correlation, along the rows, of pictures of which one is the other moved on; and so many of the
last ones, but for the very last, may look like that and are not.
"""

Floats = npt.NDArray[np.float32]


class SuddenHaltWatch:
    """Follows how fast one sensor's pictures go by."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._before: Blocks | None = None
        self._seen_ns = 0
        self._moved: deque[tuple[float, Floats, Floats]] = deque(maxlen=_IN_A_ROW)
        """Of pictures that go by: how much they change, and the coarse ones before and then."""
        self._held: Floats | None = None
        """The coarse picture that has been shown since all stopped."""
        self._echoes: deque[float] = deque(maxlen=10)

    def look(self, blocks: Blocks, now_ns: int) -> bool:
        """Look at a picture that is not the one before again, byte by byte.

        Returns:
            Whether it shows what was shown when all stopped, with its noise.
        """
        before, self._before = self._before, blocks
        close = 0 < now_ns - self._seen_ns <= _APART_NS
        self._seen_ns = now_ns
        if before is None or blocks.change is None or not blocks.many_seen:
            self._held = None
            self._moved.clear()
            return False
        echo, change = _echo(blocks, before), median(blocks.seen_change)
        stopped = bool(self._moved) and change <= _STOPPED * min(
            moved for moved, _, _ in self._moved
        )
        if self._held is None and close and stopped and self._went_by():
            self._held = before.means
            self._echoes.clear()
        if self._held is not None:
            if stopped and likeness(self._held, blocks.means) >= _STAYS:
                self._echoes.append(echo)
                return float(np.mean(self._echoes)) >= _AGAIN
            self._held = None
            self._moved.clear()
        if close and echo <= _NEW:
            self._moved.append((change, before.means, blocks.means))
        else:
            self._moved.clear()
        return False

    def _went_by(self) -> bool:
        likes = [likeness(before, then) for _, before, then in self._moved]
        if len(likes) < _IN_A_ROW or max(likes) > _MOVED:
            return False
        if sum(likes) > _ELSEWHERE * len(likes):
            return False
        moved_on = [_moved_on(before, then) for _, before, then in self._moved]
        return not moved_on[-1] and sum(moved_on) <= _BY_CHANCE  # who brakes, moves less at last


def _moved_on(before: Floats, then: Floats) -> bool:
    """Whether a coarse picture shows what the one before did, beside where that was.

    Along the rows: that it is bright above and dark below holds of any street.
    """
    size = (COLUMNS * _FINER, ROWS * _FINER)
    one, other = (
        cv2.resize(shown, size, interpolation=cv2.INTER_LINEAR) for shown in (before, then)
    )
    right, down = _FARTHEST * _FINER, _FARTHEST_DOWN * _FINER
    for dx in range(-right, right + 1):
        for dy in range(-down, down + 1, _FINER):
            here = one[max(0, dy) : size[1] + min(0, dy), max(0, dx) : size[0] + min(0, dx)]
            there = other[max(0, -dy) : size[1] + min(0, -dy), max(0, -dx) : size[0] + min(0, -dx)]
            if likeness(_along_rows(here), _along_rows(there)) >= _MOVED_ON:
                return True
    return False


def _along_rows(shown: Floats) -> Floats:
    return np.asarray(shown - shown.mean(axis=1, keepdims=True), np.float32)


def _echo(blocks: Blocks, before: Blocks) -> float:
    """Return how far the noise of the flattest blocks is that of the picture before; 0 if none."""
    assert blocks.echo is not None
    noisy = blocks.seen & (blocks.detail >= _LEAST)
    if np.count_nonzero(noisy) < _FEWEST:
        return 0.0
    flat = noisy & (blocks.detail <= quantile(blocks.detail[noisy], _FLAT))
    power = float(blocks.power[flat].sum()) * float(before.power[flat].sum())
    return float(blocks.echo[flat].sum()) / power**0.5 if power > 0.0 else 0.0
