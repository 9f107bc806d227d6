"""A parameter file for a bag that nobody has one for: guessed from names, types and encodings."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from anymodal_seg_ros.config import MESSAGE_TYPES
from anymodal_seg_ros.evaluation.arrivals import TF_STATIC
from anymodal_seg_ros.evaluation.bags import BagError
from anymodal_seg_ros.evaluation.inspection.findings import (
    camera_info_of,
    is_input,
    namespaces_alike,
)
from anymodal_seg_ros.evaluation.inspection.survey import RecordedTopic
from anymodal_seg_ros.sensing.decoding.modality_guess import (
    EVENT_PICTURES_HZ,
    EVENT_TYPES,
    guess_modality,
)

POINT_CLOUD = MESSAGE_TYPES["point_cloud"]
_GENERIC = re.compile(
    r"image\w*|compressed\w*|points?\w*|packets|raw|data|camera|sensors?|cam|scan|velodyne_points"
)
_ORDER = ("rgb", "thermal", "depth", "event", "lidar")

_HEAD = """\
# Proposed by 'anymodal-seg inspect --init' from what the bag holds. Check:
#   * the modality of every sensor (guessed from topic name and encoding);
#   * the registration: without one, every picture is taken to show the same as the first sensor's.
"""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A parameter file for a bag.

    Attributes:
        text: of the file.
        sensors: that are on in it.
        off: those that are not, with the reason.
    """

    text: str
    sensors: tuple[str, ...]
    off: Mapping[str, str]


def propose(topics: Sequence[RecordedTopic], known: Collection[str], model: str = "") -> Proposal:
    """Write a parameter file.

    Args:
        topics: of the bag.
        known: modalities of the model; sensors of other kinds are switched off.
        model: that is to stand in the file; empty for the default one.

    Raises:
        BagError: no topic can be a sensor.
    """
    chosen = [t for t in topics if is_input(t) and t.readable]
    chosen = [t for t in chosen if not _is_second_form(t, chosen)]
    if not chosen:
        raise BagError("no topic carries readable images, points or events: there is no rig here")
    kinds = {t.name: guess_modality(t.name, t.type, next(iter(t.encodings), "")) for t in chosen}
    chosen.sort(key=lambda t: (_ORDER.index(kinds[t.name]), -(t.rate_hz or 0.0), t.name))
    robots = namespaces_alike(chosen)
    spaces = {_namespace(topic) for topic in chosen}
    untold = {*robots, *(spaces if len(spaces) == 1 < len(chosen) else ())}
    names = _names(chosen, kinds, untold)
    sensors: dict[str, Any] = {}
    off: dict[str, str] = {}
    for topic in chosen:
        kind, name = kinds[topic.name], names[topic.name]
        sensors[name] = _sensor(topic, kind, topics)
        if kind not in known:
            off[name] = f"the model knows no {kind}"
        elif _namespace(topic) in robots[1:]:
            off[name] = (
                f"the same topics are in {robots[0]}, whose sensors are on: what is in one "
                "parameter file is fused, so give another robot a file of its own"
            )
        elif topic.type == POINT_CLOUD and not _place(sensors[name], chosen[0], topics):
            off[name] = (
                "points are drawn into the picture of the first camera, and the bag does not tell "
                "its calibration and the places of both (/tf_static)"
            )
        if name in off:
            sensors[name]["enabled"] = False
    parameters: dict[str, Any] = {"model": model} if model else {}
    content = {"/**": {"ros__parameters": {**parameters, "rig": {"sensors": sensors}}}}
    text = _HEAD + yaml.safe_dump(content, sort_keys=False, width=100, allow_unicode=True)
    return Proposal(text, tuple(name for name in sensors if name not in off), off)


def _place(entry: dict[str, Any], first: RecordedTopic, topics: Sequence[RecordedTopic]) -> bool:
    """Say how the points of a LiDAR come into the first camera's picture; False if nobody can."""
    info = camera_info_of(first, topics)
    told = any(topic.name == TF_STATIC for topic in topics)
    if first.type == POINT_CLOUD or info is None or not info.calibrated or not told:
        return False
    entry["registration"] = {"method": "cameras", "extrinsics": "tf"}
    return True


def _sensor(topic: RecordedTopic, modality: str, topics: Sequence[RecordedTopic]) -> dict[str, Any]:
    entry: dict[str, Any] = {"topic": topic.name, "modality": modality}
    if topic.rate_hz is not None:
        # Of single events it is the rate of the pictures that are made of them, however many
        # packets a picture is made of.
        most = EVENT_PICTURES_HZ if topic.type in EVENT_TYPES else 1000.0
        entry["expected_hz"] = float(f"{min(max(topic.rate_hz, 0.1), most):.3g}")
    kind = next((k for k, v in MESSAGE_TYPES.items() if v == topic.type), None)
    seen_by_itself = topic.name.endswith(("/compressed", "/compressedDepth"))
    if kind not in (None, "image") and not (kind == "compressed" and seen_by_itself):
        entry["type"] = kind
    info = camera_info_of(topic, topics)
    if info is not None and info.calibrated:
        entry["registration"] = {"camera_info": info.name}
    return entry


def _is_second_form(topic: RecordedTopic, topics: Sequence[RecordedTopic]) -> bool:
    """Whether another topic carries the same pictures in a better form."""
    names = {t.name: t for t in topics}
    parent, _, last = topic.name.rpartition("/")
    if last in ("compressed", "compressedDepth") and parent in names:
        return True
    # An event camera's frames beside its packets.
    return (
        guess_modality(topic.name, topic.type) == "event"
        and topic.type not in EVENT_TYPES
        and any(t.type in EVENT_TYPES and t.name.rpartition("/")[0] == parent for t in topics)
    )


def _namespace(topic: RecordedTopic) -> str:
    return "/" + topic.name.strip("/").partition("/")[0]


def _names(
    topics: Sequence[RecordedTopic], kinds: Mapping[str, str], untold: Collection[str]
) -> dict[str, str]:
    """Name sensors by the last part of their topics that says something.

    Where that is the same for several, as in ``/left/rgb`` and ``/right/rgb``, by as many parts as
    tell them apart, else by a number.

    Args:
        topics: of the sensors.
        kinds: by topic, the modality that a sensor is called by if nothing says anything.
        untold: namespaces that tell the robot, and not the sensor.

    Returns:
        The names by topic.
    """
    telling = {t.name: _telling_parts(t, untold) or [kinds[t.name]] for t in topics}
    names: dict[str, str] = {}
    for topic, parts in telling.items():
        rivals = [other for name, other in telling.items() if name != topic]
        alone = (n for n in range(1, len(parts) + 1) if parts[-n:] not in [r[-n:] for r in rivals])
        name = unique = "_".join(parts[-next(alone, 1) :])
        number = 1
        while unique in names.values():
            number += 1
            unique = f"{name}_{number}"
        names[topic] = unique
    return names


def _telling_parts(topic: RecordedTopic, untold: Collection[str]) -> list[str]:
    parts = [part.lower() for part in topic.name.split("/") if part]
    parts = parts[1:] if _namespace(topic) in untold else parts
    return [p for p in parts if not _GENERIC.fullmatch(p) and p.isidentifier() and p.isascii()]
