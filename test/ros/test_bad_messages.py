"""Messages that lie are rejected, counted and told of, and the node goes on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fixtures.fake_sensor import picture
from fixtures.ros_graph import Graph, StartNode, values, wait_until
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from anymodal_seg_ros.nodes.messages import image_message, to_ns, to_stamp

pytestmark = pytest.mark.ros

_SEEDS = itertools.count()


def good() -> Any:
    pixels = picture("rgb8", seed=next(_SEEDS))
    return image_message(pixels, "rgb8", time.time_ns(), "camera")


def wrong_step(message: Any) -> None:
    message.step -= 1


def wrong_size(message: Any) -> None:
    message.height *= 2


def no_data(message: Any) -> None:
    message.data = b""


def empty_image(message: Any) -> None:
    message.width = 0


def unknown_encoding(message: Any) -> None:
    message.encoding = "rgb9"


def depth_on_the_rgb_topic(message: Any) -> None:
    message.encoding, message.width = "32FC1", message.width // 4 * 3


def zero_stamp(message: Any) -> None:
    message.header.stamp = to_stamp(0)


def absurd_stamp(message: Any) -> None:
    message.header.stamp = to_stamp(time.time_ns() + 10**15)


SPOILERS: dict[Callable[[Any], None], str] = {
    wrong_step: "step",
    wrong_size: "data",
    no_data: "data",
    empty_image: "size",
    unknown_encoding: "encoding",
    depth_on_the_rgb_topic: "encoding",
    zero_stamp: "stamp",
    absurd_stamp: "stamp",
}


def test_bad_messages_are_counted_and_survived(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    node = start_node(
        rig__sensors__front__topic="front",
        rig__sensors__front__modality="rgb",
        rig__sensors__front__recover_frames=1,  # each bad message is followed by a good one
        diagnostics_hz=20.0,
    )
    topic = f"{namespace}/front"
    publisher = graph.node.create_publisher(Image, topic, qos_profile_sensor_data)
    with (
        graph.collect(Image, f"{namespace}/segmentation_node/mask") as masks,
        graph.collect(DiagnosticArray, "/diagnostics") as diagnostics,
    ):

        def books() -> dict[str, str]:
            front = f"{namespace[1:]}/segmentation_node: sensor front"
            mine = [a for a in diagnostics.messages if front in {s.name for s in a.status}]
            return values(mine[-1], front) if mine else {}

        wait_until(lambda: graph.node.count_subscribers(topic), "the node's subscription")
        wait_until(books, "diagnostics of the node")

        def a_mask_comes() -> bool:
            publisher.publish(good())
            return bool(masks.messages)

        # Both ends know each other before anything is sent that must not be lost.
        wait_until(lambda: publisher.get_subscription_count(), "the publisher's subscription")
        wait_until(a_mask_comes, "a first mask")
        for count, (spoil, field) in enumerate(SPOILERS.items(), start=1):
            publisher.publish(good())
            message = good()
            spoil(message)
            publisher.publish(message)
            publisher.publish(good())  # an absurd stamp is told from a clock jump by what follows
            wait_until(lambda n=count: int(books()["rejected"]) == n, f"{count} rejections")
            assert f"{topic}: {field} " in f"{namespace}/{books()['last_error']}"
        last = good()
        publisher.publish(last)
        masks.wait(
            lambda all_: [m for m in all_ if m.header.stamp == last.header.stamp],
            "a mask of the last good message",
        )
        assert {k: v for k, v in books().items() if k.startswith("rejected: ")} == {
            "rejected: step": "1",
            "rejected: data": "2",
            "rejected: size": "1",
            "rejected: encoding": "2",
            "rejected: stamp": "2",
        }
    warnings = [line for line in node.stdout.splitlines() if "message rejected" in line]
    assert 1 <= len(warnings) < len(SPOILERS), "one warning at once, then one in 5 s"
    assert "front: step is 383: expected at least 384" in warnings[0]
    assert to_ns(masks.messages[-1].header.stamp) == to_ns(last.header.stamp)
    graph.node.destroy_publisher(publisher)
