"""Figures of the lines of an image: rows and columns that repeat, stripes, rows out of place.

Enlarged and line-doubled pictures repeat lines as well, but evenly: every line, or every so many,
comes as often as every other. A read-out that hangs does not keep such a beat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.order import median

_ACROSS = 160
"""So many pixels of each line are looked at."""
_LINES = 30
"""So many lines are looked at where all are alike."""
_SAMPLED = 60
"""So many lines are compared before all are."""
_FIRST = 16
"""So many pixels of them are compared first."""
_BEAT_SLACK = 2.5
"""Lines by which an even beat may be off, by rounding and where a clipped sky hides it."""
_MOSTLY = 0.9
"""Share of the rows that must come equally often for that to be how the picture was enlarged."""
_FEWEST_LINES = 24
"""A picture of fewer lines says nothing of them."""
_FLOAT_NOISE = 1e-4
"""Of a value: a row that bends by less is smooth, but for rounding."""
_FEWEST_TURNS, _TURNS = 8, 0.4
"""Bends of a row that must be known, and share of them that must be followed by one the other way:
of noise, three in four are."""
_SMOOTH = 1e-6
_BEYOND = 1e6
"""No sensor counts or measures this far."""
_NO_DEPTH = 65535
_FULL = 0.4
"""Share of the pairs of neighbours in a row that must have a depth for it to be judged."""
_ROW_PAIRS = 48
_LONGEST = 257
"""Pixels of a row, in its middle, that are compared with another row's."""
_ALIKE = 0.4
"""Correlation of the edges of two rows above which they show the same."""
_BY_CHANCE = 6.0
"""Times the spread of the correlation of unrelated rows."""
_CLEARLY = 0.5
"""Share of the best correlation below which that of unmoved rows must lie."""
_NARROW = 50
"""Pixels of a row for each pixel that is smoothed away."""
_MOVED = 5
"""Pixels; a slanted edge moves by less in two rows."""

Values = npt.NDArray[np.float32]


