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

DENSE = 0.3
"""Share of the cells that disagree from which on interpolating everything is the faster way."""

SMALL = 1 << 17
"""Pixels of a result up to which it is so in any case."""

CHUNK = 1 << 16
"""Pixels that are interpolated at a time, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """How the pixels of one side of the result lie between those of the logits.

    The logits are padded by one at both ends, so there is one cell more than there are logits.

    Attributes:
        cell: for each pixel, the cell it lies in, ``[pixels]``.
        pixels: for each cell, the pixels that lie in it, ``[cells, most]``; cells with fewer
            repeat one.
        weights: of a cell's far end in those pixels, 0 to 1, float32 ``[cells, most]``.
        used: whether there is a pixel in a cell, ``[cells]``.
    """

    cell: Indices
    pixels: Indices
    weights: npt.NDArray[np.float32]
    used: npt.NDArray[np.bool_]


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
    mask: Mask = corner.take(columns.cell, axis=1).take(rows.cell, axis=0)
    row, column = np.nonzero(mixed)
    step = max(1, CHUNK // (rows.pixels.shape[1] * columns.pixels.shape[1]))
    for start in range(0, len(row), step):
        end = start + step
        _paint(mask, padded, rows, columns, row[start:end], column[start:end])
    return mask


def _channels_last(logits: Logits) -> Logits:
    """Turn ``[K, h, w]`` into ``[h + 2, w + 2, K]``, the edges repeated."""
    classes, height, width = logits.shape
    padded = np.empty((height + 2, width + 2, classes), np.float32)
    padded[1:-1, 1:-1] = logits.transpose(1, 2, 0)
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
    first = np.cumsum(counts) - counts
    offsets = np.minimum(np.arange(counts.max()), np.maximum(counts[:, None] - 1, 0))
    pixels = np.minimum(first[:, None] + offsets, large - 1)
    weights = (source - cell).astype(np.float32)
    return _Axis(cell, pixels, weights[pixels], counts > 0)


def _paint(
    mask: Mask, padded: Logits, rows: _Axis, columns: _Axis, row: Indices, column: Indices
) -> None:
    """Interpolate some cells and write their classes into the mask.

    Args:
        mask: the result.
        padded: logits ``[h + 2, w + 2, K]``.
        rows: of the result.
        columns: of the result.
        row: of each cell, ``[n]``.
        column: of each cell, ``[n]``.
    """
    corners = np.stack([padded[row + down, column + right] for down in (0, 1) for right in (0, 1)])
    # A class that is smaller at all corners than another is at its smallest wins nowhere.
    possible = corners.max(axis=0) >= corners.min(axis=0).max(axis=1)[:, None]
    candidates = np.count_nonzero(possible, axis=1)
    # Cells with many candidates first: those that have an n-th one are then a slice.
    order = np.argsort(-candidates, kind="stable")
    row, column, corners, possible = row[order], column[order], corners[:, order], possible[order]
    cell, number = np.nonzero(possible)
    start = np.searchsorted(cell, np.arange(len(row)))
    # The cells come last, so that the arithmetic runs along them.
    across, down = columns.weights.T[:, column], rows.weights.T[:, None, row]
    shape = (rows.pixels.shape[1], columns.pixels.shape[1], len(row))
    largest, classes = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.uint8)
    ascending = np.sort(candidates)
    for rank in range(int(ascending[-1])):
        some = len(row) - int(np.searchsorted(ascending, rank, side="right"))
        ids = number[start[:some] + rank]
        a, b, c, d = corners[:, np.arange(some), ids]
        top = a + across[:, :some] * (b - a)
        bottom = c + across[:, :some] * (d - c)
        value = top + down[..., :some] * (bottom - top)
        best, highest = classes[..., :some], largest[..., :some]
        # Ids ascend with the rank, so of two the better one is the larger one.
        np.maximum(best, (value > highest) * ids.astype(np.uint8), out=best)
        np.maximum(highest, value, out=highest)
    mask[rows.pixels.T[:, None, row], columns.pixels.T[:, column]] = classes


def _running_max(logits: Logits, height: int, width: int) -> Mask:
    """Interpolate class by class and remember the largest so far."""
    largest = cv2.resize(logits[0], (width, height), interpolation=cv2.INTER_LINEAR)
    mask, value = np.zeros((height, width), np.uint8), np.empty_like(largest)
    better = np.empty(mask.shape, np.bool_)
    for number in range(1, len(logits)):
        cv2.resize(logits[number], (width, height), value, interpolation=cv2.INTER_LINEAR)
        np.greater(value, largest, out=better)
        np.maximum(mask, better * np.uint8(number), out=mask)  # numbers ascend
        np.maximum(largest, value, out=largest)
    return mask
