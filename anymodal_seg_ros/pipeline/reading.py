"""From a message to a sample, or why it cannot be one."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymodal_seg_ros.config import SensorConfig, seconds_to_ns
from anymodal_seg_ros.errors import DecodeError, RejectionKind
from anymodal_seg_ros.frames import Sample, SensorState
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.inference.preprocess import check_encoding
from anymodal_seg_ros.sensing.decoding.decode import decode_image, frame_of, stamp_ns
from anymodal_seg_ros.sensing.decoding.payload import check_pixels
from anymodal_seg_ros.sensing.health.sensor_health import Fault


class Unreadable(NamedTuple):
    """Why a message is no sample.

    Attributes:
        fault: the state that its sensor is in if this goes on, and the reason in words.
        kind: what it is counted under.
    """

    fault: Fault
    kind: RejectionKind


def read(
    sensor: str, config: SensorConfig, spec: ModalitySpec, message: Any, received_ns: int
) -> Sample | Unreadable:
    """Read a message of a sensor. Cheap: pixels are viewed, what is packed stays so.

    Args:
        sensor: its name in the configuration.
        config: of the sensor.
        spec: of its modality, as the model knows it.
        message: from rclpy or rosbags.
        received_ns: when it arrived.
    """
    state = SensorState.CLOCK
    try:
        stamp = stamp_ns(getattr(message, "header", None))
        state = SensorState.INVALID
        image = decode_image(message)
        check_pixels(image, config.max_pixels)
        check_encoding(image, spec)
        frame_id = frame_of(message.header)
    except DecodeError as error:
        return Unreadable(Fault(state, str(error)), error.kind)
    return Sample(
        sensor=sensor,
        stamp_ns=stamp,
        time_ns=stamp + seconds_to_ns(config.offset_s),
        received_ns=received_ns,
        frame_id=frame_id,
        image=image,
    )
