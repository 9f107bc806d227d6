"""A few cheap numbers that tell a picture of the world from a broken one.

They are taken from a grid of about 80 x 60 pixels, so their cost hardly depends on the image. Only
one channel is looked at, the green one of a colour image: what breaks a camera breaks all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.figures.block_figures import block_edges, halves_alike
from anymodal_seg_ros.sensing.health.figures.line_figures import (
    stripes_share,
    stuck_depths_share,
    stuck_share,
    swapped_smoothness,
    tear_share,
    torn_share,
)
from anymodal_seg_ros.sensing.health.figures.order import median, quantile, spread_of

GRID_ROWS, GRID_COLUMNS = 60, 80
"""About so many pixels are looked at."""

_BLOCKS = (16, 12)
_AS_EVEN, _AS_BRIGHT = 4.0, 0.15
"""Counts from the usual up to which a block is as even, and of its level, as bright: the exposure
follows what fills the picture."""
_LITTLE = 10.0
"""Counts of contrast of which it is not certain that they are enough."""
_SEEN, _TIMES_CHANCE, _COUNTS_FOR, _ROUNDING = 0.2, 4.0, 4.0, 0.38
"""Share of the variance of pixels that is left of blocks where something is seen, and times what
would be left of noise: 0.04 is; times as much as of others the contrast of those counts; and counts
by which they differ at least, root mean square: 0.29 are what rounding makes.
"""
_TEXTURE, _THROUGH_A_LENS = 6.0, 1.5
"""Counts, root mean square, by which neighbours differ where texture is seen, and times as much, by
which pixels two apart do: of noise it is 1 to 1.4 times, of recorded texture 1.63 and more."""
_WALL_M, _NEARLY_TOUCHED_M, _HARDLY_ANY = 1.8, 1.0, 0.3
_MILLIMETRE = np.float32(1e-3)
_INVALID_COUNTS = (0, 65535)
_FARTHEST_M = 1000.0
_NEARLY_FULL = 0.98
_NOISE_FLOOR = 0.12
_NOISE_FLOOR_M = 1.0
_FEW_HOLES = 0.01
_MANY_KNOWN = 0.8
"""Share of pixels with a depth above which holes here and there are usual."""
_FEWEST_COLUMNS = 64
_QUIET = 0.4
"""Noise up to which it is enough to look along the rows."""
_SPECKLE, _AGREE = 0.25, 0.1
_STEPS = 1.5
"""Steps of a camera of few bits: one step up and down is how it shows noise."""
_OF_NOISE = 3.5
"""Times the median difference of neighbours that noise hardly exceeds on both sides at once."""
_LONE_ACROSS, _LONE_DEPTHS_ACROSS = 0.02, 0.008
"""Shares of pixels that are lone in their row, less than in any picture with a fault. Of more, the
rows above and below are looked at: to do so always would take three times as long."""
_ROWS_APART = 2
_AGAINST_NOISE = 5
"""Pixels of a row whose mean is taken before rows are compared."""
_EIGHT_BITS = 255.0
_NOISE_FLOOR_COUNTS = 80.0
"""Of a 16-bit thermal image. A count is 10 mK or so, and cameras are noisy by a few counts."""
_STANDS_OUT = 50.0
"""Counts of 16 bits between the darkest and the brightest pixel of a picture that is not flat."""
_FEWEST_PAIRS = 100
_BEYOND = 1e12
"""No sensor counts or measures this far."""

_TOO_FEW_TO_SAY = 0.02

Values = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

_METRES_OF_16_BITS: Values = np.arange(1 << 16, dtype=np.float32) * _MILLIMETRE
_METRES_OF_16_BITS[list(_INVALID_COUNTS)] = np.nan
"""By count: to look it up is a third of the work of multiplying and comparing."""


@dataclass(frozen=True)
class Grid:
    """Pixels of one channel, spread over an image, and the right neighbour of each.

    Attributes:
        pixels: the image itself, ``[H, W]`` or ``[H, W, C]``.
        values: ``[rows, columns]`` in the image's own dtype and native byte order.
        neighbours: the same, one pixel to the right.
        full_scale: the largest count an image of this dtype can hold; 1 for floats.
    """

    pixels: Pixels
    values: Pixels
    neighbours: Pixels
    full_scale: float

    @functools.cached_property
    def next_ones(self) -> Pixels:
        """The neighbours of the neighbours, one more pixel to the right; at the edge, those."""
        plane, (_, columns) = one_channel(self.pixels), self.values.shape
        down, right = row_step(self.pixels), column_step(self.pixels)
        next_ones = np.array(self.neighbours)
        found = plane[::down, 2::right][:, :columns]
        next_ones[:, : found.shape[1]] = found
        return next_ones

    @functools.cached_property
    def block_means(self) -> Values:
        """Means of 12 x 16 blocks, in counts."""
        return np.asarray(
            cv2.resize(floats(self.values), _BLOCKS, interpolation=cv2.INTER_AREA), np.float32
        )

    @functools.cached_property
    def block_contrast(self) -> float:
        """How much those differ, in counts; noise averages out."""
        return spread_of(self.block_means)

    @functools.cached_property
    def metres(self) -> tuple[Values, Values]:
        """Values and neighbours of a depth image in metres, NaN where invalid; only to be read."""
        return metres(self.values), metres(self.neighbours)


def grid(pixels: Pixels, full_scale: float | None = None) -> Grid:
    """Look at an image ``[H, W]`` or ``[H, W, C]`` of any dtype.

    Args:
        pixels: the image.
        full_scale: the largest count it can hold, where that is not its dtype's.
    """
    plane = one_channel(pixels)
    down, right = row_step(pixels), column_step(pixels)
    columns = max(1, (pixels.shape[1] - 2) // right + 1)
    native = pixels.dtype.newbyteorder("=")
    values = plane[::down, ::right][:, :columns].astype(native)
    neighbours = plane[::down, 1::right][:, :columns].astype(native)
    whole = native.kind in "ui"
    return Grid(
        pixels,
        values,
        neighbours if neighbours.shape == values.shape else values,
        full_scale or (float(np.iinfo(native).max) if whole else 1.0),
    )


def one_channel(pixels: Pixels) -> Pixels:
    """Return the channel that is looked at, ``[H, W]``: green, or range of a LiDAR image."""
    if pixels.ndim == 2:
        return pixels
    return pixels[:, :, 0 if pixels.dtype.kind == "f" else min(1, pixels.shape[2] - 1)]


def row_step(pixels: Pixels) -> int:
    """Return the distance of the rows that are looked at."""
    return max(1, int(pixels.shape[0]) // GRID_ROWS)


def column_step(pixels: Pixels) -> int:
    """Return the distance of the columns that are looked at."""
    return max(1, int(pixels.shape[1]) // GRID_COLUMNS)


def brightest(sampled: Grid) -> float:
    """Return the 99th percentile, in counts."""
    flat = sampled.values.reshape(-1)
    at = int(0.99 * (flat.size - 1))
    return float(np.partition(flat, at)[at])


def saturated_share(sampled: Grid) -> float:
    """Return the share of pixels that are at the upper end of what the sensor can tell.

    That is the upper end of the dtype, and of 16 bits, of which few sensors use all, the largest
    value as well, if it stands out of the picture: two noisy pixels are hardly ever equal there.
    """
    values = sampled.values
    share = _share(values >= int(_NEARLY_FULL * sampled.full_scale))
    if values.dtype.kind not in "ui" or sampled.full_scale <= _EIGHT_BITS:
        return share
    top, low = float(values.max()), float(values.min())
    return max(share, _share(values == top)) if top - low >= _STANDS_OUT else share


def active_share(sampled: Grid) -> float:
    """Return the share of pixels that differ from the commonest value, an event frame's ground."""
    if sampled.values.dtype == np.uint8:
        commonest = int(np.bincount(sampled.values.reshape(-1), minlength=256).max())
    else:
        commonest = int(np.unique(sampled.values, return_counts=True)[1].max())
    return 1.0 - commonest / sampled.values.size


