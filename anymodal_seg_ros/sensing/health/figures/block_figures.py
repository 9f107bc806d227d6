"""Figures of pictures that a decoder has put together wrongly: blocks, and parts that come twice.

Codecs cut a picture into square blocks and leave a small step where two of them meet. Where packets
are lost, blocks are grey, green, coarse or elsewhere, and the steps are as high as those between
any two places of the picture, in both directions and at each multiple of the side of a block.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.figures.line_figures import on_a_beat
from anymodal_seg_ros.sensing.health.figures.order import median

_SIDES = (8, 12, 16, 20, 24, 32, 40, 64)
"""Pixels of a block."""
_LINES = 32
"""So many rows and columns are looked at."""
_FEWEST_BLOCKS = 5
_COARSE, _LEAST_STEP = 1 / 6, 2.0
"""Share of the pixels of a line at most that differ from the one before where blocks are of one
count each, and the mean step there, in counts. Enlarged pictures are like that from the start."""
_FLATTEST, _FLATTEST_WIDE = 40.0, 20.0
"""Counts, of 8 bits and of more, by which any two places are taken to differ at least: the steps
that a codec leaves in a floor of gravel are as high as all that such a picture varies by."""
_QUARTER_LINES = 12
"""So many rows or columns are looked at for halves that come twice, and twice as many to be sure.
"""
_LEAST_DETAIL = 2.0
"""Counts, root mean square, by which neighbours must differ for that."""
_FEWEST_PIXELS = 64
_ALIKE, _PATTERN = 0.7, 0.5
"""Correlation of the differences of neighbours in two halves; and that at another distance from
which on they are a pattern that repeats itself, such as of bricks."""
_AROUND = 3
_MILLIMETRES, _BEYOND = np.float32(1000.0), np.float32(1e6)
"""In a metre; and beyond which no sensor measures."""

Values = npt.NDArray[np.float32]

_LAST_OVER_REST: dict[int, Values] = {
    side: np.array([-1 / (side - 1)] * (side - 1) + [1], np.float32) for side in _SIDES
}
"""Weights that give the last of so many values less the mean of the others."""


def block_edges(plane: Pixels) -> float:
    """Return the height of the steps at the edges of square blocks, over that of any two places.

    Args:
        plane: one channel, ``[H, W]``.
    """
    if min(plane.shape) < _FEWEST_BLOCKS * _SIDES[0] or not _is_whole(plane):
        return 0.0
    rows = np.ascontiguousarray(plane[:: max(1, plane.shape[0] // _LINES)])
    across = _steps(rows)
    found = {side: step for side in _SIDES if (step := _at_multiples(across, side)) > 0.0}
    coarse = _is_coarse(across)
    if not found and not coarse:
        return 0.0
    down = _steps(np.ascontiguousarray(plane[:, :: max(1, plane.shape[1] // _LINES)].T))
    if coarse and _is_coarse(down):
        return 1.0
    highest = max([0.0, *(min(step, _at_multiples(down, side)) for side, step in found.items())])
    half = rows.shape[1] // 2
    apart = cv2.norm(rows[:, :half], rows[:, half : 2 * half], cv2.NORM_L1) / (len(rows) * half)
    flattest = _FLATTEST if plane.dtype.itemsize == 1 else _FLATTEST_WIDE
    return float(highest / max(apart, flattest))


def _is_whole(plane: Pixels) -> bool:
    return plane.dtype.kind == "u" and plane.dtype.itemsize <= 2 and plane.dtype.isnative


def _steps(lines: Pixels) -> Values:
    """Return the mean difference of each pixel of a line and the next one, over all lines."""
    apart = cv2.absdiff(lines[:, 1:], lines[:, :-1])
    return np.asarray(cv2.reduce(apart, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[0], np.float32)


def _at_multiples(steps: Values, side: int) -> float:
    """Return how much higher steps are at the multiples of a side than between them."""
    count = (steps.size + 1) // side
    if count < _FEWEST_BLOCKS:
        return 0.0
    blocks = steps[: (count - 1) * side].reshape(-1, side)
    # The median: one strong edge, as of a door, may lie where blocks would meet.
    return median(blocks @ _LAST_OVER_REST[side])


def _is_coarse(steps: Values) -> bool:
    """Whether a line is of one count from step to step, and there are some, evenly spread."""
    between = steps == 0.0
    count = steps.size - int(np.count_nonzero(between))
    if not _FEWEST_BLOCKS < count <= _COARSE * steps.size:
        return False
    return float(steps.sum()) >= _LEAST_STEP * count and on_a_beat(between)


def halves_alike(plane: Pixels) -> float:
    """Return how like the fine structure of two halves is, side by side or one above the other.

    0 of a pattern that repeats itself more often than once.

    Args:
        plane: one channel, ``[H, W]``.
    """
    return max(_halves_of_rows(plane), _halves_of_rows(plane.T))


def _halves_of_rows(lines: Pixels) -> float:
    half = lines.shape[1] // 2
    if half < _FEWEST_PIXELS or len(lines) < 2 * _QUARTER_LINES:
        return 0.0
    edges = _edges(lines[:: len(lines) // _QUARTER_LINES])
    if _alike(edges[:, : half - 1], edges[:, half : 2 * half - 1]) < _ALIKE:
        return 0.0
    edges = _edges(lines[:: len(lines) // (2 * _QUARTER_LINES), : 2 * half])
    if float(np.mean(edges * edges)) < _LEAST_DETAIL**2:
        return 0.0
    shifts = _correlation(edges)
    found, elsewhere = float(shifts[half]), shifts.copy()
    for home in (0, half, 2 * half):
        elsewhere[max(0, home - _AROUND) : home + _AROUND + 1] = 0.0
    return found if float(elsewhere.max()) < _PATTERN * found else 0.0


def _edges(lines: Pixels) -> Values:
    with np.errstate(invalid="ignore", over="ignore"):
        values = np.asarray(lines, np.float32)
    if lines.dtype.kind == "f":  # distances in metres, of which some are no number
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        values = np.clip(values, -_BEYOND, _BEYOND) * _MILLIMETRES
    return np.asarray(values[:, 1:] - values[:, :-1])


def _alike(one: Values, other: Values) -> float:
    power = float(np.vdot(one, one)) * float(np.vdot(other, other))
    return float(np.vdot(one, other)) / power**0.5 if power > 0.0 else 0.0


def _correlation(edges: Values) -> Values:
    """Return how like lines are to themselves moved, around their ends."""
    wide = np.zeros((len(edges), edges.shape[1] + 1), np.float32)
    wide[:, :-1] = edges
    power = (np.abs(np.fft.rfft(wide, axis=1)) ** 2).sum(axis=0)
    shifts = np.fft.irfft(power, wide.shape[1])
    return np.asarray(shifts / max(float(shifts[0]), 1e-6), np.float32)
