"""The fault injector on real topics: what comes through, what does not, and how it is reloaded."""

from __future__ import annotations

import contextlib
import itertools
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.ros_graph import BEST_EFFORT, RELIABLE, Collector, Graph, RosProcess, wait_until
from fixtures.scenes import scene
from rclpy.qos import ReliabilityPolicy, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from std_srvs.srv import Trigger

from anymodal_seg_ros.nodes.messages import image_message, to_ns, to_stamp
from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.point_clouds import decode_cloud

pytestmark = pytest.mark.ros

MODULE = "anymodal_seg_ros.nodes.replay.fault_injector"
SENSORS = {
    "rgb": ("rgb/image", "infrared", "auto"),
    "jpeg": ("jpeg/image/compressed", "rgb", "auto"),
    "lidar": ("lidar/points", "lidar", "point_cloud"),
}
Start = Callable[..., RosProcess]


@pytest.fixture()
def timeline(tmp_path: Path) -> Path:
    return tmp_path / "timeline.yaml"


@pytest.fixture()
def start(ros_domain: int, timeline: Path, tmp_path: Path, namespace: str) -> Iterator[Start]:
    started: list[RosProcess] = []

    def begin(
        *faults: str, sensors: tuple[str, ...] = ("rgb",), sim_time: bool = False, **env: str
    ) -> RosProcess:
        write(timeline, *faults)
        file = (
            tmp_path / "robot.yaml"
        )  # for the node whose sensors break, as 'ros2 param dump' does
        file.write_text(
            f"{namespace}/segmentation_node:\n  ros__parameters:\n"
            + "".join(
                f"    rig.sensors.{name}: {{topic: {topic}, modality: {modality}, type: {kind}}}\n"
                for name, (topic, modality, kind) in SENSORS.items()
                if name in sensors
            )
        )
        args = [str(timeline), "--ros-args", "-r", f"__ns:={namespace}", "--params-file", str(file)]
        args += ["-p", "use_sim_time:=true"] if sim_time else []
        started.append(RosProcess(MODULE, args, tmp_path / f"injector{len(started)}", env))
        return started[-1]

    yield begin
    for process in started:
        process.stop()


def write(timeline: Path, *faults: str) -> None:
    timeline.write_text("faults:\n" + "".join(f"  - {fault}\n" for fault in faults))


class Driver:
    """Publishes a message of its own stamp whenever it is told to, and remembers all."""

    def __init__(self, graph: Graph, kind: Any, topic: str, make: Callable[[int], Any]) -> None:
        self.topic, self.sent, self._graph, self._make = topic, [], graph, make
        self._numbers = itertools.count()
        self._publisher = graph.node.create_publisher(kind, topic, qos_profile_sensor_data)
        wait_until(lambda: graph.node.count_subscribers(topic), f"a subscription to {topic}")

    def send(self, pause_s: float = 0.02) -> Any:
        message = self._make(next(self._numbers))
        message.header.stamp = to_stamp(time.time_ns())
        self.sent.append(message)
        self._publisher.publish(message)
        time.sleep(pause_s)
        return message

    def send_until(self, holds: Callable[[], Any], what: str) -> None:
        def sent() -> Any:
            self.send()
            return holds()

        wait_until(sent, what)

    def close(self) -> None:
        self._graph.node.destroy_publisher(self._publisher)


def rgb(number: int) -> Any:
    return image_message(scene("rgb", number % 8), "rgb8", 1, "camera")


def compressed(number: int) -> Any:
    return CompressedImage(format="jpeg", data=array("B", range(number, number + 64)))


def cloud(_: int) -> Any:
    fields = [PointField(name=n, offset=4 * k, datatype=7, count=1) for k, n in enumerate("xyz")]
    points = np.random.default_rng(0).uniform(1, 9, (50, 3)).astype(np.float32)
    return PointCloud2(
        height=1, width=50, fields=fields, point_step=12, row_step=600,
        data=array("B", points.tobytes()),
    )  # fmt: skip


def stamps(messages: list[Any]) -> list[int]:
    return [to_ns(m.header.stamp) for m in messages]


