from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.config import SensorConfig
from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing.watchdog import Watchdog

S = 1_000_000_000
GRACE = 5 * S
CONFIG = SensorConfig("rgb/image", "rgb", expected_hz=30.0)
PERIOD = CONFIG.period_ns


def watchdog() -> Watchdog:
    dog = Watchdog({"rgb": CONFIG}, GRACE)
    dog.update(0)
    return dog


def healthy(dog: Watchdog, start: int, messages: int) -> int:
    """Feed messages in time; return the arrival of the last one."""
    now = start
    for k in range(messages):
        now = start + k * PERIOD
        dog.observe("rgb", now)
    return now


def state_at(dog: Watchdog, now: int) -> SensorState:
    dog.update(now)
    return dog.states()["rgb"]


def test_silence_leads_down_at_the_configured_times() -> None:
    dog = watchdog()
    last = healthy(dog, 0, 10)
    assert state_at(dog, last + CONFIG.late_after_ns - 1) is SensorState.OK
    assert state_at(dog, last + CONFIG.late_after_ns) is SensorState.LATE
    assert state_at(dog, last + CONFIG.stale_after_ns - 1) is SensorState.LATE
    assert state_at(dog, last + CONFIG.stale_after_ns) is SensorState.STALE
    assert state_at(dog, last + CONFIG.failed_after_ns) is SensorState.FAILED


def test_a_sensor_that_never_comes_fails_after_the_grace() -> None:
    dog = watchdog()
    assert state_at(dog, GRACE - 1) is SensorState.WAITING
    assert state_at(dog, GRACE) is SensorState.FAILED


def test_first_message_is_enough_at_the_start_but_not_after_a_failure() -> None:
    dog = watchdog()
    last = healthy(dog, 0, 1)
    assert state_at(dog, last) is SensorState.OK
    assert state_at(dog, last + 10 * S) is SensorState.FAILED
    last = healthy(dog, 11 * S, CONFIG.recover_frames - 1)
    assert state_at(dog, last) is SensorState.FAILED
    dog.observe("rgb", last + PERIOD)
    assert state_at(dog, last + PERIOD) is SensorState.OK


def test_late_messages_lead_back_to_slow_at_most() -> None:
    dog = watchdog()
    healthy(dog, 0, 3)
    now = 10 * S
    assert state_at(dog, now) is SensorState.FAILED
    for k in range(50):
        now += 2 * CONFIG.late_after_ns
        dog.observe("rgb", now)
        recovered = k + 1 >= CONFIG.recover_frames
        assert state_at(dog, now) is (SensorState.SLOW if recovered else SensorState.FAILED)


def test_one_poll_after_a_long_silence_tells_the_whole_story() -> None:
    dog = watchdog()
    last = healthy(dog, 0, 2)
    dog.update(last + 100 * S)
    status = dog.status("rgb", last + 100 * S)
    assert status.state is SensorState.FAILED
    assert status.transitions == 4  # WAITING, OK, LATE, STALE, FAILED
    assert status.first_failure_ns == last + CONFIG.stale_after_ns
    assert status.age_ns == 100 * S


def test_next_change_is_exactly_when_the_state_changes() -> None:
    dog = watchdog()
    healthy(dog, 0, 2)
    while (change := dog.next_change_ns()) is not None:
        before = dog.states()["rgb"]
        assert state_at(dog, change - 1) is before
        assert state_at(dog, change) is not before


@given(seed=st.integers(0, 2**32))
def test_a_healthy_sensor_with_a_fifth_of_jitter_never_raises_an_alarm(seed: int) -> None:
    jitter = random.Random(seed)
    dog = watchdog()
    arrivals = [round((k + jitter.uniform(-0.2, 0.2)) * PERIOD) + PERIOD for k in range(300)]
    dog.observe("rgb", arrivals[0])
    for arrival in arrivals[1:]:
        assert state_at(dog, arrival - 1) is SensorState.OK
        dog.observe("rgb", arrival)
    assert dog.status("rgb", arrivals[-1]).transitions == 1


@given(gaps=st.lists(st.floats(0.001, 4.0), max_size=60))
def test_polling_often_or_seldom_ends_in_the_same_state(gaps: list[float]) -> None:
    often, seldom = watchdog(), watchdog()
    now = 0
    for gap in gaps:
        step = round(gap * S)
        for part in range(1, 4):
            often.update(now + step * part // 4)
        now += step
        often.observe("rgb", now)
        seldom.observe("rgb", now)
        assert often.status("rgb", now) == seldom.status("rgb", now)


def test_rate_is_measured() -> None:
    dog = watchdog()
    last = healthy(dog, 0, 100)
    rate = dog.status("rgb", last).rate_hz
    assert rate is not None
    assert abs(rate - 30.0) < 0.01
