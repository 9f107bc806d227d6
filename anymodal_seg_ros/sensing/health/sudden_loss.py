"""What blocks of a picture showed, and from one picture to the next do not show any more.

Motion takes detail (or depth) away little by little and brings it back elsewhere. A lens that loses
its focus, fog on the glass, a cloth before one half, a depth camera with one eye blind take it at
once, while what is left of the picture stays where it was, and it does not come back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.blocks import COLUMNS, ROWS, Blocks, Flags
from anymodal_seg_ros.sensing.health.order import median

_LOST = 0.25
"""Share of what a block showed; with less, it has lost it."""
_RECOVERED = 0.55
"""Share at which it has it again."""
_SMALLEST = 0.2
"""Of the blocks; what fewer lose is the scene's doing."""
_KEPT = 0.8
"""Of the other blocks so many must show half to twice of what they showed."""
_MOST_MOVED = 0.05
"""Of the spread of a picture: how far the rest may move at the moment of the loss."""
_ALIKE = 0.98
"""Correlation of the coarse picture before and after, where hardly a block is left."""
_FADED = 0.6
"""Share of the contrast of the picture before."""
_HELD_NS = 300_000_000
"""A picture that is older does not tell what was sudden."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Loss:
    """What was lost.

    Attributes:
        lost: flags of the blocks, ``[ROWS, COLUMNS]``.
        left: what is left of what they showed, 0 to 1.
    """

    lost: Flags
    left: float


class SuddenLossWatch:
    """Follows what the blocks of one sensor's pictures show."""

    def __init__(self, least: float, *, steady_contrast: bool = True) -> None:
        """Begin without a picture.

        Args:
            least: what a block must have shown for its loss to be noticed.
            steady_contrast: that all of a picture loses contrast is a loss too. Thermal cameras
                spread their counts anew when something hot comes into view.
        """
        self._least = least
        self._steady_contrast = steady_contrast
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._shown: Floats | None = None
        self._means = np.zeros((ROWS // 2, COLUMNS // 2), np.float32)
        self._seen_ns = 0
        self._loss: Flags | None = None
        self._before_loss = np.zeros((ROWS // 2, COLUMNS // 2), np.float32)

    def look(self, shown: Floats, blocks: Blocks, now_ns: int) -> Loss | None:
        """Look at a picture.

        Args:
            shown: what each block shows, ``[ROWS, COLUMNS]``: detail, or coverage with depth.
            blocks: of the picture.
            now_ns: when it came.

        Returns:
            What is lost since an earlier picture; None if nothing.
        """
        shown, now = _coarse(shown), _coarse(blocks.means)
        before, self._shown = self._shown, shown
        means, self._means = self._means, now
        seen_ns, self._seen_ns = self._seen_ns, now_ns
        if self._loss is None and before is not None and now_ns - seen_ns <= _HELD_NS:
            lost = (before >= self._least) & (shown < _LOST * before)
            faded = not self._steady_contrast and np.ptp(now) < _FADED * np.ptp(means)
            kept = _kept(~lost & (before >= self._least), before, shown)
            if lost.mean() >= _SMALLEST and kept and not faded and _stayed(lost, means, now):
                self._loss, self._before_loss = lost, before
        if self._loss is None:
            return None
        left = median(shown[self._loss] / self._before_loss[self._loss])
        if left > _RECOVERED:
            self._loss = None
            return None
        return Loss(np.kron(self._loss, np.ones((2, 2), bool)), left)


def _coarse(values: Floats) -> Floats:
    """Join blocks by fours: in a small one, an edge more or less is much."""
    joined = values.reshape(ROWS // 2, 2, COLUMNS // 2, 2).mean(axis=(1, 3))
    return np.asarray(joined, np.float32)


def _kept(rest: Flags, before: Floats, now: Floats) -> bool:
    """Whether the other blocks show about what they showed."""
    if not rest.any():
        return True
    share = now[rest] / before[rest]
    return float(((share > 0.5) & (share < 2.0)).mean()) >= _KEPT


def _stayed(lost: Flags, before: Floats, now: Floats) -> bool:
    """Whether a coarse picture is the one before, but for what was lost."""
    rest = ~lost
    if rest.mean() >= _SMALLEST:
        spread = float(np.ptp(before[rest])) + 1e-3
        return median(np.abs(now[rest] - before[rest])) <= _MOST_MOVED * spread
    one, other = before.ravel() - before.mean(), now.ravel() - now.mean()
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return norm > 0.0 and float(one @ other) / norm >= _ALIKE