def test_reload_breaks_and_mends_a_camera(
    start: Start, graph: Graph, namespace: str, timeline: Path
) -> None:
    process = start()
    driver = Driver(graph, Image, f"{namespace}/rgb/image", rgb)
    reload = f"{namespace}/fault_injector/reload"

    def now(*faults: str) -> Any:
        write(timeline, *faults)
        return graph.call(Trigger, reload, Trigger.Request())

    with graph.collect(Image, f"{namespace}/faulty/rgb/image", BEST_EFFORT) as out:
        driver.send_until(lambda: len(out.messages) >= 3, "messages without a fault")
        sent = {to_ns(m.header.stamp): m for m in driver.sent}
        for message in out.messages:
            assert message == sent[to_ns(message.header.stamp)]

        assert now("{sensor: rgb, kind: wrong, how: mirrored}").success
        before = len(driver.sent)
        driver.send_until(
            lambda: stamps(out.messages)[-1] > stamps(driver.sent)[before], "mirrored"
        )
        sent = {to_ns(m.header.stamp): m for m in driver.sent}
        newest = out.messages[-1]
        np.testing.assert_array_equal(
            decode_image(newest).pixels,
            decode_image(sent[to_ns(newest.header.stamp)]).pixels[:, ::-1],
        )

        answer = now("{sensor: rgb, kind: melted}")
        assert not answer.success
        assert "entry 1: kind is 'melted': " in answer.message

        assert now("{sensor: rgb, kind: delayed, delay_s: 0.3}").success
        before = len(driver.sent)
        message = driver.send()
        driver.send_until(lambda: to_ns(message.header.stamp) in stamps(out.messages), "it at last")
        assert len(driver.sent) - before > 5, "others were sent before it came"

        assert now('{sensor: "*", kind: "off"}').success
        unheard = [to_ns(driver.send().header.stamp) for _ in range(5)]
        assert now().success
        message = driver.send()
        driver.send_until(lambda: stamps(out.messages)[-1] > to_ns(message.header.stamp), "others")
        assert not set(unheard) & set(stamps(out.messages))
    driver.close()
    process.stop()


def test_messages_of_every_type_pass_and_none_ends_it(
    start: Start, graph: Graph, namespace: str
) -> None:
    process = start(
        "{sensor: jpeg, kind: motion_blur}",  # of data that are no JPEG
        "{sensor: rgb, kind: lidar_jitter}",  # which its modality does not rule out
        "{sensor: lidar, kind: lidar_jitter, severity: 1.0}",
        sensors=tuple(SENSORS),
    )
    drivers = [
        Driver(graph, kind, f"{namespace}/{SENSORS[name][0]}", make)
        for name, kind, make in (
            ("rgb", Image, rgb),
            ("jpeg", CompressedImage, compressed),
            ("lidar", PointCloud2, cloud),
        )
    ]
    for driver in drivers:
        topic = driver.topic.replace(f"{namespace}/", f"{namespace}/faulty/")
        with graph.collect(type(driver.send()), topic, BEST_EFFORT) as out:
            driver.send_until(lambda out=out: len(out.messages) >= 2, topic)
            sent = {to_ns(m.header.stamp): m for m in driver.sent}
            message = out.messages[-1]
            if driver.topic.endswith("points"):
                points, true = decode_cloud(message), decode_cloud(driver.sent[0])
                np.testing.assert_allclose(points["x"], true["x"], atol=4)
                assert not np.array_equal(points["x"], true["x"])
            else:
                assert message == sent[to_ns(message.header.stamp)]
        driver.close()
    assert "not applied: entry 2 for rgb: lidar_jitter cannot happen" in process.stdout
    process.stop()


class Bag:
    """Two cameras and a clock, played by hand; what the injector lets through of both."""

    def __init__(self, graph: Graph, namespace: str, out: Collector, passed: Collector) -> None:
        self.out, self._passed = out, passed
        self._clock = graph.node.create_publisher(Clock, "/clock", 10)
        wait_until(lambda: graph.node.count_subscribers("/clock"), "a subscriber of /clock")
        self.camera = Driver(graph, Image, f"{namespace}/rgb/image", rgb)
        self._prompt = Driver(
            graph, CompressedImage, f"{namespace}/jpeg/image/compressed", compressed
        )
        self._graph = graph

    def play(
        self, now_s: float | None, holds: Callable[[], Any], *, send: bool = True
    ) -> list[int]:
        """Send at one moment until something holds; return the stamps of the camera."""
        first = len(self.camera.sent)

        def played() -> Any:
            if now_s is not None:
                self._clock.publish(Clock(clock=to_stamp(round(now_s * 1e9))))
            if send:
                self.camera.send(0.0)
            self._prompt.send()
            return holds()

        wait_until(played, f"it at {now_s} s")
        return stamps(self.camera.sent[first:])

    def taken(self) -> Callable[[], bool]:
        """Whether so much has passed since that all that was sent before is taken."""
        wanted = len(self._passed.messages) + 10
        return lambda: len(self._passed.messages) >= wanted

    def came(self, sent: list[int]) -> set[int]:
        """Which of the camera's messages were let through."""
        return set(sent) & set(stamps(self.out.messages))

    def close(self) -> None:
        self.camera.close()
        self._prompt.close()
        self._graph.node.destroy_publisher(self._clock)


