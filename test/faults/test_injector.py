"""The injector: what each kind does to a stream, and what no timeline may do."""

from __future__ import annotations

import random

import numpy as np
import pytest
from fixtures.timelines import SENSORS, S, picture, timelines
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.content import FITS, content_of
from anymodal_seg_ros.faults.injector import Delivery, Injector
from anymodal_seg_ros.faults.kinds import (
    EVERY_SENSOR,
    Delayed,
    Drift,
    Garbage,
    Hanging,
    Holes,
    ImageFault,
    InjectedFault,
    Intermittent,
    MotionBlur,
    Off,
    Ok,
    OverExposure,
    Slow,
    Stuck,
    Wrong,
)
from anymodal_seg_ros.faults.stream import inject
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import Image

HZ = 10
PICTURES = [picture("rgb", k) for k in range(100)]
Told = list[Delivery[Image] | None]


def run(*faults: InjectedFault, seed: int = 0, pictures: list[Image] = PICTURES) -> Told:
    """Push a picture every 0.1 s for ten seconds."""
    injector = Injector[Image](FaultTimeline(seed, faults))
    return [injector.push("rgb", k * S // HZ, image) for k, image in enumerate(pictures)]


def arrived(told: Told) -> list[int]:
    return [k for k, delivery in enumerate(told) if delivery is not None]


def shown(told: Told, k: int) -> Image:
    delivery = told[k]
    assert delivery is not None
    return delivery.payload


def untouched(told: Told, numbers: range) -> bool:
    return all(told[k] == Delivery(k * S // HZ, PICTURES[k]) for k in numbers)


def test_without_faults_every_picture_comes_as_it_is() -> None:
    assert untouched(run(), range(100))
    assert untouched(run(Off("thermal"), Ok("rgb")), range(100))


def test_off_lets_nothing_through() -> None:
    told = run(Off("rgb", 2.0, 4.0))
    assert arrived(told) == [*range(20), *range(40, 100)]
    assert untouched(told, range(20)) and untouched(told, range(40, 100))


def test_which_faults_were_felt_is_known() -> None:
    faults = (
        Off("rgb", 2.0, 4.0),
        Stuck("*", 3.0, 5.0),
        Garbage("rgb", 2.5, 3.5),  # behind the first
        Off("rgb", 6.01, 6.09),  # between two pictures
        Holes("*", 7.0, 8.0),  # of no depth
        Slow("rgb", 9.85),  # of two messages, the first
    )
    injector = Injector[Image](FaultTimeline(0, faults))
    for k, image in enumerate(PICTURES):
        injector.push("rgb", k * S // HZ, image)
    assert injector.felt == {(0, "rgb"), (1, "rgb")}


def test_stuck_repeats_what_was_delivered_last() -> None:
    told = run(Stuck("rgb", 2.0, 4.0))
    assert all(shown(told, k) is PICTURES[19] for k in range(20, 40))
    assert [d.time_ns for d in told if d] == [k * S // HZ for k in range(100)]
    assert untouched(told, range(40, 100))


def test_stuck_after_off_repeats_what_came_before_the_silence() -> None:
    told = run(Off("rgb", 1.0, 2.0), Stuck("rgb", 2.0, 3.0))
    assert shown(told, 25) is PICTURES[9]


def test_stuck_from_the_start_repeats_the_first() -> None:
    told = run(Stuck("rgb"))
    assert all(shown(told, k) is PICTURES[0] for k in range(100))


def test_slow_lets_every_nth_through() -> None:
    told = run(Slow("rgb", 2.0, 5.0, every=4))
    assert arrived(told) == [*range(20), *range(20, 50, 4), *range(50, 100)]


def test_delayed_comes_later_and_as_it_is() -> None:
    told = run(Delayed("rgb", 2.0, 4.0, delay_s=0.25))
    for k, delivery in enumerate(told):
        assert delivery is not None
        assert delivery.payload is PICTURES[k]
        assert delivery.time_ns == k * S // HZ + (S // 4 if 20 <= k < 40 else 0)


def test_delayed_ones_are_sorted_in_where_they_arrive() -> None:
    timeline = FaultTimeline(0, (Delayed("rgb", 2.0, 4.0, delay_s=0.25),))
    arrivals = [("rgb", 500 + k * S // HZ, image) for k, image in enumerate(PICTURES)]
    out = list(inject(Injector[Image](timeline), arrivals, start_ns=500))
    times = [time for _, time, _ in out]
    assert times == sorted(times)
    numbers = [next(k for k, p in enumerate(PICTURES) if p is image) for _, _, image in out]
    assert sorted(numbers) == list(range(100))
    assert numbers[36:45] == [36, 37, 40, 38, 41, 39, 42, 43, 44]


def test_intermittent_begins_with_a_gap_and_takes_turns() -> None:
    told = run(Intermittent("rgb", 2.0, 5.0, period_s=1.0, off_share=0.3))
    gaps = {k for k in range(20, 50) if k % 10 < 3}
    assert arrived(told) == [k for k in range(100) if k not in gaps]


def test_intermittent_at_random_drops_whole_periods_by_chance() -> None:
    fault = Intermittent("rgb", period_s=0.2, off_share=0.5, random=True)
    told = run(fault)
    pairs = [(told[k] is None, told[k + 1] is None) for k in range(0, 100, 2)]
    assert set(pairs) == {(True, True), (False, False)}
    assert 10 < sum(first for first, _ in pairs) < 40
    assert arrived(told) == arrived(run(fault))
    assert arrived(told) != arrived(run(fault, seed=1))


@pytest.mark.parametrize("how", ["mirrored", "upside_down", "shuffled", "half_size"])
def test_wrong_is_well_formed_and_shows_something_else(how: str) -> None:
    told = run(Wrong("rgb", 2.0, 4.0, how=how))
    for k in range(20, 40):
        image, true = shown(told, k), PICTURES[k]
        assert (image.encoding, image.pixels.dtype) == (true.encoding, true.pixels.dtype)
        if how == "half_size":
            assert image.pixels.shape == (6, 8, 3)
        else:
            assert image.pixels.shape == true.pixels.shape
            assert not np.array_equal(image.pixels, true.pixels)
            assert sorted(image.pixels.ravel()) == sorted(true.pixels.ravel())
    np.testing.assert_array_equal(
        shown(run(Wrong("rgb", how="mirrored")), 0).pixels, PICTURES[0].pixels[:, ::-1]
    )
    assert untouched(told, range(40, 100))


def test_the_past_is_shown_again_in_its_own_rhythm() -> None:
    told = run(Wrong("rgb", 4.0, 7.0, how="past", age_s=3.0))
    for k in range(40, 70):
        assert shown(told, k) is PICTURES[k - 30]
    told = run(Wrong("rgb", 1.0, 7.0, how="past", age_s=3.0))
    assert shown(told, 20) is PICTURES[0], "the oldest that is known"
    assert shown(told, 60) is PICTURES[30]


def test_the_past_of_a_sensor_that_came_late_is_its_first_picture() -> None:
    injector = Injector[Image](FaultTimeline(0, (Wrong("rgb", 10.0, 12.0, how="past"),)))
    first = injector.push("rgb", 11 * S, PICTURES[0])
    second = injector.push("rgb", 11 * S + 1, PICTURES[1])
    assert first is not None and first.payload is PICTURES[0]
    assert second is not None and second.payload is PICTURES[0]


@pytest.mark.parametrize("how", ["noise", "truncated", "wrong_size"])
@pytest.mark.parametrize("sensor", SENSORS)
def test_garbage_is_no_picture_of_anything(sensor: str, how: str) -> None:
    injector = Injector[Image](FaultTimeline(0, (Garbage(sensor, how=how),)))
    true = picture(sensor, 3)
    delivery = injector.push(sensor, 0, true)
    assert delivery is not None
    image = delivery.payload
    assert (image.encoding, image.pixels.dtype) == (true.encoding, true.pixels.dtype)
    assert (image.pixels.shape == true.pixels.shape) == (how != "wrong_size")
    assert not np.array_equal(image.pixels, true.pixels)


def test_faults_of_one_sensor_add_up() -> None:
    blur, late = MotionBlur("rgb", severity=1.0), Delayed("rgb", delay_s=0.1)
    told = run(late, blur, Delayed("*", delay_s=0.2))
    delivery = told[0]
    assert delivery is not None
    assert delivery.time_ns == 3 * S // 10
    assert delivery.faults == (blur, late, Delayed("*", delay_s=0.2)), "images are changed first"
    assert delivery.payload.pixels.shape == PICTURES[0].pixels.shape


def test_a_kind_for_every_sensor_applies_only_where_it_fits() -> None:
    faults = (MotionBlur("*"), OverExposure("*"))
    rgb, events = picture("rgb", 0), picture("events", 0)
    injector = Injector[Image](FaultTimeline(0, faults))
    told = injector.push("rgb", 0, rgb)
    assert told is not None and told.faults == faults
    assert injector.push("events", 0, events) == Delivery(0, events)


def test_a_kind_that_cannot_happen_to_its_sensor_is_an_error() -> None:
    injector = Injector[Image](FaultTimeline(0, (Off("rgb"), OverExposure("events"))))
    with pytest.raises(
        ConfigError,
        match=r"entry 2 for events: over_exposure cannot happen .*8UC3: it fits picture",
    ):
        injector.push("events", 0, picture("events", 0))


def test_a_modality_tells_what_an_encoding_leaves_open() -> None:
    timeline = FaultTimeline(0, (OverExposure("thermal"),))
    counts = Image(picture("thermal", 0).pixels, "16UC1")
    with pytest.raises(ConfigError, match="16UC1"):
        Injector[Image](timeline).push("thermal", 0, counts)
    told = Injector[Image](timeline, {"thermal": "thermal"}).push("thermal", 0, counts)
    assert told is not None and told.faults


def stream(sensor: str, seed: int) -> list[tuple[str, int, Image]]:
    """Return a picture about every 0.1 s for twelve seconds."""
    dice = random.Random(f"{sensor}{seed}")
    times = [round((k + dice.uniform(0, 0.9)) * S / HZ) for k in range(120)]
    return [(sensor, time, picture(sensor, k % 7)) for k, time in enumerate(times)]


STREAMS = {sensor: stream(sensor, 1) for sensor in SENSORS}


def fitting(timeline: FaultTimeline) -> FaultTimeline:
    """Leave out what is an error: an image kind for a sensor that it does not fit."""

    def fit(fault: InjectedFault) -> bool:
        if isinstance(fault, ImageFault):
            return content_of(picture(fault.sensor, 0), "") in FITS[type(fault)]
        if isinstance(fault, Hanging) and fault.how == "recompressed":
            return SENSORS[fault.sensor] in ("rgb8", "8UC3")
        return True

    kept = tuple(f for f in timeline.faults if f.sensor == EVERY_SENSOR or fit(f))
    return FaultTimeline(timeline.seed, kept)


Heard = dict[str, list[tuple[int, bytes]]]


def heard(timeline: FaultTimeline, arrivals: list[tuple[str, int, Image]]) -> Heard:
    """Return what is delivered of each sensor."""
    told: Heard = {sensor: [] for sensor in SENSORS}
    for sensor, time_ns, image in inject(Injector[Image](timeline), arrivals):
        told[sensor].append((time_ns, image.pixels.tobytes()))
    return told


@settings(max_examples=40, deadline=None)
@given(timeline=timelines(), shuffle=st.randoms(use_true_random=False))
def test_what_is_delivered_depends_on_seed_and_stream_alone(
    timeline: FaultTimeline, shuffle: random.Random
) -> None:
    timeline = fitting(timeline)
    merged = sorted((m for messages in STREAMS.values() for m in messages), key=lambda m: m[1])
    together = heard(timeline, merged)
    injector = Injector[Image](timeline)
    apart: dict[str, Told] = {sensor: [] for sensor in SENSORS}
    left = {sensor: list(reversed(messages)) for sensor, messages in STREAMS.items()}
    while any(left.values()):  # in an order that no rig has
        sensor = shuffle.choice([name for name, messages in left.items() if messages])
        apart[sensor].append(injector.push(*left[sensor].pop()))
    for sensor, told in apart.items():
        delivered = sorted((d for d in told if d), key=lambda d: d.time_ns)
        assert together[sensor] == [(d.time_ns, d.payload.pixels.tobytes()) for d in delivered]
        assert together[sensor] == heard(timeline, STREAMS[sensor])[sensor]


@settings(max_examples=40, deadline=None)
@given(timeline=timelines())
def test_no_message_is_lost_or_invented_outside_of_faults(timeline: FaultTimeline) -> None:
    timeline = fitting(timeline)
    for sensor, messages in STREAMS.items():
        injector = Injector[Image](timeline)
        for _, time_ns, image in messages:
            delivery = injector.push(sensor, time_ns, image)
            if not timeline.active(sensor, time_ns):
                assert delivery == Delivery(time_ns, image)
                assert delivery.payload is image
            elif delivery is not None:
                assert set(delivery.faults) <= set(timeline.active(sensor, time_ns))
                assert delivery.time_ns >= time_ns


@settings(max_examples=40, deadline=None)
@given(timeline=timelines())
def test_only_delays_change_the_order(timeline: FaultTimeline) -> None:
    def delays(fault: InjectedFault) -> bool:
        return isinstance(fault, Delayed) or (isinstance(fault, Drift) and fault.what == "delay")

    without = tuple(f for f in fitting(timeline).faults if not delays(f))
    for sensor, messages in STREAMS.items():
        injector = Injector[Image](FaultTimeline(timeline.seed, without))
        told = [injector.push(sensor, time_ns, image) for _, time_ns, image in messages]
        assert [d.time_ns for d in told if d] == [
            time for (_, time, _), d in zip(messages, told, strict=True) if d
        ]
