"""One moment of the node in a folder: for a bug report, or to look at a mask at a desk.

The folder holds a bag with the newest messages of every sensor and the node's own parameters, so
``anymodal-seg run FOLDER/bag --params-file FOLDER/params.yaml`` does it all again.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from rclpy.serialization import serialize_message
from rclpy.utilities import get_rmw_implementation_identifier

from anymodal_seg_ros import __version__
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.evaluation.raw_bag import RawMessage, write_raw_bag
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.visualize import overlay

KEPT = 2
"""Newest messages of each topic that are kept for a snapshot; they take room all the time."""

_LIBRARIES = ("numpy", "opencv-python-headless", "onnxruntime", "rclpy", "rosbags", "torch")


class Snapshots:
    """Keeps what a snapshot needs, and writes it down when it is asked for."""

    def __init__(self) -> None:
        self._messages: dict[str, deque[tuple[str, str, int, Any]]] = {}
        self.prediction: Prediction | None = None
        """The newest mask."""

    def note(self, topic: str, type_name: str, message: Any) -> None:
        """Remember a message instead of the oldest of its topic; nothing is copied.

        Args:
            topic: as it is configured, so that the parameters fit the bag without a namespace.
            type_name: e.g. ``sensor_msgs/msg/Image``.
            message: from rclpy.
        """
        topic = f"/{topic.lstrip('/')}"
        kept = self._messages.setdefault(topic, deque(maxlen=KEPT))
        kept.append((topic, type_name, time.time_ns(), message))

    def save(
        self, parameters: Mapping[str, Any], statuses: Sequence[Any], manifest: Manifest
    ) -> Path:
        """Write a new folder and return it.

        Args:
            parameters: of the node, nested.
            statuses: the newest ``/diagnostics``.
            manifest: of the model.

        Raises:
            AnymodalError: nothing has come so far, or the folder cannot be written.
        """
        raw = [
            RawMessage(topic, kind, at_ns, _serialized(message))
            for kept in list(self._messages.values())
            for topic, kind, at_ns, message in list(kept)
        ]
        if not raw:
            raise AnymodalError("no message has come so far: there is nothing to write down")
        folder = _home() / time.strftime("%Y-%m-%dT%H-%M-%S")
        try:
            folder.mkdir(parents=True)
            left_out = write_raw_bag(folder / "bag", raw)
            nested = {"/**": {"ros__parameters": dict(parameters)}}
            (folder / "params.yaml").write_text(yaml.safe_dump(nested), encoding="utf-8")
            _write_json(folder / "states.json", _readable(statuses))
            _write_json(folder / "versions.json", {**_versions(), "left_out": left_out})
            if self.prediction is not None:
                _write_pictures(folder, self.prediction, manifest)
        except OSError as error:
            raise AnymodalError(f"{folder} cannot be written: {error}") from error
        return folder


def _serialized(message: Any) -> bytes:
    """Return the bytes of a message, which some topics are heard as anyway."""
    return bytes(message) if isinstance(message, bytes) else bytes(serialize_message(message))


def _home() -> Path:
    ros = os.environ.get("ROS_HOME") or str(Path.home() / ".ros")
    return Path(ros) / "anymodal_seg_ros" / "snapshots"


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
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _write_pictures(folder: Path, prediction: Prediction, manifest: Manifest) -> None:
    cv2.imwrite(str(folder / "mask.png"), prediction.mask)
    image = prediction.frame_set.reference_sample.image
    picture = overlay(image, prediction.mask, manifest)
    cv2.imwrite(str(folder / "overlay.png"), np.ascontiguousarray(picture[..., ::-1]))
