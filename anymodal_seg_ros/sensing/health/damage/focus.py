"""A lens that has lost its focus, at once or by and by: fine detail goes, coarse detail stays.

How much fine detail a picture has for its coarse one depends little on light, contrast and scene,
and a lens out of focus takes it in both directions; motion takes it in one. The sensor's noise,
which no lens blurs, is left out: differences along a line are multiplied with those along another
one nearby, in which an edge goes on and noise is another.

A leaning edge goes on elsewhere, so a picture is only taken for soft by the parts in which both
lines agree. Clouds, and shadows on a wall, have hardly a sharp edge; but a camera that comes to
look at nothing else shows another scene, and mostly less of its coarse detail as well.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import CheckResult, Pixels
from anymodal_seg_ros.sensing.health.figures.image_figures import floats
from anymodal_seg_ros.sensing.health.figures.likeness import likeness
from anymodal_seg_ros.sensing.health.figures.order import in_order, median, quantile_of_sorted
from anymodal_seg_ros.sensing.health.sensor_health import Fault, damaged

SOFT_BELOW = 0.31
"""Steepness of edges above which no picture is soft."""
_PAIRS = 24
"""So many pairs of lines are looked at in each direction."""
_APART = 2
"""Between the two lines of a pair: neighbours share noise, after a codec or a raw pattern."""
_SCALES = (1, 2)
"""Pixels between which detail is fine; coarse detail is between four times as far."""
_COARSER = 4
_COARSEST = 10
"""Part of a line between whose ends pixels are farthest apart: more than any lens smears."""
_PARTS = (8, 6)
_EDGE, _LEAST_EDGE = 0.015, 0.5
"""Of a picture's span, and in counts: coarse detail that a part with edges has at least."""
_AGREE = 0.75
"""Share of its coarse detail that both lines of a part have in common where its edges are upright.
"""
_FEWEST_EDGES = 8
"""Parts, of 48, with edges that tell."""
_FEWEST_PIXELS = 64
_SOFT, _SHARPER = 0.3, 0.45
"""Of what is usual: fine detail with less is soft, and with more is sharp again.

Measured in 17 recordings, sound pictures have 0.57 and more, and 0.25 and less behind a lens whose
points are discs of 9 pixels.
"""
_LATELY = 2
"""Looks of just before in which there must be a sharp picture: where a robot comes to a softer
scene, detail goes by little and little.
"""
_BUSY = 0.3
"""Of what is usual: the coarse detail that there must be for the fine to be missed."""
_LEAST_USUAL = 0.4
"""Fine detail that a sensor must have shown to be judged; steps have 3."""
_ONE_SCENE, _LEAST_ALIKE, _LESS = 0.8, 0.1, 0.05
"""Correlation of coarse pictures from look to look, in the median, of scenes that go over into each
other; there, the share of the looks that are less alike than usual, and by how much less alike a
picture may be than those: what becomes soft with another scene is the scene.
"""
_AS_MUCH = 4.0
"""Times as much coarse detail as just before that a scene has, or as little, in the same light: a
lens leaves it. Where a lamp goes on or off, it was noise, or a codec, that was steep.
"""
_MEMORY, _FEWEST = 50, 5
"""Looks from which is known what is usual, and so many of them at least."""
_PERIOD_NS = 180_000_000
"""Pictures that follow sooner than this after one that was looked at are passed over."""
_PATIENCE_NS, _LOOKS = 300_000_000, 3
"""How long, and in how many looks, pictures must be soft: a bump is over sooner."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FineDetail:
    """What one picture shows, whatever its noise.

    Attributes:
        steepness: of its edges, by scale: fine over coarse differences, in the better direction.
            A quarter where edges are ramps, as out of focus, and one half where they are steps;
            less where they lean; NaN where hardly any are.
        upright: the same of those edges alone that go straight on; NaN where there are hardly any
            in one of the directions.
        coarse: mean square of the differences of pixels that are farthest apart, counts squared.
    """

    steepness: tuple[float, ...]
    upright: tuple[float, ...]
    coarse: float


class FocusWatch:
    """Follows how much fine detail one sensor's pictures have for their coarse one."""

    def __init__(self, below: float) -> None:
        """Begin without a picture.

        Args:
            below: steepness of edges, 0.25 to 1, above which no picture is soft.
        """
        self._below = below
        self.forget()

    def forget(self) -> None:
        """Begin anew, as with another lens."""
        self._usual: deque[FineDetail] = deque(maxlen=_MEMORY)
        self._usual_fine: dict[int, float] = {}
        """How far edges usually are from ramps, by scale, as far as it was asked for."""
        self._likes: deque[float] = deque(maxlen=_MEMORY)
        """How like the one before sharp pictures are."""
        self._sharp: Floats | None = None
        """The last sharp picture, made coarse; None while another scene is soft by itself."""
        self._last: Floats | None = None
        """The last picture, made coarse."""
        self._soft: int | None = None
        """The scale at which pictures are soft by now."""
        self._elsewhere = False
        """Whether they are since another scene came, where one comes after the other."""
        self._looked_ns: int | None = None
        self._since_ns, self._looks = 0, 0
        """When they became soft, and how often they were seen to be since."""
        self._steepness = float("nan")
        self.found: tuple[CheckResult, Fault | None] = (self._result(True), None)
        """The last verdict."""

    def inspect(
        self, plane: Pixels, coarse: Floats, now_ns: int
    ) -> tuple[CheckResult, Fault | None]:
        """Look at a picture; one soon after another is judged like it.

        Args:
            plane: one channel of it, ``[H, W]``.
            coarse: the same, made coarse.
            now_ns: when it came.

        Returns:
            The verdict.
        """
        if self._looked_ns is not None and 0 < now_ns - self._looked_ns < _PERIOD_NS:
            return self.found
        detail = detail_of(plane)
        self._looked_ns = now_ns
        if detail is None:  # such a picture says nothing: the last verdict holds
            return self.found
        last, self._last = self._last, coarse
        like = None if last is None else likeness(last, coarse)
        stays = like is not None and like >= _ONE_SCENE
        if self._soft is not None and self._elsewhere and stays and self.found[0].passed:
            # Not one scene after the other is soft, but this one.
            self._soft = self._sharp = None
        if self._soft is None:
            self._soft = self._begins(detail, coarse)
            self._since_ns, self._looks = now_ns, 0
        elif _fine(detail.steepness[self._soft]) > _SHARPER * self._usually(self._soft):
            self._soft = None
        known = detail.upright[self._soft or 0]
        self._steepness = self._steepness if math.isnan(known) else known
        if self._soft is None:
            self._usual.append(detail)
            self._usual_fine.clear()
        self._looks += 1
        told = now_ns - self._since_ns >= _PATIENCE_NS and self._looks >= _LOOKS
        passed = self._soft is None or not told
        self.found = self._result(passed), None if passed else self._fault()
        return self.found

    def _begins(self, detail: FineDetail, coarse: Floats) -> int | None:
        """Return the scale at which the scene that was sharp is soft now; None if at none."""
        missing, sharp = self._missing(detail), self._sharp
        like = None if sharp is None else likeness(sharp, coarse)
        if missing is None:
            self._sharp = coarse
            if like is not None:
                self._likes.append(like)
            return None
        if like is None or not self._goes_on(like):
            self._sharp = None
            return None
        busy = _BUSY * median(np.array([one.coarse for one in self._usual]))
        lately = max(self._known_of(missing)[-_LATELY:])
        was_sharp = lately > _SHARPER * self._usually(missing)
        if not was_sharp or detail.coarse < busy:
            return None
        self._elsewhere = like < _ONE_SCENE
        if not self._elsewhere and self._is_lit_otherwise(detail):
            self._sharp = None
            return None
        return missing

    def _is_lit_otherwise(self, detail: FineDetail) -> bool:
        """Whether a scene has far more or far less coarse detail than a moment ago."""
        before, now = self._usual[-1].coarse, detail.coarse
        return not before / _AS_MUCH <= now <= before * _AS_MUCH

    def _goes_on(self, like: float) -> bool:
        """Whether a picture shows the scene of the one before, or none of them ever does."""
        ordered = in_order(np.array(self._likes))
        if not ordered.size or quantile_of_sorted(ordered, 0.5) < _ONE_SCENE:
            return True
        least = quantile_of_sorted(ordered, _LEAST_ALIKE) - _LESS
        return like >= max(least, _ONE_SCENE)  # a turn smears pictures, and shows another scene

    def _missing(self, detail: FineDetail) -> int | None:
        """Return the scale at which fine detail is missing; None if at none."""
        for scale, steepness in enumerate(detail.upright):
            if steepness < self._limit(scale):
                return scale
        return None

    def _limit(self, scale: int) -> float:
        """Return the steepness of edges below which they are soft; 0 while none is known to be."""
        usual = self._usually(scale)
        if usual < _LEAST_USUAL:
            return 0.0
        return min(self._below, math.sqrt(_SOFT * usual + 1.0) / _COARSER)

    def _usually(self, scale: int) -> float:
        """Return how far edges usually are from ramps; 0 while that is not known."""
        if scale not in self._usual_fine:
            known = self._known_of(scale)
            usual = median(np.array(known)) if len(known) >= _FEWEST else 0.0
            self._usual_fine[scale] = usual
        return self._usual_fine[scale]

    def _known_of(self, scale: int) -> list[float]:
        """Return how far edges were from ramps in the sharp pictures, where that is known."""
        seen = [one.steepness[scale] for one in self._usual]
        return [_fine(steepness) for steepness in seen if not math.isnan(steepness)]

    def _result(self, passed: bool) -> CheckResult:
        return CheckResult("soft", self._steepness, self._limit(self._soft or 0), passed)

    def _fault(self) -> Fault:
        assert self._soft is not None
        usual = math.sqrt(self._usually(self._soft) + 1.0) / _COARSER
        return damaged(
            f"soft: the steepness of edges is {self._steepness:.3g}, usually {usual:.3g}: "
            f"expected at least {self._limit(self._soft):.3g}"
        )


