"""Figures of the lines of an image: rows and columns that repeat, stripes, rows out of place.

Enlarged and line-doubled pictures repeat lines as well, but evenly: every line, or every so many,
comes as often as every other. A read-out that hangs does not keep such a beat.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.figures.order import median

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
_GRAIN = 0.06
"""Share of the pixels of a row that stand out of both their neighbours. What a codec makes of walls
and skies, steps from block to block, are 0 to 0.02 of them, and 0.04 with the frame of a door; of
pictures with their noise, even smoothed by the camera, 0.06 to 0.5."""
_CELL, _ALL_OVER = 16, 0.55
"""Pixels of a cell of a row, and share of the cells in which some do. A row of lockers, 64 pixels
wide each, has 0.51 through a codec, each edge in two cells; streets at night have 0.5 to 0.9."""
_CODED, _SELDOM = 8, 4.0
"""Rows of a block of a codec, in which bricks are all upright lines; and times as seldom as
elsewhere that rows repeat from one block to the next, where the codec made them equal.
"""
_LEAST_NEW = 0.3
"""Share of the pixels of a row that are new in a picture which was enlarged, up to three times."""
_FLOAT_NOISE = 1e-4
"""Of a value: a row that bends by less is smooth, but for rounding."""
_ROUNDING = 2.0
"""Counts by which a slope in whole numbers may bend."""
_FEWEST_TURNS, _TURNS = 8, 0.4
"""Bends of a row that must be known, and share of them that must be followed by one the other way:
of noise, three in four are."""
_FAINT = 2.0
"""Counts of 8 bits by which the lines of a sound sensor may differ from those beside: a thermal
camera's columns, and a colour camera's rows at the gain of the night; a wall shows them."""
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
_TOLD = 0.25
"""Share of the rows that must have enough to be compared."""
_MOVED, _APART = 5, 2
"""Pixels, in so many rows, by which an edge that is not very slanted moves less."""
_SLANT_SLACK, _SLANT_BEND = 2, 0.35
"""Pixels, and share of its shift, by which a slanted edge may go on otherwise in the next rows."""
_AS_LIKE = 0.8
"""Of how like the next rows are where they are most like, that they must be there."""
_ROUNDED, _IN_STEP = 1, 0.45
"""Pixels by which the shifts of rows that are moved alike may differ, and share of the rows that
must be: of nothing but a zebra crossing 0.43 are."""

_SEGMENTS, _TEAR_ACROSS = 16, 320
"""Parts of a row, and so many pixels of it, in which a tear is looked for."""
_BREAKS, _LEAST_BREAK = 2.0, 4.0
"""Times the difference of the rows beside, and counts, of two rows that do not belong together."""
_ONLY = 3
"""Rows that may be tears: where more are alike, that is how a codec or an enlarged picture looks.
"""
_SUSPICIOUS = 0.3
"""Share of a row above which it is looked whether the rows beside belong together when moved."""
_AGAINST_NOISE, _MATCH, _AS_USUAL = 3, 0.5, 0.7
"""Pixels whose mean is taken for that, correlation at the best place, and share of that of rows on
the same side: two streets have 0.2 to 0.4 in common somewhere, two sides of a tear 0.6 to 1.
"""

_WRAPPED, _OF_NEIGHBOURS, _ALL_ALONG = 0.4, 2.0, 0.9
"""Correlation of the edges of the first and the last row, times the difference of neighbouring
rows, and share of them within that, of a picture that has rolled: in sound ones at most 0.37, and
within that 0.75 of them, never both.
"""

Values = npt.NDArray[np.float32]
Which = npt.NDArray[np.intp] | slice
"""Rows, by number."""


def stuck_share(plane: Pixels) -> float:
    """Return the larger share of rows, or of columns, that repeat their neighbour out of beat.

    Args:
        plane: one channel, ``[H, W]``.
    """
    if plane.dtype.kind == "f":
        return stuck_depths_share(plane)
    return max(
        _stuck_rows_share(_across(lines), partial(_grainy, lines)) for lines in (plane, plane.T)
    )


def stuck_depths_share(plane: Pixels) -> float:
    """As :func:`stuck_share`, of lines that repeat the noise of their distances.

    Simulators without noise make walls of equal lines: those are smooth.
    """
    shares = []
    for lines in (plane, plane.T):
        whole = rows = _across(lines)
        if rows.dtype.kind == "f":  # of which none equals itself if it is no number
            whole = np.ascontiguousarray(rows).view(f"u{rows.dtype.itemsize}")
        shares.append(_stuck_rows_share(whole, partial(_rough, rows)))
    return max(shares)


def _across(rows: Pixels) -> Pixels:
    """Return some pixels of each row."""
    return rows[:, :: max(1, rows.shape[1] // _ACROSS)]


def _grainy(rows: Pixels, which: Which) -> npt.NDArray[np.bool_]:
    """Flags of the rows in which pixels all over stand out of both their neighbours, as of grain.

    A codec leaves that around an edge, but not all over.
    """
    single = np.ascontiguousarray(_not_enlarged(rows)[which])
    cells = (single.shape[1] - 2) // _CELL
    if cells < 1:
        return np.zeros(len(single), bool)
    width = cells * _CELL
    left, middle, right = (single[:, first : first + width] for first in range(3))
    standing = middle > np.maximum(left, right)
    standing |= middle < np.minimum(left, right)
    shares = cv2.resize(
        standing.view(np.uint8) * np.uint8(255), (cells, len(single)), interpolation=cv2.INTER_AREA
    )
    many = shares.mean(axis=1) >= 255 * _GRAIN
    return np.asarray(many & ((shares > 0).mean(axis=1) >= _ALL_OVER))


def _not_enlarged(rows: Pixels) -> Pixels:
    """Return rows without the pixels that only double those before."""
    some = rows[:: max(1, len(rows) // _SAMPLED)]
    repeats = (some[:, 1:] == some[:, :-1]).all(axis=0)
    new = repeats.size - int(np.count_nonzero(repeats))
    # Blocks of a codec, that are larger, are not to be taken for pixels.
    if not _LEAST_NEW * repeats.size <= new < repeats.size or not on_a_beat(repeats):
        return rows
    return rows[:, np.concatenate([[True], ~repeats])]


def _rough(rows: Pixels, which: Which) -> npt.NDArray[np.bool_]:
    """Flags of the rows of distances that go up and down from pixel to pixel, as noise does."""
    values = _floats(rows[which])
    known = values > 0
    bends = values[:, :-2] - 2 * values[:, 1:-1] + values[:, 2:]
    known = known[:, :-2] & known[:, 1:-1] & known[:, 2:]
    rounding = 0.0 if rows.dtype.kind == "f" else _ROUNDING
    known &= np.abs(bends) > np.maximum(_FLOAT_NOISE * values[:, 1:-1], np.float32(rounding))
    pairs = known[:, 1:] & known[:, :-1]
    turns = pairs & (bends[:, 1:] * bends[:, :-1] < 0)
    count = pairs.sum(axis=1)
    return np.asarray((count >= _FEWEST_TURNS) & (turns.sum(axis=1) >= _TURNS * count))


def _stuck_rows_share(rows: Pixels, telling: Callable[[Which], npt.NDArray[np.bool_]]) -> float:
    """Return the share of rows that repeat the one before and do not follow an even beat.

    Args:
        rows: whole numbers, ``[H, W]``.
        telling: says which rows show enough for their coming again to be no chance. Rows of a
            clipped sky, of a bar, of a wall that a codec has smoothed are equal and not stuck.
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
    found = np.flatnonzero(repeats) + 1
    if not telling(found[:: max(1, found.size // _SAMPLED)]).any():
        return 0.0  # as of a flat picture through a codec
    told = telling(slice(1, None))
    count = int(np.count_nonzero(repeats & told))
    across_blocks = int(np.count_nonzero((repeats & told)[_CODED - 1 :: _CODED]))
    repeats = repeats[told]
    evenly = on_a_beat(repeats) and not _hangs_at_an_end(repeats)
    if count == 0 or evenly or _SELDOM * across_blocks < count / _CODED:
        return 0.0
    return float((count - _rows_on_a_beat(repeats)) / (rows.shape[0] - 1))


def on_a_beat(repeats: npt.NDArray[np.bool_]) -> bool:
    """Whether the rows that are new are spread as evenly as those of an enlarged picture."""
    new = np.flatnonzero(~repeats)
    if new.size < 2:
        return False
    even = np.linspace(new[0], new[-1], new.size)
    longest = float(np.diff(new).max())
    beat = (new[-1] - new[0]) / (new.size - 1)
    slack = float(np.abs(new - even).max())
    return slack <= _BEAT_SLACK and longest <= float(beat) + _BEAT_SLACK


def _hangs_at_an_end(repeats: npt.NDArray[np.bool_]) -> bool:
    """Whether no row is new for longer than between two of them, above the first or below the last.

    Of a picture that was cut off, a decoder repeats what came last down to its lower edge.
    """
    new = np.flatnonzero(~repeats)
    beat = (new[-1] - new[0]) / (new.size - 1)
    longest = max(int(new[0]), repeats.size - 1 - int(new[-1]))
    return longest > float(beat) + _BEAT_SLACK


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
    # Odd, so that lines of a fine pattern, such as that of a test chart, are not all the same one.
    down, right = (max(1, side // _LINES) | 1 for side in plane.shape)
    across, along = _floats(plane[::down]), _floats(plane[:, ::right]).T
    least = _FAINT if plane.dtype.itemsize == 1 else 0.0
    return max(_common(lines[:, 1:] - lines[:, :-1], least) for lines in (across, along))


def _common(differences: Values, least: float) -> float:
    """Share of a mean over lines, ``[lines, pixels of a line]``, in the differences' energy.

    Of a mean of less than so many counts, a part of that.
    """
    chance = 1.0 / len(differences)
    each = np.full(len(differences), chance, np.float32)
    mean, energy = each @ differences, each @ (differences * differences)
    strength = median(mean * mean)
    share = max(0.0, strength / (median(energy) + _SMOOTH) - chance)
    return share * min(1.0, strength / least**2) if least else share


def torn_share(plane: Pixels, smoothed: int = 1) -> float:
    """Return the share of rows that resemble the last but one best when moved sideways.

    The last but one, because two fields of interlaced video may be apart. Only rows count that
    resemble each other at all: those of a flat wall do not. Of depth, the share of the rows that
    have enough to be compared, if a quarter of them have. Rows that are moved on by as much again
    are those of a slanted edge, a kerb seen from above or a zebra crossing, unless many are moved
    by one and the same and hardly any is where it belongs, as where rows are taken for too long.

    Args:
        plane: one channel, ``[H, W]``.
        smoothed: pixels of a row whose mean is taken against noise; fewer in a narrow picture.
    """
    if min(plane.shape) < _FEWEST_LINES:
        return 0.0
    height, width = plane.shape
    first = np.arange(0, height - 2 * _APART, max(1, height // _ROW_PAIRS))
    length = min(width, _LONGEST)
    left = (width - length) // 2
    smoothed = max(1, min(smoothed, length // _NARROW))
    part = plane[:, left : left + length]
    rows, full = _spectra(part[first], smoothed)
    others, full_too = _spectra(part[first + _APART], smoothed)
    found = _correlations(rows, others)
    shift, best, unmoved = _best_shift(found)
    # Rows of few pixels resemble each other somewhere by chance, the more so with many holes.
    alike = max(_ALIKE, _BY_CHANCE / length**0.5)
    full &= full_too
    moved = full & (best > alike) & (unmoved < _CLEARLY * best) & (np.abs(shift) >= _MOVED)
    count = int(np.count_nonzero(full))
    if count < _TOLD * len(first) or not moved.any():
        return 0.0
    next_ones, _ = _spectra(part[first[moved] + 2 * _APART], smoothed)
    aslant = _goes_on_aslant(shift[moved], _correlations(others[moved], next_ones))
    in_place = int(np.count_nonzero(full & (unmoved > alike) & (np.abs(shift) < _MOVED)))
    in_step = _in_step(shift[moved]) - in_place
    out_of_step = len(aslant) - int(np.count_nonzero(aslant))
    return max(out_of_step, in_step if in_step > _IN_STEP * count else 0) / count


def _correlations(rows: Values, others: Values) -> Values:
    """Return how like rows are to others at all shifts to the left, of the spectra of both."""
    both = cv2.mulSpectrums(rows, others, cv2.DFT_ROWS, conjB=True)
    return np.asarray(cv2.dft(both, flags=cv2.DFT_ROWS | cv2.DFT_INVERSE | cv2.DFT_SCALE))


def _best_shift(found: Values) -> tuple[npt.NDArray[np.intp], Values, Values]:
    """Find where rows are most like others.

    Returns:
        By how many pixels the others are moved to the left, how like they are, and how unmoved.
    """
    around = found.shape[1]
    peak = found.argmax(axis=1)
    shift = np.where(peak > around // 2, peak - around, peak)
    return shift, found[np.arange(len(peak)), peak], found[:, 0]


def _goes_on_aslant(shift: npt.NDArray[np.intp], onwards: Values) -> npt.NDArray[np.bool_]:
    """Whether rows are like the next ones as well if those are moved by about as much again.

    Kerbs and lanes that lie aslant are. Not where they are most alike is asked: a zebra crossing is
    like itself at each of its stripes.
    """
    slack = np.maximum(_SLANT_SLACK, _SLANT_BEND * np.abs(shift)).astype(np.intp)
    off = np.arange(-int(slack.max()), int(slack.max()) + 1)
    near = np.take_along_axis(onwards, (shift[:, None] + off) % onwards.shape[1], axis=1)
    near = np.where(np.abs(off) <= slack[:, None], near, np.float32(0.0))
    return np.asarray(near.max(axis=1) >= _AS_LIKE * onwards.max(axis=1))


def _in_step(shift: npt.NDArray[np.intp]) -> int:
    """Return how many rows are moved by one and the same, as all are that have a wrong length."""
    near = np.abs(shift[:, None] - shift) <= _ROUNDED
    return int(np.count_nonzero(near, axis=1).max())


def _spectra(rows: Pixels, smoothed: int) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Return the spectrum of the edges of each row, and which rows are full."""
    edges, full = _edges(rows, smoothed)
    return np.asarray(cv2.dft(edges, flags=cv2.DFT_ROWS), np.float32), full


def _edges(rows: Pixels, smoothed: int) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Return the differences of neighbours in each row, of unit energy, and which rows are full.

    They are means of so many pixels each. Where there is no measurement there is no edge: holes in
    depth fall where they will.
    """
    values = _floats(rows)
    edges = np.asarray(values[:, 1:] - values[:, :-1], np.float32)
    full = np.ones(len(rows), bool)
    if rows.dtype.itemsize > 1:
        known = (rows != 0) & (rows != _NO_DEPTH)
        if rows.dtype.kind == "f":
            known &= np.isfinite(rows)
        if not known.all():
            pairs = known[:, 1:] & known[:, :-1]
            edges[~pairs] = 0.0
            full = np.asarray(pairs.mean(axis=1) > _FULL)
    if smoothed > 1:  # what a mean differs by is the sum of what its pixels do, twice
        once = np.ones(smoothed) / smoothed
        edges = cv2.filter2D(edges, -1, np.convolve(once, once)[None])
    edges -= cv2.reduce(edges, 1, cv2.REDUCE_AVG)
    energy = np.sqrt(np.einsum("ij,ij->i", edges, edges))[:, None]
    return np.asarray(edges / np.maximum(energy, np.float32(_SMOOTH)), np.float32), full


def tear_share(plane: Pixels) -> float:
    """Return the share of a row along which the picture breaks off, to go on elsewhere.

    That is beside, where rows are torn, or at the top what broke off at the bottom, where the
    picture has rolled. 0 for pictures, and for the edge of what is drawn in, or of a simulator's
    wall: what lies on its two sides is not the same.

    Args:
        plane: one channel, ``[H, W]``.
    """
    if min(plane.shape) < 2 * _FEWEST_LINES:
        return 0.0
    if not (plane.dtype.isnative and plane.dtype.kind == "u" and plane.dtype.itemsize <= 2):
        plane = _floats(plane)
    step = max(1, plane.shape[1] // _TEAR_ACROSS)
    apart = cv2.absdiff(
        *(np.ascontiguousarray(rows[:, ::step]) for rows in (plane[1:], plane[:-1]))
    )
    apart = apart[:, : apart.shape[1] // _SEGMENTS * _SEGMENTS]
    apart = cv2.resize(apart, (_SEGMENTS, len(apart)), interpolation=cv2.INTER_AREA)
    apart = np.asarray(apart, np.float32)
    beside, here = np.maximum(apart[:-2], apart[2:]), apart[1:-1]
    shares = ((here > _BREAKS * beside) & (here > _LEAST_BREAK)).mean(axis=1)
    usual, share = np.partition(shares, (-1 - _ONLY, -1))[[-1 - _ONLY, -1]].tolist()
    if share - usual > _SUSPICIOUS:
        row = int(shares.argmax()) + 2
        if not (_goes_on_beside(plane, row) or _goes_on_at_the_top(plane)):
            return 0.0
    return float(share - usual)


def _goes_on_at_the_top(plane: Pixels) -> bool:
    """Whether the first row follows upon the last one as rows side by side do.

    No two rows of a picture that are so far apart have both their edges and their levels in common.
    """
    four = plane[[1, 0, -1, -2]]
    edges, _ = _edges(four, _AGAINST_NOISE)
    usual = min(float(edges[0] @ edges[1]), float(edges[2] @ edges[3]))
    if float(edges[1] @ edges[2]) < max(_WRAPPED, _AS_USUAL * usual):
        return False
    rows = _floats(four[:, : four.shape[1] // _SEGMENTS * _SEGMENTS])
    apart = np.abs(np.diff(rows, axis=0)).reshape(3, _SEGMENTS, -1).mean(axis=2)
    most = _OF_NEIGHBOURS * np.maximum(apart[0], apart[2]) + _LEAST_BREAK
    return float((apart[1] <= most).mean()) >= _ALL_ALONG


def _goes_on_beside(plane: Pixels, row: int) -> bool:
    """Whether the rows from one on show what those above it do, moved sideways."""
    four = plane[max(0, row - 2) : row + 2]
    if len(four) < 4:
        return False
    edges, _ = _edges(four, _AGAINST_NOISE)
    spectra = np.fft.rfft(edges[1:3], axis=1)
    found = np.fft.irfft(spectra[0] * spectra[1].conj(), edges.shape[1])
    peak = int(found.argmax())
    moved = min(peak, found.size - peak) >= _MOVED
    usual = min(float(edges[0] @ edges[1]), float(edges[2] @ edges[3]))
    alike = found[peak] >= max(_MATCH, _AS_USUAL * usual) and found[0] < _CLEARLY * found[peak]
    return bool(moved and alike)


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
    known = (rows != 0) & (rows != _NO_DEPTH)
    pairs = known[:, 1:] & known[:, :-1]
    count = int(np.count_nonzero(pairs))
    if count < rows.shape[0]:
        return 0.0
    apart = cv2.absdiff(rows[:, 1:], rows[:, :-1])
    return float(cv2.sumElems(apart if count == pairs.size else apart * pairs)[0]) / count


def _floats(values: Any) -> Values:
    """Return a float32 copy; no number is 0, and what does not fit is large."""
    if values.dtype.kind in "ui" and values.dtype.itemsize <= 2:
        return np.asarray(values, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        floats = np.asarray(values, np.float32)
    floats = np.nan_to_num(floats, nan=0.0, posinf=_BEYOND, neginf=-_BEYOND)
    return np.clip(floats, -_BEYOND, _BEYOND)
