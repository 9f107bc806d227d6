from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from fixtures.messages import sample
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import RigConfig, SensorConfig, seconds_to_ns
from anymodal_seg_ros.frames import FrameSet, Sample, SensorState
from anymodal_seg_ros.sensing.health.watchdog import Watchdog
from anymodal_seg_ros.sensing.sync.buffer import MAX_BUFFERED
from anymodal_seg_ros.sensing.sync.set_back import SET_BACK_AFTER
from anymodal_seg_ros.sensing.sync.synchronizer import Synchronizer

S = 1_000_000_000
MS = 1_000_000
RATES = {"rgb": 30.0, "events": 30.0, "depth": 15.0, "thermal": 10.0}
RIG = RigConfig(
    sensors={n: SensorConfig(n, n, expected_hz=hz) for n, hz in RATES.items()}, deadline_s=0.02
)


@dataclass
class Bench:
    """A rig on a fake clock: every arrival and every wake-up is polled, as the pipeline does."""

    rig: RigConfig = RIG
    sets: list[FrameSet] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sync = Synchronizer(self.rig)
        self.dog = Watchdog(self.rig.sensors, 5 * S)

    def poll(self, now: int) -> None:
        self.dog.update(now)
        self.sets += self.sync.poll(now, self.dog.states())

    def wake_until(self, now: int) -> None:
        while True:
            times = (self.sync.next_deadline_ns(), self.dog.next_change_ns())
            wakeup = min((t for t in times if t is not None), default=None)
            if wakeup is None or wakeup >= now:
                return
            self.poll(wakeup)

    def feed(self, arrivals: list[Sample]) -> list[FrameSet]:
        for arrival in sorted(arrivals, key=lambda s: s.received_ns):
            self.wake_until(arrival.received_ns)
            self.dog.observe(arrival.sensor, arrival.received_ns)
            self.sync.add(arrival, self.dog.states())
            self.poll(arrival.received_ns)
        if arrivals:
            self.wake_until(max(a.received_ns for a in arrivals) + 10 * S)
        return self.sets


def set_back(arrivals: list[Sample], after: int, by: int) -> list[Sample]:
    """Return the same messages, stamped by a clock that was set back at a moment of arrival."""
    return [
        replace(s, stamp_ns=s.stamp_ns - by, time_ns=s.time_ns - by)
        if s.received_ns >= after
        else s
        for s in arrivals
    ]


