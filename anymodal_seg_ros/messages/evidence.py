"""What a mask was made from, as statuses: the same words live and in a bag of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from anymodal_seg_ros.frames import Prediction, SensorState, SensorStatus

OK, WARN, ERROR = 0, 1, 2
"""Levels of a ``diagnostic_msgs/DiagnosticStatus``."""

_WARN = (
    SensorState.WAITING,
    SensorState.DEGRADED,
    SensorState.DOUBTFUL,
    SensorState.LATE,
    SensorState.SLOW,
)


@dataclass(frozen=True, slots=True)
class Status:
    """A ``diagnostic_msgs/DiagnosticStatus`` that is not yet of any library.

    Attributes:
        level: :data:`OK`, :data:`WARN` or :data:`ERROR`.
        name: of what it speaks.
        message: in words.
        hardware_id: the topic of a sensor.
        values: by their keys, in order.
    """

    level: int
    name: str
    message: str
    hardware_id: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


def level_of(state: SensorState) -> int:
    """Return the level of a sensor in a state; OK and DISABLED are as they should be."""
    if state.down:
        return ERROR
    return WARN if state in _WARN else OK


def mask_evidence(
    prediction: Prediction, topics: Mapping[str, str], latency_ns: int | None = None
) -> list[Status]:
    """Say for every sensor whether it made this mask, and for the mask how it was made.

    Args:
        prediction: the mask and its frame set.
        topics: of the sensors, by their names.
        latency_ns: from the arrival of the newest message used to the publishing of the mask; None
            where nothing was published.

    Returns:
        A status per sensor, named like it, and one named ``mask``.
    """
    found = [
        _of_sensor(prediction, status, topics.get(status.sensor, ""))
        for status in prediction.status
    ]
    how = {
        "reference": prediction.frame_set.reference,
        "picture": prediction.owner,
        "sensors": ",".join(prediction.sensors),
        "unlabeled": prediction.unlabeled,
        "network_ms": milliseconds(prediction.network_ns),
        "process_ms": milliseconds(prediction.process_ns),
    }
    if latency_ns is not None:
        how["latency_ms"] = milliseconds(latency_ns)
    level, message = OK, f"made from {', '.join(prediction.sensors)}"
    if prediction.unlabeled:
        level, message = ERROR, f"without labels: {prediction.unlabeled}"
    return [*found, Status(level, "mask", message, values=how)]


def milliseconds(time_ns: int | None) -> str:
    """Return a time in milliseconds; empty if there is none."""
    return "" if time_ns is None else f"{time_ns / 1e6:.3f}"


def _of_sensor(prediction: Prediction, status: SensorStatus, topic: str) -> Status:
    frames, sensor = prediction.frame_set, status.sensor
    used = sensor in prediction.sensors
    reason = "" if used else frames.missing.get(sensor, "not fused")
    values = {
        "state": status.state.value,
        "used": "true" if used else "false",
        "age_ms": milliseconds(status.age_ns),
    }
    if used:
        offset_ns = frames.samples[sensor].time_ns - frames.reference_sample.time_ns
        values["offset_ms"] = milliseconds(offset_ns)
        if sensor in prediction.contributions:
            values["contribution"] = f"{prediction.contributions[sensor]:.3f}"
    else:
        values["reason"] = reason
    return Status(level_of(status.state), sensor, "used" if used else reason, topic, values)
