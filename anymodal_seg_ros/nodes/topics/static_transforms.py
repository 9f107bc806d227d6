"""``/tf_static``, heard where a sensor's place is left to it (``registration.extrinsics: tf``).

Sensors of a rig are bolted together, so the transforms that never change are enough, and the
package of the messages is all that is needed of tf2. Joints that move between sensors are not
followed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from anymodal_seg_ros.foreign_text import one_line

TOPIC = "/tf_static"

_DEPTH = 100
"""Every robot_state_publisher and every driver latches a message of its own."""


class StaticTransforms:
    """Listens to ``/tf_static``; says in one line why not, where tf2_msgs is not installed."""

    def __init__(self, node: Node, on_message: Callable[[Any], None]) -> None:
        """Subscribe.

        Args:
            node: subscribes.
            on_message: called with every ``tf2_msgs/TFMessage``.
        """
        self._node, self._subscription = node, None
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError as error:
            node.get_logger().error(
                "registration.extrinsics is tf, but tf2_msgs cannot be imported "
                f"({one_line(error)}): install ros-$ROS_DISTRO-tf2-msgs, or give the extrinsics as "
                "numbers; sensors without a place are left out of the masks"
            )
            return
        latched = QoSProfile(
            depth=_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )

        def take(message: Any) -> None:
            try:
                on_message(message)
            except Exception as error:  # nothing that is sent may end the node
                node.get_logger().error(f"{TOPIC}: {type(error).__name__}: {one_line(error)}")

        self._subscription = node.create_subscription(TFMessage, TOPIC, take, latched)

    def destroy(self) -> None:
        """Stop listening."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
