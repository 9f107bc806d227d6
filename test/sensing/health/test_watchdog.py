from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import SensorConfig
from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing.health.sensor_health import SLOW_AT, SLOW_WINDOW, Fault
from anymodal_seg_ros.sensing.health.watchdog import Watchdog

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


def faulty(state: SensorState, lasting: bool = True) -> Fault:
    return Fault(state, f"{state.value} in the test", lasting)


@pytest.mark.parametrize("state", [SensorState.FROZEN, SensorState.INVALID, SensorState.CLOCK])
def test_bad_messages_lead_down_fast_and_good_ones_up_slowly(state: SensorState) -> None:
    dog = watchdog()
    now = healthy(dog, 0, 5)
    for k in range(CONFIG.fault_frames):
        assert dog.states()["rgb"] is SensorState.OK, k
        now += PERIOD
        dog.observe("rgb", now, faulty(state))
    status = dog.status("rgb", now)
    assert status.state is state
    assert status.fault == f"{state.value} in the test"
    assert status.first_failure_ns == now
    for _ in range(CONFIG.recover_frames):
        assert dog.states()["rgb"] is state
        now += PERIOD
        dog.observe("rgb", now)
    status = dog.status("rgb", now)
    assert status.state is SensorState.OK
    assert status.fault == ""
    assert status.entered == {"OK": 2, state.value: 1}


def test_while_it_recovers_a_sensor_says_how_far_it_has_come() -> None:
    dog = watchdog()
    now = healthy(dog, 0, 5)
    for _ in range(CONFIG.fault_frames):
        now += PERIOD
        dog.observe("rgb", now, faulty(SensorState.INVALID))
    for good in range(1, CONFIG.recover_frames):
        now += PERIOD
        dog.observe("rgb", now)
        said = f"recovering, {good} of 5 good; before: INVALID in the test"
        assert dog.status("rgb", now).fault == said
    dog.observe("rgb", now + PERIOD, faulty(SensorState.INVALID))
    assert dog.status("rgb", now + PERIOD).fault == "INVALID in the test"


def test_a_failed_sensor_that_sends_again_says_what_it_waits_for() -> None:
    dog = watchdog()
    now = healthy(dog, 0, 5) + 3 * S
    assert dog.status("rgb", now).fault == ""
    dog.observe("rgb", now, faulty(SensorState.INVALID, lasting=False))
    assert dog.states()["rgb"] is SensorState.FAILED
    assert dog.status("rgb", now).fault == "waits for 5 good messages: INVALID in the test"
    for _ in range(2):
        now += PERIOD
        dog.observe("rgb", now)
    assert dog.status("rgb", now).fault == "recovering, 2 of 5 good"
    assert dog.status("rgb", now + S).fault == "", "it is silent again"
    now += CONFIG.late_after_ns
    dog.observe("rgb", now)
    assert dog.status("rgb", now).fault == "recovering, 1 of 5 good and in time"


def test_a_damaged_sensor_is_degraded_alive_and_recovers() -> None:
    dog = watchdog()
    now = healthy(dog, 0, 5)
    damage = Fault(SensorState.DEGRADED, "mud: half of it", withhold=False)
    for k in range(CONFIG.fault_frames):
        assert dog.states()["rgb"] is SensorState.OK, k
        now += PERIOD
        dog.observe("rgb", now, damage)
    assert dog.states()["rgb"] is SensorState.DEGRADED
    assert dog.states()["rgb"].alive
    status = dog.status("rgb", now)
    assert status.fault == "mud: half of it"
    assert status.first_failure_ns is None
    assert state_at(dog, now + CONFIG.late_after_ns) is SensorState.LATE
    now += CONFIG.late_after_ns + PERIOD
    dog.observe("rgb", now, damage)
    assert dog.states()["rgb"] is SensorState.DEGRADED
    for _ in range(CONFIG.fault_frames):
        now += PERIOD
        dog.observe("rgb", now, faulty(SensorState.INVALID))
    assert dog.states()["rgb"] is SensorState.INVALID
    for _ in range(CONFIG.recover_frames):
        now += PERIOD
        dog.observe("rgb", now, damage)
    assert dog.states()["rgb"] is SensorState.DEGRADED, "better, and not well"
    for good in range(1, CONFIG.recover_frames):
        now += PERIOD
        dog.observe("rgb", now)
        said = f"recovering, {good} of 5 good; before: mud: half of it"
        assert dog.status("rgb", now).fault == said
    dog.observe("rgb", now + PERIOD)
    assert dog.states()["rgb"] is SensorState.OK


