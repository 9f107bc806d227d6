"""What the page on the synchroniser shows does what it says, as it is printed."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import rclpy
from fixtures.fake_sensor import picture
from fixtures.ros_graph import Graph, spinning, wait_until
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from anymodal_seg_ros.nodes.messages import image_message

pytestmark = pytest.mark.ros

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-the-synchroniser.md"
IN_A_NODE, IN_PLACE, LATE, LYING = re.findall(
    r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M
)

Add = Callable[[Any], None]


class Subscriber:
    """``message_filters.Subscriber``, as far as the page uses it; it need not be installed."""

    def __init__(self, node: Any, kind: Any, topic: str, *, qos_profile: Any) -> None:
        self._subscribe = lambda heard: node.create_subscription(kind, topic, heard, qos_profile)

    def registerCallback(self, heard: Any, *args: Any) -> None:
        self._subscribe(lambda message: heard(message, *args))


@pytest.fixture()
def add(ros_domain: int) -> Iterator[Add]:
    """Serve nodes of the process's own context, as a program's main does."""
    rclpy.init(args=[])
    executor, nodes = SingleThreadedExecutor(), list[Any]()

    def served(node: Any) -> None:
        nodes.append(node)
        executor.add_node(node)

    with spinning(executor, nodes):
        yield served
    rclpy.try_shutdown()


@pytest.fixture()
def send(graph: Graph) -> Iterator[Callable[..., None]]:
    publishers = {
        topic: graph.node.create_publisher(Image, topic, qos_profile_sensor_data)
        for topic in ("/image", "/depth")
    }
    seeds = itertools.count(1)

    def send(*topics: str, frozen: str = "") -> None:
        stamp_ns = time.time_ns()
        for topic in topics:
            pixels = picture("rgb8", seed=0 if topic == frozen else next(seeds))
            publishers[topic].publish(image_message(pixels, "rgb8", stamp_ns, "camera"))
        time.sleep(0.03)

    yield send
    for publisher in publishers.values():
        graph.node.destroy_publisher(publisher)


def test_the_node_is_called_also_without_depth(add: Add, send: Callable[..., None]) -> None:
    shown: dict[str, Any] = {}
    exec(IN_A_NODE, shown)
    fusion, logger = shown["Fusion"](), mock.Mock()
    with mock.patch.object(fusion, "get_logger", return_value=logger):
        add(fusion)

        def told() -> bool:
            send("/image")
            return bool(logger.info.called)

        wait_until(told, "word of a set without depth")
    (words,) = logger.info.call_args.args
    assert re.fullmatch(r"no depth: \S.*", words)


def test_it_stands_in_place_of_the_original(add: Add, send: Callable[..., None]) -> None:
    node, sets = rclpy.create_node("fusion"), list[Any]()
    shown = {
        "message_filters": SimpleNamespace(Subscriber=Subscriber),
        "node": node,
        "Image": Image,
        "qos_profile_sensor_data": qos_profile_sensor_data,
        "on_images": lambda image, depth: sets.append((image, depth)),
    }
    exec(IN_PLACE, shown)
    add(node)

    def whole() -> bool:
        send("/image", "/depth")
        return any(None not in found for found in sets)

    wait_until(whole, "a whole set")
    before = len(sets)

    def without() -> bool:
        send("/image")
        return any(depth is None for _, depth in sets[before:])

    wait_until(without, "a set without depth")
    exec(LATE, shown)
    assert not shown["both"].completes
    shown["on_images"](*sets[-1])


def test_a_topic_that_lies_is_left_out(add: Add, send: Callable[..., None]) -> None:
    node = rclpy.create_node("fusion")
    shown = {"node": node, "topics": [(Image, "image"), (Image, "depth")]}
    exec("from anymodal_seg_ros.nodes.node_synchronizer import NodeTimeSynchronizer", shown)
    exec(LYING, shown)
    add(node)

    def found_out() -> bool:
        send("/image", "/depth", frozen="/depth")
        return shown["both"].states()[1].value == "FROZEN"

    wait_until(found_out, "the frozen camera to be found out")
    assert shown["both"].states()[0].value == "OK"
