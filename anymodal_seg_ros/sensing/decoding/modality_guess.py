"""What kind of sensor a topic is of, guessed from its type, name and encoding, as a first draft."""

from __future__ import annotations

import re

from anymodal_seg_ros.config import MESSAGE_TYPES
from anymodal_seg_ros.config.sensors import EVENT_TYPES as EVENT_KINDS
from anymodal_seg_ros.sensing.decoding.encodings import COUNTS, METRES

_WORDS = (
    # RealSense calls its near-infrared pictures infra1: they are grey, not warm.
    ("thermal", r"thermal|boson|lepton|flir|lwir|infra_?red|(?<![a-z])t?ir\d*(?![a-z])"),
    # OAK-D calls its depth stereo/image_raw; stereo/left is a grey picture.
    ("depth", r"depth|disparity|range_image|stereo/image"),
    ("event", r"event|dvs|prophesee|davis"),
)
"""What topics of each kind of camera are usually called."""

_DERIVED = re.compile(
    r"label|mask|overlay|confidence|segment|semantic|truth|annotat|(?<![a-z])(seg|gt)(?![a-z])"
)
"""What topics are called on which no sensor speaks."""

_TRANSPORT = re.compile(r"(/(image\w*|raw|compressed(Depth)?))+$")
"""Ends of topics that tell how pictures come, and not what they show."""

EVENT_TYPES = tuple(MESSAGE_TYPES[kind] for kind in EVENT_KINDS)
"""Types of messages that are events and nothing else."""

EVENT_PICTURES_HZ = 30.0
"""Pictures of events in a second, unless messages come more seldom: a picture is made of many."""


def is_derived(topic: str) -> bool:
    """Whether a topic's name tells of labels, masks or the like, and of nothing that was sensed."""
    return bool(_DERIVED.search(_TRANSPORT.sub("", topic).rsplit("/", 1)[-1].lower()))


def guess_modality(topic: str, type_name: str, encoding: str = "") -> str:
    """Guess what kind of sensor a topic is of.

    Args:
        topic: its name.
        type_name: of its messages, e.g. ``sensor_msgs/msg/Image``.
        encoding: of its images, empty if unknown; counts where the name tells nothing.

    Returns:
        ``rgb``, ``thermal``, ``depth``, ``event`` or ``lidar``; ``rgb`` where nothing tells.
    """
    if type_name in EVENT_TYPES or type_name.startswith("prophesee"):
        return "event"
    if type_name == MESSAGE_TYPES["point_cloud"]:
        return "lidar"
    for modality, words in _WORDS:
        if re.search(words, topic.lower()):
            return modality
    if encoding in METRES or encoding == "16UC1":
        return "depth"
    return "thermal" if encoding in COUNTS else "rgb"
