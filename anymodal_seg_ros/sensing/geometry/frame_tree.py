"""Where frames are to each other, as ``/tf_static`` says: a rigid rig does not need more of tf."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.decoding.payload import OTHER_TYPES, other_types
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.geometry.extrinsics import (
    FARTHEST_M,
    Transform,
    invert,
    pose_from_quaternion,
)

MOST_FRAMES = 10_000
"""More frames than any robot has: what comes beyond is refused."""

MOST_AT_ONCE = 1000
"""Transforms of a message that are looked at; robots with hands have a few hundred."""

LONGEST_NAME = 256
"""Characters of a frame's name: all names are kept."""

_MOST_STEPS = 200
_TOLERANCE = 1e-3


class FrameTree:
    """The static transforms that have come so far. A frame has one parent: the newest counts."""

    def __init__(self) -> None:
        self._parents: Mapping[str, tuple[str, Transform]] = {}
        self._refused: dict[str, str] = {}
        """Why the place of a frame is unknown although somebody has told one."""

    def take(self, message: Any) -> bool:
        """Take a ``tf2_msgs/TFMessage``.

        Returns:
            Whether it said anything new.

        Raises:
            CalibrationError: a transform of it is none; the sound ones are taken all the same.
        """
        parents, wrong, changed = dict(self._parents), "", False
        for stamped in _transforms(message):
            child = ""
            try:
                child = _bounded_name(stamped.child_frame_id)
                parent = _bounded_name(stamped.header.frame_id)
                transform = _transform(stamped, parent, child)
            except OTHER_TYPES as error:
                wrong = wrong or other_types(message, error)
                continue
            except CalibrationError as error:
                wrong = wrong or str(error)
                if child and len(self._refused) < MOST_FRAMES:
                    self._refused[child] = str(error)
                continue
            self._refused.pop(child, None)
            known = parents.get(child)
            if known is None and len(parents) >= MOST_FRAMES:
                wrong = wrong or f"there are more than {MOST_FRAMES} frames"
            elif known is None or known[0] != parent or not np.array_equal(known[1], transform):
                parents[child] = parent, transform
                changed = True
        self._parents = parents  # in one piece: other threads look meanwhile
        if (count := len(message.transforms)) > MOST_AT_ONCE:
            wrong = wrong or f"it has {count} transforms: expected at most {MOST_AT_ONCE} at once"
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
            ends = [next(reversed(up)) for up in (up_frame, up_inside)]
            refused = [self._refused[end] for end in ends if end in self._refused]
            why = f"does not name {quote(missing[0])}" if missing else "does not connect them"
            asked = f"the pose of {quote(frame)} in {quote(inside)}"
            why = f"of /tf_static, {refused[0]}" if refused else f"/tf_static {why}"
            raise LookupError(f"{asked} is unknown: {why}")
        return np.asarray(invert(up_inside[common]) @ up_frame[common])

    def _up(self, frame: str) -> dict[str, Transform]:
        """Return the frame's pose in each of its ancestors, itself first."""
        found, at = {frame: np.eye(4)}, frame
        while (step := self._parents.get(at)) and step[0] not in found and len(found) < _MOST_STEPS:
            found[step[0]] = step[1] @ found[at]
            at = step[0]
        return found


def _transforms(message: Any) -> Sequence[Any]:
    try:
        found: Sequence[Any] = message.transforms[:MOST_AT_ONCE]
    except OTHER_TYPES as error:
        raise CalibrationError(other_types(message, error)) from error
    return found


def _name(frame: Any) -> str:
    return str(frame).lstrip("/")


def _bounded_name(frame: Any) -> str:
    name = _name(frame)
    if len(name) > LONGEST_NAME:
        raise CalibrationError(
            f"the frame {quote(name)} has a name of {len(name)} characters: expected at most "
            f"{LONGEST_NAME}"
        )
    return name


def _transform(stamped: Any, parent: str, child: str) -> Transform:
    moved, turned = stamped.transform.translation, stamped.transform.rotation
    place = [float(number) for number in (moved.x, moved.y, moved.z)]
    turn = [float(number) for number in (turned.x, turned.y, turned.z, turned.w)]
    length = math.hypot(*turn)  # unlike a sum of squares, of any numbers
    if not parent or not child or parent == child:
        wrong = "does not connect two frames"
    elif not all(map(math.isfinite, (*place, *turn))) or max(map(abs, place)) > FARTHEST_M:
        wrong = f"is {quote(str([*place, *turn]), 200)}: expected metres"
    elif abs(length - 1) > _TOLERANCE:
        wrong = f"has a quaternion of length {length:.4g}: expected 1"
    else:
        return pose_from_quaternion(np.array(place), np.array(turn) / length)
    raise CalibrationError(f"the transform from {quote(parent)} to {quote(child)} {wrong}")
