"""Where rclpy differs between the distributions: Humble, Jazzy, Kilted, Lyrical. Nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

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
        on_lost: called with how many messages were lost on the way.
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
                message_lost=lambda event: on_lost(int(event.total_count_change))
            )
        )
    except UnsupportedEventTypeError:  # of this middleware
        return create(None)
