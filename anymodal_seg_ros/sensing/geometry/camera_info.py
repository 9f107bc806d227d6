"""``sensor_msgs/CameraInfo`` to a camera, by duck typing, checked."""

from __future__ import annotations

import re
import reprlib
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.geometry.cameras import (
    ALIASES,
    COEFFICIENTS,
    CalibrationError,
    Camera,
)
from anymodal_seg_ros.sensing.geometry.extrinsics import rigid

_LONGEST_NAME = 60

_PINHOLES = (
    "",
    "none",
    "pinhole",
    "perspective",
    "plumb_bob",
    "rational_polynomial",
    "inverse_brown_conrady",
    "modified_brown_conrady",
)
"""Names of models that are no model where all coefficients are zero."""

_MOST_NUMBERS = 32
"""Longest list of numbers that is read; the longest that means anything is 14 long."""


def camera_from_info(message: Any, rectified: bool = False) -> Camera:
    """Return the camera that a ``sensor_msgs/CameraInfo`` describes.

    Args:
        message: from rclpy or rosbags; the upper-case names of ROS 1 (``K``, ``D``) serve as well.
        rectified: whether the camera's images are rectified. Then ``p`` holds for them, no
            distortion, and nothing else is looked at; otherwise ``k`` and ``d``. Binning and region
            of interest are applied.

    Raises:
        CalibrationError: the message contradicts itself, or the camera was never calibrated.
    """
    width, height = (whole(_either(message, name), name) for name in ("width", "height"))
    camera = _flat(message, width, height) if rectified else _raw(message, width, height)
    check_principal_point(camera, "projection_matrix" if rectified else "camera_matrix")
    return _cut(camera, message)


def _raw(message: Any, width: int, height: int) -> Camera:
    """Return the camera of images as the sensor took them: ``k``, ``d`` and a sound ``r``."""
    matrix = numbers(_either(message, "k"), 9, "camera_matrix").reshape(3, 3)
    if not matrix.any():
        flat = np.any(numbers(_either(message, "p", ()), None, "projection_matrix"))
        mend = "; its projection_matrix is not: set 'rectified' to true if the images are"
        raise CalibrationError(
            f"camera_matrix is all zeros: the camera was never calibrated{mend if flat else ''}"
        )
    turn = numbers(_either(message, "r", np.zeros(9)), 9, "rectification_matrix")
    if turn.any():  # all zeros: nobody filled it in
        upright = np.eye(4)
        upright[:3, :3] = turn.reshape(3, 3)
        rigid(upright, "rectification_matrix")
    coefficients = numbers(_either(message, "d"), None, "distortion_coefficients")
    model, distortion = distortion_of(_either(message, "distortion_model"), coefficients)
    return Camera(width, height, matrix, model, distortion)


def _flat(message: Any, width: int, height: int) -> Camera:
    """Return the camera of rectified images: all that counts is ``p``.

    What the lens once did is of no interest here, and drivers of rectified images leave ``k`` at
    zero or send ``d`` in forms of their own.
    """
    projection = numbers(_either(message, "p", ()), 12, "projection_matrix").reshape(3, 4)
    if not projection.any():
        raise CalibrationError(
            "projection_matrix is all zeros: expected that of rectified images; if they are raw, "
            "leave 'rectified' at false"
        )
    try:
        return Camera(width, height, np.ascontiguousarray(projection[:, :3]))
    except CalibrationError as error:
        said = str(error).replace("camera_matrix", "projection_matrix")
        raise CalibrationError(said) from error


def distortion_of(
    model: Any, coefficients: npt.NDArray[np.float64]
) -> tuple[str, npt.NDArray[np.float64]]:
    """Bring a model's name and coefficients to the forms that a :class:`Camera` takes.

    OpenCV has one order of coefficients for ``plumb_bob`` and ``rational_polynomial`` and tells the
    two apart by their number alone; drivers send either name with either number, or none at all. A
    fisheye's coefficients are sometimes followed by zeros. Names are written in many ways.

    Args:
        model: as it is called in the message or file.
        coefficients: float64 ``[n]``.

    Raises:
        CalibrationError: the model is no text.
    """
    if not isinstance(model, str):
        raise CalibrationError(f"distortion_model is {shown(model)}: expected a name")
    plain = "_".join(re.split(r"[\s_-]+", model[:_LONGEST_NAME].strip().lower()))
    plain = ALIASES.get(plain, plain)
    if not coefficients.any() and plain in _PINHOLES:
        return "plumb_bob", np.empty(0)  # simulators name no model
    if plain == "" and coefficients.size in (5, 8, 12, 14):  # four may be those of a fisheye
        plain = "plumb_bob"
    model = plain if plain in COEFFICIENTS else model
    if model in ("plumb_bob", "rational_polynomial") and coefficients.size in (4, 5, 8, 12, 14):
        if not coefficients[5:].any():
            return "plumb_bob", coefficients[:5]
        return "rational_polynomial", coefficients
    if model == "equidistant" and not coefficients[4:].any():
        return model, coefficients[:4]
    return model, coefficients


