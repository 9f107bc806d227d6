"""How far two sensors' pictures are apart, measured from the pictures themselves.

Sensors of different kinds agree in little but where things end: a warm person is bright in one and
dark in the other, but has the same outline. So what is compared is the *direction* of the edges,
with its angle doubled, which makes an edge from dark to bright the same as one from bright to dark.
Shifts are found by cross-correlation of those fields, through the Fourier transform.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image, Pixels
from anymodal_seg_ros.sensing.decoding.encodings import to_rgb
from anymodal_seg_ros.sensing.geometry.fourier import correlation, spectrum

Field = npt.NDArray[np.complex64]
"""``[H, W]``: strength of the edges, and their direction with its angle doubled."""

SURE = 0.125
"""Likeness above which a shift means something.

Of pairs that show the same street by day or night, all are above; of pairs that show different
streets, a tenth is.
"""

_BLUR = 1 / 213
"""Scale of the edges that are compared, as a share of the picture's width."""

_STRONG = 0.9
"""Edges above this quantile all count the same."""


_BEYOND = 1e12
"""Larger values of float images are told apart from one another no more."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a picture lies from where it should.

    Attributes:
        right_px: to the right of the reference, in pixels of the fields.
        down_px: below it.
        likeness: 0 to 1, how well the edges agree once the picture is moved back. Compare it with
            :data:`SURE`: below, the shift is a guess.
    """

    right_px: float
    down_px: float
    likeness: float

    @property
    def length_px(self) -> float:
        """Length of the shift."""
        return float(np.hypot(self.right_px, self.down_px))