@pytest.mark.parametrize("by", [S // 2, 9 * S // 10])
def test_a_clock_that_is_set_back_a_little_costs_a_few_masks(by: int) -> None:
    bench = Bench()
    whole = stream("rgb", 0, 4) + stream("thermal", 0, 4)
    sets = bench.feed(set_back(whole, 2 * S, by))
    assert sum(s.clock_jump for s in sets) == 1
    frames = sum(s.sensor == "rgb" for s in whole)
    assert frames - len(sets) <= SET_BACK_AFTER + 1
    begun = next(at for at, s in enumerate(sets) if s.clock_jump)
    assert all("thermal" in s.samples for s in sets[begun + 3 : -3])


def test_messages_that_were_overtaken_set_no_clock_back() -> None:
    frames = stream("rgb", 0, 4, jitter=0.0)
    late = frames[31:35]  # one overtakes four
    held_up = [replace(s, received_ns=frames[35].received_ns + n) for n, s in enumerate(late, 1)]
    sets = Bench().feed([*frames[:31], *held_up, *frames[35:]])
    assert not any(s.clock_jump for s in sets)
    assert [s.reference_sample.time_ns for s in sets] == sorted(
        s.reference_sample.time_ns for s in sets
    )


def stream(
    sensor: str, start: int, stop: int, seed: int = 0, jitter: float = 0.1, latency_ms: float = 2.0
) -> list[Sample]:
    """Return the samples of one sensor with jitter in stamp and arrival."""
    shake = random.Random(f"{sensor}{seed}")
    period = round(S / RATES[sensor])
    samples = []
    for k in range(start * S // period, stop * S // period):
        time = round(k * period + shake.uniform(-jitter, jitter) * period) + period
        samples.append(sample(sensor, time, time + round(shake.uniform(1, latency_ms) * MS)))
    return samples


def rgb_times(samples: list[Sample]) -> list[int]:
    return [s.time_ns for s in samples if s.sensor == "rgb"]


def test_all_sensors_alive_gives_every_reference_frame_all_four() -> None:
    arrivals = [s for name in RATES for s in stream(name, 0, 4)]
    sets = Bench().feed(arrivals)
    served = [s for s in sets if s.reference == "rgb"]
    assert [s.reference_sample.time_ns for s in served] == rgb_times(arrivals)
    complete = [s for s in served[10:-10] if len(s.samples) == 4]
    assert len(complete) == len(served) - 20


def test_a_set_leaves_at_once_when_nothing_better_can_come() -> None:
    arrivals = [s for name in RATES for s in stream(name, 0, 2, jitter=0.0)]
    for frame_set in Bench().feed(arrivals)[10:-10]:
        waited = frame_set.completed_ns - frame_set.reference_sample.received_ns
        assert waited <= 3 * MS


def test_a_silent_sensor_costs_at_most_the_deadline_and_then_nothing() -> None:
    arrivals = [s for n in ("rgb", "events") for s in stream(n, 0, 4)] + stream("depth", 0, 2)
    for frame_set in Bench().feed(arrivals):
        reference = frame_set.reference_sample
        waited = frame_set.completed_ns - reference.received_ns
        assert waited <= seconds_to_ns(RIG.deadline_s)
        if 3 * S < reference.time_ns < 3.9 * S:
            assert waited <= 10 * MS, "only the jitter between the living is waited for"
            assert frame_set.missing["depth"] in ("STALE", "FAILED")
            assert frame_set.missing["thermal"] in ("WAITING", "FAILED")


def test_when_the_reference_dies_the_next_takes_over_within_two_periods_and_gives_it_back() -> None:
    arrivals = [s for n in ("events", "depth", "thermal") for s in stream(n, 0, 6)]
    arrivals += stream("rgb", 0, 2) + stream("rgb", 4, 6)
    sets = Bench().feed(arrivals)
    assert {s.reference for s in sets if 2.1 * S < s.reference_sample.time_ns < 4 * S} == {"events"}
    assert {s.reference for s in sets if 4.4 * S < s.reference_sample.time_ns < 5.9 * S} == {"rgb"}
    gaps = [b.completed_ns - a.completed_ns for a, b in pairwise(sets[10:])]
    assert max(gaps) <= 2.2 * S / 30


def test_the_nearest_sample_is_chosen_and_too_far_ones_are_explained() -> None:
    bench = Bench()
    states = dict.fromkeys(RATES, SensorState.OK) | {"events": SensorState.LATE}
    for time in (100, 130):
        bench.sync.add(sample("depth", time * MS, 120 * MS), states)
    bench.sync.add(sample("thermal", 1 * MS, 120 * MS), states)
    bench.sync.add(sample("rgb", 118 * MS, 120 * MS), states)
    (frame_set,) = bench.sync.poll(200 * MS, states)
    assert frame_set.samples["depth"].time_ns == 130 * MS
    assert frame_set.missing == {
        "events": "LATE",
        "thermal": "nearest sample 117 ms away, 110 ms allowed",
    }


def test_duplicates_and_stragglers_are_counted_and_never_emitted_twice() -> None:
    arrivals = stream("rgb", 0, 2)
    doubled = [s for a in arrivals for s in (a, a)]
    bench = Bench()
    sets = bench.feed([*doubled, sample("rgb", 5 * MS, 2 * S)])
    assert len(sets) == len(arrivals)
    assert bench.sync.dropped("rgb")["duplicate stamp"] == len(arrivals)
    assert bench.sync.dropped("rgb")["too old"] == 1


def test_memory_is_bounded_whatever_comes() -> None:
    bench = Bench()
    for k in range(10 * MAX_BUFFERED):
        bench.sync.add(sample("thermal", S + k, k), bench.dog.states())
    assert len(bench.sync._buffers["thermal"]) == MAX_BUFFERED
    assert bench.sync.dropped("thermal")["came while WAITING"] == 9 * MAX_BUFFERED


def test_a_bag_that_begins_again_goes_on_giving_sets() -> None:
    bench = Bench()
    arrivals = [s for name in RATES for s in stream(name, 0, 3)]
    first = len(bench.feed(arrivals))
    bench.sets = []
    shift = 20 * S
    jumped = set()
    for arrival in sorted(arrivals, key=lambda s: s.received_ns):
        again = sample(arrival.sensor, arrival.time_ns, arrival.received_ns + shift)
        bench.wake_until(again.received_ns)
        bench.dog.observe(again.sensor, again.received_ns)
        bench.sync.add(again, bench.dog.states(), jumped=again.sensor not in jumped)
        jumped.add(again.sensor)
        bench.poll(again.received_ns)
    bench.wake_until(40 * S)
    rgb = [s for s in bench.sets if s.reference == "rgb"]
    # Each sensor must earn its place again after the silence between the loops.
    assert len(rgb) >= first - RIG.sensors["rgb"].recover_frames - 1


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    off=st.dictionaries(
        st.sampled_from(sorted(RATES)), st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=3
    ),
    jitter=st.floats(0.0, 0.3),
    latency_ms=st.floats(1.0, 40.0),
)
def test_whatever_dies_sets_keep_their_promises(
    seed: int, off: dict[str, tuple[int, int]], jitter: float, latency_ms: float
) -> None:
    arrivals = [s for name in RATES for s in stream(name, 0, 4, seed, jitter, latency_ms)]
    arrivals = [
        s
        for s in arrivals
        if not (s.sensor in off and off[s.sensor][0] * S <= s.time_ns < off[s.sensor][1] * S)
    ]
    sets = Bench().feed(arrivals)
    times = [s.reference_sample.time_ns for s in sets]
    assert times == sorted(set(times)), "reference times only grow"
    for frame_set in sets:
        assert set(frame_set.samples) | set(frame_set.missing) == set(RATES)
        assert not set(frame_set.samples) & set(frame_set.missing)
        reference = frame_set.reference_sample
        assert frame_set.completed_ns >= max(s.received_ns for s in frame_set.samples.values())
        for name, chosen in frame_set.samples.items():
            distance = abs(chosen.time_ns - reference.time_ns)
            assert distance <= RIG.sensors[name].tolerance_ns


@pytest.mark.parametrize("sensor", sorted(RATES))
def test_any_single_sensor_alone_gives_a_set_for_each_of_its_frames(sensor: str) -> None:
    arrivals = stream(sensor, 0, 3)
    sets = Bench().feed(arrivals)
    assert [s.reference_sample for s in sets] == arrivals
