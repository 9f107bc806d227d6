"""Camera models: from points to pixels and from pixels to rays.

A camera bends the world in two steps. A point first falls on the *ideal plane*: for a pinhole at
(x/z, y/z), for a fisheye at the angle from the optical axis times the direction (so that points
beside and behind the lens have a place too). The lens then distorts that plane, and the camera
matrix turns it into pixels. Pixel centres lie on whole numbers, as in OpenCV and ROS.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import ConfigError, bounded
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.decoding.payload import MAX_SIDE
from anymodal_seg_ros.sensing.geometry.lenses import Lens, Points, distort, make_lens, undistort

COEFFICIENTS = {"plumb_bob": (0, 4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""The distortion models by their names in sensor_msgs, and how many coefficients each may have."""

ALIASES = {
    "fisheye": "equidistant",
    "kannala_brandt": "equidistant",
    "radtan": "plumb_bob",
    "brown_conrady": "plumb_bob",
    "thin_prism": "rational_polynomial",
}
"""Other names of the models, as OpenCV's nodes, kalibr and drivers write them."""

BLOCK = 16_384
"""Points that are projected at a time: what lies in between stays in the processor's cache."""


LARGEST_COEFFICIENT = 1e3
"""No lens has coefficients beyond this; what has are doubles that nobody filled in."""

_ROUNDING = 1e-6
"""What numbers that are to be 0 or 1 may be off by."""

_FOCAL_LENGTHS = (1e-3, 1e9)
"""Focal lengths in pixels that any picture could have."""


