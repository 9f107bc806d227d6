"""Where sensors sit: rigid transforms, checked.

``a_from_b`` is a float64 ``[4, 4]`` matrix that takes points from frame b to frame a. It is also
the pose of b in a, as in tf with a as the parent and b as the child.
"""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.geometry.lenses import Points

Transform = npt.NDArray[np.float64]

_TOLERANCE = 1e-3
"""How far a rotation may be off: files often hold four digits."""

FARTHEST_M = 1e4
"""Largest distance between two sensors of a rig that is believed, in metres."""


def pose_from_text(text: str, where: str) -> Transform:
    """Read a pose as people write it.

    Args:
        text: seven numbers ``x y z qx qy qz qw``, or the twelve of a matrix ``[R t]`` row by row;
            metres, separated by blanks or commas.
        where: what the pose is called, for error messages.

    Raises:
        CalibrationError: there are not so many numbers, or they are no rigid transform.
    """
    numbers = numbers_from_text(text, where)
    if numbers.size == 12:
        return rigid(np.vstack([numbers.reshape(3, 4), [0, 0, 0, 1]]), where)
    if numbers.size != 7:
        raise CalibrationError(
            f"{where} has {numbers.size} numbers: expected 7 (x y z qx qy qz qw), or the 12 of a "
            "matrix [R t], row by row"
        )
    length = math.hypot(*numbers[3:])  # unlike a sum of squares, of any numbers
    if abs(length - 1) > _TOLERANCE:
        raise CalibrationError(
            f"{where} has a quaternion of length {length:.4g}: expected 1, in the order qx qy qz qw"
        )
    return rigid(pose_from_quaternion(numbers[:3], numbers[3:] / length), where)


def numbers_from_text(text: str, where: str) -> npt.NDArray[np.float64]:
    """Read finite numbers that stand between blanks or commas.

    Raises:
        CalibrationError: one of them is no finite number.
    """
    values = []
    for word in text.replace(",", " ").split():
        try:
            values.append(float(word))
        except ValueError as error:
            raise CalibrationError(f"{where} holds '{quote(word)}': expected numbers") from error
    if not np.isfinite(values).all():
        raise CalibrationError(f"{where} is '{quote(text, 200)}': expected finite numbers")
    return np.array(values, np.float64)


def pose_from_quaternion(position: Points, quaternion: Points) -> Transform:
    """Return the transform of a position ``[3]`` and a unit quaternion ``[4]`` (x, y, z, w)."""
    x, y, z, w = map(float, quaternion)
    made = np.eye(4)
    made[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    made[:3, 3] = position
    return made


def rigid(matrix: Any, where: str) -> Transform:
    """Check that a matrix is a rotation and a translation.

    Args:
        matrix: anything that should be ``[4, 4]`` numbers.
        where: what it is called, for error messages.

    Raises:
        CalibrationError: it is not, and how.
    """
    # The shape is looked at first: a small file can describe lists that no memory holds.
    rows = matrix if isinstance(matrix, (list, tuple, np.ndarray)) and len(matrix) <= 4 else ()
    try:
        checked = np.array([[float(number) for number in row[:5]] for row in rows], np.float64)
    except (TypeError, ValueError, OverflowError, IndexError) as error:
        shown = quote(reprlib.repr(matrix), 200)
        raise CalibrationError(f"{where} is {shown}: expected 4x4 numbers") from error
    if checked.shape != (4, 4) or not np.isfinite(checked).all():
        shown = quote(reprlib.repr(matrix), 200)
        raise CalibrationError(f"{where} is {shown}: expected 4x4 finite numbers")
    if not np.allclose(checked[3], (0, 0, 0, 1), atol=1e-9):
        mend = "it is transposed" if not checked[:3, 3].any() else "expected 0 0 0 1"
        raise CalibrationError(f"{where} has the last row {checked[3].tolist()}: {mend}")
    rotation = checked[:3, :3]
    with np.errstate(over="ignore", invalid="ignore"):
        off = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if not off <= _TOLERANCE:  # NaN fails this too
        raise CalibrationError(
            f"{where} is no rotation: its axes are off by {off:.2g} from right angles and unit "
            f"length, expected at most {_TOLERANCE:g}"
        )
    if np.linalg.det(rotation) < 0:
        raise CalibrationError(
            f"{where} mirrors: its determinant is -1, expected 1; an axis has the wrong sign"
        )
    if np.abs(checked[:3, 3]).max() > FARTHEST_M:
        raise CalibrationError(
            f"{where} is at {checked[:3, 3].tolist()}: expected metres, at most {FARTHEST_M:g}"
        )
    return checked


def invert(a_from_b: Transform) -> Transform:
    """Return ``b_from_a``."""
    inverse = np.eye(4)
    inverse[:3, :3] = a_from_b[:3, :3].T
    inverse[:3, 3] = -a_from_b[:3, :3].T @ a_from_b[:3, 3]
    return inverse


def move(a_from_b: Transform, points: Points) -> Points:
    """Take points ``[N, 3]`` from b to a, in their own floating type."""
    matrix = a_from_b.astype(points.dtype)
    moved = matrix[:3, :3] @ points.T  # each coordinate in one piece
    moved += matrix[:3, 3:]
    return np.asarray(moved.T)
