"""With use_sim_time the node lives in the time of /clock, whatever the wall clock does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fixtures.fake_sensor import picture
from fixtures.ros_graph import Collector, Graph, StartNode, values, wait_until
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.nodes.messages import image_message, to_ns, to_stamp

pytestmark = pytest.mark.ros

PERIOD_NS = 100_000_000
START_NS = 1_000 * 10**9


class Player:
    """Plays a recording by hand: a clock and one camera, as fast as the node can follow."""

    def __init__(self, graph: Graph, topic: str) -> None:
        self._node = graph.node
        self._clock = self._node.create_publisher(Clock, "/clock", 10)
        self._images = self._node.create_publisher(Image, topic, qos_profile_sensor_data)
        wait_until(lambda: self._node.count_subscribers(topic), f"a subscriber of {topic}")
        wait_until(lambda: self._node.count_subscribers("/clock"), "a subscriber of /clock")

    def tick(self, now_ns: int) -> None:
        self._clock.publish(Clock(clock=to_stamp(now_ns)))

    def frame(self, now_ns: int) -> None:
        pixels = picture("rgb8", seed=now_ns // 1_000_000 % 2**32)
        self._images.publish(image_message(pixels, "rgb8", now_ns, "camera"))

    def close(self) -> None:
        self._node.destroy_publisher(self._clock)
        self._node.destroy_publisher(self._images)


@pytest.fixture()
def player(graph: Graph, start_node: StartNode, namespace: str, tmp_path: Path) -> Iterator[Player]:
    start_node(
        env={"ROS_HOME": str(tmp_path)},
        use_sim_time=True,
        diagnostics_hz=20.0,
        rig__sensors__front__topic="front",
        rig__sensors__front__modality="rgb",
        rig__sensors__front__expected_hz=10.0,
    )
    player = Player(graph, f"{namespace}/front")
    yield player
    player.close()


def front(array: DiagnosticArray, namespace: str) -> dict[str, str]:
    """Return what diagnostics say of the camera, if they are of this node."""
    name = f"{namespace[1:]}/segmentation_node: sensor front"
    return values(array, name) if any(s.name == name for s in array.status) else {"state": ""}


def pipeline(array: DiagnosticArray, namespace: str) -> dict[str, str]:
    """Return what diagnostics say of the masks, if they are of this node."""
    name = f"{namespace[1:]}/segmentation_node: pipeline"
    return values(array, name) if any(s.name == name for s in array.status) else {}


def play(player: Player, masks: Collector, stamps: range) -> None:
    """Send frames one by one, each after the mask of the one before."""
    for stamp_ns in stamps:
        sent_s = 0.0

        def sent_until_seen(stamp_ns: int = stamp_ns) -> Any:
            nonlocal sent_s
            player.tick(stamp_ns)
            if time.monotonic() > sent_s + 0.5:  # again only if it was lost: repetitions are faults
                sent_s = time.monotonic()
                player.frame(stamp_ns)
            return any(to_ns(m.header.stamp) == stamp_ns for m in masks.messages)

        wait_until(sent_until_seen, f"a mask stamped {stamp_ns}")


def test_time_stands_still_runs_and_goes_back(graph: Graph, player: Player, namespace: str) -> None:
    with (
        graph.collect(Image, f"{namespace}/segmentation_node/mask") as masks,
        graph.collect(DiagnosticArray, "/diagnostics") as diagnostics,
    ):
        # Once the node knows who listens: a mask that nobody got is not made again.
        graph.wait_until_answered(f"{namespace}/segmentation_node")
        first = range(START_NS, START_NS + 10 * PERIOD_NS, PERIOD_NS)
        play(player, masks, first)
        alive = diagnostics.next(
            lambda a: front(a, namespace)["state"] == "OK", "the camera to be OK"
        )
        assert float(front(alive, namespace)["age_ms"]) == 0.0, "wall time must not count"

        now_ns = first[-1]

        def later() -> bool:
            nonlocal now_ns
            now_ns += PERIOD_NS
            player.tick(now_ns)
            return front(diagnostics.messages[-1], namespace)["state"] == "FAILED"

        wait_until(later, "the camera to fail when simulated time runs without it")

        def back() -> bool:
            nonlocal now_ns
            now_ns += PERIOD_NS
            player.tick(now_ns)
            player.frame(now_ns)
            time.sleep(0.02)
            return front(diagnostics.messages[-1], namespace)["state"] == "OK"

        wait_until(back, "the camera to be OK again")
        now_ns += 3 * 3600 * 10**9
        again = len(diagnostics.messages)
        play(player, masks, range(now_ns, now_ns + 10 * PERIOD_NS, PERIOD_NS))
        states = {front(a, namespace)["state"] for a in diagnostics.messages[again:]} - {""}
        assert states == {"OK"}, "a part of the recording that was skipped is no silence"

        before = len(masks.messages)
        play(player, masks, range(START_NS - 500 * 10**9, START_NS - 499 * 10**9, PERIOD_NS))
        assert len(masks.messages) >= before + 10, "a clock that went back begins a new run"
        told = diagnostics.next(
            lambda a: pipeline(a, namespace).get("went_back") == "1", "the step"
        )
        assert int(pipeline(told, namespace)["masks"]) > before

        name = f"{namespace}/segmentation_node"
        told_by = f"{name[1:]}: pipeline"
        other = graph.node.create_publisher(Clock, "/clock", 10)

        def of_two_clocks() -> bool:
            player.tick(START_NS - 498 * 10**9)
            other.publish(Clock(clock=to_stamp(START_NS)))
            words = [s.message for s in diagnostics.messages[-1].status if s.name == told_by]
            return any("/clock goes to and fro, 2 publish it" in word for word in words)

        wait_until(of_two_clocks, "word of two clocks")
        graph.node.destroy_publisher(other)
        play(player, masks, range(START_NS - 497 * 10**9, START_NS - 496 * 10**9, PERIOD_NS))
        answer = graph.call(Trigger, f"{name}/save_snapshot", Trigger.Request())
        assert answer.success, answer.message
        with Bag(Path(answer.message) / "bag") as bag:
            kept = [(m.log_ns, to_ns(bag.decode(m).header.stamp)) for m in bag.messages(bag.topics)]
        assert kept and all(abs(log_ns - stamp_ns) <= PERIOD_NS for log_ns, stamp_ns in kept)
        assert kept[-1][1] < START_NS, "nothing of before the clock went back"