def test_single_bad_messages_do_not_matter_but_every_other_one_does() -> None:
    dog = watchdog()
    now = healthy(dog, 0, 5)
    for k in range(60):
        now += PERIOD
        dog.observe("rgb", now, faulty(SensorState.INVALID) if k % 10 == 0 else None)
        assert dog.states()["rgb"] is SensorState.OK
    for k in range(6):
        now += PERIOD
        dog.observe("rgb", now, faulty(SensorState.INVALID) if k % 2 else None)
    assert dog.states()["rgb"] is SensorState.INVALID


def test_what_may_be_harmless_is_a_sign_of_life_and_no_more() -> None:
    dog = watchdog()
    now = healthy(dog, 0, 5)
    for _ in range(100):
        now += PERIOD
        dog.observe("rgb", now, faulty(SensorState.FROZEN, lasting=False))
        assert dog.states()["rgb"] is SensorState.OK
    assert dog.status("rgb", now).entered == {"OK": 1}


def test_two_faults_in_turn_do_not_make_the_state_swing() -> None:
    dog = watchdog()
    now = healthy(dog, 0, 5)
    for k in range(100):
        now += PERIOD
        dog.observe("rgb", now, faulty((SensorState.CLOCK, SensorState.INVALID)[k % 2]))
    assert dog.status("rgb", now).transitions == 2
    for _ in range(CONFIG.fault_frames):
        now += PERIOD
        dog.observe("rgb", now, faulty(SensorState.FROZEN))
    assert dog.states()["rgb"] is SensorState.FROZEN, "a fault that goes on by itself is named"


def test_a_faulty_sensor_that_falls_silent_fails_and_its_past_is_forgotten() -> None:
    dog = watchdog()
    now = healthy(dog, 0, 5)
    for _ in range(3):
        now += PERIOD
        dog.observe("rgb", now, faulty(SensorState.INVALID))
    assert state_at(dog, now + CONFIG.failed_after_ns - 1) is SensorState.INVALID
    assert state_at(dog, now + CONFIG.failed_after_ns) is SensorState.FAILED
    assert dog.status("rgb", now).fault == ""


def test_a_sensor_that_sends_only_rubbish_from_the_start_is_invalid() -> None:
    dog = watchdog()
    for k in range(3):
        dog.arrive("rgb", k * PERIOD)
        dog.judge("rgb", k * PERIOD, faulty(SensorState.INVALID), accepted=False)
    status = dog.status("rgb", 2 * PERIOD)
    assert status.state is SensorState.INVALID
    assert status.received == 0
    assert status.age_ns == 0


def test_a_slow_sensor_is_slow_at_its_third_late_message_and_ok_after_ten_in_time() -> None:
    dog = watchdog()
    now = healthy(dog, 0, 20)
    for k in range(30):
        now += 3 * PERIOD
        dog.update(now)
        dog.observe("rgb", now)
        assert dog.states()["rgb"] is (SensorState.OK if k < SLOW_AT - 1 else SensorState.SLOW)
    for _ in range(SLOW_WINDOW):
        assert dog.states()["rgb"] is SensorState.SLOW
        now += PERIOD
        dog.observe("rgb", now)
    assert dog.states()["rgb"] is SensorState.OK


def test_a_slow_sensor_is_given_twice_its_own_longest_gap_before_it_is_stale() -> None:
    dog = watchdog()
    now = 0
    for _ in range(20):
        now += S // 2
        dog.update(now)
        dog.observe("rgb", now)
    assert dog.states()["rgb"] is SensorState.SLOW
    assert state_at(dog, now + S - 1) is SensorState.SLOW
    assert state_at(dog, now + S) is SensorState.STALE