def contrast(sampled: Grid) -> float:
    """Return how much blocks differ, or neighbours where more than noise is seen all over.

    Of a lawn or a wall of bricks, straight on, all blocks are as bright; through a lens, pixels two
    apart differ by far more there than neighbours do.
    """
    found = sampled.block_contrast
    if found >= _LITTLE or sampled.pixels.shape[1] < _FEWEST_COLUMNS:
        return found
    # Whole rows, an odd number apart: others may fall upon the same place of every brick.
    plane = one_channel(sampled.pixels)
    rows = floats(plane[:: 4 * row_step(plane) | 1])
    near, far = (
        float(np.square(rows[:, apart:] - rows[:, :-apart]).mean()) ** 0.5 for apart in (1, 2)
    )
    return max(found, near) if near >= _TEXTURE and far >= _THROUGH_A_LENS * near else found


def heat_contrast(sampled: Grid) -> float:
    """Return how much blocks differ in counts, or more where that is not noise nor shade.

    A thermal camera of few bits may show a street within some counts. A shutter or a cap is as
    uneven, but by row and column: it is darker at one side, or at the rim, or of columns that
    differ; and the mean of many pixels leaves little of noise.
    """
    found = sampled.block_contrast
    if found >= _LITTLE or sampled.values.dtype.kind not in "ui":
        return found
    shown = floats(sampled.values)
    for along in (0, 1):
        shown -= cv2.reduce(shown, along, cv2.REDUCE_AVG)
    blocks = cv2.resize(shown, _BLOCKS, interpolation=cv2.INTER_AREA)
    chance = blocks.size / shown.size
    left = float(np.vdot(blocks, blocks)) / blocks.size
    whole = float(np.vdot(shown, shown)) / shown.size
    seen = whole >= _ROUNDING**2 and left >= max(_SEEN, _TIMES_CHANCE * chance) * whole
    return _COUNTS_FOR * found if seen else found


