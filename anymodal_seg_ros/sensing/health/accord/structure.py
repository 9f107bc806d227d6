"""What two sensors' pictures have in common, whatever the sensors measure.

Pictures of one world share where things end; pictures of two worlds do not. So a picture becomes a
field of what is local in it: the directions of its edges (angles doubled, so that dark to bright
counts as bright to dark), or what the network makes of each place. Two fields are compared at every
shift at once, through the Fourier transform: what they have at no shift, in units of what they have
by chance at all others, is their *accord*. Chance is measured in the very pictures that are
compared, so that the figure needs no calibration: two unrelated pictures give about 2.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.geometry.fourier import correlation, spectrum
from anymodal_seg_ros.sensing.health.figures.order import quantile

Spectra = npt.NDArray[np.complex64]
"""``[h, w]``: Fourier transform of a field."""

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]
Shifts = npt.NDArray[np.floating[Any]]

CLEAR = 0.12
"""Clarity below which a picture has nothing to tell, such as one of a white wall."""

ROWS = 96
"""Rows at which pictures are compared; columns as the picture's shape wants it."""

LOOKS = 3
"""Looks that count together."""

_BLUR_PX = 0.8
_RIM_PX = 5
"""Side of the square around what is not covered whose edges are of the cover, not of the world."""
_STEP_PX = 7
"""Side of the square whose mean is taken off where only steps are edges: slopes vanish."""

_STRONG = 0.9
"""Edges above this quantile all count the same."""

_LOCAL = 0.12
"""Share of the width over which the mean of a field is taken off: what is the same over a wide
stretch, such as the ground that comes nearer, is the same in every street."""

_WHITEN = 0.5
"""Power by which strong frequencies are weakened: 1 would be phase correlation."""

_APART = 2
"""Pixels between those whose likeness tells a picture from noise; scaling makes nearer ones alike
of itself."""

_AT_HOME_PX = 1
"""Shifts up to this count as none."""

_TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """What is local in one picture, ready to be compared.

    Attributes:
        edges: complex64 ``[h, w]``: their strength, 0..1, and direction with its angle doubled.
        spectrum: of its edges.
        clarity: how far pixels near each other are alike, 0..1; about 0 where there is only noise.
    """

    edges: Spectra
    spectrum: Spectra
    clarity: float


@dataclass(frozen=True, slots=True)
class Accord:
    """What two pictures have in common.

    Attributes:
        here: at no shift, in standard deviations over all shifts.
        best: at the best shift within an eighth of the picture.
        right_px: that shift, of the second picture against the first, in columns of the fields.
        down_px: in rows of the fields.
    """

    here: float
    best: float
    right_px: int
    down_px: int


def edge_structure(grey: Floats, covered: Mask | None = None, slopes: bool = True) -> Structure:
    """Return the edges of a picture.

    Args:
        grey: ``[H, W]``, one plane of the picture, any unit; where nothing was measured it is 0.
        covered: uint8 ``[h, w]``, any size: 0 where the picture is not the sensor's; None: nowhere.
        slopes: whether a slope is an edge. In depth it is none: the ground is one slope, steepest
            where it is nearest, and nothing ends there.
    """
    height, width = grey.shape
    columns = max(8, 2 * round(ROWS * width / height / 2))
    small = cv2.resize(grey, (columns, ROWS), interpolation=cv2.INTER_AREA)
    side = int(_LOCAL * columns) | 1
    clarity = _clarity(small - cv2.blur(small, (side, side)))
    if not slopes:
        small = small - cv2.blur(small, (_STEP_PX, _STEP_PX))
    small = cv2.GaussianBlur(small, (0, 0), _BLUR_PX)
    right, down = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
    if covered is not None:
        seen = cv2.resize(covered, (columns, ROWS), interpolation=cv2.INTER_NEAREST) > 0
        rim = _RIM_PX if slopes else _RIM_PX + _STEP_PX + 1
        beyond = cv2.dilate((~seen).astype(np.uint8), np.ones((rim, rim), np.uint8)) > 0
        right[beyond] = down[beyond] = 0.0
    strength = cv2.magnitude(right, down)
    strong = max(quantile(strength, _STRONG), _TINY)
    weight = np.minimum(strength / strong, 1.0) / np.maximum(strength, _TINY) ** 2
    real, imaginary = (right * right - down * down) * weight, 2.0 * right * down * weight
    local = (real - cv2.blur(real, (side, side))) + 1j * (
        imaginary - cv2.blur(imaginary, (side, side))
    )
    window = cv2.createHanningWindow((columns, ROWS), cv2.CV_32F)
    edges = (real + 1j * imaginary).astype(np.complex64)
    return Structure(edges, spectrum(local * window), clarity)


def likeness(one: Structure, other: Structure) -> float:
    """Return how far two pictures of one shape have the same edges at the same places, -1..1.

    Of one camera from look to look: 0.7 and more where it stands, less where it drives.
    """
    product = np.vdot(one.edges, other.edges).real
    power = np.vdot(one.edges, one.edges).real * np.vdot(other.edges, other.edges).real
    return float(product / max(np.sqrt(power), _TINY))


def _clarity(local: Floats) -> float:
    """Return how far pixels that lie near each other are alike, 0 for noise of any kind."""
    local = local - local.mean()
    power = float(np.mean(local * local))
    if power <= _TINY:
        return 0.0
    beside = float(np.mean(local[:, _APART:] * local[:, :-_APART]))
    below = float(np.mean(local[_APART:] * local[:-_APART]))
    return max((beside + below) / (2.0 * power), 0.0)


class RunningAccord:
    """What two sensors have had in common in the last looks.

    The comparisons are added up before their peak is looked for: what two sensors share is at the
    same shift every time, what they share by chance is not.
    """

    def __init__(self, looks: int = LOOKS) -> None:
        """Begin without a look; so many of the last ones count."""
        self._looks = looks
        self._products: deque[Spectra] = deque(maxlen=looks)

    @property
    def full(self) -> bool:
        """Whether as many looks count by now as are to."""
        return len(self._products) == self._looks

    def add(self, one: Structure, other: Structure) -> Accord:
        """Take one more look of both, and say what they have in common by now."""
        product = np.conj(one.spectrum) * other.spectrum
        product /= np.abs(product) ** _WHITEN + _TINY
        if self._products and self._products[-1].shape != product.shape:
            self._products.clear()
        self._products.append(product)
        return _accord(np.sum(self._products, axis=0))


def _accord(product: Spectra) -> Accord:
    shifts = correlation(product)
    spread = float(shifts.std())
    if spread <= _TINY:
        return Accord(0.0, 0.0, 0, 0)
    rows, columns = shifts.shape
    here = _around(shifts, _AT_HOME_PX, _AT_HOME_PX)
    down, right = rows // 8, columns // 8
    near = _around(shifts, down, right)
    row, column = np.unravel_index(int(np.argmax(near)), near.shape)
    return Accord(
        float(here.max()) / spread,
        float(near[row, column]) / spread,
        int(column) - right,
        int(row) - down,
    )


def _around(shifts: Shifts, down: int, right: int) -> Shifts:
    row, column = shifts.shape[0] // 2, shifts.shape[1] // 2
    return shifts[row - down : row + down + 1, column - right : column + right + 1]
