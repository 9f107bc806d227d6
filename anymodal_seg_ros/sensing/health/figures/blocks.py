"""A picture in blocks: how much each shows, and how much has changed in it since the last one."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.figures.image_figures import Grid, floats, metres
from anymodal_seg_ros.sensing.health.figures.order import in_order, median, quantile_of_sorted

ROWS, COLUMNS = 12, 16
"""Blocks of a picture."""

_CLIPPED = 0.02
"""Share of full scale within which a block is as bright as the sensor can tell."""

_MOSTLY = 0.5
_BUSY = 0.25
"""Share of the blocks that shows most."""
_UNMOVED = 0.75
"""Of the detail of the busiest blocks: what moves by some pixels changes by all of it or more."""

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

_ALL = np.ones((ROWS, COLUMNS), np.float32)


@dataclass(frozen=True)
class Blocks:
    """Figures of the blocks of one picture, each float32 ``[ROWS, COLUMNS]``.

    Attributes:
        means: of the pixels; of depth, of those that have one, in millimetres.
        detail: mean difference of neighbours, in counts; 0 where there are none.
        change: mean difference to the picture before, in counts; None for the first.
        power: mean square of the difference of neighbours.
        echo: mean product of that difference with the one in the picture before: as large as
            ``power`` where nothing is new, near 0 where all is noise; None for the first.
        covered: share of pixels that have a value; all but for depth.
        bright: flags of blocks that may be the same for ever: at the upper end of the scale, as of
            a bright sky, or without any depth.
    """

    means: Floats
    detail: Floats
    change: Floats | None
    power: Floats
    echo: Floats | None
    covered: Floats
    bright: Flags
    size: int
    far: Floats
    """Of pixels two apart in a row, the differences, ``[H, W]``."""

    @functools.cached_property
    def coarser(self) -> Floats:
        """Mean difference of pixels two apart: as large as ``detail`` where all is noise."""
        return block_means(np.abs(self.far))

    @functools.cached_property
    def seen(self) -> Flags:
        """Flags of the blocks that show the sensor's noise, if any do."""
        return ~self.bright & (self.covered > _MOSTLY)

    @functools.cached_property
    def many_seen(self) -> bool:
        """Whether those are enough to tell anything of the sensor."""
        return int(np.count_nonzero(self.seen)) >= self.seen.size // 4

    @functools.cached_property
    def seen_detail(self) -> Floats:
        """The detail of those blocks, ``[N]``."""
        return self.detail[self.seen]

    @functools.cached_property
    def seen_change(self) -> Floats:
        """The change of those blocks, ``[N]``; not of a first picture."""
        assert self.change is not None
        return self.change[self.seen]

    @functools.cached_property
    def details(self) -> Floats:
        """The detail of those blocks, in order, ``[N]``."""
        return in_order(self.seen_detail)

    @functools.cached_property
    def stands(self) -> bool:
        """Whether what shows most has changed by less than what motion would make of it."""
        detail, change = self.seen_detail, self.seen_change
        busy = detail >= quantile_of_sorted(self.details, 1.0 - _BUSY)
        return median(change[busy] / np.maximum(detail[busy], 1e-3)) <= _UNMOVED


class BlockView:
    """Divides one picture after the other into blocks."""

    def __init__(self, *, depth: bool) -> None:
        """Set up for pictures, or for depth."""
        self._depth = depth
        self._before: tuple[Floats, Floats] | None = None
        """Pixels of the last picture, and the differences of neighbours."""

    def forget(self) -> None:
        """Let the next picture be the first."""
        self._before = None

    def look(self, sampled: Grid) -> Blocks | None:
        """Return the blocks of a picture; None of one that is too small for them."""
        if sampled.values.shape[0] < ROWS or sampled.values.shape[1] < COLUMNS:
            return None
        values, neighbours, next_ones = self._values(sampled)
        near, far = neighbours - values, next_ones - values
        known = None
        if self._depth or sampled.values.dtype.kind == "f":
            # Holes count as 0, so that their coming and going is change.
            known = np.isfinite(values)
            for some in (values, near, far):
                cv2.patchNaNs(some, 0.0)
        before, self._before = self._before, (values, near)
        change = echo = None
        if before is not None and before[0].shape == values.shape:
            change, echo = block_means(np.abs(values - before[0])), block_means(near * before[1])
        covered = block_means(known.astype(np.float32)) if known is not None else _ALL
        means = block_means(values) / np.maximum(covered, np.float32(1e-3))
        edge = _CLIPPED * sampled.full_scale
        return Blocks(
            means,
            block_means(np.abs(near)),
            change,
            block_means(near * near),
            echo,
            covered,
            covered < _CLIPPED if self._depth else means >= sampled.full_scale - edge,
            values.shape[0] // ROWS * (values.shape[1] // COLUMNS),
            far,
        )

    def _values(self, sampled: Grid) -> tuple[Floats, Floats, Floats]:
        """Return pixels, their neighbours and the next ones; of depth in mm, NaN where none is."""
        planes = (sampled.values, sampled.neighbours, sampled.next_ones)
        if not self._depth:
            return floats(planes[0]), floats(planes[1]), floats(planes[2])
        values, neighbours = sampled.metres
        thousand = np.float32(1000.0)
        return values * thousand, neighbours * thousand, metres(planes[2]) * thousand


def block_means(values: Floats) -> Floats:
    """Return the means of the blocks of ``[H, W]``, at least one value in each block."""
    return np.asarray(cv2.resize(values, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.float32)


def largest_patch(flags: Flags) -> Flags:
    """Return the flags of the largest connected patch of blocks."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(flags.astype(np.uint8), None, 4)
    if count < 2:
        return np.zeros_like(flags)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.asarray(labels == largest)
