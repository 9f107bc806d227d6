"""An executor that answers services between two images, and not after one of every camera.

rclpy goes through all that is ready before it looks again: timers, then every subscription, then
services, of each of these one request. Four images of 6 MB take a tenth of a second on two busy
cores, and a service that is asked just then waits for all of them twice.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from rclpy.executors import SingleThreadedExecutor, TimeoutException
from rclpy.subscription import Subscription

LOOK_EVERY_S = 0.01
"""Small messages are gone through in less, and for them nothing is looked at twice."""


class MessagesLast(SingleThreadedExecutor):
    """Serves one thing after the other: timers, services and the like first, messages in turn."""

    def _wait_for_ready_callbacks(
        self,
        timeout_sec: Any = None,
        nodes: Any = None,
        condition: Callable[[], bool] = lambda: False,
    ) -> Iterator[Any]:
        """Yield what is ready, and between two messages what has become so.

        rclpy asks this method for work in all of its distributions. Were it called otherwise in
        one, the order would be rclpy's own.
        """
        messages: deque[Any] = deque()
        ready = super()._wait_for_ready_callbacks(timeout_sec, nodes, condition)
        yield from self._others(ready, messages)
        looked_s = time.monotonic()
        while messages:
            message = messages.popleft()
            task, subscription, node = message
            if subscription in node.subscriptions:
                yield message
            else:  # destroyed meanwhile: there is nothing to take, which is an error in Humble
                task()
                task.exception()
            if messages and time.monotonic() - looked_s >= LOOK_EVERY_S:
                ready = super()._wait_for_ready_callbacks(0, nodes, condition)
                yield from self._others(ready, messages)
                looked_s = time.monotonic()

    def _others(self, ready: Iterator[Any], messages: deque[Any]) -> Iterator[Any]:
        """Yield what is no message; messages are kept for later, each once."""
        try:
            for one in ready:
                if not isinstance(one[1], Subscription):
                    yield one
                elif all(one[0] is not kept[0] for kept in messages):
                    messages.append(one)
        except TimeoutException:
            if not messages:
                raise
