"""What the node has seen and said, in a folder that repeats it at a desk.

``anymodal-seg run FOLDER/bag --params-file FOLDER/params.yaml --out masks`` does it all again:
the folder holds a bag with messages as they came, and the node's own parameters.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
import time
from array import array
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from rclpy.serialization import serialize_message
from rclpy.utilities import get_rmw_implementation_identifier

from anymodal_seg_ros import __version__
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.masks.legend import annotated_overlay
from anymodal_seg_ros.sensing.geometry.frame_tree import LONGEST_NAME, MOST_AT_ONCE
from anymodal_seg_ros.written_files import make_lasting, write_file

_LIBRARIES = ("numpy", "opencv-python-headless", "onnxruntime", "rclpy", "rosbags", "torch")

_BUFFERS = (array, bytes, bytearray, memoryview, np.ndarray)
"""What rclpy keeps a payload of numbers in."""

_OVERHEAD = 1024
"""Bytes that a message takes beside its payload, roughly."""

_OF_AN_OBJECT = 1024
"""Bytes of one of many in a list, as a field of a cloud or a transform, roughly."""


MOST_SERIES = 200
"""Of messages that are kept: there are as many as somebody makes up frames of transforms."""

ROOM_OF_PLACES = 16_000_000
"""Bytes that transforms may take together."""


@dataclass(frozen=True)
class Kept:
    """One message that may be written down; nothing of it is copied.

    Attributes:
        topic: as it is configured, so that the parameters fit the bag without a namespace.
        type: e.g. ``sensor_msgs/msg/Image``.
        time_ns: when it came, nanoseconds since the epoch, or in simulated time.
        message: from rclpy, or the bytes that were sent.
    """

    topic: str
    type: str
    time_ns: int
    message: Any

    @functools.cached_property
    def series(self) -> tuple[str, ...]:
        """Whose newer messages replace it: those of its topic and, of transforms, of its frames.

        Everybody who knows a place latches a message of his own on ``/tf_static``.
        """
        placed = getattr(self.message, "transforms", ())[:MOST_AT_ONCE]
        return (self.topic, *sorted(str(one.child_frame_id)[:LONGEST_NAME] for one in placed))

    @functools.cached_property
    def size(self) -> int:
        """How many bytes it takes, roughly; asked for at every message that comes after it."""
        if isinstance(self.message, bytes):
            return len(self.message) + _OVERHEAD
        return _OVERHEAD + _room_of_fields(self.message)


@functools.cache
def _roomy(kind: Hashable) -> tuple[str, ...]:
    """Return the fields of a type of messages that may be of any length."""
    fields: dict[str, str] = getattr(kind, "get_fields_and_field_types", dict)()
    return tuple(
        name for name, of in fields.items() if of.startswith(("sequence", "string", "std_msgs/Hea"))
    )


def _room_of_fields(message: Any) -> int:
    kind: Any = type(message)  # of which mypy does not know that it can be hashed
    return sum(_room(getattr(message, name, None)) for name in _roomy(kind))


def _room(value: Any) -> int:
    """Return how many bytes a field takes, roughly; each of many may hold a name of any length."""
    if type(value) in _BUFFERS:
        return int(memoryview(value).nbytes)
    if isinstance(value, list | tuple):
        return _OF_AN_OBJECT * len(value) + sum(map(_room_of_fields, value))
    return len(getattr(value, "frame_id", value) or "")


def make_room(series: dict[tuple[str, ...], Any], size: Callable[[Any], int]) -> None:
    """Let the transforms that came first go, where there are too many series or they are too large.

    Args:
        series: of messages, the oldest first.
        size: how many bytes one of them takes.
    """
    placed = [key for key in series if len(key) > 1]
    room = sum(size(series[key]) for key in placed)
    for key in placed:
        if len(series) <= MOST_SERIES and room <= ROOM_OF_PLACES:
            break
        room -= size(series.pop(key))


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What belongs to a moment beside the messages.

    Attributes:
        parameters: of the node, nested.
        statuses: the ``DiagnosticStatus`` messages of then.
        manifest: of the model.
        prediction: the newest mask; None if there is none.
    """

    parameters: Mapping[str, Any]
    statuses: Sequence[Any]
    manifest: Manifest
    prediction: Prediction | None


