"""Each of the eight kinds of faults reaches its state in time, and is forgiven in time."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from fixtures.rig_stream import RIG, S, Watched, healthy, healthy_rig, with_faults
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import SensorConfig
from anymodal_seg_ros.faults.kinds import STREAM_KINDS, InjectedFault, Wrong
from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing.health.content_checks import KINDS
from anymodal_seg_ros.sensing.health.sensor_health import SLOW_WINDOW

START, STOP, DONE, END = 1.0, 4.5, 6.7, 7.0
SENSORS = st.sampled_from(sorted(RIG.sensors))
SEEDS = st.integers(0, 10_000)
NOISE_S = 0.05
"""Latency and its jitter."""


FAULTS: dict[str, InjectedFault] = {
    **{kind: cls() for kind, cls in STREAM_KINDS.items()},
    "wrong": Wrong(how="half_size"),
}
"""With their defaults, but wrong in a way that shows in one image, until it is the new normal."""


def watch(sensor: str, fault: str, seed: int) -> Watched:
    watched = Watched()
    streams = []
    for name in RIG.sensors:
        stream = healthy(name, END, seed)
        if name == sensor:
            broken = replace(FAULTS[fault], sensor=name, start_s=START, end_s=STOP)
            stream = with_faults(stream, broken, seed=seed)
        streams.append(stream)
    watched.feed(itertools.chain(*streams))
    return watched


def bound_s(fault: str, config: SensorConfig) -> float:
    """How long it may take until the state is reached."""
    period = config.period_ns / S
    frames = (config.fault_frames + 1.4) * period
    return (
        NOISE_S
        + {
            "off": config.failed_after_ns / S + 1.4 * period,
            "stuck": KINDS[config.modality].frozen_after_s + frames,
            "garbage": frames,
            "wrong": frames,
            "slow": 3 * period * (config.recover_frames + 4),
            "delayed": 0.4 + (3 + config.fault_frames + 1.4) * period,
        }[fault]
    )


STATES = {
    "off": SensorState.FAILED,
    "stuck": SensorState.FROZEN,
    "garbage": SensorState.INVALID,
    "wrong": SensorState.INVALID,
    "slow": SensorState.SLOW,
    "delayed": SensorState.CLOCK,
}


@pytest.mark.parametrize("fault", sorted(STATES))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sensor=SENSORS, seed=SEEDS)
def test_a_fault_reaches_its_state_in_time_and_is_forgiven_in_time(
    fault: str, sensor: str, seed: int
) -> None:
    watched = watch(sensor, fault, seed)
    config, state = RIG.sensors[sensor], STATES[fault]
    reached = watched.reached(sensor, state, START)
    assert reached is not None, watched.history[sensor]
    assert reached - START <= bound_s(fault, config)
    if fault == "wrong":
        seen = watched.states(sensor, reached, STOP + 0.01)
        assert seen == [SensorState.INVALID, SensorState.OK], "another size is the new normal"
    else:
        assert set(watched.states(sensor, reached, STOP)) == {state}, "it stays there"
    for other in set(RIG.sensors) - {sensor}:
        assert watched.states(other, 0.5, DONE) == [SensorState.OK], (
            "the others have nothing to do with it"
        )

    period = config.period_ns / S
    needed = 3 + SLOW_WINDOW if fault == "slow" else config.recover_frames
    overlap = 0.4 + 5 * period if fault == "delayed" else 0.0  # the last delayed ones still arrive
    if fault == "wrong":  # the size of before is as new
        needed = 2 * config.recover_frames
        assert watched.reached(sensor, state, STOP + 0.01) is not None
    begin = STOP + bound_s(fault, config) if fault == "wrong" else reached
    recovered = watched.reached(sensor, SensorState.OK, begin)
    assert recovered is not None
    assert recovered - STOP <= NOISE_S + overlap + (needed + 1.4) * period
    assert watched.states(sensor, recovered + 0.001, DONE) == [SensorState.OK]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sensor=SENSORS, seed=SEEDS)
def test_an_intermittent_sensor_comes_and_goes_with_its_messages(sensor: str, seed: int) -> None:
    watched = watch(sensor, "intermittent", seed)
    config = RIG.sensors[sensor]
    seen = watched.states(sensor, START, STOP)
    assert not set(seen) & {SensorState.FROZEN, SensorState.INVALID, SensorState.CLOCK}
    assert len(seen) <= 3 * 4 + 1, "at most down and up once in each of the four gaps"
    late = watched.reached(sensor, SensorState.LATE, START)
    assert late is not None
    assert late - START <= NOISE_S + (config.late_after_ns + 0.4 * config.period_ns) / S


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=SEEDS)
def test_ok_is_ok(seed: int) -> None:
    watched = watch("rgb", "ok", seed)
    for sensor in RIG.sensors:
        assert watched.states(sensor, 0.0, DONE) in (
            [SensorState.OK],
            [SensorState.WAITING, SensorState.OK],
        )


@pytest.mark.slow
def test_three_minutes_of_a_healthy_rig_with_a_fifth_of_jitter_raise_no_alarm() -> None:
    watched, sent = Watched(), healthy_rig(180.0, seed=1)
    watched.feed(sent)
    count = Counter(s.sensor for s in sent)
    for status in watched.intake.status(180 * S):
        assert status.state is SensorState.OK
        assert status.entered == {"OK": 1}, "from WAITING to OK, and never anything else"
        assert status.first_failure_ns is None
        assert status.rejected == {}
        assert status.received == count[status.sensor]
        assert set(status.dropped) <= {"not needed by any frame set"}


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=SEEDS, jitter=st.floats(0.0, 0.2))
def test_a_healthy_rig_raises_no_alarm_whatever_the_dice_say(seed: int, jitter: float) -> None:
    watched = Watched()
    watched.feed(healthy_rig(10.0, seed, jitter))
    for status in watched.intake.status(10 * S):
        assert status.entered == {"OK": 1}
        assert status.fault == ""
        assert all(check.passed for check in status.checks)
