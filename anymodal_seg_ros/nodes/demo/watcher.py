"""A subscriber that writes down every mask and what the node says about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from anymodal_seg_ros.demo.records import ScoredMask
from anymodal_seg_ros.evaluation.metrics import confusion_matrix
from anymodal_seg_ros.frames import Mask
from anymodal_seg_ros.nodes.segmentation_node import NAME
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns

_UNPAIRED = 32
"""Masks or statuses whose other half is still on its way; older ones are given up."""

LabelAt = Callable[[str, int], Mask]
"""The exact labels, uint8 ``[H, W]``, in the camera of a sensor at a header stamp."""


class Watcher(Node):
    """Pairs ``~/mask`` with ``~/modality_status`` by stamp and scores it against exact labels.

    Callbacks run in the executor's thread; everything public may be called from another one.
    """

    def __init__(self, label_at: LabelAt, num_classes: int) -> None:
        super().__init__("watcher")
        self._label_at = label_at
        self._num_classes = num_classes
        self._lock = threading.Lock()
        self._records: list[ScoredMask] = []
        self._newest: tuple[ScoredMask, Mask] | None = None
        self._masks: dict[int, tuple[int, Any]] = {}
        self._statuses: dict[int, Any] = {}
        reliable = QoSProfile(depth=10)
        self.create_subscription(Image, f"{NAME}/mask", self._on_mask, reliable)
        self.create_subscription(
            DiagnosticArray, f"{NAME}/modality_status", self._on_status, reliable
        )

    def records(self) -> list[ScoredMask]:
        """Return every mask so far, in the order of arrival."""
        with self._lock:
            return list(self._records)

    def newest(self) -> tuple[ScoredMask, Mask] | None:
        """Return the newest mask with its pixels."""
        with self._lock:
            return self._newest

    def _on_mask(self, message: Any) -> None:
        self._masks[stamp_ns(message.header)] = (time.time_ns(), message)
        self._pair(stamp_ns(message.header))

    def _on_status(self, message: Any) -> None:
        self._statuses[stamp_ns(message.header)] = message
        self._pair(stamp_ns(message.header))

    def _pair(self, stamp: int) -> None:
        """Write a record once mask and status of a stamp are both here."""
        if stamp not in self._masks or stamp not in self._statuses:
            for waiting in (self._masks, self._statuses):
                while len(waiting) > _UNPAIRED:
                    waiting.pop(min(waiting))
            return
        received_ns, message = self._masks.pop(stamp)
        said = {
            status.name: {pair.key: pair.value for pair in status.values}
            for status in self._statuses.pop(stamp).status
        }
        how = said.pop("mask")
        mask = decode_image(message).pixels
        label = self._label_at(how["reference"], stamp)
        record = ScoredMask(
            stamp_ns=stamp,
            received_ns=received_ns,
            reference=how["reference"],
            sensors=tuple(name for name in how["sensors"].split(",") if name),
            states={name: values["state"] for name, values in said.items()},
            latency_ms=float(how["latency_ms"]),
            network_ms=float(how["network_ms"]),
            confusion=confusion_matrix(label, mask, self._num_classes),
        )
        with self._lock:
            self._records.append(record)
            self._newest = (record, mask)
