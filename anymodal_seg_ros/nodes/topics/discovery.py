"""Publishing only once the subscribers are there, so that not even the first message is lost.

A publisher learns of a subscriber before the subscriber learns of the publisher, on a busy machine
by seconds, and until then a best-effort subscriber drops what it is sent. Nothing in ROS tells the
publisher when that is over. But a node announces its publishers and clients to others in the order
in which they were made: so whoever answers a service that was called afterwards knows them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from rcl_interfaces.srv import GetParameterTypes
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.task import Future

_POLL_S = 0.02

_SERVICE_S = 2.0
"""How long a node's service may take to appear; some nodes, as ``ros2 topic echo``'s, have none."""

_ASK_AGAIN_S = 1.0
"""An answer to a client that the node does not know yet is dropped, and never sent again."""

_UNKNOWN = "_NODE_NAME_UNKNOWN_"


def wait_for_subscribers(
    node: Node, publishers: Mapping[str, Publisher], stop: threading.Event, timeout_s: float
) -> list[str]:
    """Wait until every topic has a subscriber that knows the publisher.

    Args:
        node: has these publishers, and is in no executor.
        publishers: by topic.
        stop: ends the waiting when set.
        timeout_s: wait no longer than this.

    Returns:
        The topics that nobody subscribes to in the end.
    """
    end = time.monotonic() + timeout_s
    _wait(lambda: not _unheard(publishers), stop, end)
    unheard = _unheard(publishers)
    heard = [p.topic_name for topic, p in publishers.items() if topic not in unheard]
    _wait(lambda: _UNKNOWN not in "".join(_listeners(node, heard)), stop, end)
    for listener in sorted(_listeners(node, heard)):
        _hear_from(node, listener, stop, end)
    return unheard


def _unheard(publishers: Mapping[str, Publisher]) -> list[str]:
    return [topic for topic, p in publishers.items() if not p.get_subscription_count()]


def _listeners(node: Node, topics: list[str]) -> set[str]:
    """Return the full names of the nodes that subscribe to some topics."""
    endpoints = (end for topic in topics for end in node.get_subscriptions_info_by_topic(topic))
    return {f"{end.node_namespace.rstrip('/')}/{end.node_name}" for end in endpoints}


def _hear_from(node: Node, listener: str, stop: threading.Event, end: float) -> None:
    """Wait for an answer of another node, whatever it is."""
    client = node.create_client(GetParameterTypes, f"{listener}/get_parameter_types")
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    try:
        if _wait(client.service_is_ready, stop, min(end, time.monotonic() + _SERVICE_S)):
            begin = time.monotonic()
            asked: list[Future[GetParameterTypes.Response]] = []
            while (now := time.monotonic()) < end and not stop.is_set():
                if now >= begin + len(asked) * _ASK_AGAIN_S:
                    asked.append(client.call_async(GetParameterTypes.Request()))
                executor.spin_once(timeout_sec=_POLL_S)
                if any(future.done() for future in asked):
                    break
    finally:
        executor.remove_node(node)
        executor.shutdown()
        node.destroy_client(client)


def _wait(holds: Callable[[], bool], stop: threading.Event, end: float) -> bool:
    """Wait until something holds; False if the time was up or ``stop`` was set before."""
    while not (held := holds()) and time.monotonic() < end and not stop.wait(_POLL_S):
        pass
    return held
