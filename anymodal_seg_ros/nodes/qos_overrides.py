"""What a user fixes of a topic's QoS, and a word of it where that cannot be used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rclpy.node import Node

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import one_line, quote


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
