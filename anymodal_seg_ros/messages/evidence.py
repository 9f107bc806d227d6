"""What a mask was made from, as statuses: the same words live and in a bag of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from anymodal_seg_ros.frames import Prediction, SensorState, SensorStatus

FEWEST_MASKS = 15
"""Before so many masks nothing is said of how often a sensor was in them."""

OUT_OF_ORDER: Mapping[str, str] = {
    "duplicate stamp": "had the stamp of one before: let the driver stamp each message by itself",
    "too old": "had a stamp from before the last masks: keep the sender's clock from going back",
    "a later frame set had left": "came after the masks of their time: look at what holds them up",
}
"""Reasons for which a sensor that is well is not fused: in words, and the mend."""

OUT_OF_ORDER_FROM = 0.2
"""Share of a sensor's messages from which on it is told that they come to nothing."""

OUT_OF_ORDER_AT_LEAST = 3
"""So many of them: between two reports there may be few, and one is late on a busy machine."""

FEWEST_MESSAGES = 90
"""Before so many messages nothing is said of their rate: what has waited comes at once."""

TOO_FAST = 1.5
"""Times the promised rate."""

OK, WARN, ERROR = 0, 1, 2
"""Levels of a ``diagnostic_msgs/DiagnosticStatus``."""

_OVER = frozenset(
    state.value for state in SensorState if not state.alive and state is not SensorState.LATE
)
"""Reasons that hold no more once a sensor is alive; one that is late now and then stays so."""

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


def left_out(status: SensorStatus, *, at_the_end: bool = False) -> str:
    """Say that a living sensor is hardly ever fused; empty if it is, or if that is no fault.

    Nor is it told of one that was down until a moment ago: that it is back is all there is to say.

    Args:
        status: of the sensor.
        at_the_end: no mask follows, so that a few tell as well, and so does what is over.
    """
    fused = status.fused
    if not status.state.alive or fused.benign or fused.used >= fused.masks / 2:
        return ""
    if not at_the_end and (fused.masks < FEWEST_MASKS or fused.reason.partition(";")[0] in _OVER):
        return ""
    return f"fused in {fused.used} of the last {fused.masks} masks: {fused.reason}"


def paired_late(status: SensorStatus) -> str:
    """Say that a living sensor is fused with older pictures than there are; empty if it is not.

    Who is hardly ever fused for that reason is told by :func:`left_out`.
    """
    fused = status.fused
    told = not fused.late or fused.used < fused.masks / 2
    if told or not status.state.alive or fused.masks < FEWEST_MASKS:
        return ""
    return f"pictures of it are fused that are older than need be: {fused.late}"


def out_of_order(now: SensorStatus, before: SensorStatus | None = None) -> str:
    """Say that many messages of a sensor came to nothing by their stamps; empty if they did not.

    Nothing is wrong with any of them, so that no state tells it.

    Args:
        now: what has been counted.
        before: what had been counted where the look begins; None for the beginning.
    """
    arrived = now.arrived - (0 if before is None else before.arrived)
    for reason, words in OUT_OF_ORDER.items():
        earlier = 0 if before is None else before.dropped.get(reason, 0)
        dropped = now.dropped.get(reason, 0) - earlier
        if dropped >= OUT_OF_ORDER_AT_LEAST and dropped > OUT_OF_ORDER_FROM * arrived:
            return f"{dropped} of the last {arrived} messages {words}"
    return ""


def too_fast(status: SensorStatus, expected_hz: float) -> str:
    """Say that more messages of a sensor come than were promised; empty if they do not.

    Args:
        status: of the sensor.
        expected_hz: the rate that is configured; 0 if none is to be expected.
    """
    rate_hz = status.rate_hz
    if not expected_hz or rate_hz is None or rate_hz < TOO_FAST * expected_hz:
        return ""
    if status.received < FEWEST_MESSAGES:
        return ""
    return (
        f"{rate_hz:.1f} Hz come, expected_hz is {expected_hz:g}: are there two publishers on the "
        "topic? if not, correct expected_hz"
    )


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
    reason = "" if used else frames.missing.get(sensor, prediction.unlabeled or "not fused")
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
