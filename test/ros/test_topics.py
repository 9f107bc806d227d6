"""How topics are subscribed to, and what is told of those that are not in order."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fixtures.fake_sensor import picture
from fixtures.ros_graph import (
    BEST_EFFORT,
    RELIABLE,
    Collector,
    Graph,
    StartNode,
    values,
    wait_until,
)
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from anymodal_seg_ros.nodes.messages import image_message

pytestmark = pytest.mark.ros

FRONT = {"rig__sensors__front__topic": "front", "rig__sensors__front__modality": "rgb"}
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def reliabilities(graph: Graph, topic: str) -> list[Any]:
    ends = graph.node.get_subscriptions_info_by_topic(topic)
    return [end.qos_profile.reliability for end in ends]


def said_of(array: DiagnosticArray, name: str) -> str:
    return "".join(s.message for s in array.status if s.name == name)


@contextmanager
def publisher(graph: Graph, kind: Any, topic: str, qos: QoSProfile) -> Iterator[Any]:
    made = graph.node.create_publisher(kind, topic, qos)
    try:
        yield made
    finally:
        graph.node.destroy_publisher(made)


def wait_while(sending: Callable[[], None], holds: Callable[[], Any], what: str) -> None:
    """Wait for something while messages are sent."""

    def sent() -> Any:
        sending()
        time.sleep(0.03)
        return holds()

    wait_until(sent, what)


def test_a_topic_is_heard_as_reliably_as_its_drivers_send(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    start_node(**FRONT)
    topic = f"{namespace}/front"
    with publisher(graph, Image, topic, RELIABLE):
        wait_until(
            lambda: reliabilities(graph, topic) == [ReliabilityPolicy.RELIABLE], "a reliable reader"
        )
    with publisher(graph, Image, topic, BEST_EFFORT):
        wait_until(
            lambda: reliabilities(graph, topic) == [ReliabilityPolicy.BEST_EFFORT],
            "a reader that this driver matches",
        )


def test_nothing_is_missed_or_taken_twice_when_a_topic_is_heard_reliably(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    """The driver comes when the node listens already, and sends as soon as that knows of it."""
    start_node(**FRONT, diagnostics_hz=10.0)
    node, topic = f"{namespace}/segmentation_node", f"{namespace}/front"
    wait_until(lambda: reliabilities(graph, topic) == [ReliabilityPolicy.BEST_EFFORT], "a reader")
    with (
        publisher(graph, Image, topic, RELIABLE) as driver,
        graph.collect(DiagnosticArray, "/diagnostics") as diagnostics,
    ):
        wait_until(driver.get_subscription_count, "a match")
        graph.wait_until_answered(node)

        def arrived(array: DiagnosticArray) -> int:
            return int(values(array, f"{node[1:]}: sensor front")["arrived"])

        number = 0
        while reliabilities(graph, topic) != [ReliabilityPolicy.RELIABLE]:  # both, for a while
            pixels = picture("rgb8", seed=number % 8)
            driver.publish(image_message(pixels, "rgb8", time.time_ns(), "camera"))
            number += 1
            # One at a time: a queue that overflows on a busy machine is another matter.
            diagnostics.next(lambda array, n=number: arrived(array) >= n, f"message {number}")
        assert number > 0
        assert arrived(diagnostics.next()) == number


def test_another_type_is_named_with_the_mend(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    node = start_node(**FRONT, diagnostics_hz=10.0)
    name = f"{namespace[1:]}/segmentation_node: sensor front"
    with (
        publisher(graph, CompressedImage, f"{namespace}/front", RELIABLE),
        graph.collect(DiagnosticArray, "/diagnostics") as diagnostics,
    ):
        diagnostics.next(lambda a: "CompressedImage: set type: compr" in said_of(a, name), "words")
        wait_until(lambda: "set type: compressed" in node.stdout, "a line on the console")
    told = [line for line in node.stdout.splitlines() if "set type: compressed" in line]
    assert len(told) == 1, "told once"


def test_a_name_that_nobody_publishes_is_told_with_those_that_cameras_have(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    with publisher(graph, Image, f"{namespace}/camera", BEST_EFFORT):
        node = start_node("-r", "~/mask:=front/mask", **FRONT)
        wait_until(lambda: "nobody publishes" in node.stdout, "a line on the console")
    (told,) = (line for line in node.stdout.splitlines() if "nobody publishes" in line)
    assert f"published are {namespace}/camera" in told
    assert "front/mask" not in told, "the node's own mask is no camera, whatever its name"


def test_an_override_that_asks_for_what_no_driver_offers_is_told(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    wrong = f"qos_overrides.{namespace}/front.subscription.reliability"
    with publisher(graph, Image, f"{namespace}/front", BEST_EFFORT):
        node = start_node("-p", f"{wrong}:=reliable", **FRONT)
        wait_until(lambda: f"best_effort only: mend {wrong}" in node.stdout, "the mend")


def test_overrides_that_nothing_listens_to_are_told(start_node: StartNode, namespace: str) -> None:
    mask = f"qos_overrides.{namespace}/segmentation_node/mask"
    ignored = {f"{mask}.publisher.durability": "transient_local", f"{mask}s.publisher.depth": 1}
    given = [word for name, value in ignored.items() for word in ("-p", f"{name}:={value}")]
    node = start_node(*given, "-p", f"{mask}.publisher.depth:=1", **FRONT)
    for name in ignored:
        wait_until(lambda name=name: f"{name} is not used" in node.stdout, f"a word of {name}")
    assert "did you mean" in node.stdout
    assert f"{mask}.publisher.depth is not used" not in node.stdout


def test_two_drivers_on_a_topic_are_named(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    node = start_node(**FRONT)
    topic, seeds = f"{namespace}/front", itertools.count()
    with (
        publisher(graph, Image, topic, BEST_EFFORT) as one,
        publisher(graph, Image, topic, BEST_EFFORT) as other,
    ):

        def send() -> None:
            pixels = picture("rgb8", seed=next(seeds) % 8)
            for driver in (one, other):
                driver.publish(image_message(pixels, "rgb8", time.time_ns(), "camera"))

        wait_while(send, lambda: "2 publishers send on" in node.stdout, "a line on the console")


def test_a_calibration_that_was_published_once_and_long_ago_is_heard(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    info = CameraInfo(width=128, height=96, distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = [100.0, 0.0, 64.0, 0.0, 100.0, 48.0, 0.0, 0.0, 1.0]
    info.p = [100.0, 0.0, 64.0, 0.0, 0.0, 100.0, 48.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    with (
        publisher(graph, CameraInfo, f"{namespace}/front/camera_info", LATCHED) as calibration,
        publisher(graph, Image, f"{namespace}/front", BEST_EFFORT) as front,
    ):
        calibration.publish(info)
        start_node(**FRONT, rig__sensors__front__registration__camera_info="front/camera_info")
        node = f"{namespace}/segmentation_node"
        with graph.collect(CameraInfo, f"{node}/camera_info") as infos:
            seeds = itertools.count()

            def send() -> None:
                pixels = picture("rgb8", seed=next(seeds) % 8)
                front.publish(image_message(pixels, "rgb8", time.time_ns(), "camera"))

            wait_while(send, lambda: infos.messages, "the CameraInfo of a mask")
    got = infos.messages[0]
    assert (got.width, got.height, got.header.frame_id) == (128, 96, "camera")
    assert list(got.k) == list(info.k)


def test_two_robots_have_diagnostics_of_their_own(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    start_node(**FRONT, diagnostics_hz=10.0)
    start_node("-r", "__node:=rear_seg", **FRONT, diagnostics_hz=10.0)

    def names(seen: Collector) -> set[tuple[str, str]]:
        mine = [
            s
            for a in seen.messages
            for s in a.status
            if s.name.startswith(namespace[1:]) and not s.name.endswith(": machine")
        ]
        return {(s.name, s.hardware_id) for s in mine}

    with graph.collect(DiagnosticArray, "/diagnostics") as diagnostics:
        wait_until(lambda: len(names(diagnostics)) == 4, "four different statuses")
        rear = f"{namespace[1:]}/rear_seg: sensor front"
        array = diagnostics.next(lambda a: "nobody publishes" in said_of(a, rear), "the graph")
    assert values(array, rear)["publishers"] == "0"
    assert {h for n, h in names(diagnostics) if "sensor" in n} == {f"{namespace}/front"}
