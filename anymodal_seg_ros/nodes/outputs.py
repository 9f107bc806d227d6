"""What the node says about each mask: the mask, its pictures, and the evidence it rests on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from anymodal_seg_ros.config import SegConfig
from anymodal_seg_ros.frames import Mask, Pixels, Prediction
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.visualize import colorize, overlay
from anymodal_seg_ros.nodes.diagnostics import mask_evidence
from anymodal_seg_ros.nodes.messages import ImageBuffer, to_stamp

_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)
"""Reliable, so that reliable and best-effort subscribers both match."""


class Outputs:
    """The publishers of a configured node: ``~/mask`` and what belongs to it.

    Pictures for people, ``~/mask_color`` and ``~/overlay``, are only made while somebody looks.
    """

    def __init__(self, node: LifecycleNode, config: SegConfig, manifest: Manifest) -> None:
        self._node = node
        self._config = config
        self._manifest = manifest
        self._mask = node.create_lifecycle_publisher(Image, "~/mask", _QOS)
        self._mask_color = node.create_lifecycle_publisher(Image, "~/mask_color", _QOS)
        self._overlay = node.create_lifecycle_publisher(Image, "~/overlay", _QOS)
        self._confidence = None
        if config.confidence:
            self._confidence = node.create_lifecycle_publisher(Image, "~/confidence", _QOS)
        self._evidence = node.create_lifecycle_publisher(DiagnosticArray, "~/modality_status", _QOS)
        self._buffer = ImageBuffer()

    def publish(self, prediction: Prediction, now_ns: Callable[[], int]) -> None:
        """Publish one mask with the header of its reference sample, and all that goes with it.

        Args:
            prediction: the mask.
            now_ns: the clock on which its messages were received, for the latency.
        """
        mask, frames = prediction.mask, prediction.frame_set
        self._send(self._mask, mask, "mono8", prediction)
        if self._confidence is not None and prediction.confidence is not None:
            self._send(self._confidence, prediction.confidence, "mono8", prediction)
        newest_ns = max(sample.received_ns for sample in frames.samples.values())
        array = DiagnosticArray()
        array.header.stamp = to_stamp(frames.reference_sample.stamp_ns)
        array.header.frame_id = frames.reference_sample.frame_id
        array.status = mask_evidence(prediction, self._config.rig, now_ns() - newest_ns)
        self._evidence.publish(array)
        if self._mask_color.get_subscription_count():
            self._send(self._mask_color, colorize(mask, self._manifest), "rgb8", prediction)
        if self._overlay.get_subscription_count():
            self._send(self._overlay, self._draw(mask, prediction), "rgb8", prediction)

    def destroy(self) -> None:
        """Take the topics down."""
        publishers = (self._mask, self._mask_color, self._overlay, self._evidence)
        for publisher in (*publishers, self._confidence):
            if publisher is not None:
                self._node.destroy_lifecycle_publisher(publisher)

    def _draw(self, mask: Mask, prediction: Prediction) -> Pixels:
        image = prediction.frame_set.reference_sample.image
        return overlay(image, mask, self._manifest, self._config.overlay_alpha)

    def _send(self, publisher: Any, pixels: Pixels, encoding: str, of: Prediction) -> None:
        sample = of.frame_set.reference_sample
        message = self._buffer.fill(pixels, encoding, sample.stamp_ns, sample.frame_id)
        publisher.publish(message)
