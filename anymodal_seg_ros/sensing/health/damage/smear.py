"""Edges that from one picture to the next are smeared, while the picture stays where it is.

A robot that turns smears its pictures too, and moves them by at least as much as they are smeared,
because no camera exposes for longer than from one picture to the next. A lens that came loose or
lost its focus, water on the glass and a mount that vibrates smear them where they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.damage.sudden_loss import HELD_NS, Loss
from anymodal_seg_ros.sensing.health.figures.blocks import Flags
from anymodal_seg_ros.sensing.health.figures.edges import Edges
from anymodal_seg_ros.sensing.health.figures.image_figures import floats
from anymodal_seg_ros.sensing.health.figures.order import in_order, median, quantile_of_sorted

_SMEARED, _SHARP = 0.5, 0.7
"""Share of the steepness of edges, for its contrast, below which a picture is smeared, and of what
it was above which it is sharp again."""
_NEARLY_ALL = 0.75
"""Share of the blocks with edges that must be smeared: else it is a part that is covered."""
_FEWEST = 10
"""Blocks, of 48, with edges that tell."""
_LEAST_CONTRAST = 4.0
"""Counts by which a coarse picture must vary, in the root mean square."""
_PATTERN = 0.85
"""Correlation of the coarse pictures before and after."""
_FEW = 120
"""About so many rows of pixels are kept of a picture: to keep all would keep its memory."""
_HARDLY = 1e-3
"""Times the contrast of before: what another picture is taken to have, and the least that counts.
"""
_COARSE = (64, 48)
"""Size of a coarse picture; and its blur, so that the smear itself is no motion."""
_BLUR = 2.0
_PER_CELL = 2.0 * np.pi**0.5 * _BLUR
"""So many cells in a row vary together; as many times is a motion less certain."""
_POWER = 1.5
"""Of the share of steepness that is left of edges smeared by so many pixels: 2 of steps, 1 of
white noise; pictures lie in between."""
_EXPLAINED = 0.6
"""Share of its smear by which a picture must have moved for that to be motion."""
_UNSURE = 0.5
"""Of that: standard error of a motion that is known."""
_QUARTERS = [(slice(y, y + 24), slice(x, x + 32)) for y in (0, 24) for x in (0, 32)]
_FEWEST_QUARTERS = 2
"""Quarters of a picture whose motion must be known."""
_MOST = 2.0
"""Times as far as that, at most, may a quarter of the picture have moved."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Sharpness:
    """Some pixels of a picture, the shape of all, its edges, and when it came."""

    few: Pixels
    shape: tuple[int, ...]
    edges: Edges
    time_ns: int


class SmearWatch:
    """Follows how steep the edges in one sensor's pictures are."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._seen: _Sharpness | None = None
        self._smeared: Flags | None = None
        self._sharp = 0.0
        """The steepness of what is smeared by now, before it was, in counts."""

    def look(self, plane: Pixels, edges: Edges, now_ns: int) -> Loss | None:
        """Look at a picture.

        Args:
            plane: one channel of it, ``[H, W]``.
            edges: in it.
            now_ns: when it came.

        Returns:
            Where its edges are smeared since an earlier picture; None if they are not.
        """
        step = max(1, min(plane.shape) // _FEW)
        few = np.ascontiguousarray(plane[::step, ::step])
        before, self._seen = self._seen, _Sharpness(few, plane.shape, edges, now_ns)
        if before is None or now_ns - before.time_ns > HELD_NS:
            before = None
        if self._smeared is None and before is not None and _smeared(before, self._seen):
            self._smeared = before.edges.seen
            self._sharp = _sharpest(before.edges, self._smeared)
        if self._smeared is None:
            return None
        left = _sharpest(edges, self._smeared) / self._sharp
        if left > _SHARP:
            self._smeared = None
            return None
        return Loss(np.kron(self._smeared, np.ones((2, 2), bool)), left)


def _smeared(before: _Sharpness, now: _Sharpness) -> bool:
    """Whether edges are smeared by more than motion explains."""
    seen = before.edges.seen
    if np.count_nonzero(seen) < _FEWEST or before.shape != now.shape:
        return False
    shares = in_order(now.edges.steepness[seen] / before.edges.steepness[seen])
    left, most = quantile_of_sorted(shares, 0.5), quantile_of_sorted(shares, _NEARLY_ALL)
    if left >= _SMEARED or most >= _SHARP:
        return False
    coarse, coarse_now = _coarse(before.few), _coarse(now.few)
    gain = _gain(coarse, coarse_now)
    left = max(left / min(gain, 1.0), _sharpest(now.edges, seen) / _sharpest(before.edges, seen))
    if left >= _SMEARED:
        return False
    return _stayed(coarse, coarse_now / np.float32(max(gain, _HARDLY)), before.shape, left)


def _sharpest(edges: Edges, flags: Flags) -> float:
    """Return the median of as many of the steepest blocks, wherever these are, as are flagged.

    Edges that have moved on to other blocks are not smeared.
    """
    ordered = in_order(edges.steepness)
    return quantile_of_sorted(ordered[ordered.size - np.count_nonzero(flags) :], 0.5)


def _coarse(few: Pixels) -> Floats:
    """Return a coarse picture about 0, ``[48, 64]``."""
    small = cv2.resize(floats(few), _COARSE, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), _BLUR)
    return np.asarray(blurred - blurred.mean(), np.float32)


def _gain(before: Floats, now: Floats) -> float:
    """Return how many times the contrast of before is left; hardly any of another picture."""
    one, other = before.ravel(), now.ravel()
    power, power_now, both = (float(x) for x in (one @ one, other @ other, one @ other))
    if power < _LEAST_CONTRAST**2 * one.size or both < _PATTERN * (power * power_now) ** 0.5:
        return _HARDLY
    return both / power


def _stayed(before: Floats, now: Floats, shape: tuple[int, ...], left: float) -> bool:
    """Whether a picture has moved by less than it is smeared (after Lucas and Kanade).

    Args:
        before: coarse picture.
        now: the next one, with the contrast of before.
        shape: of the whole picture.
        left: share of the steepness of its edges that is left.
    """
    smear_px = _EXPLAINED / max(left, 1e-2) ** _POWER
    apart = now - before
    down, right = np.gradient((before + now) / 2.0)
    per_cell = np.array([shape[1] / _COARSE[0], shape[0] / _COARSE[1]])
    moved_px = []
    for part in _QUARTERS:
        slopes = np.stack([right[part].ravel(), down[part].ravel()]).astype(np.float64)
        inverse = np.linalg.pinv(slopes @ slopes.T, hermitian=True)
        motion = inverse @ (slopes @ apart[part].ravel())
        rest = apart[part].ravel() - motion @ slopes
        variance = np.diag(inverse) * float(rest @ rest) / rest.size
        error_px = _PER_CELL * np.sqrt(variance) * per_cell
        if float(np.hypot(*error_px)) <= _UNSURE * smear_px and variance.all():
            moved_px.append(float(np.hypot(*(motion * per_cell))))
    if len(moved_px) < _FEWEST_QUARTERS:
        return False
    usual_px, most_px = median(np.array(moved_px)), max(moved_px)
    return bool(usual_px <= smear_px and most_px <= _MOST * smear_px)
