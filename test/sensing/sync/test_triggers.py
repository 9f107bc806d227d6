"""The three trigger policies, and what holds for all of them."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from fixtures.messages import sample
from fixtures.rig_stream import EPOCH, MS, RIG, S, Watched, healthy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import RigConfig, SensorConfig, seconds_to_ns
from anymodal_seg_ros.frames import FrameSet, Sample, SensorState
from anymodal_seg_ros.sensing.sync.synchronizer import TOO_LATE, Synchronizer

ALL_OK = dict.fromkeys(RIG.sensors, SensorState.OK)


def rig_with(**changes: object) -> RigConfig:
    return replace(RIG, content_checks=False, **changes)  # type: ignore[arg-type]


def run(rig: RigConfig, seconds: float = 4.0, seed: int = 0, jitter: float = 0.1) -> Watched:
    watched = Watched(rig)
    streams = (healthy(name, seconds, seed, jitter, rig) for name in rig.sensors)
    watched.feed(itertools.chain(*streams))
    watched.poll(round((seconds + 1) * S))
    return watched


def reference_times(sets: list[FrameSet]) -> list[int]:
    return [s.reference_sample.time_ns for s in sets]


def test_a_fixed_rate_gives_that_rate_and_one_reference_frame_each() -> None:
    sets = run(rig_with(trigger="rate", trigger_hz=10.0), 5.0).sets
    assert 48 <= len(sets) <= 51
    assert {s.reference for s in sets[3:]} == {"rgb"}
    for before, after in pairwise(reference_times(sets[3:])):
        assert 60 * MS < after - before < 140 * MS
    assert all(len(s.samples) == 4 for s in sets[5:-2])


def test_a_rate_above_that_of_the_sensors_emits_nothing_twice() -> None:
    rig = RigConfig(
        {"cam": SensorConfig("cam", "rgb", expected_hz=10.0)}, trigger="rate", trigger_hz=100.0
    )
    watched = run(replace(rig, content_checks=False), 3.0)
    times = reference_times(watched.sets)
    assert times == sorted(set(times))
    assert len(times) == 30


def test_at_a_fixed_rate_the_next_sensor_takes_over_as_well() -> None:
    rig = rig_with(trigger="rate", trigger_hz=10.0)
    watched = Watched(rig)
    rgb = [s for s in healthy("rgb", 6.0, 1) if s.time_ns < EPOCH + 3 * S]
    watched.feed(itertools.chain(rgb, *(healthy(n, 6.0, 1) for n in rig.sensors if n != "rgb")))
    references = [(s.reference_sample.time_ns - EPOCH, s.reference) for s in watched.sets]
    assert {name for time, name in references if S < time < 2.9 * S} == {"rgb"}
    assert {name for time, name in references if time > 3.2 * S} == {"events"}
    assert max(b - a for a, b in pairwise(reference_times(watched.sets))) < 250 * MS


def test_any_gives_a_set_for_each_sample_with_its_own_stamp() -> None:
    watched = run(rig_with(trigger="any"), 3.0)
    opened = {(s.reference, s.reference_sample.time_ns) for s in watched.sets}
    assert len(opened) == len(watched.sets)
    sent = sum(int(3 * config.expected_hz) for config in RIG.sensors.values())
    late = sum(s.dropped.get(TOO_LATE, 0) for s in watched.intake.status(4 * S))
    assert len(watched.sets) > 0.9 * sent
    assert len(watched.sets) + late <= sent
    times = reference_times(watched.sets)
    assert times == sorted(set(times))


def test_two_sensors_with_one_stamp_open_one_set() -> None:
    rig = RigConfig({n: RIG.sensors[n] for n in ("rgb", "events")}, trigger="any")
    synchronizer, states = Synchronizer(rig), dict.fromkeys(("rgb", "events"), SensorState.OK)
    sets = []
    for k in range(10):
        for name in rig.sensors:
            synchronizer.add(sample(name, S + k * 33 * MS, k * 33 * MS), states)
            sets += synchronizer.poll(k * 33 * MS, states)
    sets += synchronizer.poll(10 * S, states)
    assert len(sets) == 10
    assert all(len(s.samples) == 2 for s in sets)


@pytest.mark.parametrize("trigger", ["rate", "any"])
@pytest.mark.parametrize(("sets_back", "began_anew"), [("rgb", 1), ("events", 0)])
def test_while_nobody_knows_whose_clock_has_jumped_time_is_the_first_sensors(
    trigger: str, sets_back: str, began_anew: int
) -> None:
    rig = RigConfig({n: RIG.sensors[n] for n in ("rgb", "events")}, trigger=trigger)
    synchronizer, states = Synchronizer(rig), dict.fromkeys(("rgb", "events"), SensorState.OK)
    sets = []
    for k in range(40):
        for place, name in enumerate(rig.sensors):
            now = k * 33 * MS + place * 9 * MS
            back = name == sets_back and k >= 20
            moved = sample(name, 9 * S + now - back * 5 * S, now)
            synchronizer.add(moved, states, jumped=back and k == 20)
            sets += synchronizer.poll(now, states)
    times = reference_times(sets)
    assert len(set(times)) == len(times), "no instant comes twice"
    assert sum(s.clock_jump for s in sets) == began_anew
    assert [s.reference for s in sets].count("rgb") >= (20 if trigger == "any" else 12)
    assert sum(b < a for a, b in pairwise(times)) == began_anew


@pytest.mark.parametrize("trigger", ["reference", "rate", "any"])
@pytest.mark.parametrize("moved", [("rgb",), ("thermal",), tuple(RIG.sensors)])
@pytest.mark.parametrize(
    ("step_s", "jump_s"),
    [(0.9, 1.0), (-0.9, 1.0), (6.0, 1.0), (-6.0, 1.0), (5.0, 9.0), (-5.0, 9.0)],
)
def test_a_clock_that_is_set_and_set_right_again_costs_masks_for_a_moment(
    trigger: str, moved: tuple[str, ...], step_s: float, jump_s: float
) -> None:
    """Also by less than ``clock_jump_s``, which one stamp alone does not show."""
    rig, step = rig_with(trigger=trigger, trigger_hz=10.0, clock_jump_s=jump_s), round(step_s * S)
    watched = Watched(rig)
    watched.feed(
        replace(s, time_ns=s.time_ns + step, stamp_ns=s.stamp_ns + step)
        if s.sensor in moved and 4 * S <= s.received_ns < 7 * S
        else s
        for name in rig.sensors
        for s in healthy(name, 12.0, 3, 0.1, rig)
    )
    completed = [s.completed_ns for s in watched.sets]
    assert completed[-1] > 11.8 * S
    assert max(b - a for a, b in pairwise(completed)) < 400 * MS
    for name in rig.sensors:
        assert watched.states(name, 9.0, 11.5) == [SensorState.OK]
    settled = [s for s in watched.sets if 9 * S < s.completed_ns < 11.5 * S]
    assert sum(len(s.samples) == 4 for s in settled) > 0.95 * len(settled)


def test_a_slow_first_sensor_holds_up_nobodys_frame_sets() -> None:
    slow = replace(RIG.sensors["rgb"], expected_hz=0.4)
    rig = RigConfig({"rgb": slow, "events": RIG.sensors["events"]}, trigger="any")
    synchronizer, states = Synchronizer(rig), dict.fromkeys(("rgb", "events"), SensorState.OK)
    sets = []
    for k in range(150):
        now = k * 33 * MS
        for name in ("rgb", "events") if k % 75 == 0 else ("events",):
            synchronizer.add(sample(name, 9 * S + now, now), states)
        sets += synchronizer.poll(now, states)
    sets += synchronizer.poll(60 * S, states)
    assert len(sets) == 150


def test_when_the_reference_dies_the_next_takes_over_as_soon_as_it_is_late() -> None:
    watched = Watched(rig_with())
    rgb = [s for s in healthy("rgb", 4.0, 3, jitter=0.0) if s.time_ns < EPOCH + 2 * S]
    others = (healthy(n, 4.0, 3, jitter=0.0) for n in RIG.sensors if n != "rgb")
    watched.feed(itertools.chain(rgb, *others))
    late_s = watched.reached("rgb", SensorState.LATE, 1.0)
    assert late_s is not None
    first = next(s for s in watched.sets if s.reference == "events")
    waited = first.completed_ns - round(late_s * S)
    assert 0 <= waited <= RIG.sensors["events"].period_ns
    assert first.missing["rgb"] == "LATE"


def test_reference_frames_that_swap_places_are_both_served_in_order() -> None:
    synchronizer, sets = Synchronizer(RIG), []
    for k in range(1, 41):
        swapped = k + (1 if k % 4 == 1 else -1 if k % 4 == 2 else 0)
        now = k * 10 * MS
        synchronizer.add(sample("rgb", S + swapped * 10 * MS, now), ALL_OK)
        sets += synchronizer.poll(now, ALL_OK)
    sets += synchronizer.poll(10 * S, ALL_OK)
    assert reference_times(sets) == [S + k * 10 * MS for k in range(1, 41)]


def test_a_frame_older_than_the_last_set_is_counted_with_that_reason() -> None:
    synchronizer = Synchronizer(RIG)
    for time in (100, 200):
        synchronizer.add(sample("rgb", time * MS, time * MS), ALL_OK)
    assert len(synchronizer.poll(300 * MS, ALL_OK)) == 2
    synchronizer.add(sample("rgb", 150 * MS, 310 * MS), ALL_OK)
    assert synchronizer.poll(400 * MS, ALL_OK) == []
    for k in range(10):
        synchronizer.add(sample("rgb", (400 + 100 * k) * MS, (400 + 100 * k) * MS), ALL_OK)
    assert synchronizer.dropped("rgb")[TOO_LATE] == 1


def test_a_set_names_what_was_wrong_with_the_sample_it_goes_without() -> None:
    synchronizer = Synchronizer(RIG)
    bad = sample("depth", 100 * MS, 101 * MS)
    synchronizer.withhold(bad, ALL_OK, "no_depth: 0 of 1", "no_depth")
    synchronizer.add(sample("rgb", 100 * MS, 100 * MS), ALL_OK)
    (frame_set,) = synchronizer.poll(120 * MS, ALL_OK)
    assert frame_set.missing["depth"] == "no_depth: 0 of 1"
    assert frame_set.missing["thermal"] == "no sample"
    assert synchronizer.dropped("depth") == {"no_depth": 1}


def test_nobody_waits_for_a_sensor_whose_sample_was_withheld() -> None:
    rig = RigConfig({n: RIG.sensors[n] for n in ("rgb", "events")})
    synchronizer, states = Synchronizer(rig), dict.fromkeys(("rgb", "events"), SensorState.OK)
    synchronizer.add(sample("rgb", 100 * MS, 100 * MS), states)
    assert synchronizer.poll(100 * MS, states) == []
    synchronizer.withhold(sample("events", 101 * MS, 103 * MS), states, "noise: much", "noise")
    assert len(synchronizer.poll(103 * MS, states)) == 1


@pytest.mark.parametrize("trigger", ["reference", "rate", "any"])
def test_a_bad_reference_frame_still_has_its_set_from_what_the_others_see(trigger: str) -> None:
    rig = rig_with(trigger=trigger, trigger_hz=10.0)
    synchronizer, states = Synchronizer(rig), dict(ALL_OK)
    synchronizer.add(sample("events", 99 * MS, 100 * MS), states)
    bad = sample("rgb", 100 * MS, 101 * MS)
    synchronizer.withhold(bad, states, "black: all of it", "black")
    (frame_set,) = synchronizer.poll(200 * MS, states)
    assert frame_set.fused == ("events",)
    assert frame_set.missing["rgb"] == "black: all of it"
    if trigger == "reference":
        assert frame_set.reference_sample is bad, "its header and geometry still hold"
    else:
        assert frame_set.reference == "events"


def test_when_the_reference_has_lived_in_the_future_time_begins_anew_and_says_so() -> None:
    synchronizer, states = Synchronizer(RIG), dict(ALL_OK)
    ahead = 300 * MS
    synchronizer.add(sample("rgb", S + ahead, 0), states)
    synchronizer.add(sample("events", S, 1 * MS), states)
    (first,) = synchronizer.poll(100 * MS, states)
    assert first.reference == "rgb"
    states["rgb"] = SensorState.CLOCK
    synchronizer.add(sample("events", S + 33 * MS, 34 * MS), states)
    (second,) = synchronizer.poll(100 * MS, states)
    assert second.reference == "events"
    assert second.clock_jump
    assert not first.clock_jump
    synchronizer.add(sample("events", S + 66 * MS, 67 * MS), states)
    assert [s.clock_jump for s in synchronizer.poll(100 * MS, states)] == [False]


def loops(rig: RigConfig, count: int, seconds: float) -> list[Sample]:
    """Return a bag that is played again and again on a clock that goes on."""
    bag = [s for n in rig.sensors for s in healthy(n, seconds, 5, 0.1, rig)]
    length = round(seconds * S) + 40 * MS
    return [replace(s, received_ns=s.received_ns + k * length) for k in range(count) for s in bag]


@pytest.mark.parametrize("trigger", ["reference", "rate", "any"])
def test_no_set_is_lost_when_a_bag_begins_again(trigger: str) -> None:
    rig, seconds, count = rig_with(trigger=trigger), 5.0, 3
    watched = Watched(rig)
    watched.feed(loops(rig, count, seconds))
    watched.poll(100 * S)
    starts = [k for k, s in enumerate(watched.sets) if s.clock_jump]
    parts = [watched.sets[a:b] for a, b in pairwise([0, *starts, None])]
    per_loop = [0] * count
    for part in parts:
        times = reference_times(part)
        assert times == sorted(set(times)), "within a loop, time only grows"
    for frame_set in watched.sets:
        per_loop[min(count - 1, frame_set.completed_ns // round(seconds * S + 40 * MS))] += 1
    expected = {"reference": 150, "rate": 50, "any": 425}[trigger]
    slack = 30 if trigger == "any" else 2
    assert all(abs(n - expected) <= slack for n in per_loop), per_loop
    if trigger == "reference":
        assert sum(s.reference == "rgb" for s in watched.sets) == count * 150, "not one"
        assert len(starts) == count - 1


def test_a_sensor_that_joins_late_or_never_starts_holds_nobody_up() -> None:
    watched = Watched(rig_with())
    depth = [s for s in healthy("depth", 10.0, 2) if s.time_ns > EPOCH + 7 * S]
    watched.feed(itertools.chain(healthy("rgb", 10.0, 2), healthy("events", 10.0, 2), depth))
    rgb = [s for s in watched.sets if s.reference == "rgb"]
    assert len(rgb) >= 299
    for frame_set in rgb[5:]:
        time = frame_set.reference_sample.time_ns - EPOCH
        waited = frame_set.completed_ns - frame_set.reference_sample.received_ns
        assert waited <= seconds_to_ns(RIG.deadline_s)
        assert frame_set.missing["thermal"] == ("WAITING" if time < 4.9 * S else "FAILED") or (
            4.9 * S < time < 5.1 * S
        )
        if 7.8 * S < time < 9.9 * S:
            assert "depth" in frame_set.samples


RATES = st.sampled_from([5.0, 10.0, 15.0, 30.0, 60.0, 200.0])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rates=st.lists(RATES, min_size=1, max_size=4),
    trigger=st.sampled_from(["reference", "rate", "any"]),
    seed=st.integers(0, 10_000),
    jitter=st.floats(0.0, 0.3),
    latency_ms=st.floats(0.0, 60.0),
    twice=st.floats(0.0, 0.2),
    lost=st.floats(0.0, 0.2),
)
def test_every_sample_ends_in_a_set_or_is_counted_and_nothing_comes_twice(
    rates: list[float],
    trigger: str,
    seed: int,
    jitter: float,
    latency_ms: float,
    twice: float,
    lost: float,
) -> None:
    """Whatever rates, jitter, losses, duplicates and reordering come."""
    rig = RigConfig(
        {f"s{k}": SensorConfig(f"s{k}", f"m{k}", expected_hz=hz) for k, hz in enumerate(rates)},
        trigger=trigger,
    )
    dice = random.Random(seed)
    arrivals: list[Sample] = []
    for name in rig.sensors:
        for s in healthy_times(name, rig, dice, jitter):
            late = replace(s, received_ns=s.received_ns + round(dice.uniform(0, latency_ms) * MS))
            arrivals += [late] * (0 if dice.random() < lost else 2 if dice.random() < twice else 1)
    synchronizer, sets = Synchronizer(rig), []
    states = dict.fromkeys(rig.sensors, SensorState.OK)
    for arrival in sorted(arrivals, key=lambda s: s.received_ns):
        while (due := synchronizer.next_deadline_ns()) is not None and due < arrival.received_ns:
            sets += synchronizer.poll(due, states)
        synchronizer.add(arrival, states)
        sets += synchronizer.poll(arrival.received_ns, states)
    sets += synchronizer.poll(1 << 62, states)

    times = reference_times(sets)
    assert times == sorted(set(times))
    for frame_set in sets:
        assert set(frame_set.samples) | set(frame_set.missing) == set(rig.sensors)
        assert all(frame_set.missing.values()), "each absent sensor has its reason"
        assert not frame_set.clock_jump
    for name in rig.sensors:
        sent = sum(a.sensor == name for a in arrivals)
        used = len({s.samples[name].time_ns for s in sets if name in s.samples})
        kept = synchronizer._buffers[name]
        waiting = sum(t not in kept._used for t in kept._times)
        assert sent == used + waiting + sum(synchronizer.dropped(name).values())


def healthy_times(name: str, rig: RigConfig, dice: random.Random, jitter: float) -> list[Sample]:
    """Return two seconds of samples whose pixels do not matter."""
    period = rig.sensors[name].period_ns
    made = []
    for k in range(2 * S // period):
        taken = round((k + 1 + dice.uniform(-jitter, jitter)) * period)
        made.append(sample(name, S + taken, taken))
    return made
