"""The rules of buffers, triggers and frame sets one by one, each by what comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fixtures.messages import sample

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import FrameSet, Image, Sample, SensorState
from anymodal_seg_ros.sensing.sync.buffer import SampleBuffer
from anymodal_seg_ros.sensing.sync.synchronizer import (
    MAX_PENDING,
    MAX_PENDING_BYTES,
    TOO_FAST,
    TOO_LATE,
    Synchronizer,
)
from anymodal_seg_ros.sensing.sync.triggers import AtRate

MS = 1_000_000
S = 1_000_000_000
UNUSED = "not needed by any frame set"
OK = SensorState.OK


def rig_of(*names: str, hz: float = 30.0, **options: object) -> RigConfig:
    sensors = {name: SensorConfig(name, name, expected_hz=hz) for name in names}
    return RigConfig(sensors, **{"deadline_s": 0.02, **options})  # type: ignore[arg-type]


def buffer_of(*times_ms: int) -> tuple[SampleBuffer, list[Sample]]:
    buffer = SampleBuffer(SensorConfig("rgb", "rgb", expected_hz=30.0))
    buffer.keep_ns = S
    samples = [sample("rgb", time * MS, time * MS) for time in times_ms]
    for each in samples:
        assert buffer.add(each)
    return buffer, samples


def at(sensor: str, time_ms: float, received_ms: float | None = None) -> Sample:
    received = time_ms if received_ms is None else received_ms
    return sample(sensor, round(time_ms * MS), round(received * MS))


# What became of every sample


def test_what_was_let_go_while_its_set_waited_is_counted_when_that_leaves() -> None:
    buffer, samples = buffer_of(0, 10, 20, 30)
    for each in samples[:3]:
        buffer.await_set(each)
    buffer.explain(samples[2], TOO_LATE)
    buffer.clear()
    assert buffer.dropped == {"clock jump": 1}, "the one that nothing was opened for"
    buffer.set_left(samples[0], taken=True)
    buffer.set_left(samples[1], taken=True)
    buffer.set_left(samples[2], taken=False)
    assert buffer.taken == 2
    assert buffer.dropped == {"clock jump": 1, TOO_LATE: 1}
    for each in samples:  # and once is enough
        buffer.set_left(each, taken=True)
    assert buffer.taken == 2


def test_two_that_came_to_nothing_for_the_same_reason_are_two() -> None:
    buffer, samples = buffer_of(0, 10)
    for each in samples:
        buffer.await_set(each)
    buffer.clear()
    for each in samples:
        buffer.set_left(each, taken=False)
    assert buffer.dropped == {UNUSED: 2} and buffer.taken == 0


def test_what_is_still_there_when_its_set_leaves_may_serve_another() -> None:
    buffer, samples = buffer_of(0, 10)
    buffer.await_set(samples[0])
    buffer.set_left(samples[0], taken=False)
    assert buffer.taken == 0 and not buffer.dropped and buffer.nearest(0) is samples[0]
    buffer.use(samples[0])
    buffer.use(samples[0])
    assert buffer.taken == 1 and buffer.used(samples[0]) and not buffer.used(samples[1])


def test_an_unfit_sample_is_out_and_was_not_taken() -> None:
    buffer, samples = buffer_of(0, 10, 20)
    buffer.use(samples[1])
    buffer.discard(samples[1])
    assert buffer.taken == 0 and len(buffer) == 2
    assert buffer.nearest(10 * MS) is samples[2], "the later one of two"
    other = at("rgb", 20)
    buffer.discard(other)  # another one with the same stamp
    assert buffer.nearest(20 * MS) is samples[2]


def test_samples_that_never_came_into_the_buffers_add_up() -> None:
    sync = Synchronizer(rig_of("rgb", "depth"))
    sync.count("depth", "too large")
    sync.count("depth", "too large")
    assert sync.dropped("depth") == {"too large": 2} and sync.dropped("rgb") == {}


def test_if_nobody_polls_the_oldest_sets_are_given_up_and_their_samples_free() -> None:
    sync, states = Synchronizer(rig_of("rgb", "depth")), {"rgb": OK, "depth": OK}
    for k in range(MAX_PENDING + 3):
        sync.add(at("rgb", 33 * k), states)
    assert sync.overdue == 3 and sync.taken("rgb") == 0
    sets = sync.poll(10 * S, states)
    assert [s.reference_sample.time_ns for s in sets] == [
        33 * k * MS for k in range(3, MAX_PENDING + 3)
    ]
    assert sync.taken("rgb") == MAX_PENDING


def test_sets_that_nobody_polls_keep_so_many_bytes_however_large_their_pictures() -> None:
    """An engine that hangs, and a camera of 4K: that is 750 MB of new pictures each second."""
    sync, states = Synchronizer(rig_of("rgb", "depth")), {"rgb": OK, "depth": OK}
    pixels = np.zeros((2160, 3840, 3), np.uint8)
    for k in range(60):
        sync.add(replace(at("rgb", 33 * k), image=Image(pixels, "rgb8")), states)
    sets = sync.poll(10 * S, states)
    assert len(sets) == MAX_PENDING_BYTES // pixels.nbytes == 21
    assert sets[-1].reference_sample.time_ns == 59 * 33 * MS, "the newest"
    assert sync.overdue == 39


# What opens a set


@pytest.mark.parametrize("max_rate_hz", [0.0, 10.0])
def test_faster_than_is_wanted_opens_nothing_and_is_counted(max_rate_hz: float) -> None:
    sync, states = Synchronizer(rig_of("rgb", max_rate_hz=max_rate_hz)), {"rgb": OK}
    times = [0.0, 50.0, 89.9, 90.0, 179.0, 181.0]  # 0.9 of the period is far enough
    sets: list[FrameSet] = []
    for time in times:
        sync.add(at("rgb", time), states)
        sets += sync.poll(round(time * MS), states)
    served = [s.reference_sample.time_ns / MS for s in sets]
    assert served == ([0.0, 90.0, 181.0] if max_rate_hz else times)
    sync.add(at("rgb", 60_000), states)
    sync.poll(60 * S, states)
    assert sync.dropped("rgb").get(TOO_FAST, 0) == (3 if max_rate_hz else 0)


def test_of_what_a_new_reference_brings_the_first_may_come_too_soon_and_the_next_not() -> None:
    sync = Synchronizer(rig_of("rgb", "depth", max_rate_hz=10.0))
    both = {"rgb": OK, "depth": OK}
    sync.add(at("rgb", 0), both)
    for time in (40, 95):
        sync.add(at("depth", time, 100), both)
    sync.poll(100 * MS, both)
    dead = {"rgb": SensorState.STALE, "depth": OK}
    sets = sync.poll(200 * MS, dead)
    assert [s.reference_sample.time_ns for s in sets] == [95 * MS]


@pytest.mark.parametrize("geometry", ["fixed", "reference"])
def test_who_is_merely_late_keeps_its_place_where_the_geometry_is_its_own(geometry: str) -> None:
    sync = Synchronizer(rig_of("rgb", "depth", "thermal", geometry=geometry))
    states = {"rgb": OK, "depth": OK, "thermal": OK}
    sync.add(at("rgb", 0), states)
    sync.poll(30 * MS, states)
    late = {**states, "rgb": SensorState.LATE}
    sync.add(at("depth", 40), late)
    sets = sync.poll(100 * MS, late)
    assert [s.reference for s in sets] == ([] if geometry == "reference" else ["depth"])
    # One that is late without having been the reference is passed over in any case.
    gone = {**states, "rgb": SensorState.FAILED, "depth": SensorState.LATE}
    sync.poll(110 * MS, {**states, "rgb": SensorState.FAILED, "depth": SensorState.STALE})
    sync.add(at("thermal", 120), gone)
    assert [s.reference for s in sync.poll(200 * MS, gone)][-1:] == ["thermal"]


def test_at_a_rate_each_multiple_opens_once_and_anew_after_a_jump() -> None:
    policy, states = AtRate(100 * MS, 500 * MS), {"rgb": OK}
    buffers = {"rgb": SampleBuffer(SensorConfig("rgb", "rgb"))}

    newest_ns: int | None = None

    def opened(time_ms: int) -> list[int]:
        nonlocal newest_ns
        times = [t for t, _ in policy.opened_by(at("rgb", time_ms), states, buffers, newest_ns)]
        newest_ns = max(times, default=newest_ns)
        return [t // MS for t in times]

    assert opened(5) == [0] and opened(30) == [] and opened(130) == [100]
    assert opened(95) == [], "a straggler"
    assert opened(960) == [900] and opened(430) == [], "as far back as the clock may jitter"
    assert opened(310) == [300], "time began anew"
    assert list(policy.opened_by(at("rgb", 400), {"rgb": SensorState.LATE}, buffers, None)) == []


# What a set is made of, and when it leaves


def test_a_frame_without_a_picture_is_only_wanted_if_somebody_else_sees_something() -> None:
    states = {"rgb": OK, "depth": OK}
    for others, expected in (([], 0), ([at("depth", 1)], 1)):
        sync = Synchronizer(rig_of("rgb", "depth"))
        for each in others:
            sync.add(each, states)
        sync.withhold(at("rgb", 0), states, "nothing happened", optional=True)
        sets = sync.poll(S, states)
        assert len(sets) == expected
        for found in sets:
            assert found.fused == ("depth",) and found.missing == {"rgb": "nothing happened"}


def test_chosen_anew_a_set_keeps_the_reason_why_its_reference_is_not_fused() -> None:
    sync, states = Synchronizer(rig_of("rgb", "depth")), {"rgb": OK, "depth": OK}
    first, second = at("depth", 1), at("depth", 9)
    for each in (first, second):
        sync.add(each, states)
    sync.withhold(at("rgb", 0), states, "it is black")
    (found,) = sync.poll(S, states)
    assert found.samples["depth"] is first
    sync.discard(first, "it is torn")
    again = sync.reselect(found, states)
    assert again.samples["depth"] is second and again.missing == {"rgb": "it is black"}


def test_nobody_is_waited_for_whose_next_sample_would_be_further_off_than_its_last() -> None:
    """77 Hz: the last came 5 ms before the moment, the next is due 8 ms after it."""
    for last_ms, leaves in ((-5.0, True), (-9.0, False)):
        sync, states = Synchronizer(rig_of("rgb", "depth", hz=77.0)), {"rgb": OK, "depth": OK}
        sync.add(at("depth", 100 + last_ms), states)
        sync.add(at("rgb", 100), states)
        assert bool(sync.poll(100 * MS, states)) == leaves


def test_what_is_missing_is_told_with_the_figures() -> None:
    sync, states = (
        Synchronizer(rig_of("rgb", "depth", "thermal")),
        {
            "rgb": OK,
            "depth": OK,
            "thermal": OK,
        },
    )
    sync.add(at("depth", 0), states)
    sync.add(at("rgb", 120), states)
    (found,) = sync.poll(S, states)
    allowed = round(rig_of("depth").sensors["depth"].tolerance_ns / MS)
    assert found.missing == {
        "depth": f"nearest sample 120 ms away, {allowed} ms allowed",
        "thermal": "no sample",
    }
