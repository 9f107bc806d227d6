"""The names of the class ids, latched beside the masks, as Nav2 and others ask for them.

``vision_msgs/LabelInfo`` where it is installed; where it is not, the same as JSON in a String.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import String

from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.nodes.topics.qos_overrides import overrides_named

THRESHOLD = 0.0
"""The masks name the most probable class, however probable it is."""


class LabelInfoPublisher:
    """Publishes the classes of a model once, for everybody who will ever listen.

    It is no lifecycle publisher: whoever looks for the classes gets them before the first mask.
    """

    def __init__(self, node: Node, manifest: Manifest) -> None:
        self._node = node
        messages = vision_messages()
        kind, topic = (String, "~/label_info_json")
        if messages is not None:
            kind, topic = messages.LabelInfo, "~/label_info"
        latched = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        overridable = QoSOverridingOptions.with_default_policies()
        with overrides_named(node, node.resolve_topic_name(topic), "publisher"):
            self._publisher = node.create_publisher(
                kind, topic, latched, qos_overriding_options=overridable
            )
        self.note = (
            ""
            if messages is not None
            else "vision_msgs is not installed: class names are on ~/label_info_json, not on "
            "~/label_info (install ros-$ROS_DISTRO-vision-msgs)"
        )
        """What an operator should know; empty if nothing."""
        stamp = node.get_clock().now().to_msg()
        if messages is None:
            message = String(data=label_json(manifest))
        else:
            message = label_info(manifest, messages)
            message.header.stamp = stamp
        self._publisher.publish(message)

    def destroy(self) -> None:
        """Take the topic down."""
        self._node.destroy_publisher(self._publisher)


def vision_messages() -> Any:
    """Return the module ``vision_msgs.msg``, or None where there is none or it has no LabelInfo."""
    try:
        module = importlib.import_module("vision_msgs.msg")
    except ImportError:
        return None
    return module if hasattr(module, "LabelInfo") else None  # older ones have not


def label_info(manifest: Manifest, messages: Any) -> Any:
    """Return a ``vision_msgs/LabelInfo`` of a model's classes.

    Args:
        manifest: of the model; the place of a class is its id.
        messages: the module that has ``LabelInfo`` and ``VisionClass``.
    """
    return messages.LabelInfo(
        class_map=[
            messages.VisionClass(class_id=number, class_name=spec.name)
            for number, spec in enumerate(manifest.classes)
        ],
        threshold=THRESHOLD,
    )


def label_json(manifest: Manifest) -> str:
    """Return the same as JSON, with the colours and the id of pixels without a class."""
    classes = [
        {"class_id": number, "class_name": spec.name, "color": list(spec.color)}
        for number, spec in enumerate(manifest.classes)
    ]
    return json.dumps({"class_map": classes, "threshold": THRESHOLD, "unlabeled": UNLABELED})