def _fine(steepness: float) -> float:
    """Return how far edges are from ramps: 0 of ramps, 3 of steps."""
    return (_COARSER * steepness) ** 2 - 1.0


def detail_of(plane: Pixels) -> FineDetail | None:
    """Measure a picture ``[H, W]``; None if it is small or has hardly an edge."""
    if min(plane.shape) < _FEWEST_PIXELS or plane.dtype.kind not in "ui":
        return None
    one, other = _along(plane), _along(plane.T)
    steepness = np.fmax(one.steepness, other.steepness).tolist()
    if all(math.isnan(some) for some in steepness):
        return None
    upright = np.maximum(one.upright, other.upright).tolist()
    return FineDetail(tuple(steepness), tuple(upright), (one.coarse + other.coarse) / 2)


def _along(plane: Pixels) -> FineDetail:
    """Measure edges across rows."""
    first = _pairs(plane.shape[0])
    one, other = floats(plane[first]), floats(plane[first + _APART])
    ordered = in_order(one[:, ::8])
    span = quantile_of_sorted(ordered, 0.99) - quantile_of_sorted(ordered, 0.01)
    least = max(_EDGE * span, _LEAST_EDGE) ** 2
    all_edges, upright_ones = [], []
    for near in _SCALES:
        far = _COARSER * near
        coarse, there = _differences(one, far), _differences(other, far)
        both = _parts(coarse * there)
        squares = _parts(coarse * coarse + there * there) * np.float32(0.5)
        begin = (far - near) // 2
        within = slice(begin, begin + coarse.shape[1])
        fine = _parts(_differences(one, near)[:, within] * _differences(other, near)[:, within])
        edges = both >= least
        all_edges.append(_ratio(fine, both, edges))
        upright_ones.append(_ratio(fine, both, edges & (both >= _AGREE * squares)))
    farthest = one.shape[1] // _COARSEST
    ends, others = _differences(one, farthest), _differences(other, farthest)
    coarsest = float(np.vdot(ends, others)) / ends.size
    return FineDetail(tuple(all_edges), tuple(upright_ones), coarsest)


@functools.lru_cache(maxsize=8)
def _pairs(lines: int) -> npt.NDArray[np.intp]:
    """Return the first line of each pair, of so many."""
    return np.linspace(0, lines - 1 - _APART, _PAIRS).astype(np.intp)


def _ratio(fine: Floats, coarse: Floats, edges: npt.NDArray[np.bool_]) -> float:
    if np.count_nonzero(edges) < _FEWEST_EDGES:
        return float("nan")
    return math.sqrt(max(float(fine[edges].sum()) / float(coarse[edges].sum()), 0.0))


def _differences(rows: Floats, apart: int) -> Floats:
    return np.asarray(rows[:, apart:] - rows[:, :-apart])


def _parts(values: Floats) -> Floats:
    even = values[:, : values.shape[1] // _PARTS[0] * _PARTS[0]]  # several times as fast
    return np.asarray(cv2.resize(even, _PARTS, interpolation=cv2.INTER_AREA), np.float32)
