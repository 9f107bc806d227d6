"""Events decoded beside the callbacks: the same samples in the same order, in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from fixtures.event_messages import SECOND_NS, event_packet, evt3_words
from fixtures.messages import sample

from anymodal_seg_ros.config import EventConfig, SensorConfig
from anymodal_seg_ros.sensing.events.event_thread import EventOutcome, EventThread
from anymodal_seg_ros.sensing.events.sampler import EventSampler

MS = 1_000_000
START_NS = 1_700_000_000 * SECOND_NS
LIMIT_S = 60.0
SENSORS = {
    "rgb": SensorConfig("rgb", "rgb", expected_hz=30.0),
    "events": SensorConfig("events", "event", expected_hz=30.0, type="event_packet"),
}


def sampler() -> EventSampler:
    return EventSampler(SENSORS, {"events": EventConfig()}, SECOND_NS)


def packet(number: int, encoding: str = "evt3") -> Any:
    times_us = 1_000_000 + 4000 * number + np.arange(8) * 500
    place = np.full(8, number % 480)
    words = evt3_words(times_us, place, place, place % 2)
    stamp_ns = START_NS + 4 * number * MS
    return event_packet(words, seq=number, stamp_ns=stamp_ns, encoding=encoding)


def sent(count: int) -> Iterator[tuple[str, Any, int]]:
    """Packets each 4 ms, some that cannot be read, and frames each 33 ms for a while."""
    for number in range(count):
        encoding = "h264" if number % 50 == 20 else "evt3"
        yield "events", packet(number, encoding), 4 * number * MS
        if number % 8 == 3 and number < count // 2:
            yield "rgb", sample("rgb", START_NS + (4 * number - 6) * MS, 4 * number * MS), 0


@contextmanager
def running(made: EventThread) -> Iterator[EventThread]:
    made.start()
    try:
        yield made
    finally:
        assert made.stop(LIMIT_S)


def seen(outcomes: list[EventOutcome]) -> list[tuple[Any, ...]]:
    return [
        (one.sensor, one.received_ns, str(one.error), s.stamp_ns, s.image.pixels.tobytes())
        for one in outcomes
        for s in (one.samples or [sample("none", 0, 0)])
    ]


def test_samples_are_those_of_the_sampler_alone_in_the_same_order() -> None:
    together, alone = [], []
    plain = sampler()
    for name, item, received_ns in sent(400):
        if name == "rgb":
            alone.append(EventOutcome("", item.received_ns, tuple(plain.follow(item))))
            continue
        try:
            samples = plain.push(name, item, received_ns)
            alone.append(EventOutcome(name, received_ns, tuple(samples)))
        except Exception as error:
            alone.append(EventOutcome(name, received_ns, (), error))  # type: ignore[arg-type]
    with running(EventThread(sampler(), together.append)) as thread:
        for name, item, received_ns in sent(400):
            thread.follow(item) if name == "rgb" else thread.push(name, item, received_ns)
        assert thread.wait_until_idle(LIMIT_S)
    assert seen(together) == seen(alone)
    assert sum(len(one.samples) for one in together) > 40
    assert thread.queued_bytes == 0
    assert not any(one.pushed_out for one in together)


def test_what_is_too_much_pushes_out_the_oldest_and_is_counted() -> None:
    gate, entered, outcomes = threading.Event(), threading.Event(), []

    def deliver(outcome: EventOutcome) -> None:
        outcomes.append(outcome)
        entered.set()
        gate.wait(LIMIT_S)

    made = sampler()
    with running(EventThread(made, deliver, queue_bytes=20_000)) as thread:
        thread.push("events", packet(0), 0)
        assert entered.wait(LIMIT_S)
        for number in range(1, 400):
            thread.push("events", packet(number), number)
            thread.follow(sample("rgb", START_NS, number))
            assert thread.queued_bytes <= 20_000
        gate.set()
        assert thread.wait_until_idle(LIMIT_S)
    arrived = [one.received_ns for one in outcomes if one.sensor == "events"]
    pushed_out = [one.pushed_out for one in outcomes if one.sensor == "events"]
    assert 370 < sum(pushed_out) < 399
    assert pushed_out == [0, sum(pushed_out), *[0] * (len(arrived) - 2)], "told with the next one"
    assert arrived == [0, *range(sum(pushed_out) + 1, 400)], "the newest stay, in order"
    assert sum(one.sensor == "" for one in outcomes) <= 65
    counts = made.counts("events")
    assert counts.messages == len(arrived)
    assert counts.lost_packets == 0, "what was dropped here was not lost on the way"


def test_it_survives_whatever_is_raised() -> None:
    failures, outcomes = [], []

    def deliver(outcome: EventOutcome) -> None:
        outcomes.append(outcome)
        if outcome.received_ns == 1:
            raise RuntimeError("the receiver is broken")

    with running(EventThread(sampler(), deliver, failures.append)) as thread:
        thread.push("events", packet(0), 0)
        thread.push("events", packet(1), 1)
        thread.push("events", object(), 2)
        thread.push("nobody", packet(2), 3)  # a fault of the program itself
        thread.push("events", packet(2), 4)
        assert thread.wait_until_idle(LIMIT_S)
    assert [one.received_ns for one in outcomes] == [0, 1, 2, 4]
    assert [type(error) for error in failures] == [RuntimeError, KeyError]
    assert outcomes[2].error is not None and outcomes[2].error.kind == "type"


def test_a_reset_forgets_what_waits() -> None:
    gate, entered, outcomes = threading.Event(), threading.Event(), []

    def deliver(outcome: EventOutcome) -> None:
        outcomes.append(outcome)
        entered.set()
        gate.wait(LIMIT_S)

    with running(EventThread(sampler(), deliver)) as thread:
        for number in range(5):
            thread.push("events", packet(number), number)
        assert entered.wait(LIMIT_S)
        thread.reset()
        assert thread.queued_bytes == 0
        gate.set()
        thread.push("events", packet(9), 9)
        assert thread.wait_until_idle(LIMIT_S)
    assert [one.received_ns for one in outcomes] == [0, 9]


@pytest.mark.parametrize("started", [False, True])
def test_stopping_takes_no_longer_than_it_may(started: bool) -> None:
    gate, entered = threading.Event(), threading.Event()

    def hang(outcome: EventOutcome) -> None:
        entered.set()
        gate.wait(LIMIT_S)

    thread = EventThread(sampler(), hang)
    thread.push("events", packet(0), 0)
    if started:
        thread.start()
        assert entered.wait(LIMIT_S)
    assert thread.stop(0.01) is not started
    gate.set()
    assert thread.stop(LIMIT_S)
