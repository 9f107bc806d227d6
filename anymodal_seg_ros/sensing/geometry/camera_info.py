"""``sensor_msgs/CameraInfo`` to a camera, by duck typing, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.geometry.cameras import ALIASES, CalibrationError, Camera
from anymodal_seg_ros.sensing.geometry.extrinsics import rigid


def camera_from_info(message: Any, rectified: bool = False) -> Camera:
    """Return the camera that a ``sensor_msgs/CameraInfo`` describes.

    Args:
        message: from rclpy or rosbags; the upper-case names of ROS 1 (``K``, ``D``) serve as well.
        rectified: whether the camera's images are rectified. Then ``p`` holds for them, and no
            distortion; otherwise ``k`` and ``d``. Binning and region of interest are applied.

    Raises:
        CalibrationError: the message contradicts itself, or the camera was never calibrated.
    """
    width, height = whole(message.width, "width"), whole(message.height, "height")
    matrix = numbers(_either(message, "k"), 9, "camera_matrix").reshape(3, 3)
    if not matrix.any():
        raise CalibrationError("camera_matrix is all zeros: the camera was never calibrated")
    distortion = numbers(_either(message, "d"), None, "distortion_coefficients")
    model = str(message.distortion_model)
    model = ALIASES.get(model, model)
    if not distortion.any() and model in ("", "none", "plumb_bob"):
        model, distortion = "plumb_bob", np.empty(0)  # simulators name no model
    turn = numbers(_either(message, "r", np.zeros(9)), 9, "rectification_matrix")
    if turn.any():  # all zeros: nobody filled it in
        upright = np.eye(4)
        upright[:3, :3] = turn.reshape(3, 3)
        rigid(upright, "rectification_matrix")
    camera = Camera(width, height, matrix, model, distortion)
    if rectified:
        projection = numbers(_either(message, "p", ()), 12, "projection_matrix").reshape(3, 4)
        camera = Camera(width, height, np.ascontiguousarray(projection[:, :3]))
    check_principal_point(camera)
    return _cut(camera, message)


def check_principal_point(camera: Camera) -> None:
    """Refuse a matrix that belongs to another image size: its centre is outside the picture.

    Raises:
        CalibrationError: it is.
    """
    cx, cy = camera.matrix[:2, 2]
    if not (0 < cx < camera.width and 0 < cy < camera.height):
        raise CalibrationError(
            f"camera_matrix has its centre at {cx:g}, {cy:g}, outside the {camera.width}x"
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
    if min(left, top) < 0 or left + width > camera.width or top + height > camera.height:
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
    return Camera(width // across, height // down, matrix, camera.model, camera.distortion)


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
        raise CalibrationError(f"{where} is {value!r}: expected a whole number")
    return int(value)


def numbers(values: Any, count: int | None, where: str) -> npt.NDArray[np.float64]:
    """Check a list of finite numbers and, if ``count`` is given, its length.

    Raises:
        CalibrationError: naming ``where``, the value and what was expected.
    """
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise CalibrationError(f"{where} is {values!r}: expected a list of numbers")
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
    except ValueError:
        pass
    comma = " (it holds a full-width comma)" if "，" in str(item) else ""
    raise CalibrationError(f"{where} is {item!r}: expected a number{comma}")