def test_the_usual_rate_of_windows_that_end_several_at_once_is_their_mean() -> None:
    dog = watchdog()
    now = 0
    for _ in range(20):
        now += 5 * PERIOD
        dog.update(now)
        for _ in range(3):
            dog.observe("rgb", now)
    status = dog.status("rgb", now)
    assert status.state is SensorState.SLOW
    assert "usually 20.0 Hz come" in status.fault  # 3 gaps of 167 ms among the last 10


@pytest.mark.parametrize("bundle", [(0, 1, 1, 4), (0.01, 0, 0, 4), (1, 1, 1, 3)])
def test_the_promised_rate_is_not_to_be_corrected_where_it_is_kept(
    bundle: tuple[float, ...],
) -> None:
    """Messages that come in bundles, or of which a few are lost on the way."""
    dog = watchdog()
    now = 0
    for periods in bundle * 6:
        now += round(periods * PERIOD)
        dog.update(now)
        dog.observe("rgb", now)
    status = dog.status("rgb", now)
    assert status.state is SensorState.SLOW
    assert "the others as promised: see what holds them up, or loses some" in status.fault
    assert "expected_hz" not in status.fault


def test_a_disabled_sensor_stays_so() -> None:
    dog = Watchdog({"rgb": SensorConfig("rgb", "rgb", enabled=False)}, GRACE)
    dog.observe("rgb", 0)
    dog.update(100 * S)
    assert dog.states()["rgb"] is SensorState.DISABLED
    assert dog.next_change_ns() is None
    assert dog.status("rgb", 100 * S).transitions == 0


def test_a_thermal_camera_may_pause_for_its_shutter() -> None:
    thermal = SensorConfig("thermal", "thermal", expected_hz=10.0)
    dog = Watchdog({"thermal": thermal}, GRACE)
    for k in range(10):
        dog.observe("thermal", k * S // 10)
    dog.update(2 * S)
    assert dog.states()["thermal"] is SensorState.LATE
    dog.observe("thermal", 2 * S)
    assert dog.states()["thermal"] is SensorState.OK


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    centre=st.sampled_from([1.8, 6.0]) | st.floats(1.0, 55.0),
    hz=st.sampled_from([5.0, 30.0, 200.0]),
)
def test_gaps_around_a_threshold_do_not_make_a_sensor_flap(
    seed: int, centre: float, hz: float
) -> None:
    dice = random.Random(seed)
    config = SensorConfig("rgb", "rgb", expected_hz=hz)
    dog = Watchdog({"rgb": config}, GRACE)
    now, states = 0, []
    for _ in range(600):
        gap = dice.uniform(0.95, 1.05) * centre * config.period_ns
        now += round(min(gap, 0.9 * config.failed_after_ns))
        dog.update(now)
        states.append(dog.states()["rgb"])
        dog.observe("rgb", now)
        states.append(dog.states()["rgb"])
    settled = states[400:]
    changes = [pair for pair in pairwise(settled) if pair[0] is not pair[1]]
    # LATE is a statement on one frame: it comes and goes with single late messages, which is rare
    # as long as they have not made the sensor SLOW.
    others = [pair for pair in changes if SensorState.LATE not in pair]
    assert len(others) <= 2
    assert len(changes) <= 2 * 0.2 * 400


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_up_takes_a_run_of_good_messages_whatever_comes(data: st.DataObject) -> None:
    """Between two returns to life lie at least ``recover_frames`` messages."""
    dog = watchdog()
    kinds = [None, *(faulty(s) for s in (SensorState.FROZEN, SensorState.INVALID))]
    steps = data.draw(
        st.lists(st.tuples(st.floats(0.1, 80.0), st.sampled_from(kinds)), max_size=200)
    )
    now, since_return, alive = 0, 1000, False
    for gap, fault in steps:
        now += round(gap * PERIOD)
        down_before = state_at(dog, now).down
        dog.observe("rgb", now, fault)
        since_return += 1
        alive = dog.states()["rgb"].alive
        if down_before and alive:
            assert since_return >= CONFIG.recover_frames
            since_return = 0
