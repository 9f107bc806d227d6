"""What the node says about each mask: the mask, its pictures, and the evidence it rests on."""

from __future__ import annotations

import functools
import time
from array import array
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from anymodal_seg_ros.config import SegConfig
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.frames import Pixels, Prediction
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.masks.legend import annotated_overlay
from anymodal_seg_ros.inference.masks.visualize import colorize
from anymodal_seg_ros.nodes.diagnostics import mask_evidence
from anymodal_seg_ros.nodes.label_info import LabelInfoPublisher
from anymodal_seg_ros.nodes.mask_geometry import MaskGeometry
from anymodal_seg_ros.nodes.messages import ImageBuffer, to_stamp
from anymodal_seg_ros.nodes.process.distribution import publish
from anymodal_seg_ros.nodes.topics.qos_overrides import overrides_named
from anymodal_seg_ros.sensing.geometry.rig_geometry import UnknownGeometryError

_DEPTH = 5

TOPICS = {
    "mask": Image,
    "mask/compressed": CompressedImage,
    "mask_color": Image,
    "overlay": Image,
    "overlay/compressed": CompressedImage,
    "confidence": Image,
    "camera_info": CameraInfo,
    "points": PointCloud2,
    "modality_status": DiagnosticArray,
}
"""Everything that is published with every mask, below the node's name."""

_WARN_EVERY_S = 30.0


