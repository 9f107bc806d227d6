"""What blocks of a picture showed, and from one picture to the next do not show any more.

Motion takes detail away little by little and brings it back elsewhere. A lens that loses its focus,
fog on the glass, a cloth before one half take it at once, while what is left of the picture stays
where it was, and it does not come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.figures.blocks import COLUMNS, ROWS, Blocks, Flags
from anymodal_seg_ros.sensing.health.figures.edges import Edges
from anymodal_seg_ros.sensing.health.figures.likeness import likeness
from anymodal_seg_ros.sensing.health.figures.order import median, share_of, spread_of

_EDGES_LEFT = 0.8
"""Share of the steepness of its edges with which a block has lost nothing: detail is of pixels here
and there, and an upright edge, which may have gone from between two of them, of all the row's."""
_LEAST_DETAIL = 1.5
"""Counts that a block must have shown for its loss to be noticed."""
_LOST = 0.25
"""Share of what a block showed; with less, it has lost it."""
RECOVERED = 0.55
"""Share at which it has it again."""
_SMALLEST, _WASHED_OUT = 0.21, 0.16
"""Of the blocks; what fewer lose is the scene's doing. The latter where light does it: what drives
by is not as bright as the sensor can tell."""
_SMALLEST_VISIBLE, _OF_VISIBLE = 0.12, 0.3
"""Of the blocks, and of those that showed something: enough as well, where many show nothing."""
_MOVED_ON = 0.5
"""Of the steepness that edges had in lost blocks, what others have more of: they are there now.

What covers a part shows an edge where it ends, which is little beside what it hides.
"""
_KEPT = 0.8
"""Of the other blocks so many must show half to twice of what they showed."""
_MOST_MOVED = 0.05
"""Of the spread of a picture: how far the rest may move at the moment of the loss."""
_ALIKE = 0.98
"""Correlation of the coarse picture before and after, where hardly a block is left."""
_FADED = 0.6
"""Share of the contrast of the picture before."""
_VEILED, _HAZED = 0.2, 0.25
"""Share of contrast, and of the span from the darkest to the brightest pixel, left by a veil; and
of a camera's contrast, where its darkest parts have become brighter by more than that: neither
another exposure nor a lamp that goes out does both."""
_THROUGH_A_VEIL = 0.9
"""Correlation of the coarse picture before and after: on a drive it moves meanwhile."""
_LEAST_CONTRAST = 12.0
"""Counts of contrast that a picture must have had to fade."""
_LEAST_HAZED = 40.0
"""The same of a camera: of less, noise and light decide."""
_RIM, _WITHIN = 1, 0.25
"""Blocks, joined by fours, at the edges of a picture; and share of what is lost that must not be
there."""
_DIMMED = 0.6
"""Of the share of brightness that is left, that of detail that is: light takes both alike."""
_FEWEST_REST = 6
"""Blocks that tell whether a picture has stayed where it was."""
_AROUND = np.ones((3, 3), np.uint8)
_TINY = 1e-3
HELD_NS = 300_000_000
"""A picture that is older does not tell what was sudden."""

