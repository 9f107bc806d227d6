"""Notices a simulated clock that goes to and fro, as where two publish it."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node

_TOPIC = "/clock"
_LATELY_S = 5.0
_OFTEN = 5
"""A recording that begins again sets the clock back once in its length."""


class ClockWatch:
    """Counts how often a node's clock goes back, and says who publishes it.

    Args:
        node: lives in simulated time.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._back_s: deque[float] = deque(maxlen=_OFTEN)
        # The handle keeps the callback, and lets go of it with this object.
        self._handle = node.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
            ),
            post_callback=self._went_back,
        )

    def words(self) -> str:
        """Say that the clock goes to and fro, and the mend; empty if it does not."""
        back_s = self._back_s
        if len(back_s) < _OFTEN or time.monotonic() - back_s[0] > _LATELY_S:
            return ""
        offers = self._node.get_publishers_info_by_topic(_TOPIC)
        nodes = sorted({f"{o.node_namespace.rstrip('/')}/{o.node_name}" for o in offers})
        if len(offers) < 2:
            return f"{_TOPIC} goes to and fro: look at {', '.join(nodes) or 'who publishes it'}"
        return f"{_TOPIC} goes to and fro, {len(offers)} publish it ({', '.join(nodes)}): stop one"

    def destroy(self) -> None:
        """Watch no more."""
        self._handle.unregister()

    def _went_back(self, jump: Any) -> None:
        self._back_s.append(time.monotonic())
