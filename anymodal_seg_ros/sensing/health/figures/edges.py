"""How steep the edges in the blocks of a picture are, without the sensor's noise.

Rows that are whole are looked at: of pixels here and there, one edge more or less is chance. For
that reason level edges are not: a row that is looked at may lie upon one or beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.figures.blocks import COLUMNS, ROWS, Flags
from anymodal_seg_ros.sensing.health.figures.image_figures import floats
from anymodal_seg_ros.sensing.health.figures.order import quantile

_LINES = 2 * ROWS
"""So many rows are looked at."""
_FLATTEST = 0.1
"""Share of the blocks in which there is noise and little else."""
_LEAST = 1.5
"""Counts of steepness, at least, where edges are seen; and no less than there is noise."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Edges:
    """The upright edges of one picture; blocks joined by fours, ``[ROWS // 2, COLUMNS // 2]``.

    Attributes:
        steepness: root mean square of the difference of neighbours in a row without noise, counts.
        seen: flags of the blocks in which that stands out of the noise.
    """

    steepness: Floats
    seen: Flags


def edges(plane: Pixels) -> Edges | None:
    """Look at one channel ``[H, W]``; None if it is too small."""
    height, width = plane.shape
    if height < _LINES or width <= COLUMNS:
        return None
    step, even = height // _LINES, (width - 1) // COLUMNS * COLUMNS
    lines = _lines(plane[: _LINES * step : step, : even + 1])
    apart = cv2.absdiff(lines[:, 1:], lines[:, :-1])
    squares = cv2.multiply(apart, apart, dtype=cv2.CV_32F)
    power = cv2.resize(squares, (COLUMNS, ROWS), None, 0, 0, cv2.INTER_AREA)
    noise = np.float32(quantile(power, _FLATTEST))
    joined = cv2.resize(power, (COLUMNS // 2, ROWS // 2), None, 0, 0, cv2.INTER_AREA) - noise
    steepness = np.asarray(np.sqrt(np.maximum(joined, np.float32(0.0))), np.float32)
    return Edges(steepness, joined >= np.maximum(noise, np.float32(_LEAST**2)))


def _lines(rows: Pixels) -> Pixels:
    """Return rows of whole numbers as they are, which is faster, and others as floats."""
    whole = rows.dtype.kind == "u" and rows.dtype.itemsize <= 2 and rows.dtype.isnative
    return np.ascontiguousarray(rows) if whole else floats(rows)