def edge_field(image: Image, height: int, width: int, seen: Pixels | None = None) -> Field:
    """Return the edges of any sensor's image at a common size.

    Args:
        image: 8-bit, 16-bit or float, grey or of several channels. NaN, and in 16-bit images 0 and
            65535, hold nothing.
        height: rows of the result.
        width: columns of the result.
        seen: ``[H, W]`` booleans at the image's own size: which pixels show something.
    """
    grey = grey_of(image)
    empty = ~np.isfinite(grey)
    if seen is not None:
        empty |= ~seen
    grey = np.where(empty, np.median(grey[~empty]) if not empty.all() else 0, grey)
    smaller = grey.shape[0] > height
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    grey = cv2.resize(grey.astype(np.float32), (width, height), interpolation=how)
    empty = cv2.resize(empty.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    sigma = max(width * _BLUR, 0.8)
    grey = cv2.GaussianBlur(grey, (0, 0), sigma)
    field = cv2.Sobel(grey, cv2.CV_32F, 1, 0) + 1j * cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    # Where something ends because nothing was measured beyond it, there is no edge to compare.
    reach = 2 * int(np.ceil(2 * sigma)) + 1
    field[cv2.dilate(empty, np.ones((reach, reach), np.uint8)) > 0] = 0
    strength = np.abs(field)
    strong = float(np.quantile(strength, _STRONG)) or 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        doubled = np.where(strength > 0, (field / strength) ** 2, 0)
    return np.asarray(doubled * np.minimum(strength / strong, 1), np.complex64)


def grey_of(image: Image) -> npt.NDArray[np.floating]:
    """Return one plane ``[H, W]``, float; NaN where the image holds nothing.

    Distances (16-bit and float images) are not told from other values; edges need no units.
    """
    pixels = image.pixels
    if pixels.dtype.names:
        raise DecodeError(f"encoding {image.encoding} is no picture: expected an image", "encoding")
    if pixels.dtype.itemsize == 1 and pixels.ndim == 3:
        pixels = to_rgb(image)
    grey = pixels.astype(np.float32)
    if pixels.dtype.itemsize == 2:
        grey[(pixels == 0) | (pixels == 65535)] = np.nan
    if grey.ndim == 3:
        grey = grey[..., 0] if pixels.dtype.kind == "f" else grey[..., :3].mean(axis=2)
    grey[~np.isfinite(grey)] = np.nan
    if pixels.dtype.kind == "f":  # what is beyond any distance is no edge that sums can hold
        np.clip(grey, -_BEYOND, _BEYOND, out=grey)
    return grey


def measure_shift(reference: Field, other: Field, search_px: int) -> Shift:
    """Measure how far one picture lies from another.

    Args:
        reference: edges of the picture that is taken to be right.
        other: edges of the same size.
        search_px: largest shift that is looked for, in either direction.
    """
    height, width = reference.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    return _peak(*_correlate(reference * window, other * window, search_px))


def _correlate(reference: Field, other: Field, search_px: int) -> tuple[Pixels, float]:
    """Return the correlation at all shifts up to ``search_px``, and what full agreement gives."""
    shifts = correlation(np.conj(spectrum(reference)) * spectrum(other))
    row, column = shifts.shape[0] // 2, shifts.shape[1] // 2
    down, right = min(search_px, row - 1), min(search_px, column - 1)
    near = shifts[row - down : row + down + 1, column - right : column + right + 1]
    energy = float(np.sum(np.abs(reference) ** 2) * np.sum(np.abs(other) ** 2)) ** 0.5
    return near, energy


def _peak(shifts: Pixels, energy: float) -> Shift:
    """Find the highest correlation, to a fraction of a pixel."""
    row, column = np.unravel_index(int(np.argmax(shifts)), shifts.shape)
    likeness = float(shifts[row, column]) / energy if energy > 0 else 0.0
    return Shift(
        int(column) - shifts.shape[1] // 2 + _vertex(shifts[row], int(column)),
        int(row) - shifts.shape[0] // 2 + _vertex(shifts[:, column], int(row)),
        likeness,
    )


def _vertex(values: Pixels, at: int) -> float:
    """Return where between its neighbours a maximum lies, by the parabola through them."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, here, after = (float(v) for v in values[at - 1 : at + 2])
    curvature = before - 2 * here + after
    return 0.5 * (before - after) / curvature if curvature < 0 else 0.0


class PictureDrift:
    """Where each part of a picture lies, gathered over many frames.

    A shift alone tells a wrong mounting angle; that the shift differs from part to part tells a
    wrong focal length or a turn about the axis.
    """

    _ROWS, _COLUMNS = 3, 4

    def __init__(self, height: int, width: int, search_px: int) -> None:
        """Begin with no frame.

        Args:
            height: rows of the fields.
            width: columns of the fields.
            search_px: largest shift that is looked for.
        """
        self._search_px = search_px
        self._size = (height, width)
        high, wide = height * 2 // (self._ROWS + 1), width * 2 // (self._COLUMNS + 1)
        self._window = cv2.createHanningWindow((wide, high), cv2.CV_32F)
        tops = np.linspace(0, height - high, self._ROWS).astype(int)
        lefts = np.linspace(0, width - wide, self._COLUMNS).astype(int)
        self._parts = [
            (slice(top, top + high), slice(left, left + wide)) for top in tops for left in lefts
        ]
        self._sums: list[Pixels] = []
        self._energies = np.zeros(len(self._parts))

    def add(self, reference: Field, other: Field) -> None:
        """Take one more frame."""
        found = [
            _correlate(reference[part] * self._window, other[part] * self._window, self._search_px)
            for part in self._parts
        ]
        near = [shifts for shifts, _ in found]
        self._sums = [a + b for a, b in zip(self._sums, near, strict=True)] if self._sums else near
        self._energies += [energy for _, energy in found]

    def homography(self) -> npt.NDArray[np.float64]:
        """Return what would bring the other picture to the reference.

        Returns:
            float64 ``[3, 3]`` in picture coordinates, as ``registration.homography`` takes it: an
            affine map if enough parts agree, otherwise a shift, otherwise the identity.
        """
        rows, wanted = [], []
        height, width = self._size
        for part, shifts, energy in zip(self._parts, self._sums, self._energies, strict=True):
            shift = _peak(shifts, float(energy))
            if shift.likeness < SURE / 2:  # many frames together are surer than one
                continue
            y, x = ((s.start + s.stop) / 2 for s in part)
            rows.append([(x + shift.right_px) / width, (y + shift.down_px) / height, 1.0])
            wanted.append([x / width, y / height])
        found = np.eye(3)
        if len(rows) >= 6:
            found[:2] = _robust_affine(np.array(rows), np.array(wanted))
        elif rows:
            found[:2, 2] = np.median(np.array(wanted) - np.array(rows)[:, :2], axis=0)
        return found


def _robust_affine(
    rows: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Fit ``wanted = rows @ A.T`` and leave out the rows that disagree with the others."""
    kept = np.ones(len(rows), bool)
    for _ in range(3):
        affine, *_ = np.linalg.lstsq(rows[kept], wanted[kept], rcond=None)
        error = np.linalg.norm(rows @ affine - wanted, axis=1)
        kept = error <= max(2.5 * float(np.median(error)), 0.002)
    return np.asarray(affine.T)