def nearly_no_depth(now: Grid, before: Grid) -> bool:
    """Whether a moment ago hardly anything had a depth, or was so near that it may be too near."""
    depths = before.metres[0]
    known = depths[np.isfinite(depths)]
    return known.size < _HARDLY_ANY * depths.size or quantile(known, 0.9) < _NEARLY_TOUCHED_M


def wall_ahead(now: Grid, before: Grid) -> bool:
    """Whether all that a LiDAR saw a moment ago was so near that by now it may be too near."""
    values = before.values
    seen = values[np.isfinite(values) & (values > 0)]
    return seen.size > 0 and quantile(seen, 0.9) < _WALL_M


def half_was_there(sampled: Grid, before: Grid) -> bool:
    """Whether half of an even picture was as even, and about as bright, in one before it."""
    if sampled.values.shape != before.values.shape:
        return False
    means, level = before.block_means, median(sampled.block_means)
    as_bright = np.abs(means - level) <= max(_AS_EVEN, _AS_BRIGHT * level)
    alike = np.abs(means - median(means[as_bright])) <= _AS_EVEN if as_bright.any() else as_bright
    return int(np.count_nonzero(alike)) >= means.size // 2


def noise_ratio(sampled: Grid) -> float:
    """Compare neighbours with pixels that are far apart: 0 for a smooth image, 1 for pure noise.

    Differences of less than an eighth of full scale do not count as noise, or every image of a
    plain wall would be noisy.
    """
    return _both_ways(sampled, partial(_noise_ratio, floor=_NOISE_FLOOR * sampled.full_scale))


def thermal_noise_ratio(sampled: Grid) -> float:
    """As :func:`noise_ratio`, but 16 bits are far more than any scene spans: there, by counts."""
    wide = sampled.full_scale > _EIGHT_BITS
    floor = _NOISE_FLOOR_COUNTS if wide else _NOISE_FLOOR * _EIGHT_BITS
    return _both_ways(sampled, partial(_noise_ratio, floor=floor))


