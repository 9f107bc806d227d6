"""Where frames are to each other, as ``/tf_static`` says: a rigid rig does not need more of tf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.geometry.extrinsics import (
    FARTHEST_M,
    Transform,
    invert,
    pose_from_quaternion,
)

MOST_FRAMES = 10_000
"""More frames than any robot has: what comes beyond is refused."""

_MOST_STEPS = 200
_TOLERANCE = 1e-3


class FrameTree:
    """The static transforms that have come so far. A frame has one parent: the newest counts."""

    def __init__(self) -> None:
        self._parents: Mapping[str, tuple[str, Transform]] = {}

    def take(self, message: Any) -> bool:
        """Take a ``tf2_msgs/TFMessage``.

        Returns:
            Whether it said anything new.

        Raises:
            CalibrationError: a transform of it is none; the sound ones are taken all the same.
        """
        parents, wrong, changed = dict(self._parents), "", False
        for stamped in message.transforms:
            child, parent = _name(stamped.child_frame_id), _name(stamped.header.frame_id)
            try:
                transform = _transform(stamped, parent, child)
            except CalibrationError as error:
                wrong = wrong or str(error)
                continue
            known = parents.get(child)
            if known is None and len(parents) >= MOST_FRAMES:
                wrong = wrong or f"there are more than {MOST_FRAMES} frames"
            elif known is None or known[0] != parent or not np.array_equal(known[1], transform):
                parents[child] = parent, transform
                changed = True
        self._parents = parents  # in one piece: other threads look meanwhile
        if wrong:
            raise CalibrationError(wrong)
        return changed

    def pose(self, frame: str, inside: str) -> Transform:
        """Return the pose of a frame in another one, or raise why there is none.

        Raises:
            LookupError: in words.
        """
        up_frame, up_inside = self._up(_name(frame)), self._up(_name(inside))
        common = next((name for name in up_inside if name in up_frame), None)
        if common is None:
            missing = [n for n, up in ((frame, up_frame), (inside, up_inside)) if len(up) == 1]
            why = f"does not name {quote(missing[0])}" if missing else "does not connect them"
            asked = f"the pose of {quote(frame)} in {quote(inside)}"
            raise LookupError(f"{asked} is unknown: /tf_static {why}")
        return np.asarray(invert(up_inside[common]) @ up_frame[common])

    def _up(self, frame: str) -> dict[str, Transform]:
        """Return the frame's pose in each of its ancestors, itself first."""
        found, at = {frame: np.eye(4)}, frame
        while (step := self._parents.get(at)) and step[0] not in found and len(found) < _MOST_STEPS:
            found[step[0]] = step[1] @ found[at]
            at = step[0]
        return found


def _name(frame: Any) -> str:
    return str(frame).lstrip("/")


def _transform(stamped: Any, parent: str, child: str) -> Transform:
    where = f"the transform from {quote(parent)} to {quote(child)}"
    moved, turned = stamped.transform.translation, stamped.transform.rotation
    numbers = np.array(
        [moved.x, moved.y, moved.z, turned.x, turned.y, turned.z, turned.w], np.float64
    )
    if not parent or not child or parent == child:
        raise CalibrationError(f"{where} does not connect two frames")
    if not np.isfinite(numbers).all() or np.abs(numbers[:3]).max() > FARTHEST_M:
        raise CalibrationError(f"{where} is {quote(str(numbers.tolist()), 200)}: expected metres")
    length = float(np.linalg.norm(numbers[3:]))
    if abs(length - 1) > _TOLERANCE:
        raise CalibrationError(f"{where} has a quaternion of length {length:.4g}: expected 1")
    return pose_from_quaternion(numbers[:3], numbers[3:] / length)
