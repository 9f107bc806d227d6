"""The synchroniser as a node uses it: real topics, its own timer, steady and simulated time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import rclpy
from fixtures.fake_sensor import picture
from fixtures.ros_graph import Graph, spinning, wait_until
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from anymodal_seg_ros.nodes.messages import image_message, to_stamp
from anymodal_seg_ros.nodes.node_synchronizer import NodeTimeSynchronizer, Topic
from anymodal_seg_ros.sensing import ChecksConfig, ContentChecker, SensorState

pytestmark = pytest.mark.ros

MakeSynchronizer = Callable[..., NodeTimeSynchronizer]


class Cameras:
    """Two topics of a namespace, published by hand."""

    def __init__(self, graph: Graph, namespace: str) -> None:
        self._node = graph.node
        self.topics = [f"{namespace}/left", f"{namespace}/right"]
        self._publishers = [
            self._node.create_publisher(Image, topic, qos_profile_sensor_data)
            for topic in self.topics
        ]
        self._seeds = itertools.count()

    def wait_for_subscribers(self) -> None:
        for topic in self.topics:
            wait_until(lambda t=topic: self._node.count_subscribers(t), f"a subscriber of {topic}")

    def send(self, which: Sequence[int], stamp_ns: int, seed: int | None = None) -> None:
        for index in which:
            pixels = picture("rgb8", seed=next(self._seeds) if seed is None else seed)
            self._publishers[index].publish(image_message(pixels, "rgb8", stamp_ns, "camera"))

    def close(self) -> None:
        for publisher in self._publishers:
            self._node.destroy_publisher(publisher)


@pytest.fixture()
def cameras(graph: Graph, namespace: str) -> Iterator[Cameras]:
    cameras = Cameras(graph, namespace)
    yield cameras
    cameras.close()


@pytest.fixture()
def make_synchronizer(ros_domain: int, namespace: str) -> Iterator[MakeSynchronizer]:
    """Make a synchroniser in a node with two executor threads."""
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain)
    executor = MultiThreadedExecutor(num_threads=2, context=context)
    nodes: list[Node] = []

    def make(**options: Any) -> NodeTimeSynchronizer:
        sim_time = Parameter("use_sim_time", value=options.pop("use_sim_time", False))
        nodes.append(
            rclpy.create_node(
                "fusion", namespace=namespace, context=context, parameter_overrides=[sim_time]
            )
        )
        topics = [(Image, "left"), Topic(Image, "right", qos_profile_sensor_data)]
        synchronizer = NodeTimeSynchronizer(nodes[-1], topics, 10, 0.01, **options)
        executor.add_node(nodes[-1])
        return synchronizer

    with spinning(executor, nodes):
        yield make
    context.try_shutdown()


def test_a_set_leaves_by_the_timer_when_nobody_sends_any_more(
    cameras: Cameras, make_synchronizer: MakeSynchronizer
) -> None:
    synchronizer = make_synchronizer()
    sets: list[tuple[Any, ...]] = []
    synchronizer.registerCallback(lambda *messages: sets.append(messages))
    cameras.wait_for_subscribers()

    def both_seen() -> bool:
        cameras.send([0, 1], time.time_ns())
        time.sleep(0.03)
        return sum(None not in messages for messages in sets) >= 10

    wait_until(both_seen, "ten complete sets")
    last_ns = time.time_ns()
    cameras.send([0], last_ns)  # one message, and then silence
    wait_until(lambda: sets[-1][1] is None and sets[-1][0] is not None, "the set without the right")
    assert sets[-1][0].header.stamp == to_stamp(last_ns)
    wait_until(
        lambda: {s.value for s in synchronizer.states()} <= {"STALE", "FAILED"},
        "both inputs to be down, which only time can tell",
    )


def test_a_frozen_camera_is_in_no_set_and_not_ok(
    cameras: Cameras, make_synchronizer: MakeSynchronizer, namespace: str
) -> None:
    checks = [None, ContentChecker("rgb", ChecksConfig())]
    synchronizer = make_synchronizer(checks=checks)
    sets: list[tuple[Any, ...]] = []
    reasons: list[str] = []

    def callback(*messages: Any) -> None:
        sets.append(messages)
        reasons.append(synchronizer.missing[1])

    synchronizer.registerCallback(callback)
    cameras.wait_for_subscribers()

    def frozen() -> bool:
        stamp_ns = time.time_ns()
        cameras.send([0], stamp_ns)
        cameras.send([1], stamp_ns, seed=7)
        time.sleep(0.03)
        return synchronizer.states()[1] is SensorState.FROZEN

    wait_until(frozen, "the right camera to be FROZEN")
    wait_until(lambda: frozen() and any("FROZEN" in r for r in reasons), "a set that says so")
    assert sets[-1][1] is None
    right = synchronizer.diagnostics()[1]
    assert right.message.startswith("FROZEN: frozen: the payload has repeated")
    assert right.name == f"{namespace.strip('/')}/fusion: sensor input 1", "two robots differ"
    assert right.hardware_id == f"{namespace}/right"


def test_in_simulated_time_nothing_is_due_while_the_clock_stands(
    graph: Graph, cameras: Cameras, make_synchronizer: MakeSynchronizer
) -> None:
    clock = graph.node.create_publisher(Clock, "/clock", 10)
    synchronizer = make_synchronizer(use_sim_time=True, deadline=0.5)
    stamps: list[Any] = []
    synchronizer.registerCallback(lambda left, right: stamps.append((left, right)))
    cameras.wait_for_subscribers()
    now_ns = [1_000 * 10**9]

    def tick(step_ns: int = 0) -> None:
        now_ns[0] += step_ns
        clock.publish(Clock(clock=to_stamp(now_ns[0])))

    def seen(count: int) -> bool:
        tick()
        time.sleep(0.02)
        return synchronizer.status()[0].received >= count

    wait_until(lambda: tick() or graph.node.count_subscribers("/clock"), "a subscriber of /clock")
    wait_until(lambda: tick() or synchronizer._clock_ns() == now_ns[0], "simulated time")
    cameras.send([0], now_ns[0])
    wait_until(lambda: seen(1), "the message")
    time.sleep(0.7)  # longer than the deadline, by the wall clock
    assert stamps == []
    tick(600_000_000)
    wait_until(lambda: stamps, "the set, after the deadline on /clock")
    assert stamps[0][0].header.stamp == to_stamp(1_000 * 10**9)
    assert stamps[0][1] is None
    synchronizer.destroy()
    graph.node.destroy_publisher(clock)
