"""Messages of the simulated rig, made of the types that bags are written with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.typesys import get_types_from_msg

from anymodal_seg_ros.evaluation.bag_writer import TYPES, header
from anymodal_seg_ros.sensing.events.values import Events
from anymodal_seg_ros.simulation.camera import Camera
from anymodal_seg_ros.simulation.placements import Placement

CAMERA_INFO: Final = "sensor_msgs/msg/CameraInfo"
POINT_CLOUD: Final = "sensor_msgs/msg/PointCloud2"
TF: Final = "tf2_msgs/msg/TFMessage"
EVENT_PACKET: Final = "event_camera_msgs/msg/EventPacket"

_EVENT_PACKET_FIELDS = """
std_msgs/Header header
uint32 height
uint32 width
uint64 seq
uint64 time_base
string encoding
bool is_bigendian
uint8[] events
"""
if EVENT_PACKET not in TYPES.types:
    TYPES.register(get_types_from_msg(_EVENT_PACKET_FIELDS, EVENT_PACKET))

_DATATYPES = {"u1": 2, "u2": 4, "f4": 7}
"""Numbers of sensor_msgs/PointField by NumPy's names."""

_FOREVER = QosTime(2147483647, 4294967295)
LATCHED = (
    Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL,
        _FOREVER,
        _FOREVER,
        QosLiveliness.AUTOMATIC,
        _FOREVER,
        False,
    ),
)
"""As /tf_static is offered: who comes late gets it too."""


def camera_info(camera: Camera, stamp_ns: int, frame_id: str) -> Any:
    """Describe a pinhole without distortion exactly."""
    size, k = camera.intrinsics, camera.intrinsics.matrix
    return TYPES.types[CAMERA_INFO](
        header=header(stamp_ns, frame_id),
        height=size.height,
        width=size.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([k, np.zeros((3, 1))]).ravel(),
        binning_x=0,
        binning_y=0,
        roi=TYPES.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
    )


def tf_message(placements: Iterable[Placement], stamp_ns: int) -> Any:
    """Place frames in their parents."""
    kinds = TYPES.types
    return kinds[TF](
        transforms=[
            kinds["geometry_msgs/msg/TransformStamped"](
                header=header(stamp_ns, placed.parent),
                child_frame_id=placed.child,
                transform=kinds["geometry_msgs/msg/Transform"](
                    translation=kinds["geometry_msgs/msg/Vector3"](*placed.translation),
                    rotation=kinds["geometry_msgs/msg/Quaternion"](*placed.quaternion),
                ),
            )
            for placed in placements
        ]
    )


def point_cloud(points: npt.NDArray[np.void], stamp_ns: int, frame_id: str) -> Any:
    """Send points as they lie in memory; ``points`` is a structured array ``[n]``."""
    kind = TYPES.types["sensor_msgs/msg/PointField"]
    described = points.dtype.fields
    assert described is not None
    fields = [
        kind(name=name, offset=offset, datatype=_DATATYPES[part.str[1:]], count=1)
        for name, (part, offset, *_) in described.items()
    ]
    data = np.frombuffer(points.tobytes(), np.uint8)
    return TYPES.types[POINT_CLOUD](
        header=header(stamp_ns, frame_id),
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=points.dtype.itemsize,
        row_step=data.size,
        data=data,
        is_dense=True,
    )


def event_packet(
    events: Events,
    size: tuple[int, int],
    first_ns: int,
    stamp_ns: int,
    sequence: int,
    frame_id: str,
) -> Any:
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
    return TYPES.types[EVENT_PACKET](
        header=header(stamp_ns, frame_id),
        height=size[0],
        width=size[1],
        seq=sequence,
        time_base=stamp_ns,
        encoding="mono",
        is_bigendian=False,
        events=words.astype("<u8").view(np.uint8),
    )
