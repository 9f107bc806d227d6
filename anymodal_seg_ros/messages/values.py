"""What a message holds, once for every place that makes one.

A :class:`Message` knows its type and its fields: numbers, text, NumPy arrays, messages and lists of
them. A back end turns it into the class of rclpy or of rosbags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.messages.definitions import EVENT_PACKET
from anymodal_seg_ros.sensing.events.values import Events

IMAGE: Final = "sensor_msgs/msg/Image"
CAMERA_INFO: Final = "sensor_msgs/msg/CameraInfo"
POINT_CLOUD: Final = "sensor_msgs/msg/PointCloud2"
TF: Final = "tf2_msgs/msg/TFMessage"

_SECOND_NS = 1_000_000_000
_DATATYPES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
"""Numbers of sensor_msgs/PointField by NumPy's names."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of ROS that is not yet of any library.

    Attributes:
        type: e.g. ``sensor_msgs/msg/Image``.
        fields: every field that is not to stay at its default, by name.
    """

    type: str
    fields: Mapping[str, Any]


class Placed(Protocol):
    """Where a frame is in another: metres, and a unit quaternion x, y, z, w."""

    @property
    def parent(self) -> str: ...  # noqa: D102
    @property
    def child(self) -> str: ...  # noqa: D102
    @property
    def translation(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def quaternion(self) -> tuple[float, ...]: ...  # noqa: D102


def time(time_ns: int) -> Message:
    """Return a ``builtin_interfaces/Time`` of nanoseconds since the epoch."""
    sec, nanosec = divmod(time_ns, _SECOND_NS)
    return Message("builtin_interfaces/msg/Time", {"sec": sec, "nanosec": nanosec})


def header(stamp_ns: int, frame_id: str) -> Message:
    """Return a ``std_msgs/Header``; ``stamp_ns`` in nanoseconds since the epoch."""
    return Message("std_msgs/msg/Header", {"stamp": time(stamp_ns), "frame_id": frame_id})


def image(pixels: npt.NDArray[Any], encoding: str, stamp_ns: int, frame_id: str) -> Message:
    """Return a ``sensor_msgs/Image``, little-endian, its rows without padding.

    Args:
        pixels: ``[H, W]`` or ``[H, W, C]`` in the dtype of the encoding.
        encoding: a sensor_msgs encoding, e.g. ``rgb8``.
        stamp_ns: header stamp, nanoseconds since the epoch.
        frame_id: coordinate frame of the camera.
    """
    rows = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    fields = {
        "header": header(stamp_ns, frame_id),
        "height": rows.shape[0],
        "width": rows.shape[1],
        "encoding": encoding,
        "is_bigendian": 0,
        "step": rows.nbytes // rows.shape[0],
        "data": rows.reshape(-1).view(np.uint8),
    }
    return Message(IMAGE, fields)


def camera_info(
    width: int, height: int, matrix: npt.NDArray[np.float64], stamp_ns: int, frame_id: str
) -> Message:
    """Return a ``sensor_msgs/CameraInfo`` of a pinhole without distortion.

    Args:
        width: of its images, in pixels.
        height: likewise.
        matrix: ``[3, 3]``, focal lengths and principal point in pixels.
        stamp_ns: header stamp, nanoseconds since the epoch.
        frame_id: coordinate frame of the camera.
    """
    region = {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False}
    fields = {
        "header": header(stamp_ns, frame_id),
        "height": height,
        "width": width,
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": matrix.ravel(),
        "r": np.eye(3).ravel(),
        "p": np.hstack([matrix, np.zeros((3, 1))]).ravel(),
        "binning_x": 0,
        "binning_y": 0,
        "roi": Message("sensor_msgs/msg/RegionOfInterest", region),
    }
    return Message(CAMERA_INFO, fields)


def transform(placed: Placed, stamp_ns: int) -> Message:
    """Return a ``geometry_msgs/TransformStamped`` that places a frame in its parent."""
    translation = dict(zip("xyz", placed.translation, strict=True))
    rotation = dict(zip("xyzw", placed.quaternion, strict=True))
    parts = {
        "translation": Message("geometry_msgs/msg/Vector3", translation),
        "rotation": Message("geometry_msgs/msg/Quaternion", rotation),
    }
    fields = {
        "header": header(stamp_ns, placed.parent),
        "child_frame_id": placed.child,
        "transform": Message("geometry_msgs/msg/Transform", parts),
    }
    return Message("geometry_msgs/msg/TransformStamped", fields)


def tf(placements: Iterable[Placed], stamp_ns: int) -> Message:
    """Return a ``tf2_msgs/TFMessage`` that places frames in their parents."""
    return Message(TF, {"transforms": [transform(placed, stamp_ns) for placed in placements]})


def point_cloud(points: npt.NDArray[np.void], stamp_ns: int, frame_id: str) -> Message:
    """Return a ``sensor_msgs/PointCloud2`` of points as they lie in memory.

    Args:
        points: a structured array ``[n]``, little-endian.
        stamp_ns: header stamp, nanoseconds since the epoch.
        frame_id: coordinate frame of the LiDAR.
    """
    described = points.dtype.fields
    assert described is not None
    kinds = {name: (part.str[1:], offset) for name, (part, offset, *_) in described.items()}
    parts = [
        {"name": name, "offset": offset, "datatype": _DATATYPES[kind], "count": 1}
        for name, (kind, offset) in kinds.items()
    ]
    fields = {
        "header": header(stamp_ns, frame_id),
        "height": 1,
        "width": len(points),
        "fields": [Message("sensor_msgs/msg/PointField", part) for part in parts],
        "is_bigendian": False,
        "point_step": points.dtype.itemsize,
        "row_step": points.nbytes,
        "data": np.frombuffer(points.tobytes(), np.uint8),
        "is_dense": True,
    }
    return Message(POINT_CLOUD, fields)


def event_packet(
    events: Events,
    size: tuple[int, int],
    first_ns: int,
    stamp_ns: int,
    sequence: int,
    frame_id: str,
) -> Message:
    """Encode events as ``mono``: 8 bytes each, of dt in ns (32 bits), x (16), y (15), polarity.

    Args:
        events: in order of time.
        size: height and width of the sensor.
        first_ns: the moment that the packet begins with, on the clock of the events.
        stamp_ns: the same moment in nanoseconds since the epoch: header stamp and time base.
        sequence: counts the packets.
        frame_id: of the sensor.
    """
    words = (events.time_ns - first_ns).astype(np.uint64)
    words |= np.asarray(events.x).astype(np.uint64) << np.uint64(32)
    words |= np.asarray(events.y).astype(np.uint64) << np.uint64(48)
    words |= events.on.astype(np.uint64) << np.uint64(63)
    fields = {
        "header": header(stamp_ns, frame_id),
        "height": size[0],
        "width": size[1],
        "seq": sequence,
        "time_base": stamp_ns,
        "encoding": "mono",
        "is_bigendian": False,
        "events": words.astype("<u8").view(np.uint8),
    }
    return Message(EVENT_PACKET, fields)
