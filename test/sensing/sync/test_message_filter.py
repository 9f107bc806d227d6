"""The drop-in for ApproximateTimeSynchronizer, alone and beside the real message_filters."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing.sync.message_filter import PartialTimeSynchronizer

S = 1_000_000_000
MS = 1_000_000
EPOCH = 1_700_000_000 * S


class Topic:
    """A minimal filter with the conventions of message_filters."""

    def __init__(self) -> None:
        self.callbacks: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        self.callbacks.append((cb, args))
        return len(self.callbacks) - 1

    def send(self, message: Any) -> None:
        for callback, args in self.callbacks:
            callback(message, *args)


class Bench:
    """Topics on a fake clock, and the sets that come out."""

    def __init__(self, topics: int = 2, queue_size: int = 10, slop: float = 0.02, **options: Any):
        self.now = 0
        self.topics = [Topic() for _ in range(topics)]
        self.sync = PartialTimeSynchronizer(
            self.topics, queue_size, slop, now_ns=lambda: self.now, **options
        )
        self.sets: list[tuple[Any, ...]] = []
        self.sync.registerCallback(lambda *messages: self.sets.append(messages))

    def send(self, index: int, stamp_ns: int, now_ns: int) -> None:
        self.now = now_ns
        self.topics[index].send(message(stamp_ns))

    def play(self, streams: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[Any, ...]]:
        """Send ``(stamp, arrival)`` of each topic in order of arrival."""
        events = sorted((now, k, stamp) for k, st in enumerate(streams) for stamp, now in st)
        for now, index, stamp in events:
            self.send(index, stamp, now)
        self.now += S
        self.sync.poll()
        return self.sets


def message(stamp_ns: int) -> SimpleNamespace:
    sec, nanosec = divmod(stamp_ns, S)
    return SimpleNamespace(header=SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec)))


def stamp_of(found: Any) -> int:
    return int(found.header.stamp.sec * S + found.header.stamp.nanosec)


def stream(
    hz: float, start_s: float, stop_s: float, seed: int = 0, latency_ms: float = 3.0
) -> list[tuple[int, int]]:
    dice = random.Random(f"{hz}{seed}")
    period = S / hz
    made = []
    for k in range(int(start_s * hz), int(stop_s * hz)):
        time_ns = round((k + 1 + dice.uniform(-0.05, 0.05)) * period)
        made.append((EPOCH + time_ns, time_ns + round(dice.uniform(1, latency_ms) * MS)))
    return made


def test_healthy_topics_give_complete_sets_like_the_original() -> None:
    sets = Bench(3).play([stream(30.0, 0, 5, k) for k in range(3)])
    assert sum(messages[0] is not None for messages in sets) == 150
    assert all(None not in messages for messages in sets[2:])
    for messages in sets[2:]:
        stamps = [stamp_of(m) for m in messages]
        assert max(stamps) - min(stamps) < 20 * MS


def test_a_topic_that_stops_is_none_and_comes_back() -> None:
    gap = [s for s in stream(30.0, 0, 6, 1) if not 2 * S < s[1] < 4 * S]
    bench = Bench(2)
    sets = bench.play([stream(30.0, 0, 6, 0), gap])
    assert len(sets) == 180, "every message of the first topic was served"
    absent = [stamp_of(a) - EPOCH for a, b in sets[1:] if b is None]
    assert 58 <= len(absent) <= 64
    assert all(1.9 * S < t < 4.1 * S for t in absent)


def test_the_next_topic_triggers_when_the_first_one_stops() -> None:
    sets = Bench(2).play([stream(30.0, 0, 2, 0), stream(30.0, 0, 5, 1)])
    alone = [b for a, b in sets if a is None]
    assert 86 <= len(alone) <= 91
    stamps = [stamp_of(a or b) for a, b in sets]
    assert stamps == sorted(stamps)


def test_different_rates_are_learned_so_that_nobody_waits_in_vain() -> None:
    bench = Bench(2, slop=0.04)
    waited: list[int] = []
    bench.sync.registerCallback(lambda a, b: waited.append(bench.now - (stamp_of(a) - EPOCH)))
    sets = bench.play([stream(30.0, 0, 10, 0), stream(10.0, 0, 10, 1)])
    assert len(sets) == 300
    with_slow = sum(b is not None for _, b in sets[30:])
    assert with_slow >= 0.6 * 270, "each slow message serves the fast ones around it"
    assert max(waited[30:]) <= 50 * MS, "as long as a slow message may come within the slop"


def test_why_an_input_is_absent_can_be_asked_in_the_callback() -> None:
    bench = Bench(2)
    reasons: list[tuple[str, ...]] = []
    bench.sync.registerCallback(lambda a, b: reasons.append(bench.sync.missing))
    bench.play([stream(30.0, 0, 2, 0), stream(30.0, 0, 1, 1)])
    assert reasons[20] == ("", "")
    assert reasons[-1][1] in ("STALE", "FAILED")
    assert bench.sync.states()[1] is SensorState.STALE


def test_a_bag_that_loops_loses_no_set() -> None:
    bag = [stream(30.0, 0, 5, 0), stream(10.0, 0, 5, 1)]
    bench, per_loop = Bench(2, slop=0.05), []
    for loop in range(3):
        before = len(bench.sets)
        shift = loop * (5 * S + 40 * MS)
        bench.play([[(stamp, now + shift) for stamp, now in s] for s in bag])
        per_loop.append(len(bench.sets) - before)
    assert per_loop == [150, 150, 150]


def test_messages_without_a_usable_stamp_are_counted() -> None:
    bench = Bench(1)
    bench.topics[0].send(SimpleNamespace(data=1))
    bench.send(0, 0, 1)
    assert bench.sync.unusable == {"no header": 1, "stamp is zero": 1}
    assert bench.sets == []
    stamped = Bench(1, allow_headerless=True)
    stamped.topics[0].send(SimpleNamespace(data=1))
    assert len(stamped.sets) == 1


def test_the_callback_may_raise_add_and_ask_without_harm() -> None:
    bench = Bench(1)
    calls = []

    def callback(found: Any, extra: str) -> None:
        calls.append((stamp_of(found), extra, bench.sync.states(), bench.sync.dropped(0)))
        if len(calls) == 1:
            bench.send(0, EPOCH + 2 * S, 2 * S)  # delivered after this call, not within it
            assert len(calls) == 1
        if len(calls) == 2:
            raise RuntimeError("on purpose")

    bench.sync.registerCallback(callback, "extra")
    with pytest.raises(RuntimeError, match="on purpose"):
        bench.send(0, EPOCH + S, S)
    bench.send(0, EPOCH + 3 * S, 3 * S)
    assert [c[0] - EPOCH for c in calls] == [S, 2 * S, 3 * S]
    assert {c[1] for c in calls} == {"extra"}


def test_threads_get_their_sets_in_order_and_one_at_a_time() -> None:
    topics = [Topic(), Topic()]
    sync = PartialTimeSynchronizer(topics, 50, 0.01, rates=[200.0, 200.0])
    inside, stamps, most = [0], [], [0]

    def callback(*messages: Any) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        stamps.append(stamp_of(next(m for m in messages if m)))
        time.sleep(0.0005)
        inside[0] -= 1

    sync.registerCallback(callback)

    def send(topic: Topic) -> None:
        for _ in range(100):
            topic.send(message(time.time_ns()))
            time.sleep(0.002)

    threads = [threading.Thread(target=send, args=(t,)) for t in topics]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1
    assert stamps == sorted(set(stamps))
    assert len(stamps) > 50


def real_synchronizers(slop: float) -> tuple[list[Any], list[Any], list[Any]]:
    """Feed the original and ours from the same filters of the real message_filters."""
    message_filters = pytest.importorskip(
        "message_filters", reason="message_filters is not installed (a full ROS 2 install has it)"
    )
    topics = [message_filters.SimpleFilter() for _ in range(3)]
    theirs: list[Any] = []
    ours: list[Any] = []
    original = message_filters.ApproximateTimeSynchronizer(topics, 10, slop)
    original.registerCallback(lambda *m: theirs.append(m))
    partial = PartialTimeSynchronizer(topics, 10, slop, now_ns=lambda: CLOCK[0])
    partial.registerCallback(lambda *m: ours.append(m))
    return topics, theirs, ours


CLOCK = [0]


def ros_message(stamp_ns: int) -> Any:
    builtin_interfaces = pytest.importorskip("builtin_interfaces.msg", reason="no ROS 2 messages")
    sec, nanosec = divmod(stamp_ns, S)
    stamp = builtin_interfaces.Time(sec=sec, nanosec=nanosec)
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp))


def test_beside_the_original_all_its_sets_come_out_of_ours_too() -> None:
    topics, theirs, ours = real_synchronizers(slop=0.03)
    events = sorted(
        (now, k, stamp) for k in range(3) for stamp, now in stream(30.0, 0, 5, k, latency_ms=5)
    )
    for now, index, stamp in events:
        CLOCK[0] = now
        topics[index].signalMessage(ros_message(stamp))
    assert len(theirs) >= 145
    complete = {tuple(map(id, messages)) for messages in ours if None not in messages}
    found = sum(tuple(map(id, messages)) in complete for messages in theirs)
    assert found >= len(theirs) - 5, "but for the first ones, before the rates are known"


def test_beside_the_original_ours_goes_on_when_a_topic_stops() -> None:
    topics, theirs, ours = real_synchronizers(slop=0.03)
    streams = [stream(30.0, 0, 4, 0), stream(30.0, 0, 4, 1), stream(30.0, 0, 2, 2)]
    for now, index, stamp in sorted((n, k, t) for k, s in enumerate(streams) for t, n in s):
        CLOCK[0] = now
        topics[index].signalMessage(ros_message(stamp))
    assert len(theirs) <= 60
    assert len(ours) >= 119


@pytest.mark.ros
def test_over_dds_with_real_subscribers_a_topic_that_stops_is_none() -> None:
    message_filters = pytest.importorskip(
        "message_filters", reason="message_filters is not installed (a full ROS 2 install has it)"
    )
    rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image

    context = rclpy.context.Context()
    rclpy.init(context=context, domain_id=os.getpid() % 100)  # no other test's topics
    node = rclpy.create_node("partial_time_synchronizer_test", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        publishers = [node.create_publisher(Image, f"topic_{k}", 10) for k in range(2)]
        inputs = [message_filters.Subscriber(node, Image, f"topic_{k}") for k in range(2)]
        sync = PartialTimeSynchronizer(inputs, 10, 0.01)
        sets: list[tuple[Any, ...]] = []
        sync.registerCallback(lambda *messages: sets.append(messages))
        node.create_timer(0.01, sync.poll)
        until = time.monotonic() + 10.0
        while time.monotonic() < until and not all(p.get_subscription_count() for p in publishers):
            executor.spin_once(timeout_sec=0.05)
        for k in range(60):
            stamp = node.get_clock().now().to_msg()
            for publisher in publishers[: 2 if k < 30 else 1]:
                found = Image(height=1, width=1, step=1, encoding="mono8", data=b"1")
                found.header.stamp = stamp
                publisher.publish(found)
            until = time.monotonic() + 0.03
            while time.monotonic() < until:
                executor.spin_once(timeout_sec=0.005)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    assert len(sets) >= 58
    assert sum(None not in messages for messages in sets) >= 25
    assert all(b is None for _, b in sets[-20:])