def _both_ways(sampled: Grid, ratio: Callable[[Grid], float]) -> float:
    """Return a figure of neighbours; where it is large, that of those below instead, if smaller.

    An upright edge at every pixel of the grid, as of bars whose spacing fits it, is no noise: that
    is as strong from row to row.
    """
    found, plane = ratio(sampled), one_channel(sampled.pixels)
    if found <= _QUIET or len(plane) <= _ROWS_APART:
        return found
    below = plane[_ROWS_APART :: row_step(plane), :: column_step(plane)][
        :, : sampled.values.shape[1]
    ]
    values = sampled.values[: len(below)]
    return min(found, ratio(replace(sampled, values=values, neighbours=below.astype(values.dtype))))


def _noise_ratio(sampled: Grid, floor: float) -> float:
    values, neighbours = sampled.values, sampled.neighbours
    if values.dtype not in (np.uint8, np.uint16):  # of which OpenCV sums without a copy
        values, neighbours = floats(values), floats(neighbours)
    near = cv2.norm(values, neighbours, cv2.NORM_L1)
    pairs, times = _far_apart(values)
    far = times * sum(cv2.norm(here, there, cv2.NORM_L1) for here, there in pairs)
    return float(near / max(far, floor * values.size))


def depth_noise_ratio(sampled: Grid) -> float:
    """As :func:`noise_ratio`, in metres and only where there is depth; 0 where there is little."""
    return _both_ways(sampled, _depth_noise_ratio)


def _depth_noise_ratio(sampled: Grid) -> float:
    values, neighbours = sampled.metres
    known = values == values
    near, pairs = _differ(values, neighbours, known & (neighbours == neighbours))
    far, far_pairs = 0.0, 0
    apart, times = _far_apart(values)
    known_apart, _ = _far_apart(known)
    for (here, there), (known_here, known_there) in zip(apart, known_apart, strict=True):
        more, more_pairs = _differ(here, there, known_here & known_there)
        far, far_pairs = far + times * more, far_pairs + times * more_pairs
    if min(pairs, far_pairs) < _FEWEST_PAIRS:
        return 0.0
    return near / pairs / max(far / far_pairs, _NOISE_FLOOR_M)


def _differ(here: Values, there: Values, known: Flags) -> tuple[float, int]:
    """Return the sum of the differences where both are known, and how many those are."""
    return cv2.norm(here, there, cv2.NORM_L1, known.view(np.uint8)), int(np.count_nonzero(known))


def metres(depth: Pixels) -> Values:
    """Return depth (16-bit millimetres or float metres), NaN where invalid, clipped to 1 km."""
    if depth.dtype == np.uint16:
        return np.asarray(_METRES_OF_16_BITS.take(depth))
    if depth.dtype.kind == "f":
        values = floats(depth)
        values[~(values > 0) | (values >= _BEYOND)] = np.nan
    else:
        values = depth.astype(np.float32) * _MILLIMETRE
        values[(depth == _INVALID_COUNTS[0]) | (depth == _INVALID_COUNTS[1])] = np.nan
    np.minimum(values, np.float32(_FARTHEST_M), out=values)
    return values


def depth_share(sampled: Grid) -> float:
    """Return the share of pixels that have a depth; of all, where the grid finds hardly any."""
    share = _depth_share(sampled.values)
    return share if share > _TOO_FEW_TO_SAY else _depth_share(one_channel(sampled.pixels))


def _depth_share(depth: Pixels) -> float:
    if depth.dtype.kind == "f":
        return _share((depth > 0) & (depth < np.inf))
    return _share((depth != _INVALID_COUNTS[0]) & (depth != _INVALID_COUNTS[1]))


def median_depth_m(sampled: Grid) -> float | None:
    """Return the median of the distances, in metres; None where there are hardly any."""
    values, _ = sampled.metres
    known = values[~np.isnan(values)]
    return median(known) if known.size >= _FEWEST_PAIRS else None