Floats = npt.NDArray[np.float32]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Loss:
    """What was lost.

    Attributes:
        lost: flags of the blocks, ``[ROWS, COLUMNS]``.
        left: what is left of what they showed, 0 to 1.
    """

    lost: Flags
    left: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a picture showed, in blocks joined by fours, and when it came."""

    shown: Floats
    means: Floats
    clipped: Flags
    """Where some of it is as bright as the sensor can tell."""
    edges: Edges | None
    span: float | None
    time_ns: int


class SuddenLossWatch:
    """Follows what the blocks of one sensor's pictures show."""

    def __init__(self, *, steady_contrast: bool = True) -> None:
        """Begin without a picture.

        Args:
            steady_contrast: that all of a picture loses contrast is a loss too. Thermal cameras
                spread their counts anew when something hot comes into view: of them only where
                nothing stands out of what has faded.
        """
        self._steady_contrast = steady_contrast
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._seen: _Seen | None = None
        self._loss: Flags | None = None
        self._before_loss = np.zeros((ROWS // 2, COLUMNS // 2), np.float32)
        self._contrast = 0.0
        """Counts, before a veil; 0 if it is none."""

    def look(
        self, blocks: Blocks, edges: Edges | None, now_ns: int, span: float | None = None
    ) -> Loss | None:
        """Look at a picture.

        Args:
            blocks: of the picture.
            edges: in it; None if it is too small.
            now_ns: when it came.
            span: from its darkest to its brightest pixel, where contrast is not steady.

        Returns:
            What is lost since an earlier picture; None if nothing.
        """
        clipped = _coarse(blocks.bright.astype(np.float32)) > 0.0
        now = _Seen(_coarse(blocks.detail), _coarse(blocks.means), clipped, edges, span, now_ns)
        before, self._seen = self._seen, now
        if self._loss is None and before is not None and now_ns - before.time_ns <= HELD_NS:
            veiled = (_hazed if self._steady_contrast else _veiled)(before, now)
            lost = np.ones_like(now.shown, bool) if veiled else self._lost(before, now)
            if lost.any():
                self._loss, self._before_loss = lost, np.maximum(before.shown, _TINY)
                self._contrast = float(np.ptp(before.means)) if veiled else 0.0
        if self._loss is None:
            return None
        if self._contrast:  # of detail, which is noise as well, more is left
            left = float(np.ptp(now.means)) / self._contrast
        else:
            left = median(now.shown[self._loss] / self._before_loss[self._loss])
        if left > RECOVERED:
            self._loss = None
            return None
        return Loss(np.kron(self._loss, np.ones((2, 2), bool)), left)

    def _lost(self, before: _Seen, now: _Seen) -> Flags:
        """Return the blocks that show hardly anything of what they showed; none if all moved."""
        visible = before.shown >= _LEAST_DETAIL
        lost = visible & (now.shown < _LOST * before.shown) & ~_have_edges(before, now)
        share = share_of(lost)
        much = share >= _SMALLEST or share_of(lost & now.clipped) >= _WASHED_OUT
        some = share >= _SMALLEST_VISIBLE and share >= _OF_VISIBLE * share_of(visible)
        if (much or some) and not self._faded(before, now) and not _went_out_of_view(lost):
            # What hides one block hides a part of the next as well.
            beside = cv2.dilate(lost.astype(np.uint8), _AROUND) > 0
            rest = ~beside if np.count_nonzero(visible & ~beside) >= _FEWEST_REST else ~lost
            if _moved_on(lost, before, now):
                return np.zeros_like(lost)
            if _kept(visible & rest, before.shown, now.shown) and _stayed(rest, before, now):
                return lost
        return np.zeros_like(lost)

    def _faded(self, before: _Seen, now: _Seen) -> bool:
        """Whether a camera whose contrast is not steady has spread its counts anew."""
        if self._steady_contrast:
            return False
        return spread_of(now.means) < _FADED * spread_of(before.means)


def _coarse(values: Floats) -> Floats:
    """Join blocks by fours: in a small one, an edge more or less is much."""
    size = COLUMNS // 2, ROWS // 2
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def _have_edges(before: _Seen, now: _Seen) -> Flags:
    """Return the blocks that had upright edges and have them still, not those of a glare."""
    if before.edges is None or now.edges is None:
        return np.zeros_like(before.clipped)
    kept = now.edges.steepness >= _EDGES_LEFT * before.edges.steepness
    return np.asarray(before.edges.seen & kept & ~now.clipped)


def _moved_on(lost: Flags, before: _Seen, now: _Seen) -> bool:
    """Whether other blocks have got what was lost, as where a door post goes by."""
    if before.edges is None or now.edges is None:
        return False
    was, is_ = before.edges.steepness, now.edges.steepness
    glare = cv2.dilate(now.clipped.astype(np.uint8), _AROUND) > 0  # and its rim
    more = np.maximum(is_ - was, np.float32(0.0))[~lost & ~glare]
    return float(more.sum()) >= _MOVED_ON * float(was[lost].sum())


def _kept(rest: Flags, before: Floats, now: Floats) -> bool:
    """Whether the other blocks show about what they showed."""
    if not rest.any():
        return True
    share = now[rest] / before[rest]
    return share_of((share > 0.5) & (share < 2.0)) >= _KEPT


def _stayed(rest: Flags, before: _Seen, now: _Seen) -> bool:
    """Whether a coarse picture is the one before, but for what was lost."""
    if np.count_nonzero(rest) >= _FEWEST_REST:
        spread = float(np.ptp(before.means[rest])) + 1e-3
        return median(np.abs(now.means[rest] - before.means[rest])) <= _MOST_MOVED * spread
    return likeness(before.means, now.means) >= _ALIKE and not _dimmed(before, now)


def _dimmed(before: _Seen, now: _Seen) -> bool:
    """Whether all of a picture is as much darker as it has less detail: a lamp went out."""
    light = median(now.means / np.maximum(before.means, _TINY))
    return median(now.shown / np.maximum(before.shown, _TINY)) >= _DIMMED * light


def _veiled(before: _Seen, now: _Seen) -> bool:
    """Whether all of a picture has faded, its extremes as well, and shows what it showed.

    Something hot that comes into view lets the rest fade, but stands out itself.
    """
    if before.span is None or now.span is None or now.span > _VEILED * before.span:
        return False
    was, is_ = _inner(before.means), _inner(now.means)
    contrast = float(np.ptp(was))
    faded = contrast >= _LEAST_CONTRAST and float(np.ptp(is_)) <= _VEILED * contrast
    return faded and likeness(was, is_) >= _THROUGH_A_VEIL


def _hazed(before: _Seen, now: _Seen) -> bool:
    """Whether all of a picture has faded, as through a fog: what was dark has become bright."""
    was, is_ = _inner(before.means), _inner(now.means)
    contrast, left = spread_of(was), spread_of(is_)
    brighter = float(is_.min()) - float(was.min())
    return (
        contrast >= _LEAST_HAZED
        and left <= _HAZED * contrast <= brighter
        and likeness(was, is_) >= _THROUGH_A_VEIL
    )


def _inner(blocks: npt.NDArray[T]) -> npt.NDArray[T]:
    """Leave out what is near the edges: it goes out of view where a robot comes up to a door."""
    return blocks[_RIM:-_RIM, _RIM:-_RIM]


def _went_out_of_view(lost: Flags) -> bool:
    """Whether nearly all that is lost was at the edges of the picture."""
    return int(np.count_nonzero(_inner(lost))) < _WITHIN * int(np.count_nonzero(lost))