def check_principal_point(camera: Camera, where: str = "camera_matrix") -> None:
    """Refuse a matrix that belongs to another image size: its centre is outside the picture.

    Args:
        camera: whose matrix it is.
        where: names the matrix in the error.

    Raises:
        CalibrationError: it is.
    """
    cx, cy = camera.matrix[:2, 2]
    if not (0 < cx < camera.width and 0 < cy < camera.height):
        raise CalibrationError(
            f"{where} has its centre at {cx:g}, {cy:g}, outside the {camera.width}x"
            f"{camera.height} image: the matrix belongs to another image size"
        )


def _cut(camera: Camera, message: Any) -> Camera:
    """Apply binning and region of interest: CameraInfo describes the full sensor."""
    roi = getattr(message, "roi", None)
    left, top, width, height = (
        whole(getattr(roi, name, 0), f"roi.{name}")
        for name in ("x_offset", "y_offset", "width", "height")
    )
    width, height = width or camera.width - left, height or camera.height - top
    across, down = (
        max(whole(getattr(message, name, 0), name), 1) for name in ("binning_x", "binning_y")
    )
    if (width, height, across, down) == (camera.width, camera.height, 1, 1):
        return camera
    inside = left + width <= camera.width and top + height <= camera.height
    if min(left, top) < 0 or min(width, height) < 1 or not inside:
        raise CalibrationError(
            f"roi is {width}x{height} at {left}, {top}: expected it within the {camera.width}x"
            f"{camera.height} image"
        )
    matrix = camera.matrix.copy()
    matrix[:2, 2] -= (left, top)
    # A binned pixel has its centre between those that it was made of.
    matrix[:2, 2] = (matrix[:2, 2] + 0.5) / (across, down) - 0.5
    matrix[0, 0] /= across
    matrix[1, 1] /= down
    cut = (width, height) != (camera.width, camera.height)
    return Camera(
        width // across,
        height // down,
        matrix,
        camera.model,
        camera.distortion,
        cut_from=(camera.width // across, camera.height // down) if cut else None,
    )


def _either(message: Any, name: str, *default: Any) -> Any:
    """Return a field by its ROS 2 name or, in upper case, its ROS 1 name."""
    for spelling in (name, name.upper()):
        if hasattr(message, spelling):
            return getattr(message, spelling)
    if default:
        return default[0]
    raise CalibrationError(f"{name} is missing: expected the fields of a CameraInfo message")


def whole(value: Any, where: str) -> int:
    """Check a whole number, Python's or NumPy's.

    Raises:
        CalibrationError: naming ``where`` and the value.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise CalibrationError(f"{where} is {shown(value)}: expected a whole number")
    if abs(int(value)) >= 1 << 32:
        raise CalibrationError(f"{where} is beyond 32 bits: expected a count of pixels")
    return int(value)


def numbers(values: Any, count: int | None, where: str) -> npt.NDArray[np.float64]:
    """Check a list of finite numbers and, if ``count`` is given, its length.

    Raises:
        CalibrationError: naming ``where``, the value and what was expected.
    """
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise CalibrationError(f"{where} is {shown(values)}: expected a list of numbers")
    if len(values) > _MOST_NUMBERS:
        wanted = f"at most {_MOST_NUMBERS}" if count is None else str(count)
        raise CalibrationError(f"{where} has {len(values)} numbers: expected {wanted}")
    found = np.array([_number(item, f"{where}[{n}]") for n, item in enumerate(values)], np.float64)
    if count is not None and found.size != count:
        raise CalibrationError(f"{where} has {found.size} numbers: expected {count}")
    if not np.isfinite(found).all():
        raise CalibrationError(f"{where} is {found.tolist()}: expected finite numbers")
    return found


def _number(item: Any, where: str) -> float:
    try:
        if isinstance(item, (int, float, str, np.number)) and not isinstance(item, bool):
            return float(item)  # PyYAML takes 1e-05 for a text
    except (ValueError, TypeError, OverflowError):  # no number, a complex one, a huge whole one
        pass
    full_width = isinstance(item, str) and "，" in item
    comma = " (it holds a full-width comma)" if full_width else ""
    raise CalibrationError(f"{where} is {shown(item)}: expected a number{comma}")


def shown(value: Any) -> str:
    """Return a value of any kind as it may be shown, in bounded time however it is nested."""
    try:
        return quote(reprlib.repr(value), 100)
    except Exception:  # a whole number of more digits than Python prints
        return f"a {type(value).__name__}"