def scattered_holes(sampled: Grid) -> float:
    """Return how little the pixels without depth keep together, 0 to about 1.

    A pixel beside a known one that is unknown itself, over how often that were so by chance. Shade,
    sky and glass make whole regions without depth, a broken projector makes holes here and there.
    Of a picture that is nearly full, 0.
    """
    known, beside = (np.isfinite(values) for values in sampled.metres)
    share = _share(known)
    if not _FEW_HOLES < share < _MANY_KNOWN:
        return 0.0
    return _share(known & ~beside) / (share * (1.0 - share))


def speckle_share(sampled: Grid, *, noisy: bool = False) -> float:
    """Return the share of pixels that differ from both their neighbours by a quarter of the span.

    What is one pixel wide and stands, as the bars of a fence, is not meant: pixels that those above
    and below resemble do not count.

    The span is that of the image between its 1st and 99th percentile; of a flat one, an eighth of
    full scale, or of 16 bits some counts. Of a ``noisy`` camera, what its noise alone may differ by
    is not meant either.
    """
    plane = one_channel(sampled.pixels)
    if plane.shape[1] < _FEWEST_COLUMNS:
        return 0.0
    step = 2 * row_step(plane)
    rows = floats(plane[::step])
    low, high = _span(rows)
    floor = _NOISE_FLOOR * sampled.full_scale
    if sampled.full_scale > _EIGHT_BITS:
        floor = _NOISE_FLOOR_COUNTS
    limit = _SPECKLE * max(float(high - low), floor)
    lone = _stand_out(rows[:, 1:-1], rows[:, :-2], rows[:, 2:], limit)
    if _share(lone) <= _LONE_ACROSS:
        return _share(lone)
    if noisy:
        apart = median(np.abs(rows[:, 1::8] - rows[:, :-1:8]))
        limit = max(limit, _OF_NOISE * apart)
    limit = max(limit, _STEPS * _smallest_step(rows))
    above, rows, below = (floats(some) for some in _with_those_around(plane, step))
    lone = _stand_out(rows[:, 1:-1], rows[:, :-2], rows[:, 2:], limit)
    bar = np.maximum(np.abs(rows - above), np.abs(rows - below)) <= limit
    return _share(lone & ~bar[:, 1:-1])


def _smallest_step(rows: Values) -> float:
    """Return by how much two values of some of the pixels differ at least; 0 if all are one."""
    levels = np.unique(rows[:, ::8])
    return float(np.diff(levels).min()) if levels.size > 1 else 0.0


def noisy_speckle_share(sampled: Grid) -> float:
    """Return the same of a camera that is noisy anyway, as at the gain that it needs at night."""
    return speckle_share(sampled, noisy=True)


def _stand_out(middle: Values, one: Values, other: Values, limit: float) -> Flags:
    """Flags of the pixels that lie above two others by more than a limit, or below both."""
    up, down = middle - one, middle - other
    return np.asarray((np.minimum(up, down) > limit) | (np.maximum(up, down) < -limit))


def _with_those_around(plane: Pixels, step: int) -> tuple[Pixels, Pixels, Pixels]:
    """Return rows of a picture, and those above and below them, two apart.

    Two, because every row of a picture may be doubled.
    """
    apart, last = _ROWS_APART, max(1, plane.shape[0] - 2 * _ROWS_APART)
    return plane[:last:step], plane[apart : last + apart : step], plane[2 * apart :: step]


def lone_depths(sampled: Grid) -> float:
    """Return the share of depths that differ by a quarter from two neighbours which agree.

    What is one pixel wide and stands, as the bars of a fence, is not meant.
    """
    plane = one_channel(sampled.pixels)
    if plane.shape[1] < _FEWEST_COLUMNS:
        return 0.0
    step = 2 * row_step(plane)
    lone, count = _lone_depths(metres(plane[::step]))
    if lone.sum() <= _LONE_DEPTHS_ACROSS * count:
        return float(lone.sum()) / max(count, 1)
    above, rows, below = (metres(some) for some in _with_those_around(plane, step))
    lone, count = _lone_depths(rows)
    bar = np.maximum(np.abs(rows - above), np.abs(rows - below)) <= _SPECKLE * rows
    return float((lone & ~bar[:, 1:-1]).sum()) / max(count, 1)


