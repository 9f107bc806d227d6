"""Class maps at any size from coarse logits: as by upsampling and argmax, without upsampling.

A bilinear sample is a weighted mean of the four logits around it. Where those four agree on a
class, that class has the largest mean everywhere between them. So only the cells in which they
disagree, the seams of the map, are interpolated, and there only the classes that can win at all.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Mask

Logits = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

DENSE = 0.4
"""Share of the cells that disagree from which on interpolating everything is the faster way."""

SMALL = 1 << 17
"""Pixels of a result up to which it is so in any case."""

CHUNK = 1 << 15
"""Pixels that are interpolated at a time, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """How the pixels of one side of the result lie between those of the logits.

    The logits are padded by one at both ends, so there is one cell more than there are logits. A
    cell has as many slots as the fullest one has pixels; what is in the others is never read.

    Attributes:
        slots: of each cell.
        slot: for each pixel its slot, counted over all cells, ``[pixels]``.
        run: where the slots of the pixels are without a gap; None if they are not.
        weights: of a cell's far end in its slots, 0 to 1, float32 ``[cells, slots]``.
        used: whether there is a pixel in a cell, ``[cells]``.
    """

    slots: int
    slot: Indices
    run: slice | None
    weights: npt.NDArray[np.float32]
    used: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells whose corners disagree, with the classes that may win in them.

    Attributes:
        row: of each cell, ``[n]``.
        column: of each cell, ``[n]``.
        corners: logits at its corners, float32 ``[4, n, K]``.
        possible: whether a class may win somewhere in a cell, ``[n, K]``.
    """

    row: Indices
    column: Indices
    corners: Logits
    possible: npt.NDArray[np.bool_]

    def some(self, chosen: Indices) -> _Cells:
        """Return some of them."""
        return _Cells(
            self.row[chosen],
            self.column[chosen],
            self.corners.take(chosen, axis=1),
            self.possible[chosen],
        )


def lazy_argmax(logits: Logits, height: int, width: int) -> Mask:
    """Bring logits to a size and return the class with the largest one at each pixel.

    Interpolation is bilinear between pixel centres, corners not aligned, as of
    ``torch.nn.functional.interpolate`` and ``cv2.resize``; of equal logits the first class wins.

    Args:
        logits: float32 ``[K, h, w]``, finite, K from 1 to 256.
        height: rows of the result, at least 1.
        width: columns of the result, at least 1.

    Returns:
        Class ids, uint8 ``[height, width]``.
    """
    if logits.shape[1:] == (height, width):
        return np.asarray(logits.argmax(axis=0), np.uint8)
    if height * width <= SMALL:
        return _running_max(logits, height, width)
    padded = _channels_last(logits)
    best = padded.argmax(axis=2).astype(np.uint8)
    rows, columns = _axis(logits.shape[1], height), _axis(logits.shape[2], width)
    corner = best[:-1, :-1]
    mixed = (corner != best[:-1, 1:]) | (corner != best[1:, :-1]) | (corner != best[1:, 1:])
    mixed &= rows.used[:, None] & columns.used
    if np.count_nonzero(mixed) > DENSE * mixed.size:
        return _running_max(logits, height, width)
    canvas = corner.repeat(columns.slots, axis=1).repeat(rows.slots, axis=0)
    cells = _cells(padded, best, mixed)
    candidates = np.count_nonzero(cells.possible, axis=1)
    # Cells with many candidates first: those that have an n-th one are then a slice.
    order = np.argsort(-candidates, kind="stable")
    pairs = len(order) - int(np.count_nonzero(candidates == 2))
    painted = canvas.reshape(len(rows.used), rows.slots, len(columns.used), columns.slots)
    step = max(1, CHUNK // (rows.slots * columns.slots))
    for start in range(0, pairs, step):
        some = cells.some(order[start : min(start + step, pairs)])
        _paint(painted, _best_of_many(some, rows, columns), some)
    for start in range(pairs, len(order), step):
        some = cells.some(order[start : start + step])
        _paint(painted, _better_of_two(some, rows, columns), some)
    if rows.run is not None and columns.run is not None:
        return np.ascontiguousarray(canvas[rows.run, columns.run])
    return np.asarray(canvas.take(rows.slot, axis=0).take(columns.slot, axis=1), np.uint8)


def _channels_last(logits: Logits) -> Logits:
    """Turn ``[K, h, w]`` into ``[h + 2, w + 2, K]``, the edges repeated."""
    classes, height, width = logits.shape
    padded = np.empty((height + 2, width + 2, classes), np.float32)
    turned = cv2.transpose(np.ascontiguousarray(logits).reshape(classes, -1))
    padded[1:-1, 1:-1] = turned.reshape(height, width, classes)
    padded[0, 1:-1], padded[-1, 1:-1] = padded[1, 1:-1], padded[-2, 1:-1]
    padded[:, 0], padded[:, -1] = padded[:, 1], padded[:, -2]
    return padded


@functools.lru_cache(maxsize=64)
def _axis(small: int, large: int) -> _Axis:
    """Place ``large`` pixels between ``small`` ones."""
    # In float64: the weights of float32 logits need all their digits.
    source = np.clip((np.arange(large) + 0.5) * (small / large) - 0.5, -1.0, small) + 1.0
    cell = np.minimum(source.astype(np.intp), small)
    counts = np.bincount(cell, minlength=small + 1)
    slots = int(counts.max())
    first = np.cumsum(counts) - counts
    place = np.arange(large) - first[cell]
    # The first cell is cut at its near end, so that its pixels are next to those of the second.
    place[cell == 0] += slots - counts[0]
    slot = cell * slots + place
    weights = np.zeros((small + 1, slots), np.float32)
    weights[cell, place] = source - cell
    whole = slot[-1] - slot[0] == large - 1
    run = slice(int(slot[0]), int(slot[-1]) + 1) if whole else None
    return _Axis(slots, slot, run, weights, counts > 0)


def _cells(padded: Logits, best: Mask, mixed: npt.NDArray[np.bool_]) -> _Cells:
    """Look which classes may win in the cells that disagree.

    Args:
        padded: logits ``[h + 2, w + 2, K]``.
        best: the class with the largest of each, ``[h + 2, w + 2]``.
        mixed: the cells, ``[h + 1, w + 1]``.
    """
    row, column = np.nonzero(mixed)
    width, classes = padded.shape[1:]
    near = row * width + column
    places = np.stack([near, near + 1, near + width, near + width + 1])
    corners = padded.reshape(-1, classes).take(places.ravel(), axis=0).reshape(4, -1, classes)
    # A class that is smaller at all corners than another is at its smallest wins nowhere.
    possible = corners.max(axis=0) >= corners.min(axis=0).max(axis=1)[:, None]
    many = np.flatnonzero(np.count_nonzero(possible, axis=1) > 2)
    there, left = corners.take(many, axis=1), possible[many]
    for winner in best.ravel().take(places[::3, many]):
        # Neither does one that is nowhere larger than the winner of some corner.
        largest = np.take_along_axis(there, winner[None, :, None].astype(np.intp), axis=2)
        earlier = np.arange(classes) <= winner[:, None]
        left &= ((there > largest) | ((there == largest) & earlier)).any(axis=0)
    possible[many] = left
    return _Cells(row, column, corners, possible)


def _better_of_two(cells: _Cells, rows: _Axis, columns: _Axis) -> Mask:
    """Return the class in every slot of cells with two candidates, ``[rows, columns, n]``."""
    number = np.nonzero(cells.possible)[1].reshape(-1, 2)
    lead = np.take_along_axis(cells.corners, number[None], axis=2)
    top, more = _along(lead[..., 1] - lead[..., 0], columns.weights.T[:, cells.column])
    second = _bytes(rows.weights.T[:, None, cells.row] * more > -top)
    one, other = number.T.astype(np.uint8)
    second *= other - one  # bytes wrap, there and back
    second += one
    return second


def _best_of_many(cells: _Cells, rows: _Axis, columns: _Axis) -> Mask:
    """Return the same of cells with any number of candidates, those with most first."""
    candidates = np.count_nonzero(cells.possible, axis=1)
    number = np.nonzero(cells.possible)[1]
    start = np.cumsum(candidates) - candidates
    across, down = columns.weights.T[:, cells.column], rows.weights.T[:, None, cells.row]
    shape = (rows.slots, columns.slots, len(candidates))
    largest, classes = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.uint8)
    for rank in range(int(candidates[0])):
        # The cells come last, so that the arithmetic runs along them.
        some = int(np.count_nonzero(candidates > rank))
        ids = number[start[:some] + rank]
        top, more = _along(cells.corners[:, np.arange(some), ids], across[:, :some])
        value = down[..., :some] * more
        value += top
        best, highest = classes[..., :some], largest[..., :some]
        # Ids ascend with the rank, so of two the better one is the larger one.
        better = _bytes(value > highest)
        better *= ids.astype(np.uint8)
        np.maximum(best, better, out=best)
        np.maximum(highest, value, out=highest)
    return classes


def _along(corners: Logits, across: Logits) -> tuple[Logits, Logits]:
    """Interpolate ``[4, n]`` along the upper edges, and return what the lower ones have more."""
    a, b, c, d = corners
    top = a + across * (b - a)
    return top, c + across * (d - c) - top


def _paint(painted: Mask, classes: Mask, cells: _Cells) -> None:
    """Write the classes of some cells into ``[cells, slots, cells, slots]``."""
    painted[cells.row, :, cells.column, :] = classes.transpose(2, 0, 1)


def _bytes(flags: npt.NDArray[np.bool_]) -> Mask:
    """View flags as 0 and 1: to be reckoned with, they would be turned into such one by one."""
    return flags.view(np.uint8)


def _running_max(logits: Logits, height: int, width: int) -> Mask:
    """Interpolate class by class and remember the largest so far."""
    largest = cv2.resize(logits[0], (width, height), interpolation=cv2.INTER_LINEAR)
    mask, value = np.zeros((height, width), np.uint8), np.empty_like(largest)
    better = np.empty(mask.shape, np.bool_)
    scaled = _bytes(better)
    for number in range(1, len(logits)):
        cv2.resize(logits[number], (width, height), value, interpolation=cv2.INTER_LINEAR)
        np.greater(value, largest, out=better)
        scaled *= np.uint8(number)
        np.maximum(mask, scaled, out=mask)  # numbers ascend
        np.maximum(largest, value, out=largest)
    return mask
