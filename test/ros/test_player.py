"""A bag on real topics: the bytes, their timing, the clock, and how it ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.bag_files import IMAGE, images, write_bag
from fixtures.ros_graph import Graph, RosProcess, wait_until
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image as RosImage

from anymodal_seg_ros.evaluation.bag_writer import ImageBagWriter
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.nodes.messages import import_class, to_ns
from anymodal_seg_ros.sensing.decoding.decode import decode_image

pytestmark = pytest.mark.ros

START, MS = 1_700_000_000_000_000_000, 1_000_000
FRAMES, PERIOD = 20, 50 * MS
Play = Callable[..., RosProcess]


def frame(index: int) -> Image:
    return Image(np.full((4, 6), 1000 * index, np.uint16), "mono16")


@pytest.fixture()
def bag(tmp_path: Path, namespace: str) -> Path:
    with ImageBagWriter(tmp_path / "bag") as writer:
        for index in range(FRAMES):
            time_ns = START + PERIOD * index
            for name in ("a", "b"):
                writer.write(f"{namespace}/{name}", frame(index), time_ns, time_ns, name)
    return tmp_path / "bag"


@pytest.fixture()
def play(ros_domain: int, bag: Path, tmp_path: Path) -> Iterator[Play]:
    started: list[RosProcess] = []

    def start(*args: object) -> RosProcess:
        arguments = ["play", str(bag), *map(str, args)]
        folder = tmp_path / f"player{len(started)}"
        started.append(RosProcess("anymodal_seg_ros.cli.main", arguments, folder))
        return started[-1]

    yield start
    for process in started:
        process.kill()


class Arrivals:
    """Messages with the time of their arrival."""

    def __init__(self, graph: Graph, kind: Any, topic: str) -> None:
        self.rows: list[tuple[float, Any]] = []
        self._graph = graph
        self._subscription = graph.node.create_subscription(
            kind, topic, lambda m: self.rows.append((time.monotonic(), m)), QoSProfile(depth=100)
        )

    def close(self) -> None:
        self._graph.node.destroy_subscription(self._subscription)


@pytest.fixture()
def arrivals(graph: Graph) -> Iterator[Callable[[Any, str], Arrivals]]:
    opened: list[Arrivals] = []

    def listen(kind: Any, topic: str) -> Arrivals:
        opened.append(Arrivals(graph, kind, topic))
        return opened[-1]

    yield listen
    for one in opened:
        one.close()


def test_everything_comes_as_it_was_and_in_time(
    play: Play, arrivals: Callable[[Any, str], Arrivals], namespace: str
) -> None:
    topics = {name: arrivals(RosImage, f"{namespace}/{name}") for name in ("a", "b")}
    process = play("--rate", 2)
    assert process.wait() == 0
    assert process.stderr == ""
    for name, topic in topics.items():
        wait_until(lambda topic=topic: len(topic.rows) == FRAMES, "all messages")
        messages = [message for _, message in topic.rows]
        assert [to_ns(m.header.stamp) for m in messages] == [
            START + PERIOD * i for i in range(FRAMES)
        ]
        assert {m.header.frame_id for m in messages} == {name}
        for index, message in enumerate(messages):
            np.testing.assert_array_equal(decode_image(message).pixels, frame(index).pixels)
        took_s = topic.rows[-1][0] - topic.rows[0][0]
        assert took_s == pytest.approx((FRAMES - 1) * PERIOD / 1e9 / 2, abs=0.1)
    assert f"{namespace}/a: {FRAMES} messages" in process.stdout


def test_loops_with_its_clock_until_told_to_stop(
    play: Play, arrivals: Callable[[Any, str], Arrivals], namespace: str
) -> None:
    images, clock = arrivals(RosImage, f"{namespace}/a"), arrivals(Clock, "/clock")
    process = play("--rate", 5, "--loop", "--clock", "--topics", f"{namespace}/a")
    wait_until(lambda: len(images.rows) > 2 * FRAMES, "the third round")
    process.send(signal.SIGINT)
    assert process.wait() == 0
    assert process.stderr == ""
    stamps = [to_ns(message.header.stamp) for _, message in images.rows]
    assert stamps[FRAMES : 2 * FRAMES] == stamps[:FRAMES], "the same again"
    times = [to_ns(message.clock) for _, message in clock.rows]
    first_round = times[: int(np.argmin(np.diff(times))) + 1]
    assert first_round == sorted(first_round)
    assert first_round[-1] == START + PERIOD * (FRAMES - 1)
    assert len(first_round) > FRAMES, "the clock goes on between messages"
    assert max(np.diff(first_round)) <= PERIOD


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)])
def test_ends_quietly_while_it_waits_for_subscribers(
    play: Play, graph: Graph, namespace: str, signals: tuple[signal.Signals, ...]
) -> None:
    process = play("--wait", 60)
    wait_until(lambda: graph.node.count_publishers(f"{namespace}/a"), "the player")
    process.send(*signals)
    assert process.wait() == 0
    assert process.stderr == ""


def test_plays_to_nobody_and_says_so(play: Play, namespace: str) -> None:
    chosen = ("--topics", f"{namespace}/a, ", "--topics", f"{namespace}/b")
    process = play("--wait", 0, "--rate", 100, *chosen)
    assert process.wait() == 0
    for name in "ab":
        assert f"{namespace}/{name}: {FRAMES} messages  (nobody listened" in process.stdout


def test_a_loop_over_nothing_ends(ros_domain: int, tmp_path: Path, namespace: str) -> None:
    bag = write_bag(tmp_path / "empty", {f"{namespace}/a": (IMAGE, [])})
    arguments = ["play", str(bag), "--loop", "--wait", "0"]
    process = RosProcess("anymodal_seg_ros.cli.main", arguments, tmp_path / "player")
    assert process.wait() == 0
    assert f"{namespace}/a: 0 messages" in process.stdout


def test_a_topic_is_played_under_another_name(
    play: Play, arrivals: Callable[[Any, str], Arrivals], graph: Graph, namespace: str
) -> None:
    renamed, other = arrivals(RosImage, f"{namespace}/front"), arrivals(RosImage, f"{namespace}/b")
    process = play("--rate", 5, "-m", f"{namespace}/a:={namespace}/front")
    assert process.wait() == 0
    for topic in (renamed, other):
        wait_until(lambda topic=topic: len(topic.rows) == FRAMES, "all messages")
    assert {message.header.frame_id for _, message in renamed.rows} == {"a"}
    assert not graph.node.count_publishers(f"{namespace}/a")


@pytest.mark.parametrize("flag", ["--topics", "--remap"])
def test_an_absent_topic_is_an_error(play: Play, namespace: str, flag: str) -> None:
    process = play(flag, "/nothing" if flag == "--topics" else "/nothing:=/something")
    assert process.wait() == 1
    assert process.stderr.startswith("Error: ")
    assert f"no topic /nothing: expected of {namespace}/a" in process.stderr


def test_a_renaming_that_is_none_is_an_error(play: Play) -> None:
    process = play("--remap", "/a")
    assert process.wait() == 2
    assert "expected FROM:=TO" in process.stderr


LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    QosTime(0, 0),
    QosTime(0, 0),
    QosLiveliness.AUTOMATIC,
    QosTime(0, 0),
    False,
)


def test_who_comes_late_gets_what_was_latched(
    ros_domain: int, tmp_path: Path, graph: Graph, namespace: str
) -> None:
    bag = write_bag(tmp_path / "latched", {f"{namespace}/map": (IMAGE, images(1))}, qos=[LATCHED])
    process = RosProcess(
        "anymodal_seg_ros.cli.main",
        ["play", str(bag), "--wait", "0", "--loop", "--rate", "0.01"],
        tmp_path / "player",
    )
    try:
        wait_until(lambda: graph.node.count_publishers(f"{namespace}/map"), "the player")
        heard: list[Any] = []
        late = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        graph.node.create_subscription(RosImage, f"{namespace}/map", heard.append, late)
        wait_until(lambda: bool(heard), "the latched message")
    finally:
        process.send(signal.SIGINT)
        assert process.wait() == 0


def test_what_cannot_be_published_is_left_out_with_a_line(
    ros_domain: int, tmp_path: Path, namespace: str
) -> None:
    types = get_typestore(Stores.ROS2_HUMBLE)
    types.register(get_types_from_msg("int32 a", "nobody_msgs/msg/Thing"))
    thing = types.types["nobody_msgs/msg/Thing"](a=1)
    data = bytes(types.serialize_cdr(thing, "nobody_msgs/msg/Thing"))
    clock = types.types["builtin_interfaces/msg/Time"](sec=7, nanosec=0)
    tick = types.types["rosgraph_msgs/msg/Clock"](clock=clock)
    told = bytes(types.serialize_cdr(tick, "rosgraph_msgs/msg/Clock"))
    topics = {
        "/clock": ("rosgraph_msgs/msg/Clock", [(START, told)]),
        f"{namespace}/image": (IMAGE, images(3)),
        f"{namespace}/thing": ("nobody_msgs/msg/Thing", [(START, data)]),
        f"{namespace}/1 odd name": (IMAGE, images(2)),
    }
    bag = write_bag(tmp_path / "bag", topics, types=types)
    process = RosProcess(
        "anymodal_seg_ros.cli.main",
        ["play", str(bag), "--wait", "0", "--clock"],
        tmp_path / "player",
    )
    assert process.wait() == 0
    assert f"{namespace}/image: 3 messages" in process.stdout
    assert "/clock is left out: the time of the bag is published there" in process.stdout
    assert f"{namespace}/thing is left out: nobody_msgs/msg/Thing is not" in process.stdout
    assert f"{namespace}/1 odd name is left out: " in process.stdout
    arguments = ["play", str(bag), "--wait", "0", "--topics", f"{namespace}/thing"]
    alone = RosProcess("anymodal_seg_ros.cli.main", arguments, tmp_path / "alone")
    assert alone.wait() == 1
    assert "Error: nothing of" in alone.stderr


@pytest.mark.parametrize(
    "name",
    ["..os/msg/Path", "/msg/Image", "std_msgs/msg/__name__", "a.b/msg/C", "std_msgs/msg/_bool", ""],
)
def test_only_what_is_named_as_a_message_is_imported(name: str) -> None:
    assert import_class("std_msgs/msg/String").__name__ == "String"
    with pytest.raises(ImportError, match="no name of a message"):
        import_class(name)
