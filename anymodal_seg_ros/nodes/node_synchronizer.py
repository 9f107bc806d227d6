"""The synchroniser in a node: with subscriptions, a timer, the right clock and the arrival times.

self.both = NodeTimeSynchronizer(self, [(Image, "image"), (Image, "depth")], 10, slop=0.05)
self.both.registerCallback(self.on_images)     # def on_images(image, depth): depth may be None
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from anymodal_seg_ros.nodes.diagnostics import sensor_health
from anymodal_seg_ros.nodes.topics.arrival import NOT_BELIEVED_NS, waited_ns
from anymodal_seg_ros.sensing.sync.message_filter import Filter, ImageCheck, PartialTimeSynchronizer

_TELLS_RECEPTION = hasattr(Subscription, "CallbackType")
"""Whether rclpy says when a message was received: since Iron."""


class Topic(NamedTuple):
    """A topic to subscribe to.

    Attributes:
        kind: class of its messages.
        name: relative to the node's namespace.
        qos: best effort and as deep as the synchroniser's queue, at most 10, if None. Best effort
            hears reliable publishers too.
    """

    kind: type
    name: str
    qos: QoSProfile | None = None


class NodeTimeSynchronizer(PartialTimeSynchronizer):
    """:class:`PartialTimeSynchronizer` that lives in a node.

    It subscribes, and polls by a timer of its own, so that no set waits for the next message. It
    counts on a steady clock, or on ``/clock`` with ``use_sim_time``; where rclpy tells when the
    middleware received a message (since Iron), liveness does not depend on a busy executor. Works
    in single and multi-threaded executors; callbacks run one at a time.
    """

    def __init__(
        self,
        node: Node,
        topics: Sequence[Topic | tuple[type, str] | Filter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
        *,
        deadline: float | None = None,
        rates: Sequence[float] | None = None,
        checks: Sequence[ImageCheck | None] | None = None,
        poll_s: float = 0.02,
        callback_group: Any = None,
    ) -> None:
        """Subscribe.

        Args:
            node: whose subscriptions, timer and clock they are.
            topics: the inputs, in the order of the callback's arguments and of preference: message
                class and name, with a QoS profile if need be, or any filter of message_filters.
            queue_size: see :class:`PartialTimeSynchronizer`, as all that follows.
            slop: in s.
            allow_headerless: stamp messages without a header with their time of arrival.
            deadline: in s; learned if None.
            rates: of the inputs in Hz; learned if None.
            checks: what looks at the images of each input, None for those not to be looked at.
            poll_s: period of the timer on the wall clock, in s.
            callback_group: of subscriptions and timer; the node's default if None.

        Raises:
            ConfigError: an argument is out of range.
        """
        self._node = node
        self._group = callback_group
        self._subscriptions: list[Subscription] = []
        self._topics = tuple(_topic_name(node, topic) for topic in topics)
        depth = min(max(queue_size, 1), 10)
        super().__init__(
            [self._as_filter(topic, depth) for topic in topics],
            queue_size,
            slop,
            allow_headerless,
            deadline=deadline,
            rates=rates,
            checks=checks,
            now_ns=self._clock_ns,
        )
        self._timer = node.create_timer(
            poll_s, self.poll, callback_group, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def diagnostics(self) -> list[DiagnosticStatus]:
        """Return the health of every input, for a ``DiagnosticArray`` on ``/diagnostics``."""
        name = self._node.get_fully_qualified_name().lstrip("/")  # two robots differ
        return [
            sensor_health(name, status, topic, before=status)
            for status, topic in zip(self.status(), self._topics, strict=True)
        ]

    def destroy(self) -> None:
        """End the timer and the subscriptions; the node may go on without."""
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _as_filter(self, topic: Topic | tuple[type, str] | Filter, depth: int) -> Filter:
        if not isinstance(topic, tuple):
            return topic
        wanted = Topic(*topic)
        qos = wanted.qos or QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)
        return _Subscriber(self, wanted._replace(qos=qos))

    def subscribe(self, topic: Topic, add: Callable[..., Any], index: int) -> None:
        """Subscribe to a topic that becomes the input of a number."""

        def with_info(message: Any, info: Mapping[str, Any]) -> None:
            if now_ns := self._clock_ns():
                add(message, index, now_ns - self._waited_ns(info))
            else:
                self.unusable["no /clock has come yet"] += 1

        def without_info(message: Any) -> None:
            with_info(message, {})

        self._subscriptions.append(
            self._node.create_subscription(
                topic.kind,
                topic.name,
                with_info if _TELLS_RECEPTION else without_info,
                topic.qos,
                callback_group=self._group,
            )
        )

    def _clock_ns(self) -> int:
        """Return the time: steady, or that of ``/clock``."""
        clock = self._node.get_clock()
        return int(clock.now().nanoseconds) if clock.ros_time_is_active else time.monotonic_ns()

    def _waited_ns(self, info: Mapping[str, Any]) -> int:
        """Return how long a message has waited for its callback; 0 in simulated time."""
        if self._node.get_clock().ros_time_is_active:
            return 0
        return waited_ns(info, NOT_BELIEVED_NS)


class _Subscriber:
    """A topic with the conventions of message_filters."""

    def __init__(self, owner: NodeTimeSynchronizer, topic: Topic) -> None:
        self._owner = owner
        self._topic = topic

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        self._owner.subscribe(self._topic, cb, *args)
        return 0


def _topic_name(node: Node, topic: Topic | tuple[type, str] | Filter) -> str:
    if isinstance(topic, tuple):
        return str(node.resolve_topic_name(topic[1]))
    return str(getattr(topic, "topic", ""))
