"""Cameras whose messages come, but give nothing: told within half a second, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fixtures.event_messages import (
    SECOND_NS,
    event_array,
    event_cloud,
    event_packet,
    evt3_words,
    mono_words,
)
from fixtures.messages import sample

from anymodal_seg_ros.config import EventConfig, SensorConfig
from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing.events.sampler import EventSampler
from anymodal_seg_ros.sensing.events.values import Events

MS = 1_000_000
START_NS = 1_700_000_000 * SECOND_NS
PACKET_MS = 4
Make = Callable[[int, int], Any]
"""From the number and the stamp of a message to the message."""


def good(number: int, stamp_ns: int, **fields: Any) -> Any:
    times_us = 1_000_000 + 1000 * PACKET_MS * number + np.arange(8) * 500
    place = np.full(8, number % 480)
    words = evt3_words(times_us, place, place, place % 2)
    return event_packet(words, **{"seq": number, "stamp_ns": stamp_ns, **fields})


def empty(number: int, stamp_ns: int) -> Any:
    return event_packet(b"", seq=number, stamp_ns=stamp_ns)


def garbage(number: int, stamp_ns: int) -> Any:
    noise = np.random.default_rng(number).bytes(400)
    return event_packet(noise, seq=number, stamp_ns=stamp_ns)


def stopped(number: int, stamp_ns: int) -> Any:
    message = good(0, stamp_ns)
    message.seq = number
    return message


def undecodable(number: int, stamp_ns: int) -> Any:
    words = np.full(40, 0xF000, "<u2")
    return event_packet(words, encoding="libcaer_cmp", seq=number, stamp_ns=stamp_ns)


def of_another_clock(number: int, stamp_ns: int) -> Any:
    times = stamp_ns - START_NS + np.arange(5) * 1000
    return event_array(Events(times, *np.zeros((3, 5), np.int64)), stamp_ns, 480, 640)


def of_another_sensor(number: int, stamp_ns: int) -> Any:
    base, dt = PACKET_MS * MS * number, np.arange(50) * 1000
    place = np.full(50, 1500)
    words = mono_words(dt, place, place, place % 2)
    fields = {"encoding": "mono", "time_base": base, "seq": number, "stamp_ns": stamp_ns}
    return event_packet(words, **fields)


def run(make: Make, count: int, begin: int = 0, made: EventSampler | None = None) -> EventSampler:
    sensors = {"events": SensorConfig("events", "event", expected_hz=30.0)}
    config = EventConfig(height=480, width=640)
    made = made or EventSampler(sensors, {"events": config}, SECOND_NS)
    for number in range(begin, begin + count):
        now_ns = PACKET_MS * number * MS
        made.push("events", make(number, START_NS + now_ns), now_ns)
    return made


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (empty, "messages came: they hold no event"),
        (garbage, "no window of events for "),
        (stopped, "their time stands still"),
        (undecodable, "packets cannot be decoded"),
        (of_another_clock, "events end 1.7e+09 s before the header stamps"),
        (of_another_clock, "let the driver give events the time of the header's clock"),
        (of_another_sensor, "events lie outside 640x480"),
    ],
)
def test_messages_that_give_nothing_are_a_fault_with_the_reason(make: Make, says: str) -> None:
    made = run(make, 110)  # 0.44 s
    fault = made.fault("events")
    assert fault is not None
    assert fault.state is SensorState.INVALID
    assert says in fault.reason
    assert len(fault.reason) < 300
    assert run(make, 500).fault("events") is not None, "and they go on to be one"


def test_a_camera_that_is_well_or_sees_nothing_move_is_not_at_fault() -> None:
    def still(number: int, stamp_ns: int) -> Any:
        time_us = 1000 * PACKET_MS * number
        words = np.array([0x8000 | time_us >> 12, 0x6000 | time_us & 0xFFF], "<u2")
        return event_packet(words, seq=number, stamp_ns=stamp_ns)

    for make in (good, still):
        made = EventSampler(
            {"events": SensorConfig("events", "event", expected_hz=30.0)},
            {"events": EventConfig()},
            SECOND_NS,
        )
        for begin in range(0, 500):
            run(make, 1, begin, made)
            assert made.fault("events") is None
        assert all(check.passed for check in made.checks("events"))


@pytest.mark.parametrize("period_ms", [33, 100, 1000])
def test_slow_senders_of_whole_clouds_are_not_at_fault(period_ms: int) -> None:
    sensors = {"events": SensorConfig("events", "event", expected_hz=30.0)}
    made = EventSampler(sensors, {"events": EventConfig(height=8, width=8)}, SECOND_NS)
    for number in range(40):
        now_ns = period_ms * number * MS
        columns = {name: np.zeros(20, np.uint8) for name in ("x", "y", "p")}
        columns["t"] = np.linspace(0, period_ms / 1000, 20)
        made.push("events", event_cloud(columns, START_NS + now_ns), now_ns)
        assert made.fault("events") is None


def test_the_fault_ends_with_the_first_window() -> None:
    made = run(good, 100)
    run(empty, 150, 100, made)
    assert made.fault("events") is not None
    run(good, 40, 250, made)
    assert made.fault("events") is None


def test_pictures_of_nothing_are_not_handed_out() -> None:
    made = run(of_another_sensor, 200)
    frame = sample("rgb", START_NS + 700 * MS, 0)
    assert made.follow(frame) == []
    after = made.push("events", of_another_sensor(200, START_NS + 800 * MS), 800 * MS)
    assert after == []


def test_shares_of_what_is_lost_are_told() -> None:
    def lossy(number: int, stamp_ns: int) -> Any:
        return good(number, stamp_ns, seq=3 * number)

    made = run(lossy, 300)
    told = {check.name: check for check in made.checks("events")}
    assert told["lost_packets"].figure == pytest.approx(2 / 3, abs=0.01)
    assert not told["lost_packets"].passed
    assert told["undecodable_packets"].passed and told["events_outside"].passed
    assert made.counts("events").incomplete > 0
    run(good, 3000, 1000, made)
    told = {check.name: check for check in made.checks("events")}
    assert told["lost_packets"].passed, "what is told is what happened lately"


def test_a_camera_of_which_much_is_lost_is_damaged() -> None:
    made = run(lambda number, stamp_ns: good(number, stamp_ns, seq=2 * number), 300)
    fault = made.fault("events")
    assert fault is not None and fault.state is SensorState.DEGRADED and not fault.withhold
    assert "50% of its packets are lost, more than 20%" in fault.reason
    outage = run(good, 149)
    run(lambda number, stamp_ns: good(number, stamp_ns, seq=number + 300), 200, 150, outage)
    assert outage.fault("events") is None, "it is over"
    few = run(lambda number, stamp_ns: good(number, stamp_ns, seq=number + number // 10), 300)
    assert few.fault("events") is None


def test_events_most_of_which_have_a_time_that_cannot_be_are_no_picture() -> None:
    def odd(number: int, stamp_ns: int) -> Any:
        time_base = 4 * MS * number + (0 if number % 3 == 0 else (number % 7 + 1) * 100 * SECOND_NS)
        place, fields = np.arange(50), {"seq": number + 1, "stamp_ns": stamp_ns}
        words = mono_words(np.arange(50) * 1000, place, place, place % 2)
        return event_packet(words, encoding="mono", time_base=time_base, **fields)

    fault = run(odd, 300).fault("events")
    assert fault is not None and fault.state is SensorState.INVALID
    assert "events have a time that cannot be" in fault.reason


def test_two_drivers_of_one_topic_are_not_called_damaged_while_nothing_is_shown() -> None:
    def of_two(number: int, stamp_ns: int) -> Any:
        return good(number, stamp_ns, width=640 if number % 2 else 320)

    fault = run(of_two, 300).fault("events")
    assert fault is not None and fault.state is SensorState.INVALID
    assert "size, encoding or count began anew (do two drivers send?)" in fault.reason


def test_a_reset_forgives() -> None:
    made = run(empty, 200)
    assert made.fault("events") is not None
    made.reset()
    assert made.fault("events") is None
    assert made.checks("events") == ()


@pytest.mark.parametrize(("ahead_s", "side"), [(100, "behind"), (-100, "ahead of")])
def test_stamps_of_another_epoch_than_the_frames_are_told(ahead_s: int, side: str) -> None:
    sensors = {"events": SensorConfig("events", "event", expected_hz=30.0)}
    made = EventSampler(sensors, {"events": EventConfig()}, SECOND_NS)
    for number in range(300):
        now_ns = PACKET_MS * number * MS
        made.push("events", good(number, START_NS + now_ns), now_ns)
        if number % 8 == 0:
            frame_ns = START_NS + now_ns + ahead_s * SECOND_NS
            made.follow(sample("rgb", frame_ns))
    fault = made.fault("events")
    assert fault is not None
    assert f"their stamps are 100 s {side} those of the frames" in fault.reason


def larger(width: int, height: int, events: int = 200) -> Make:
    """Clouds of a sensor that has events all over its own width and height."""

    def make(number: int, stamp_ns: int) -> Any:
        dice = np.random.default_rng(number)
        columns = {
            "x": dice.integers(0, width, events).astype(np.uint16),
            "y": dice.integers(0, height, events).astype(np.uint16),
            "p": np.ones(events, np.uint8),
            "t": np.linspace(-0.004, 0, events),
        }
        return event_cloud(columns, stamp_ns)

    return make


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 520), (480, 640), (700, 480)])
def test_a_sensor_that_is_larger_than_it_is_said_to_be_is_damaged_and_told_its_size(
    width: int, height: int
) -> None:
    made = run(larger(width, height), 110)
    fault = made.fault("events")
    assert fault is not None
    assert fault.state is SensorState.DEGRADED and not fault.withhold
    assert "lie outside 640x480" in fault.reason
    reached = [int(n) for n in fault.reason.split("they reach ")[1].split(":")[0].split("x")]
    assert width - 9 <= reached[0] <= width and height - 9 <= reached[1] <= height
    assert "set events.width and events.height" in fault.reason
    assert not next(c for c in made.checks("events") if c.name == "events_outside").passed
    assert made.counts("events").windows > 0


def test_a_few_events_that_all_lie_outside_are_no_still_scene() -> None:
    def far(number: int, stamp_ns: int) -> Any:
        place = np.full(3, 900, np.uint16)
        columns = {"x": place, "y": place, "p": place, "t": np.linspace(-0.003, 0, 3)}
        return event_cloud(columns, stamp_ns)

    fault = run(far, 60).fault("events")
    assert fault is not None and fault.state is SensorState.INVALID
    assert "they reach 901x901" in fault.reason


def test_messages_that_tell_the_size_themselves_are_the_drivers_to_mend() -> None:
    def large(number: int, stamp_ns: int) -> Any:
        dice = np.random.default_rng(number)
        times = stamp_ns + np.arange(40) * 1000
        x, y = dice.integers(0, 346, 40), dice.integers(0, 260, 40)
        return event_array(Events(times, x, y, x % 2), stamp_ns, 180, 240)

    fault = run(large, 110).fault("events")
    assert fault is not None and fault.state is SensorState.DEGRADED
    assert "mend width and height in the driver's messages" in fault.reason


def test_a_sensor_that_is_smaller_than_it_is_said_to_be_is_well() -> None:
    assert run(larger(320, 240), 110).fault("events") is None


@pytest.mark.parametrize("per_us", [1, 0])
def test_events_that_fall_beside_every_window_are_no_still_scene(per_us: int) -> None:
    """Whole microseconds that are read as nanoseconds, and a simulator with one time per step."""

    def make(number: int, stamp_ns: int, scale: int = per_us) -> Any:
        place = (np.arange(500) + number) % 400
        columns = {"x": place.astype("u2"), "y": place.astype("u2"), "p": np.ones(500, "u1")}
        columns["t"] = (np.arange(500) * 60 * scale + 2_000).astype(np.uint32)
        return event_cloud(columns, stamp_ns)

    sensors = {"events": SensorConfig("events", "event", expected_hz=30.0)}
    made = EventSampler(sensors, {"events": EventConfig(height=480, width=640)}, SECOND_NS)
    for number in range(60):
        now_ns = round(number * SECOND_NS / 30)
        made.push("events", make(number, START_NS + now_ns), now_ns)
        made.follow(sample("rgb", START_NS + now_ns))
    fault = made.fault("events")
    assert fault is not None and fault.state is SensorState.INVALID
    assert "events are in the last 58 windows of 33 ms" in fault.reason
    assert "events.window_s" in fault.reason
    for number in range(60, 70):
        now_ns = round(number * SECOND_NS / 30)
        made.push("events", make(number, START_NS + now_ns, 1000), now_ns)
        made.follow(sample("rgb", START_NS + now_ns))
    assert made.fault("events") is None, "and it ends with the fault"


def test_events_between_the_frames_of_a_slow_camera_are_nobodys_fault() -> None:
    sensors = {"events": SensorConfig("events", "event", expected_hz=1.0)}
    made = EventSampler(sensors, {"events": EventConfig(height=480, width=640)}, SECOND_NS)
    for number in range(40):
        place = np.full(500, number, np.uint16)
        columns = {"x": place, "y": place, "p": np.ones(500, "u1"), "t": np.linspace(0.2, 0.8, 500)}
        made.push("events", event_cloud(columns, START_NS + number * SECOND_NS), number * SECOND_NS)
        made.follow(sample("rgb", START_NS + number * SECOND_NS))
        assert made.fault("events") is None
