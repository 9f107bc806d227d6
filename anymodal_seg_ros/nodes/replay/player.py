"""A bag on real topics, for where no ``ros2 bag play`` is installed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock

from anymodal_seg_ros.evaluation.arrivals import absolute_topic
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.foreign_text import one_line, quote
from anymodal_seg_ros.nodes.messages import import_class, to_stamp
from anymodal_seg_ros.nodes.topics.discovery import wait_for_subscribers

NAME = "bag_player"

_DEPTH = 10
"""Of the reliable topics; best-effort subscribers match them too."""

_CLOCK, _CLOCK_PERIOD_S = "/clock", 0.01

_DELIVERY_S = 0.5
"""Best-effort subscribers acknowledge nothing, and what they have not yet copied out of shared
memory is lost when its publisher goes: so the publisher stays a little."""


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """How a bag is played.

    Attributes:
        rate: bag seconds per second.
        loop: begin anew at the end, until stopped.
        clock: publish the bag's time on ``/clock``.
        topics: which to play; empty means all.
        wait_s: how long to wait for every topic to have a subscriber.
        remap: other names that recorded topics are played under.
    """

    rate: float = 1.0
    loop: bool = False
    clock: bool = False
    topics: Collection[str] = ()
    wait_s: float = 10.0
    remap: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Played:
    """What was played.

    Attributes:
        messages: number of messages by topic, over all loops.
        worst_lag_ms: by how much the latest message was behind its time.
    """

    messages: Mapping[str, int]
    worst_lag_ms: float


class Player(Node):
    """Publishes a bag's messages as they were on the wire, at the times they were recorded.

    It has no callbacks and wants no executor.
    """

    def __init__(self, bag: Bag, options: PlayOptions) -> None:
        """Create the publishers; topics that cannot be published are left out.

        Raises:
            BagError: a topic is not in the bag, none can be published, or it is a ROS 1 bag.
        """
        if not bag.is_ros2:
            raise BagError(f"{bag.path} is a ROS 1 bag: convert it with rosbags-convert first")
        wanted = [absolute_topic(topic) for topic in options.topics] or sorted(bag.topics)
        renamed = {absolute_topic(was): absolute_topic(to) for was, to in options.remap.items()}
        missing = sorted({*wanted, *renamed} - set(bag.topics))
        if missing:
            there = quote(", ".join(sorted(bag.topics)), 300)
            raise BagError(f"{bag.path} has no topic {quote(missing[0])}: expected of {there}")
        super().__init__(NAME)
        self._bag, self._options, self._renamed = bag, options, renamed
        self.left_out: dict[str, str] = {}
        """Why topics are not played, by their names."""
        self._publishers_of: dict[str, Publisher] = {}
        for topic in wanted:
            if options.clock and topic == _CLOCK:
                self.left_out[topic] = "the time of the bag is published there instead (--clock)"
                continue
            try:
                self._publishers_of[topic] = self._publisher(topic)
            except (ImportError, InvalidTopicNameException, ValueError, RuntimeError) as error:
                self.left_out[topic] = one_line(error)
        if not self._publishers_of:
            self.destroy_node()
            reasons = "; ".join(f"{quote(t)}: {why}" for t, why in self.left_out.items())
            raise BagError(f"nothing of {bag.path} can be played: {reasons or 'it has no topics'}")
        self._clock_topic = self.create_publisher(Clock, _CLOCK, 1) if options.clock else None
        self._counts = dict.fromkeys(self._publishers_of, 0)
        self._worst_lag_s = 0.0

    def _publisher(self, topic: str) -> Publisher:
        """Offer a topic as it was recorded: what was kept for late subscribers is kept again.

        Raises:
            ImportError: its type is not installed.
            InvalidTopicNameException: no topic can have this name.
            ValueError: its messages are of several types, or not encoded as ROS 2's are.
        """
        kind, encoding = self._bag.topics[topic], self._bag.encoding(topic)
        if not kind:
            raise ValueError("its messages are of several types")
        if encoding != "cdr":
            raise ValueError(f"it is encoded as {quote(encoding)}: expected cdr")
        try:
            message = import_class(kind)
        except ImportError as error:
            raise ImportError(f"{quote(kind)} is not installed: install its package") from error
        latched = self._bag.latched(topic)
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        qos = QoSProfile(depth=latched or _DEPTH, durability=durability)
        return self.create_publisher(message, self._renamed.get(topic, topic), qos)

    def wait_for_subscribers(self, stop: threading.Event) -> list[str]:
        """Wait until every topic has a subscriber; return the topics that have none in the end."""
        return wait_for_subscribers(self, self._publishers_of, stop, self._options.wait_s)

    def play(self, stop: threading.Event) -> Played:
        """Play the bag, until its end or until ``stop`` is set.

        Raises:
            BagError: the bag is damaged.
        """
        while not stop.is_set():
            self._play_once(stop)
            if not self._options.loop or not any(self._counts.values()):
                break
        stop.wait(_DELIVERY_S)
        return Played(dict(self._counts), self._worst_lag_s * 1e3)

    def _play_once(self, stop: threading.Event) -> None:
        """Publish on an absolute schedule: one late message does not delay those after it."""
        started: float | None = None
        for message in self._bag.messages(self._publishers_of):
            if started is None:  # only now, because opening the bag and reading on takes a while
                started, start_ns = time.monotonic(), message.log_ns
            due = started + (message.log_ns - start_ns) / 1e9 / self._options.rate
            if not self._sleep_until(due, message.log_ns, stop):
                return
            self._worst_lag_s = max(self._worst_lag_s, time.monotonic() - due)
            self._publishers_of[message.topic].publish(message.data)
            self._counts[message.topic] += 1

    def _sleep_until(self, due: float, due_bag_ns: int, stop: threading.Event) -> bool:
        """Sleep, with ``/clock`` going on if asked for; False if it is time to stop."""
        longest_s = threading.TIMEOUT_MAX if self._clock_topic is None else _CLOCK_PERIOD_S
        while (left_s := due - time.monotonic()) > 0:
            self._tell_time(due_bag_ns - round(left_s * self._options.rate * 1e9))
            if stop.wait(min(left_s, longest_s)):
                return False
        self._tell_time(due_bag_ns)
        return not stop.is_set()

    def _tell_time(self, bag_ns: int) -> None:
        if self._clock_topic is not None:
            self._clock_topic.publish(Clock(clock=to_stamp(bag_ns)))


def play(
    path: Path,
    options: PlayOptions,
    stop: threading.Event,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[Played, list[str]]:
    """Play a bag with a node of its own. rclpy must be initialised.

    Args:
        path: of the bag.
        options: how.
        stop: ends it when set.
        tell: is told, before anything is played, what is wrong with the bag or cannot be played.

    Returns:
        What was played, and the topics that had no subscriber when it began.

    Raises:
        BagError: nothing of the bag can be played.
    """
    with Bag(path) as bag:
        player = Player(bag, options)
        try:
            for line in bag.notes:
                tell(line)
            for topic, reason in player.left_out.items():
                tell(f"{quote(topic)} is left out: {reason}")
            unheard = player.wait_for_subscribers(stop)
            return player.play(stop), unheard
        finally:
            player.destroy_node()
