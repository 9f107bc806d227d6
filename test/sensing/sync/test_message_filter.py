"""The synchroniser with holes in its sets: what leaves when, and what harms nobody."""

from __future__ import annotations

import gc
import itertools
import os
import random
import re
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fixtures.messages import image_message
from fixtures.scenes import scene
from fixtures.synchroniser_bench import EPOCH, MS, Bench, S, Topic, ids, message, stamp_of, stream

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing import ContentChecker, PartialTimeSynchronizer


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
        per_loop.append(len({stamp_of(a) for a, _ in bench.sets[before:]}))
        fused = sum(b is not None for _, b in bench.sets[before:])
        assert fused >= 115, "messages of the loop before are not laid beside those of this one"
    assert per_loop == [150, 150, 150]
    assert bench.sync.dropped(0) == {}


def test_a_clock_of_arrivals_that_goes_back_begins_a_new_run() -> None:
    bench = Bench(2)
    bench.play([stream(30.0, 0, 2, k) for k in range(2)])
    before, bench.now = len(bench.sets), 0
    bench.play([stream(30.0, 0, 2, k) for k in range(2)])
    assert sum(None not in messages for messages in bench.sets[before:]) >= 59
    assert [s.value for s in bench.sync.states()] == ["STALE", "STALE"], "silent for a second"


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


