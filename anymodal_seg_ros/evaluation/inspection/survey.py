"""One pass through a bag: how often, when and what on every topic."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import AnymodalError, DecodeError
from anymodal_seg_ros.evaluation.arrivals import CAMERA_INFO, READABLE, heard_type
from anymodal_seg_ros.evaluation.bags import Bag, BagError, BagMessage
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.events.messages import is_event_message

TRANSFORMS = "tf2_msgs/msg/TFMessage"

NO_STAMP = 0
"""Stands for a stamp that the pipeline refuses."""

_MOST_ERRORS = 3
"""Different errors of a topic that are kept in words."""

_VALUES = re.compile(r"\b[0-9a-f]{2}(?: [0-9a-f]{2})+\b|\d+(?:\.\d+)?")
"""Numbers and bytes: what may differ between messages that are wrong in the same way."""


@dataclass(slots=True)
class RecordedTopic:
    """What was found on one topic.

    Attributes:
        name: absolute.
        type: of its messages; of several, the one that the pipeline takes, else empty.
        other_types: of messages that are passed over, with their number.
        log_ns: when each message was recorded.
        stamps_ns: header stamp of each that has one.
        encodings: of images, with their number.
        sizes: width and height of images, with their number.
        frames: coordinate frames, with their number.
        errors: why messages cannot be read, with their number; of reasons that differ in numbers
            alone, the first.
        calibrated: whether the last CameraInfo has a focal length; None if there was none.
    """

    name: str
    type: str
    log_ns: list[int] = field(default_factory=list)
    other_types: Counter[str] = field(default_factory=Counter)
    stamps_ns: list[int] = field(default_factory=list)
    encodings: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    calibrated: bool | None = None

    @property
    def is_sensor(self) -> bool:
        """Whether the pipeline can take its messages."""
        return self.type in READABLE

    @property
    def rate_hz(self) -> float | None:
        """One over the median time between two messages; None with fewer than two."""
        steps = self.steps_s()
        typical = float(np.median(steps)) if steps.size else 0.0
        return 1.0 / typical if typical > 0.0 else None

    def steps_s(self) -> npt.NDArray[np.float64]:
        """Return the times between messages: by stamp where every one has one, else by log."""
        times = self.stamps_ns if self._all_stamped else self.log_ns
        return np.asarray(np.diff(np.sort(np.array(times, np.int64))) / 1e9, np.float64)

    def offset_s(self) -> float | None:
        """Return the median of log time minus stamp; None without stamps for all messages."""
        if not self._all_stamped:
            return None
        behind = np.array(self.log_ns, np.int64) - np.array(self.stamps_ns, np.int64)
        return float(np.median(behind)) / 1e9

    @property
    def readable(self) -> int:
        """How many messages could be read."""
        return len(self.log_ns) - sum(self.errors.values())

    @property
    def _all_stamped(self) -> bool:
        stamps = self.stamps_ns
        return 0 < len(stamps) == len(self.log_ns) and NO_STAMP not in stamps


def survey(
    bag: Bag,
    progress: Callable[[float], None] = lambda share: None,
    configured: Mapping[str, str] | None = None,
) -> list[RecordedTopic]:
    """Read a bag once.

    Args:
        bag: opened.
        progress: told the share that is done.
        configured: types that a rig expects, by absolute topic; where a topic has several, these
            count.

    Returns:
        Every topic, in the order of their names.

    Raises:
        BagError: the bag is damaged.
    """
    topics = {
        name: RecordedTopic(
            name, kind or heard_type(bag.types(name), (configured or {}).get(name, ""))
        )
        for name, kind in sorted(bag.topics.items())
    }
    length = max(1, bag.end_ns - bag.start_ns)
    for number, message in enumerate(bag.messages(topics)):
        topic = topics[message.topic]
        if topic.type and message.type != topic.type:
            topic.other_types[message.type] += 1
            continue
        topic.log_ns.append(message.log_ns)
        if topic.is_sensor or topic.type == CAMERA_INFO:
            _look(bag, message, topic)
        if number % 200 == 0:
            progress((message.log_ns - bag.start_ns) / length)
    return list(topics.values())


def _look(bag: Bag, message: BagMessage, topic: RecordedTopic) -> None:
    """Take note of what one message holds."""
    try:
        decoded = bag.decode(message)
        topic.stamps_ns.append(_stamp(decoded))
        topic.frames[str(decoded.header.frame_id)] += 1
        if topic.type == CAMERA_INFO:
            topic.calibrated = bool(getattr(decoded, "k", getattr(decoded, "K", [0.0]))[0] > 0.0)
        elif hasattr(decoded, "point_step"):
            decode_image(decoded)
        elif not is_event_message(decoded):
            image = decode_image(decoded)
            topic.encodings[image.encoding] += 1
            topic.sizes[image.width, image.height] += 1
    except (DecodeError, BagError, AttributeError) as error:
        _count(str(error) if isinstance(error, AnymodalError) else "it has no header", topic)


def _count(reason: str, topic: RecordedTopic) -> None:
    """Count a message that cannot be read."""
    kind = _VALUES.sub("#", reason)
    alike = next((known for known in topic.errors if _VALUES.sub("#", known) == kind), None)
    if alike is None:
        alike = reason if len(topic.errors) < _MOST_ERRORS else "other reasons"
    topic.errors[alike] += 1


def _stamp(message: Any) -> int:
    try:
        return stamp_ns(message.header)
    except DecodeError:
        return NO_STAMP  # which is a finding of its own
