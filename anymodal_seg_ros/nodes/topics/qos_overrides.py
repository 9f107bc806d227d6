"""What a user fixes of a topic's QoS, and a word of it where that cannot be used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rclpy.node import Node

from anymodal_seg_ros.config import did_you_mean
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import one_line, quote

_POLICIES = {
    "publisher": ("reliability", "history", "depth"),
    "subscription": ("reliability", "durability", "history", "depth"),
}
"""What can be overridden of each end; who latches its messages must not be told otherwise."""


def unused_overrides(node: Node) -> list[str]:
    """Return a sentence for each override that no topic of a node has listened to.

    rclpy passes over them without a word. A file may hold those of other nodes, so they are no
    error.

    Args:
        node: has all its publishers and subscriptions.
    """
    ends = {
        *(f"{end.topic_name}.publisher" for end in node.publishers),
        *(f"{end.topic_name}.subscription" for end in node.subscriptions),
    }
    # rclpy declares all policies of an end that has any.
    open_ends = {end for end in ends if node.has_parameter(f"qos_overrides.{end}.history")}
    said = []
    for name in sorted(node.get_parameters_by_prefix("qos_overrides")):
        end, _, policy = name.rpartition(".")
        topic, _, role = end.rpartition(".")
        if end in open_ends and policy in _POLICIES[role]:
            continue
        if end in open_ends:
            why = f"of a {role} {', '.join(_POLICIES[role])} can be set"
        else:
            alike = {other.rpartition(".")[0] for other in open_ends if other.endswith(f".{role}")}
            mend = f": {did_you_mean(topic, alike)}".rstrip(": ") if topic not in alike else ""
            why = f"this node has no {role} of {topic} that it could be set of{mend}"
        said.append(f"qos_overrides.{name} is not used: {why}")
    return said


@contextlib.contextmanager
def overrides_named(node: Node, topic: str, role: str) -> Iterator[None]:
    """Turn what rclpy raises while it makes an end of a topic into an error that names the QoS.

    Args:
        node: has the parameters ``qos_overrides.…``.
        topic: its full name.
        role: ``publisher`` or ``subscription``.

    Raises:
        ConfigError: instead of what the body raised, if there are overrides of this end.
    """
    prefix = f"qos_overrides.{topic}.{role}"
    given = {name: p.value for name, p in node.get_parameters_by_prefix(prefix).items()}
    try:
        yield
    except Exception as error:  # rclpy asserts, looks up and converts
        if not given:
            raise
        said = ", ".join(f"{prefix}.{name} is {quote(repr(given[name]))}" for name in sorted(given))
        raise ConfigError(
            f"{said}: expected of reliability reliable or best_effort, of durability volatile or "
            "transient_local, of history keep_last or keep_all, of depth a whole number from 1 on "
            f"({one_line(error) or type(error).__name__})"
        ) from error
