"""Word to a lifecycle manager that the node lives: the managed side of ROS's ``bond``.

Nav2's manager expects it of every node that it has activated, within half of its ``bond_timeout``,
and takes its whole stack down when the word stays away. Its own nodes say it on the relative topic
``bond``, under their name without the namespace; so does this one, where the messages are
installed, which they are with Nav2. What the manager says is not listened to: it tells what it
wants by transitions.
"""

from __future__ import annotations

import importlib
import uuid
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile

_PERIOD_S = 0.1
_TIMEOUT_S = 4.0
"""As Nav2's own nodes have them; the manager goes by those of its parameters."""


class Bond:
    """Tells whoever listens, ten times a second, that a node is active; and when it ceases to be.

    Raises:
        ModuleNotFoundError: ``bond`` is not installed.
    """

    def __init__(self, node: Node) -> None:
        self._kind = importlib.import_module("bond.msg").Status
        self._node = node
        self._publisher = node.create_publisher(self._kind, "bond", QoSProfile(depth=5))
        self._instance = ""
        self._timer: Any = None

    def begin(self) -> None:
        """Begin to tell, as an instance that nobody has met: an old one is dead for good."""
        self._instance = str(uuid.uuid4())
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self._node.create_timer(_PERIOD_S, self._tell, clock=steady)

    def end(self) -> None:
        """Say that the node is active no more; without a word if it has not been."""
        if self._timer is None:
            return
        self._node.destroy_timer(self._timer)
        self._timer = None
        self._tell(active=False)

    def destroy(self) -> None:
        """Give the topic up."""
        self.end()
        self._node.destroy_publisher(self._publisher)

    def _tell(self, active: bool = True) -> None:
        if not self._publisher.get_subscription_count():
            return
        message = self._kind(id=self._node.get_name(), instance_id=self._instance, active=active)
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.heartbeat_period, message.heartbeat_timeout = _PERIOD_S, _TIMEOUT_S
        self._publisher.publish(message)
