"""Where rclpy differs between the distributions: Humble, Jazzy, Kilted, Lyrical. Nowhere else.

Of the middleware's events only those are asked for that somebody makes use of: the executor goes
through all of them at every message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import (
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )
except ImportError:  # Humble
    from rclpy.qos_event import (
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )

HAS_MESSAGE_INFO = hasattr(Subscription, "CallbackType")
"""Whether callbacks may take a second argument, which tells when a message arrived."""

OnMessage = Callable[[Any, "Mapping[str, Any] | None"], None]
"""Takes a message and what the middleware knows of it, where it tells."""


def before_parameters_are_set(node: Node, prepare: Callable[[list[Any]], list[Any]]) -> None:
    """Have parameters prepared before they are checked and set; not in Humble, which cannot."""
    if add := getattr(node, "add_pre_set_parameters_callback", None):
        add(prepare)


def subscribe(
    node: Node,
    kind: Any,
    topic: str,
    on_message: OnMessage,
    on_lost: Callable[[int], None],
    qos: QoSProfile,
    overridable: QoSOverridingOptions,
    raw: bool = False,
) -> Any:
    """Subscribe, with the message's info and the count of lost messages where there is such.

    Args:
        node: subscribes.
        kind: class of the messages.
        topic: relative, absolute or private name.
        on_message: called with every message, and with its info or None.
        on_lost: called with how many messages were lost on the way. Publishers that do not fit are
            seen in the graph.
        qos: the profile; it is changed by overrides, so give every subscription its own.
        overridable: what parameters may override.
        raw: whether messages come as the bytes that were sent.
    """
    with_info: Any = on_message if HAS_MESSAGE_INFO else lambda message: on_message(message, None)

    def create(events: Any) -> Any:
        return node.create_subscription(
            kind,
            topic,
            with_info,
            qos,
            event_callbacks=events,
            qos_overriding_options=overridable,
            raw=raw,
        )

    try:
        return create(
            SubscriptionEventCallbacks(
                message_lost=lambda event: on_lost(int(event.total_count_change)),
                use_default_callbacks=False,
            )
        )
    except UnsupportedEventTypeError:  # of this middleware
        return create(None)


def publish(
    node: LifecycleNode,
    kind: type,
    topic: str,
    qos: QoSProfile,
    overridable: QoSOverridingOptions,
) -> Any:
    """Publish while the node is active, and warn of whoever asks for more than is offered.

    Args:
        node: publishes.
        kind: class of the messages.
        topic: relative, absolute or private name.
        qos: the profile; it is changed by overrides, so give every publisher its own.
        overridable: what parameters may override.
    """

    def warn(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        node.get_logger().warning(
            f"{node.resolve_topic_name(topic)}: somebody subscribes who asks for more {policy} "
            "than is offered, and hears nothing: let the subscription ask for less"
        )

    def create(**asked: Any) -> Any:
        events = PublisherEventCallbacks(use_default_callbacks=False, **asked)
        return node.create_lifecycle_publisher(
            kind, topic, qos, event_callbacks=events, qos_overriding_options=overridable
        )

    try:
        return create(incompatible_qos=warn)
    except UnsupportedEventTypeError:  # of this middleware
        return create()