class CalibrationError(ConfigError):
    """A calibration is unreadable, impossible, or contradicts itself.

    Its text is bounded as that of a :class:`DecodeError`: a calibration also comes on a topic.
    """

    def __init__(self, text: str) -> None:
        """Say what was wrong."""
        super().__init__(bounded(text))


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """The geometry of one camera, checked.

    Attributes:
        width: columns of the image that the calibration holds for.
        height: rows of that image.
        matrix: float64 ``[3, 3]``: fx 0 cx / 0 fy cy / 0 0 1, in pixels.
        model: one of :data:`COEFFICIENTS`.
        distortion: float64 ``[n]``, in OpenCV's order; empty for none.
        cut_from: columns and rows of the picture that a region of interest was cut from; None if
            it is the whole one.

    Raises:
        CalibrationError: on construction, if any of it cannot be.
    """

    width: int
    height: int
    matrix: npt.NDArray[np.float64]
    model: str = "plumb_bob"
    distortion: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    cut_from: tuple[int, int] | None = None
    _lens: Lens = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_size(self.width, self.height)
        _check_matrix(self.matrix)
        _check_distortion(self.model, self.distortion)
        try:
            # Polynomials of wild coefficients overflow in many places; what comes out is judged.
            with np.errstate(all="ignore"):
                object.__setattr__(self, "_lens", self._make_lens())
                self._check_fold()
        except (ArithmeticError, ValueError) as error:  # LinAlgError is a ValueError
            raise CalibrationError(
                f"distortion_coefficients are {quote(self.distortion.tolist(), 200)}: no lens can "
                f"be made of them ({quote(error)})"
            ) from error

    def _make_lens(self) -> Lens:
        corners = np.array([[0, 0], [0, self.height], [self.width, 0], [self.width, self.height]])
        reach = float(np.linalg.norm(self._on_plane(corners.astype(np.float64)), axis=1).max())
        return make_lens(self.model, self.distortion, reach)

    def project(self, points: Points) -> Points:
        """Project points into the picture.

        Args:
            points: ``[N, 3]`` in the camera's optical frame (x right, y down, z ahead), metres.

        Returns:
            ``[N, 2]`` (u, v) in pixels, which may lie outside the image; NaN for points that this
            lens cannot see: behind a pinhole, beyond the limit of the distortion, or not finite.
        """
        projected: Points = np.empty((2, len(points)), points.dtype).T  # each in one piece
        for begin in range(0, len(points), BLOCK):
            block = slice(begin, begin + BLOCK)
            self._project(points[block], projected[block])
        return projected

    def _project(self, points: Points, projected: Points) -> None:
        """Project one block."""
        x, y = self._fall(points)
        with np.errstate(over="ignore", invalid="ignore"):
            across, down = distort(self._lens, x, y)
            lost = ~(x * x + y * y <= self._lens.limit**2)
            np.multiply(across, self.matrix[0, 0], out=projected[:, 0])
            np.multiply(down, self.matrix[1, 1], out=projected[:, 1])
        projected[:, 0] += self.matrix[0, 2]
        projected[:, 1] += self.matrix[1, 2]
        projected[lost] = np.nan

    def rays(self, pixels: Points) -> Points:
        """Return the directions that pixels look in.

        Args:
            pixels: ``[N, 2]`` (u, v), also outside the image.

        Returns:
            ``[N, 3]`` unit vectors in the optical frame; NaN where the lens has no such pixel.
        """
        across, down = self._on_plane(pixels.astype(np.float64)).T
        x, y = undistort(self._lens, across, down)
        ahead = np.ones_like(x)
        if self.model == "equidistant":
            angle = np.hypot(x, y)
            stretch = np.sinc(angle / np.pi)  # sin(angle) / angle
            x, y, ahead = x * stretch, y * stretch, np.cos(angle)
        rays = np.stack([x, y, ahead], axis=1)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        return rays.astype(pixels.dtype if pixels.dtype.kind == "f" else np.float64)

    def _check_fold(self) -> None:
        """Refuse a distortion under which most of the image looks nowhere."""
        grid = np.stack(np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 9)), axis=-1)
        rays = self.rays(grid.reshape(-1, 2) * (self.width, self.height))
        seen = np.isfinite(rays).all(axis=1).mean()
        if seen < 0.5 and not self.distortion.any():
            raise CalibrationError(
                f"camera_matrix has the focal lengths {self.matrix[0, 0]:g}, "
                f"{self.matrix[1, 1]:g}: expected pixels, much more for an image of {self.width}x"
                f"{self.height}; normalised ones are to be multiplied by its size"
            )
        if seen < 0.5:
            raise CalibrationError(
                f"distortion_coefficients are {self.distortion.tolist()}: they fold the picture "
                f"over, only {seen:.0%} of it looks anywhere; expected those of a lens"
            )

    def _fall(self, points: Points) -> tuple[Points, Points]:
        """Let points fall on the ideal plane; NaN where they do not."""
        x, y, z = points[:, 0], points[:, 1], points[:, 2]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.model == "equidistant":
                radius = np.sqrt(x * x + y * y)
                stretch = np.arctan2(radius, z) / radius
                # On the axis the direction does not matter, as long as it is a number.
                stretch = np.where(radius > 0, stretch, np.where(z > 0, 1, np.nan))
            else:
                stretch = np.where(z > 0, 1 / z, np.nan)
            stretch = stretch.astype(points.dtype, copy=False)
            return x * stretch, y * stretch

    def _on_plane(self, pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Take the camera matrix back."""
        scale = np.array([self.matrix[0, 0], self.matrix[1, 1]])
        return np.asarray((pixels - self.matrix[:2, 2]) / scale)


def shift_px(camera: Camera, other: Camera) -> float:
    """Return how far another camera shows things from where this one does, at the most.

    Args:
        camera: the one whose directions are compared, over its whole picture.
        other: of the same scene from the same place.

    Returns:
        Pixels; infinity where the size or model differs, or one of the two sees what the other
        does not.
    """
    if (camera.width, camera.height, camera.model) != (other.width, other.height, other.model):
        return float("inf")
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 9)), axis=-1)
    pixels = grid.reshape(-1, 2) * (camera.width, camera.height)
    rays = camera.rays(pixels)
    seen = np.isfinite(rays).all(axis=1)
    there = other.project(rays[seen])
    if not np.isfinite(there).all() or (seen != np.isfinite(other.rays(pixels)).all(axis=1)).any():
        return float("inf")
    return float(np.abs(there - pixels[seen]).max(initial=0.0))


def _check_size(width: int, height: int) -> None:
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise CalibrationError(
            f"image size is {width}x{height}: expected 1 to {MAX_SIDE} on each side"
        )


def _check_matrix(matrix: npt.NDArray[np.float64]) -> None:
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise CalibrationError(
            f"camera_matrix is {quote(matrix.tolist(), 200)}: expected 3x3 finite numbers"
        )
    if not matrix[:2, 2].any() and matrix[2, :2].any():
        raise CalibrationError(
            f"camera_matrix is {matrix.tolist()}: it is transposed, expected fx 0 cx / 0 fy cy / "
            "0 0 1, row by row"
        )
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise CalibrationError(
            f"camera_matrix has the focal lengths {matrix[0, 0]:g}, {matrix[1, 1]:g}: expected "
            "positive ones; zeros mean a camera that was never calibrated"
        )
    low, high = _FOCAL_LENGTHS
    if not all(low <= length <= high for length in (matrix[0, 0], matrix[1, 1])):
        raise CalibrationError(
            f"camera_matrix has the focal lengths {matrix[0, 0]:g}, {matrix[1, 1]:g}: expected "
            f"pixels, {low:g} to {high:g}"
        )
    zeros = (matrix[0, 1], matrix[1, 0], matrix[2, 0], matrix[2, 1])
    if max(map(abs, zeros)) > _ROUNDING or not abs(matrix[2, 2] - 1.0) <= _ROUNDING:
        raise CalibrationError(
            f"camera_matrix is {matrix.tolist()}: expected fx 0 cx / 0 fy cy / 0 0 1"
        )


def _check_distortion(model: str, distortion: npt.NDArray[np.float64]) -> None:
    if model not in COEFFICIENTS:
        known = ", ".join([*COEFFICIENTS, *ALIASES])
        raise CalibrationError(f"distortion_model is '{quote(model)}': expected one of {known}")
    if distortion.ndim != 1 or distortion.size not in COEFFICIENTS[model]:
        counts = " or ".join(map(str, COEFFICIENTS[model]))
        raise CalibrationError(
            f"distortion_coefficients has {distortion.size} numbers: {model} has {counts}"
        )
    if not (np.abs(distortion) <= LARGEST_COEFFICIENT).all():  # NaN fails this too
        raise CalibrationError(
            f"distortion_coefficients are {distortion.tolist()}: expected finite numbers of at "
            f"most {LARGEST_COEFFICIENT:g}"
        )
    if distortion[12:].any():
        raise CalibrationError(
            f"distortion_coefficients tilt the sensor by {distortion[12:].tolist()}: expected 0, "
            "a tilted sensor is not supported"
        )