def stuck_share(plane: Pixels) -> float:
    """Return the larger share of rows, or of columns, that repeat their neighbour out of beat.

    Args:
        plane: one channel, ``[H, W]``.
    """
    rows = plane[:, :: max(1, plane.shape[1] // _ACROSS)]
    columns = plane[:: max(1, plane.shape[0] // _ACROSS)].T
    if plane.dtype.kind == "f":
        return max(_stuck_floats_share(rows), _stuck_floats_share(columns))
    return max(_stuck_rows_share(rows), _stuck_rows_share(columns))


def _stuck_floats_share(rows: Pixels) -> float:
    """As :func:`_stuck_rows_share`, of rows that repeat their noise.

    Simulators without noise make walls of equal rows: those are smooth.
    """
    bits = np.ascontiguousarray(rows).view(f"u{rows.dtype.itemsize}")  # no number equals itself
    return _stuck_rows_share(bits, lambda: _rough(rows))


def _rough(rows: Pixels) -> npt.NDArray[np.bool_]:
    """Flags of the rows of floats that go up and down from pixel to pixel, as noise does."""
    values = _floats(rows)
    known = values > 0
    bends = values[:, :-2] - 2 * values[:, 1:-1] + values[:, 2:]
    known = known[:, :-2] & known[:, 1:-1] & known[:, 2:]
    known &= np.abs(bends) > _FLOAT_NOISE * values[:, 1:-1]
    pairs = known[:, 1:] & known[:, :-1]
    turns = pairs & (bends[:, 1:] * bends[:, :-1] < 0)
    count = pairs.sum(axis=1)
    return np.asarray((count >= _FEWEST_TURNS) & (turns.sum(axis=1) >= _TURNS * count))


def _stuck_rows_share(
    rows: Pixels, counted: Callable[[], npt.NDArray[np.bool_]] | None = None
) -> float:
    """Return the share of rows that repeat the one before and do not follow an even beat.

    Rows of one single value that is the darkest or the brightest of all do not count: that is a
    clipped sky, not a broken sensor.

    Args:
        rows: whole numbers, ``[H, W]``.
        counted: tells which rows count at all, if that matters.
    """
    if rows.shape[0] < 2:
        return 0.0
    step = max(1, rows.shape[0] // _SAMPLED)
    for some in (rows[:, :_FIRST], rows):
        if not (some[:-1:step] == some[1::step]).all(axis=1).any():
            return 0.0  # as of nearly every picture
    repeats = (rows[1:] == rows[:-1]).all(axis=1)
    if not repeats.any():
        return 0.0
    following = rows[1:]
    first = following[:, :1]
    ends = (rows.min(), rows.max())
    clipped = ((first == ends[0]) | (first == ends[1]))[:, 0]
    clipped &= (following == first).all(axis=1)
    if counted is not None:
        clipped |= ~counted()[1:]
    repeats = repeats[~clipped]
    count = int(np.count_nonzero(repeats))
    if count == 0 or _on_a_beat(repeats):
        return 0.0
    return float((count - _rows_on_a_beat(repeats)) / (rows.shape[0] - 1))


def _on_a_beat(repeats: npt.NDArray[np.bool_]) -> bool:
    """Whether the rows that are new are spread as evenly as those of an enlarged picture."""
    new = np.flatnonzero(~repeats)
    if new.size < 2:
        return False
    even = np.linspace(new[0], new[-1], new.size)
    longest = float(np.diff(new).max())
    beat = (new[-1] - new[0]) / (new.size - 1)
    slack = float(np.abs(new - even).max())
    return slack <= _BEAT_SLACK and longest <= float(beat) + _BEAT_SLACK


def _rows_on_a_beat(repeats: npt.NDArray[np.bool_]) -> int:
    """Return how many rows only repeat because nearly every row comes equally often.

    An enlarged picture may have had a few equal rows before: those alone are stuck.
    """
    lengths = np.diff(np.flatnonzero(~repeats))
    if lengths.size < _FEWEST_LINES:
        return 0
    usual = int(np.bincount(lengths).argmax())
    evenly = int(np.count_nonzero(lengths == usual))
    return evenly * (usual - 1) if evenly >= _MOSTLY * lengths.size else 0


def stripes_share(plane: Pixels) -> float:
    """Return how much of the differences between neighbours is common to whole lines.

    0 for a picture, 1 for stripes. The median line counts, so that the edge of a door or a horizon,
    which only a few lines show, says nothing.
    """
    if min(plane.shape) < _FEWEST_LINES:
        return 0.0
    across, down = _differences(plane)
    return max(_common(across), _common(down))


def _common(differences: Values) -> float:
    """Share of a mean over lines, ``[pixels of a line, lines]``, in the differences' energy."""
    mean, energy = differences.mean(axis=0) ** 2, (differences**2).mean(axis=0)
    chance = 1.0 / len(differences)
    common = median(mean) / (median(energy) + _SMOOTH)
    return max(0.0, common - chance)


def torn_share(plane: Pixels, smoothed: int = 1) -> float:
    """Return the share of rows that resemble the last but one best when moved sideways.

    The last but one, because two fields of interlaced video may be apart. Only rows count that
    resemble each other at all: those of a flat wall do not.

    Args:
        plane: one channel, ``[H, W]``.
        smoothed: pixels of a row whose mean is taken against noise; fewer in a narrow picture.
    """
    if min(plane.shape) < _FEWEST_LINES:
        return 0.0
    height, width = plane.shape
    first = np.arange(0, height - 2, max(1, height // _ROW_PAIRS))
    length = min(width, _LONGEST)
    left = (width - length) // 2
    smoothed = max(1, min(smoothed, length // _NARROW))
    rows, full = _edges(plane[first, left : left + length], smoothed)
    others, full_too = _edges(plane[first + 2, left : left + length], smoothed)
    around = rows.shape[1]
    found = np.fft.irfft(np.fft.rfft(rows) * np.conj(np.fft.rfft(others)), n=around)
    peak = found.argmax(axis=1)
    shift = np.minimum(peak, around - peak)
    best, unmoved = found[np.arange(len(peak)), peak], found[:, 0]
    # Rows of few pixels resemble each other somewhere by chance, the more so with many holes.
    alike = max(_ALIKE, _BY_CHANCE / length**0.5)
    moved = full & full_too & (best > alike) & (unmoved < _CLEARLY * best) & (shift >= _MOVED)
    return float(np.count_nonzero(moved)) / len(peak)


def _edges(rows: Pixels, smoothed: int) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Return the differences of neighbours in each row, of unit energy, and which rows are full.

    They are means of so many pixels each. Where there is no measurement there is no edge: holes in
    depth fall where they will.
    """
    edges = np.diff(_floats(rows), axis=1)
    full = np.ones(len(rows), bool)
    if rows.dtype.itemsize > 1:
        known = np.isfinite(rows) & (rows != 0) & (rows != _NO_DEPTH)
        pairs = known[:, 1:] & known[:, :-1]
        edges[~pairs] = 0.0
        full = np.asarray(pairs.mean(axis=1) > _FULL)
    if smoothed > 1:  # what a mean differs by is the sum of what its pixels do, twice
        edges = cv2.blur(cv2.blur(edges, (smoothed, 1)), (smoothed, 1))
    edges -= edges.mean(axis=1, keepdims=True)
    energy = np.sqrt((edges**2).sum(axis=1, keepdims=True))
    return np.asarray(edges / np.maximum(energy, np.float32(_SMOOTH)), np.float32), full


def _differences(plane: Pixels) -> tuple[Values, Values]:
    """Return differences of neighbours along rows and along columns, lines last."""
    down, right = (max(1, side // _LINES) for side in plane.shape)
    across = _floats(plane[::down])
    along = _floats(plane[:, ::right])
    return np.diff(across, axis=1), np.diff(along, axis=0).T


def swapped_smoothness(plane: Pixels) -> float:
    """Return how much smoother a 16-bit picture would be with its bytes the other way round.

    Neighbours' mean difference as it is over that after swapping: below 1 for a picture, far above
    it for one whose bytes are swapped. 0 for any other dtype.
    """
    if plane.dtype.kind != "u" or plane.dtype.itemsize != 2:
        return 0.0
    down = max(1, plane.shape[0] // _LINES)
    rows = np.ascontiguousarray(plane[::down]).astype("=u2")
    return _roughness(rows) / (_roughness(rows.byteswap()) + 1.0)


def _roughness(rows: Pixels) -> float:
    """Mean difference of neighbours in a row; where there is no measurement, none."""
    values = rows.astype(np.int32)
    known = (values != 0) & (values != 65535)
    pairs = known[:, 1:] & known[:, :-1]
    if np.count_nonzero(pairs) < rows.shape[0]:
        return 0.0
    return float(np.abs(np.diff(values, axis=1))[pairs].mean())


def _floats(values: Any) -> Values:
    """Return a float32 copy; no number is 0, and what does not fit is large."""
    if values.dtype.kind in "ui" and values.dtype.itemsize <= 2:
        return np.asarray(values, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        floats = np.asarray(values, np.float32)
    floats = np.nan_to_num(floats, nan=0.0, posinf=_BEYOND, neginf=-_BEYOND)
    return np.clip(floats, -_BEYOND, _BEYOND)