def home(kind: str, node: str) -> Path:
    """Return the folder below ``$ROS_HOME`` that a node writes folders of a kind into.

    It may begin with ``~``: where nobody has a home, that is told when something is to be written.

    Args:
        kind: of what is written.
        node: its full name, which only one process of a machine has.
    """
    ros = Path(os.environ.get("ROS_HOME") or "~/.ros")
    return ros / "anymodal_seg_ros" / kind / node.strip("/").replace("/", "_")


def write_folder(
    parent: Path, name: str, kept: Iterable[Kept], circumstances: Circumstances
) -> Path:
    """Write a new folder, which is there only once it is whole, and return it.

    Args:
        parent: where it will be; made if it is missing.
        name: what follows the time in its name; may be empty.
        kept: the messages.
        circumstances: what else is written down.

    Raises:
        AnymodalError: it cannot be written, or rosbags is not installed.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = _unused(parent, _now() + (f"_{name}" if name else ""))
        unfinished = folder.with_name(f".{folder.name}")
        unfinished.mkdir()
        try:
            _write(unfinished, kept, circumstances)
            make_lasting(unfinished)  # who fails is often switched off next
            return unfinished.rename(folder)
        except Exception:  # half of it is of no use, and a full disk needs the room
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    except OSError as error:
        raise AnymodalError(f"{parent} cannot be written to: {error}") from error


def _write(folder: Path, kept: Iterable[Kept], circumstances: Circumstances) -> None:
    left_out = _write_bag(folder / "bag", kept)
    nested = {"/**": {"ros__parameters": dict(circumstances.parameters)}}
    write_file(folder / "params.yaml", yaml.safe_dump(nested))
    _write_json(folder / "states.json", _readable(circumstances.statuses))
    _write_json(folder / "versions.json", {**_versions(), "left_out": left_out})
    if circumstances.prediction is not None:
        _write_pictures(folder, circumstances.prediction, circumstances.manifest)


def _write_bag(path: Path, kept: Iterable[Kept]) -> list[str]:
    try:
        from anymodal_seg_ros.evaluation.arrivals import absolute_topic
        from anymodal_seg_ros.evaluation.raw_bag import RawMessage, write_raw_bag
    except ImportError as error:  # a robot can do without
        raise AnymodalError(
            f"a bag cannot be written ({error}): python -m pip install rosbags"
        ) from error
    # As a desk resolves it, where the node has the usual name and no namespace.
    raw = (
        RawMessage(absolute_topic(k.topic), k.type, k.time_ns, _serialized(k.message)) for k in kept
    )
    return write_raw_bag(path, raw)


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}(_|$)")
"""With what the names of folders begin."""


def _now() -> str:
    """Return the time as it may stand in a file's name, in an order that sorts."""
    seconds, ns = divmod(time.time_ns(), 10**9)
    return time.strftime("%Y-%m-%dT%H-%M-%S", time.localtime(seconds)) + f".{ns // 10**6:03d}"


def _unused(parent: Path, name: str) -> Path:
    """Return a path that is not there yet."""
    candidates = (parent / (f"{name}_{n}" if n else name) for n in range(1000))
    return next(path for path in candidates if not path.exists())


def _serialized(message: Any) -> bytes:
    """Return the bytes of a message, which some topics are heard as anyway."""
    return message if isinstance(message, bytes) else bytes(serialize_message(message))


def _readable(statuses: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": status.name,
            "level": int.from_bytes(status.level, "little"),
            "message": status.message,
            "values": {pair.key: pair.value for pair in status.values},
        }
        for status in statuses
    ]


def _versions() -> dict[str, Any]:
    libraries = {}
    for name in _LIBRARIES:
        try:
            libraries[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "anymodal_seg_ros": __version__,
        "python": sys.version.split()[0],
        "machine": platform.platform(),
        "middleware": str(get_rmw_implementation_identifier()),
        "ros_distro": os.environ.get("ROS_DISTRO", ""),
        "libraries": libraries,
    }


def _write_json(path: Path, content: Any) -> None:
    write_file(path, json.dumps(content, indent=2))


def _write_pictures(folder: Path, prediction: Prediction, manifest: Manifest) -> None:
    overlay = np.ascontiguousarray(annotated_overlay(prediction, manifest)[..., ::-1])
    for name, picture in (("mask.png", prediction.mask), ("overlay.png", overlay)):
        # OpenCV writes to files without a word of why it could not.
        write_file(folder / name, cv2.imencode(".png", picture)[1].tobytes())