class Outputs:
    """The publishers of a configured node: ``~/mask`` and what belongs to it.

    Nothing is made for nobody: each message only while somebody subscribes to its topic.

    Attributes:
        config: how pictures are drawn; may be exchanged at any time.
    """

    def __init__(self, node: LifecycleNode, config: SegConfig, manifest: Manifest) -> None:
        self.config = config
        self._node = node
        self._manifest = manifest
        self._labels = LabelInfoPublisher(node, manifest)
        if self._labels.note:
            node.get_logger().info(self._labels.note)
        self._geometry = MaskGeometry(config.rig, manifest)
        self._topics: Mapping[str, str] = {}
        self._buffer = ImageBuffer()
        self._warned_s: dict[str, float] = {}
        """When it was said last that nothing comes on a topic."""
        self._publishers: dict[str, Any] = {}
        try:
            for name, kind in TOPICS.items():
                if name != "confidence" or config.confidence:
                    self._publishers[name] = self._create(kind, name)
        except Exception:
            self.destroy()
            raise

    @property
    def note(self) -> str:
        """What an operator should know of the topics; empty if nothing."""
        return self._labels.note

    def wanted(self) -> bool:
        """Whether anybody subscribes to anything that needs a mask."""
        return any(p.get_subscription_count() for p in self._publishers.values())

    def begin(self, config: SegConfig, topics: Mapping[str, str]) -> None:
        """Begin anew with a rig whose sensors may have changed; what is known of cameras stays.

        Args:
            config: with the rig.
            topics: full names of the sensors' topics.
        """
        self.config, self._topics = config, topics
        before, self._geometry = self._geometry, MaskGeometry(config.rig, self._manifest)
        self._geometry.take_cameras_of(before)

    def take_camera_info(self, sensor: str, message: Any) -> None:
        """Take a calibration that the pipeline has taken."""
        self._geometry.take_camera_info(sensor, message)

    def take_transforms(self, message: Any) -> None:
        """Take a message of ``/tf_static`` that the pipeline has taken."""
        self._geometry.take_transforms(message)

    def publish(self, prediction: Prediction, now_ns: Callable[[], int]) -> None:
        """Publish one mask with the header of its reference sample, and all that goes with it.

        Args:
            prediction: the mask.
            now_ns: the clock on which its messages were received, for the latency.
        """
        if self._is_heard("mask"):
            self._send_image("mask", prediction.mask, "mono8", prediction)
        for name, send in (
            ("confidence", self._send_confidence),
            ("camera_info", self._send_camera_info),
            ("points", self._send_points),
            ("modality_status", functools.partial(self._send_evidence, now_ns=now_ns)),
            ("mask/compressed", self._send_small_mask),
            ("mask_color", self._send_colors),
            ("overlay", self._send_overlays),
        ):
            if self._is_heard(name) or (name == "overlay" and self._is_heard(f"{name}/compressed")):
                self._send_beside(name, send, prediction)

    def destroy(self) -> None:
        """Take the topics down."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}
        self._labels.destroy()

    def _create(self, kind: Any, name: str) -> Any:
        # Reliable, so that reliable and best-effort subscribers both match. Overrides change the
        # profile they are given: so every topic gets one of its own.
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE
        )
        overridable = QoSOverridingOptions.with_default_policies()
        topic = self._node.resolve_topic_name(f"~/{name}")
        with overrides_named(self._node, topic, "publisher"):
            return publish(self._node, kind, f"~/{name}", qos, overridable)

    def _is_heard(self, name: str) -> bool:
        publisher = self._publishers.get(name)
        return publisher is not None and publisher.get_subscription_count() > 0

    def _send_beside(
        self, name: str, send: Callable[[Prediction], None], prediction: Prediction
    ) -> None:
        """Publish what goes with a mask. The mask is out: whatever goes wrong here, it stands."""
        try:
            send(prediction)
        except Exception as error:
            if time.monotonic() < self._warned_s.get(name, -_WARN_EVERY_S) + _WARN_EVERY_S:
                return
            self._warned_s[name] = time.monotonic()
            kind = "" if isinstance(error, UnknownGeometryError) else f"{type(error).__name__}: "
            self._node.get_logger().warning(f"nothing on ~/{name}: {kind}{one_line(error)}")

    def _send_confidence(self, of: Prediction) -> None:
        if of.confidence is not None:
            self._send_image("confidence", of.confidence, "mono8", of)

    def _send_camera_info(self, of: Prediction) -> None:
        self._publishers["camera_info"].publish(self._geometry.camera_info(of))

    def _send_points(self, of: Prediction) -> None:
        self._publishers["points"].publish(self._geometry.points(of))

    def _send_small_mask(self, of: Prediction) -> None:
        self._send_compressed("mask/compressed", ".png", of.mask, of)

    def _send_colors(self, of: Prediction) -> None:
        self._send_image("mask_color", colorize(of.mask, self._manifest), "rgb8", of)

    def _send_overlays(self, of: Prediction) -> None:
        picture = annotated_overlay(of, self._manifest, self.config.overlay_alpha)
        if self._is_heard("overlay"):
            self._send_image("overlay", picture, "rgb8", of)
        if self._is_heard("overlay/compressed"):
            self._send_compressed("overlay/compressed", ".jpg", picture, of)

    def _send_image(self, name: str, pixels: Pixels, encoding: str, of: Prediction) -> None:
        sample = of.frame_set.reference_sample
        message = self._buffer.fill(pixels, encoding, sample.stamp_ns, sample.frame_id)
        self._publishers[name].publish(message)

    def _send_compressed(self, name: str, kind: str, pixels: Pixels, of: Prediction) -> None:
        """Publish under the name and in the format that image_transport reads."""
        sample = of.frame_set.reference_sample
        color = pixels.ndim == 3
        bgr = np.ascontiguousarray(pixels[..., ::-1]) if color else pixels
        _, data = cv2.imencode(kind, bgr)
        codec = "png" if kind == ".png" else "jpeg"
        message = CompressedImage(
            format=f"rgb8; {codec} compressed bgr8" if color else f"mono8; {codec} compressed mono8"
        )
        message.header.stamp = to_stamp(sample.stamp_ns)
        message.header.frame_id = sample.frame_id
        message.data = array("B", data.tobytes())
        self._publishers[name].publish(message)

    def _send_evidence(self, prediction: Prediction, now_ns: Callable[[], int]) -> None:
        frames = prediction.frame_set
        newest_ns = max(sample.received_ns for sample in frames.samples.values())
        message = DiagnosticArray()
        message.header.stamp = to_stamp(frames.reference_sample.stamp_ns)
        message.header.frame_id = frames.reference_sample.frame_id
        message.status = mask_evidence(prediction, self._topics, now_ns() - newest_ns)
        self._publishers["modality_status"].publish(message)