def _lone_depths(values: Values) -> tuple[Flags, int]:
    """Return flags of the lone depths in rows, and of how many that can be said at all."""
    left, middle, right = values[:, :-2], values[:, 1:-1], values[:, 2:]
    agree = np.abs(left - right) < _AGREE * left  # False where one is not known
    known = agree & np.isfinite(middle)
    count = int(np.count_nonzero(known))
    if count < _FEWEST_PAIRS:
        return np.zeros_like(known), 0
    away = np.minimum(np.abs(middle - left), np.abs(middle - right))
    return np.asarray(known & (away > _SPECKLE * left)), count


def stuck_lines_share(sampled: Grid) -> float:
    """Return the share of rows or columns that repeat their neighbour; see ``line_figures``."""
    return stuck_share(one_channel(sampled.pixels))


def stuck_depth_lines_share(sampled: Grid) -> float:
    """As :func:`stuck_lines_share`, of distances; see ``line_figures``."""
    return stuck_depths_share(one_channel(sampled.pixels))


def stripes(sampled: Grid) -> float:
    """Return how much whole rows or columns have in common; see ``line_figures``."""
    return stripes_share(one_channel(sampled.pixels))


def torn(sampled: Grid) -> float:
    """Return the share of rows that are out of place; see ``line_figures``."""
    return torn_share(one_channel(sampled.pixels), smoothed=_AGAINST_NOISE)


def torn_depth(sampled: Grid) -> float:
    """As :func:`torn`, without smoothing: the holes of depth are not to be smeared."""
    return torn_share(one_channel(sampled.pixels))


def tear(sampled: Grid) -> float:
    """Return the share of a row along which the picture breaks off; see ``line_figures``."""
    return tear_share(one_channel(sampled.pixels))


def blocks(sampled: Grid) -> float:
    """Return how high the steps between square blocks are; see ``block_figures``."""
    return block_edges(one_channel(sampled.pixels))


def halves(sampled: Grid) -> float:
    """Return how far the picture shows the same twice; see ``block_figures``."""
    return halves_alike(one_channel(sampled.pixels))


def swapped_bytes(sampled: Grid) -> float:
    """Return how much smoother the picture were with its bytes swapped; see ``line_figures``."""
    return swapped_smoothness(one_channel(sampled.pixels))


def floats(values: Pixels) -> Values:
    """Return a float32 copy; what does not fit is huge, so that no sum of it is infinite."""
    if values.dtype.kind in "ui" and values.dtype.itemsize <= 2:
        return values.astype(np.float32)
    with np.errstate(invalid="ignore"):  # of NaNs that signal, as random bytes may be
        return np.clip(values, -_BEYOND, _BEYOND).astype(np.float32)


def _far_apart(values: Pixels) -> tuple[tuple[tuple[Pixels, Pixels], ...], int]:
    """Pair every pixel with one half an image away, around its edges; a quarter each.

    Returns:
        The pairs, and how often each counts: of an even number of rows and of columns, two of the
        quarters meet the other two.
    """
    rows, columns = values.shape
    down, right = rows // 2, columns // 2
    upper = (
        (values[down:, right:], values[: rows - down, : columns - right]),
        (values[down:, :right], values[: rows - down, columns - right :]),
    )
    if rows % 2 == columns % 2 == 0:
        return upper, 2
    lower = (
        (values[:down, right:], values[rows - down :, : columns - right]),
        (values[:down, :right], values[rows - down :, columns - right :]),
    )
    return upper + lower, 1


def _span(rows: Values) -> tuple[float, float]:
    """Return the 1st and the 99th percentile of some of the pixels."""
    some = rows[:, ::8].reshape(-1)
    last = some.size - 1
    low, high = int(0.01 * last), int(0.99 * last)
    ordered = np.partition(some, (low, high))
    return float(ordered[low]), float(ordered[high])


def _share(flags: Flags) -> float:
    return float(np.count_nonzero(flags) / max(flags.size, 1))