@pytest.fixture()
def play_bag(graph: Graph, start: Start, namespace: str) -> Iterator[Callable[[str], Bag]]:
    """Start an injector that lives in simulated time, with a fault of the camera ``rgb``."""
    with contextlib.ExitStack() as stack:

        def begin(fault: str) -> Bag:
            process = start(fault, sensors=("rgb", "jpeg"), sim_time=True)
            stack.callback(process.stop)
            out, passed = (
                stack.enter_context(graph.collect(kind, f"{namespace}/faulty/{topic}", BEST_EFFORT))
                for kind, topic in (
                    (Image, SENSORS["rgb"][0]),
                    (CompressedImage, SENSORS["jpeg"][0]),
                )
            )
            bag = Bag(graph, namespace, out, passed)
            stack.callback(bag.close)
            return bag

        yield begin


def test_what_is_delayed_beyond_the_end_of_a_bag_that_loops_never_comes(
    play_bag: Callable[[str], Bag],
) -> None:
    """Else it would come in a later loop, or wait for ever."""
    bag = play_bag("{sensor: rgb, kind: delayed, delay_s: 5.0}")
    bag.play(100, bag.taken())
    of_the_end = bag.play(100, bag.taken())
    bag.play(10, bag.taken())
    for now_s in (20, 110):
        again = bag.play(now_s, bag.taken())
        bag.play(now_s + 6, lambda sent=again: bag.came(sent), send=False)
    assert not bag.came(of_the_end)


def test_a_clock_that_goes_back_a_little_is_no_bag_that_begins_again(
    play_bag: Callable[[str], Bag],
) -> None:
    """It does with two that publish it: the camera would be whole again all the time."""
    bag = play_bag('{sensor: rgb, start_s: 5.0, kind: "off"}')
    bag.play(100, bag.taken())
    assert bag.came(bag.play(104, bag.taken())), "nothing is wrong yet"
    bag.play(106, bag.taken())
    for now_s in (106, 105.5, 106, 105.2):
        assert not bag.came(bag.play(now_s, bag.taken())), f"off from 105 s on, at {now_s} s"
    bag.play(10, bag.taken())
    assert bag.came(bag.play(11, bag.taken())), "the bag has begun again"


def test_the_timeline_does_not_begin_before_the_clock(play_bag: Callable[[str], Bag]) -> None:
    """It would be over with the first tick, whose time may be any."""
    bag = play_bag('{sensor: rgb, start_s: 5.0, kind: "off"}')
    assert bag.came(bag.play(None, bag.taken()))
    bag.play(1000, bag.taken())
    assert bag.came(bag.play(1001, bag.taken())), "the first second of the timeline"


def test_a_timeline_that_cannot_be_stops_the_start(start: Start) -> None:
    process = start("{sensor: thermal, kind: stuck}", RCUTILS_LOGGING_USE_STDOUT="0")
    assert process.wait() == 1
    (line,) = process.stderr.splitlines()
    assert "entry 1 (stuck): sensor is 'thermal': expected one of rgb" in line


def test_a_reliable_driver_loses_nothing_to_the_injector(
    graph: Graph, start: Start, namespace: str
) -> None:
    start("{sensor: rgb, start_s: 1000, end_s: 1001, kind: off}")
    topic, faulty = f"{namespace}/rgb/image", f"{namespace}/faulty/rgb/image"
    publisher = graph.node.create_publisher(Image, topic, RELIABLE)

    def reliable(ends: list[Any]) -> bool:
        return [e.qos_profile.reliability for e in ends] == [ReliabilityPolicy.RELIABLE]

    try:
        wait_until(
            lambda: reliable(graph.node.get_subscriptions_info_by_topic(topic)),
            "a reliable subscription",
        )
        assert reliable(graph.node.get_publishers_info_by_topic(faulty))
    finally:
        graph.node.destroy_publisher(publisher)