def test_detections_find_their_images_half_a_second_later() -> None:
    images = [(EPOCH + k * S // 30, k * S // 30 + 5 * MS) for k in range(150)]
    detections = [(stamp, now + 500 * MS) for stamp, now in images]
    for streams, late in (([images, detections], 1), ([detections, images], 0)):
        bench = Bench(2, queue_size=30, slop=0.05)
        pairs = [m for m in bench.play(streams) if None not in m]
        assert [stamp_of(a) for a, _ in pairs] == [stamp for stamp, _ in images]
        assert all(stamp_of(a) == stamp_of(b) for a, b in pairs)
        alone = [m for m in bench.sets if None in m]
        assert len(alone) <= 15, "only until the first detection has shown how late they are"
        assert all(m[late] is None for m in alone)


def test_a_stated_deadline_holds_for_who_is_later_and_the_set_is_completed_then() -> None:
    bench = Bench(2, queue_size=30, slop=0.01, deadline=0.05)
    waited: list[tuple[bool, int]] = []

    def note(a: Any, b: Any) -> None:
        waited.append((bench.sync.completes, bench.now - (stamp_of(a) - EPOCH)))

    bench.sync.registerCallback(note)
    images = [(EPOCH + k * 40 * MS, k * 40 * MS + 5 * MS) for k in range(50)]
    for k, (stamp, now) in enumerate(images):
        bench.send(0, stamp, now)
        bench.now += 15 * MS
        bench.sync.poll()
        if k >= 3:
            bench.send(1, images[k - 3][0], bench.now)
    partial = [late for completes, late in waited if not completes]
    assert len(partial) >= 48
    assert max(partial) <= 60 * MS, "0.05 s after it came, and the time to the next poll"
    assert [b is None for _, b in bench.sets].count(False) == 47
    assert sum(completes for completes, _ in waited) == 47


def test_a_stored_message_of_an_input_that_is_silent_by_now_is_used() -> None:
    bench = Bench(3, slop=0.05)
    for k in range(30):
        now = k * 33 * MS
        for index in (2, 0, 1):
            if index != 2 or k <= 20:
                bench.send(index, EPOCH + now, now)
    bench.now += 5 * S
    bench.sync.poll()
    assert bench.sync.states()[2] is SensorState.FAILED
    last = [(stamp_of(c) - EPOCH) // (33 * MS) if c else None for _, _, c in bench.sets]
    assert last[20:] == [20, 20, *[None] * 8], "it is within the slop of the next one as well"


def test_an_input_that_is_down_is_not_waited_for_and_its_first_message_completes_a_set() -> None:
    bench = Bench(2, slop=0.01)
    delays: list[int] = []
    bench.sync.registerCallback(lambda a, b: delays.append(bench.now - (stamp_of(a) - EPOCH)))
    gap = [s for s in stream(30.0, 0, 6, 1) if not 2 * S < s[1] < 4 * S]
    bench.play([stream(30.0, 0, 6, 0), gap])
    alone = [delay for (a, b), delay in zip(bench.sets, delays, strict=True) if b is None]
    assert len(alone) >= 55
    assert max(alone) <= 140 * MS, "a deadline and the time to the next message"
    assert sorted(alone)[len(alone) // 2] <= 5 * MS, "once it is known to be down, at once"


def test_one_lost_message_of_the_first_input_opens_no_set_of_the_others() -> None:
    first = [s for k, s in enumerate(stream(30.0, 0, 4, 0)) if k not in (50, 70)]
    bench = Bench(2, slop=0.01)
    sets = bench.play([first, stream(30.0, 0, 4, 1)])
    assert len(sets) == 118
    assert all(None not in messages for messages in sets)


@pytest.mark.parametrize("queue_size", [1, 3])
def test_an_absurd_stamp_neither_opens_a_set_nor_blocks_the_queue(queue_size: int) -> None:
    bench = Bench(2, queue_size, slop=0.01)
    good = [stream(30.0, 0, 3, k) for k in range(2)]
    sets = bench.play([[*good[0], (EPOCH + 10**9 * S, S)], good[1]])
    assert len(sets) == 90
    assert sum(None not in messages for messages in sets) >= 88
    assert bench.sync.unusable == {"stamp off its own clock": 1}


@pytest.mark.usefixtures("young_heap")
def test_no_more_than_the_queues_is_kept() -> None:
    bench = Bench(3, queue_size=5, slop=0.01)
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    bench.sync.registerCallback(lambda *messages: bench.sets.clear())
    for k in range(400):
        now = k * 10 * MS
        for index in range(3):
            if index != 2 or k < 50:
                found = Message(EPOCH + now + 20 * index * MS)
                alive.add(found)
                bench.now = now
                bench.topics[index].send(found)
                del found
    gc.collect()
    assert len(alive) <= 3 * 2 * 5 + 3, "per input: five unmatched and the five latest"
    dropped = bench.sync.dropped(1)
    assert 0 < dropped["queue full"] <= 400


class Message(SimpleNamespace):
    """A message that can be referred to weakly."""

    def __init__(self, stamp_ns: int) -> None:
        super().__init__(header=message(stamp_ns).header)

    __hash__ = object.__hash__


def test_sets_do_not_pile_up_before_a_slow_callback() -> None:
    bench = Bench(1, queue_size=4)
    seen: list[int] = []

    def slow(found: Any) -> None:
        seen.append((stamp_of(found) - EPOCH) // MS)
        if len(seen) == 1:
            for k in range(2, 12):
                bench.send(0, EPOCH + k * MS, k * MS)

    bench.sync.registerCallback(slow)
    bench.send(0, EPOCH + MS, MS)
    assert seen == [1, 8, 9, 10, 11], "the newest are kept"
    assert bench.sync.unusable == {"set lost: the callback takes too long": 6}


def test_a_callback_that_raises_keeps_no_set_from_the_others() -> None:
    bench = Bench(1)

    def fail(found: Any) -> None:
        raise RuntimeError(f"on purpose at {(stamp_of(found) - EPOCH) // S}")

    after: list[Any] = []
    bench.sync.registerCallback(fail)
    bench.sync.registerCallback(after.append)
    for k in range(1, 4):
        with pytest.raises(RuntimeError, match=f"on purpose at {k}"):
            bench.send(0, EPOCH + k * S, k * S)
    assert len(after) == len(bench.sets) == 3


def test_arrival_may_be_told_so_that_a_busy_thread_makes_nobody_late() -> None:
    bench = Bench(1, rates=[30.0])
    for k in range(40):  # the thread looks every five periods only
        arrived = k * S // 30
        bench.now = (k // 5 + 1) * S // 6
        bench.sync.add(message(EPOCH + arrived), 0, arrived)
        assert bench.sync.states() == (SensorState.OK,)


class Camera:
    """Images that differ unless it is frozen."""

    def __init__(self, bench: Bench, index: int, seed: int) -> None:
        self._bench, self._index, self._seed = bench, index, seed

    def send(self, frame: int, now: int, **options: Any) -> None:
        found = image_message(
            scene("rgb", self._seed + frame, 60, 80), "rgb8", EPOCH + now, **options
        )
        self._bench.now = now
        self._bench.topics[self._index].send(found)


@pytest.mark.parametrize("behind_ms", [0, 70, 280, 900])
def test_an_executor_that_is_behind_makes_no_input_silent_and_no_set_incomplete(
    behind_ms: int,
) -> None:
    """It hands over, of both topics in turn, what the middleware had received some time ago."""
    bench = Bench(slop=0.02)
    for k in range(90):
        for index in (0, 1):
            received_ns = EPOCH + k * 33 * MS + (5 + index) * MS
            bench.now = received_ns + behind_ms * MS + index * 8 * MS
            bench.sync.poll()
            bench.sync.add(message(EPOCH + k * 33 * MS + index * MS), index, received_ns)
            assert bench.sync.states()[index] is SensorState.OK
    assert len(bench.sets) == 90
    assert all(None not in messages for messages in bench.sets)
    bench.now += 250 * MS
    bench.sync.poll()
    assert bench.sync.states() == (SensorState.STALE, SensorState.STALE)


def test_a_frozen_camera_is_not_ok_and_in_no_set() -> None:
    checks = [ContentChecker("rgb", ChecksConfig()) for _ in range(2)]
    bench = Bench(2, slop=0.02, checks=checks)
    reasons: list[str] = []
    bench.sync.registerCallback(lambda a, b: reasons.append(bench.sync.missing[1]))
    left, right = Camera(bench, 0, 0), Camera(bench, 1, 1000)
    for k in range(90):
        left.send(k, k * 33 * MS)
        right.send(min(k, 30), k * 33 * MS + MS)  # repeats its frame from the 30th on
    assert len(bench.sets) >= 89
    present = [b is not None for _, b in bench.sets[:88]]
    assert all(present[:31])
    assert not any(present[47:]), "0.5 s after the last picture that was new"
    first = present.index(False)
    assert reasons[first].startswith("frozen: the payload has repeated for")
    assert set(reasons[60:88]) == {"FROZEN"}, "it is not waited for any more"
    assert [s.value for s in bench.sync.states()] == ["OK", "FROZEN"]
    status = bench.sync.status()[1]
    assert status.fault.startswith("frozen")
    assert status.dropped["frozen"] >= 90 - 47
    assert [c.name for c in status.checks if not c.passed] == ["frozen"]


def test_a_picture_that_is_sent_twice_is_used_twice() -> None:
    bench = Bench(1, checks=[ContentChecker("rgb", ChecksConfig())])
    camera = Camera(bench, 0, 0)
    for k in range(40):
        camera.send(k // 2, k * 33 * MS)
    assert len(bench.sets) == 40
    assert bench.sync.states() == (SensorState.OK,)


def test_the_next_camera_goes_on_when_the_first_one_sends_rubbish() -> None:
    checks = [ContentChecker("rgb", ChecksConfig()) for _ in range(2)]
    bench = Bench(2, slop=0.02, checks=checks)
    left, right = Camera(bench, 0, 0), Camera(bench, 1, 1000)
    for k in range(60):
        if k < 20:
            left.send(k, k * 33 * MS)
        else:
            bench.now = k * 33 * MS
            bench.topics[0].send(message(EPOCH + bench.now))  # has a header and nothing else
        right.send(k, k * 33 * MS + MS)
    bench.now += S
    bench.sync.poll()
    served = [(stamp_of(b) - EPOCH) // (33 * MS) for _, b in bench.sets if b is not None]
    assert served == list(range(60)), "each image of the right once, with or without the left"
    assert all(a is None for a, _ in bench.sets[20:])
    assert bench.sync.status()[0].fault.startswith("unreadable: message is a SimpleNamespace")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"queue_size": 0}, "queue_size is 0: expected at least 1"),
        ({"slop": -0.1}, "slop is -0.1: expected a time in s, 0 or more"),
        ({"deadline": float("nan")}, "deadline is nan: expected a time in s"),
        ({"rates": [30.0]}, "1 rates for 2 inputs: expected one for each"),
        ({"rates": [30.0, 0.0]}, "a rate is 0.0: expected Hz, above 0"),
        ({"checks": []}, "0 checks for 2 inputs: expected one for each"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(
    arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        Bench(2, **arguments)


@pytest.fixture()
def hasty_threads() -> Iterator[None]:
    """Let threads change every 10 us."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_three_hasty_threads_get_nothing_twice(hasty_threads: None) -> None:
    topics = [Topic(), Topic(), Topic()]
    sync = PartialTimeSynchronizer(topics, 10, 0.05)
    sets: list[tuple[bool, tuple[Any, ...]]] = []
    sync.registerCallback(lambda *messages: sets.append((sync.completes, messages)))
    errors: list[BaseException] = []

    def send(topic: Topic) -> None:
        dice = random.Random(id(topic))
        try:
            for _ in range(400):
                topic.send(message(time.time_ns()))
                time.sleep(dice.uniform(0, 0.003))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=send, args=(topic,)) for topic in topics]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sync.poll()
        sync.states()
        time.sleep(0.001)
    time.sleep(0.2)
    sync.poll()
    assert errors == []
    assert len({ids(m) for _, m in sets}) == len(sets), "the same set twice"
    opened = [stamp_of(m[0]) for completes, m in sets if m[0] is not None and not completes]
    assert all(a < b for a, b in itertools.pairwise(opened))
    assert len({id(m[0]) for completes, m in sets if completes}) == sum(c for c, _ in sets)
    assert len(opened) >= 300, "each message of the first, but for stalls of the machine"


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
