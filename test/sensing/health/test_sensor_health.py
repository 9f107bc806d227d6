"""The books of one sensor, to the message and to the nanosecond."""

from __future__ import annotations

import pytest

from anymodal_seg_ros.config import SensorConfig
from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing.health.sensor_health import Fault, SensorHealth, withheld
from anymodal_seg_ros.sensing.health.watchdog import Watchdog

MS = 1_000_000
PERIOD = 100 * MS
GRACE = 1000 * MS
CONFIG = SensorConfig(
    "x",
    "rgb",
    expected_hz=10.0,
    late_after_periods=1.5,
    stale_after_s=0.3,
    failed_after_s=2.0,
    recover_frames=3,
    fault_frames=2,
)
BAD = Fault(SensorState.INVALID, "black: too dark")
NEUTRAL = Fault(SensorState.INVALID, "flat: the shutter is closed", lasting=False)
DAMAGED = Fault(SensorState.DEGRADED, "glare: too bright", withhold=False)


class Sensor:
    """One sensor of a watchdog, at whose side time passes."""

    def __init__(self, config: SensorConfig = CONFIG) -> None:
        self.watchdog = Watchdog({"x": config}, GRACE)
        self.watchdog.update(0)
        self.now_ns = 0

    def send(self, *faults: Fault | None, after_ns: int = PERIOD) -> None:
        for fault in faults:
            self.now_ns += after_ns
            self.watchdog.observe("x", self.now_ns, fault)

    def rest(self, silence_ns: int) -> None:
        self.now_ns += silence_ns
        self.watchdog.update(self.now_ns)

    @property
    def state(self) -> SensorState:
        return self.watchdog.states()["x"]

    def said(self) -> str:
        return self.watchdog.status("x", self.now_ns).fault


def test_only_what_is_to_be_withheld_is_withheld() -> None:
    assert withheld(None) is None
    assert withheld(BAD) is BAD
    assert withheld(DAMAGED) is None


def test_the_rate_is_known_from_the_second_message_on() -> None:
    sensor = Sensor()
    sensor.send(None)
    assert sensor.watchdog.status("x", sensor.now_ns).rate_hz is None
    sensor.send(None)
    assert sensor.watchdog.status("x", sensor.now_ns).rate_hz == 10.0
    sensor.send(None, after_ns=3 * PERIOD // 2)
    assert sensor.watchdog.status("x", sensor.now_ns).rate_hz == 8.0


def test_only_accepted_messages_are_received_but_all_arrive() -> None:
    sensor = Sensor()
    sensor.send(None, None)
    sensor.watchdog.arrive("x", sensor.now_ns + PERIOD)
    sensor.watchdog.judge("x", sensor.now_ns + PERIOD, BAD, accepted=False)
    status = sensor.watchdog.status("x", sensor.now_ns + PERIOD)
    assert (status.received, status.arrived) == (2, 3)


@pytest.mark.parametrize(
    ("came_after_ms", "then"),
    [(100, SensorState.OK), (299, SensorState.OK), (300, SensorState.STALE)],
)
def test_what_had_come_before_it_was_stale_was_only_handed_over_late(
    came_after_ms: int, then: SensorState
) -> None:
    """The middleware tells when it came; a burst of such messages is no recovery to wait for."""
    sensor = Sensor()
    sensor.send(None, None)
    came_ns = sensor.now_ns + came_after_ms * MS
    sensor.rest(700 * MS)
    assert sensor.state is SensorState.STALE
    sensor.watchdog.fall_behind(sensor.now_ns - came_ns, sensor.now_ns)
    sensor.watchdog.observe("x", came_ns)
    assert sensor.state is then


@pytest.mark.parametrize(
    ("came_after_ms", "state"),
    [(140, SensorState.OK), (150, SensorState.LATE), (300, SensorState.STALE)],
)
def test_what_is_handed_over_late_shows_that_the_others_are_not_silent_either(
    came_after_ms: int, state: SensorState
) -> None:
    """Whoever's message it is: theirs that came at that time are still to be handed over."""
    watchdog = Watchdog({"x": CONFIG, "y": CONFIG}, GRACE)
    for at_ms in (0, 100, 200):
        watchdog.observe("x", at_ms * MS)
        watchdog.observe("y", at_ms * MS)
    watchdog.update(900 * MS)
    assert set(watchdog.states().values()) == {SensorState.STALE}
    watchdog.fall_behind((700 - came_after_ms) * MS, 900 * MS)
    assert watchdog.states()["x"] is state
    due_ns = watchdog.next_change_ns()
    assert due_ns is not None and due_ns > 900 * MS
    watchdog.update(901 * MS)
    assert watchdog.states()["x"] is state


def test_nor_is_what_was_invalid_before_it_was_silent_taken_back_by_a_message() -> None:
    sensor = Sensor()
    sensor.send(BAD, BAD)
    came_ns = sensor.now_ns + 100 * MS
    sensor.rest(3000 * MS)
    assert sensor.state is SensorState.FAILED
    sensor.watchdog.fall_behind(sensor.now_ns - came_ns, sensor.now_ns)
    sensor.watchdog.observe("x", came_ns)
    assert sensor.state is SensorState.FAILED


def test_silence_in_which_nobody_could_hear_is_not_counted_but_is_no_news_either() -> None:
    sensor = Sensor()
    sensor.send(None, None)
    sensor.watchdog.excuse(500 * MS)
    sensor.rest(500 * MS + 169 * MS)
    assert sensor.state is SensorState.OK, "and a moment more, to hand over what has come"
    assert sensor.watchdog.status("x", sensor.now_ns).age_ns == 669 * MS
    sensor.rest(MS)
    assert sensor.state is SensorState.LATE
    sensor.send(None, after_ns=0)
    assert sensor.state is SensorState.OK
    sensor.rest(150 * MS)
    assert sensor.state is SensorState.LATE, "excused once"


def test_the_next_change_is_when_silence_is_too_long() -> None:
    sensor = Sensor()
    assert sensor.watchdog.next_change_ns() == GRACE
    sensor.send(None)
    assert sensor.watchdog.next_change_ns() == PERIOD + 3 * PERIOD // 2
    sensor.rest(3 * PERIOD // 2 - 1)
    assert sensor.state is SensorState.OK
    sensor.rest(1)
    assert sensor.state is SensorState.LATE
    assert sensor.watchdog.next_change_ns() == PERIOD + 300 * MS
    sensor.rest(150 * MS)
    assert sensor.state is SensorState.STALE
    assert sensor.watchdog.next_change_ns() == PERIOD + 2000 * MS
    sensor.rest(1700 * MS)
    assert sensor.state is SensorState.FAILED
    assert sensor.watchdog.next_change_ns() is None


def test_a_sensor_that_gives_signs_of_life_but_nothing_good_waits_for_longer() -> None:
    sensor = Sensor()
    sensor.send(NEUTRAL, after_ns=900 * MS)
    assert sensor.state is SensorState.WAITING
    assert sensor.watchdog.next_change_ns() == 2900 * MS
    sensor.rest(1999 * MS)
    assert sensor.state is SensorState.WAITING
    sensor.rest(1 * MS)
    assert sensor.state is SensorState.FAILED


def test_a_state_knows_since_when() -> None:
    sensor = Sensor()
    sensor.send(None)
    sensor.send(BAD, BAD)
    status = sensor.watchdog.status("x", sensor.now_ns)
    assert (status.state, status.since_ns) == (SensorState.INVALID, 3 * PERIOD)
    assert status.first_failure_ns == 3 * PERIOD
    sensor.send(None, None, None)
    status = sensor.watchdog.status("x", sensor.now_ns)
    assert (status.state, status.since_ns) == (SensorState.OK, 6 * PERIOD)
    assert status.transitions == 3


def test_a_fault_is_told_until_as_many_good_messages_came_as_are_needed() -> None:
    sensor = Sensor()
    sensor.send(None, BAD, BAD)
    assert sensor.said() == BAD.reason
    for good in (1, 2):
        sensor.send(None)
        assert sensor.said() == f"recovering, {good} of 3 good; before: {BAD.reason}"
    sensor.send(None)
    assert sensor.said() == "" and sensor.state is SensorState.OK
    sensor.send(BAD)
    assert sensor.said() == BAD.reason and sensor.state is SensorState.OK
    sensor.send(None, None, None)
    assert sensor.said() == ""


def test_good_messages_that_come_late_are_told_from_those_in_time() -> None:
    sensor = Sensor()
    sensor.send(None, BAD, BAD)
    sensor.send(None, after_ns=PERIOD)
    sensor.send(None, after_ns=250 * MS)
    assert sensor.said() == f"recovering, 1 of 3 good and in time; before: {BAD.reason}"
    sensor.rest(300 * MS)
    assert sensor.said() == "", "silence is what is wrong now"


def test_a_neutral_message_is_no_fault_and_its_words_pass_with_the_next() -> None:
    sensor = Sensor()
    sensor.send(None)
    sensor.rest(300 * MS)
    assert sensor.state is SensorState.STALE
    sensor.send(NEUTRAL)
    assert sensor.said() == "waits for 3 good messages: flat: the shutter is closed"
    for after, words in ((None, "recovering, 1 of 3 good"), (BAD, BAD.reason)):
        sensor.send(after)
        assert sensor.said() == words


def test_the_gap_of_an_outage_says_nothing_of_the_rate() -> None:
    sensor = Sensor()
    sensor.send(*[None] * 5)
    for _ in range(4):  # four outages, of which three late gaps would make it SLOW
        sensor.rest(500 * MS)
        assert sensor.state is SensorState.STALE
        sensor.send(*[None] * 5)
        assert sensor.state is SensorState.OK
    assert sensor.watchdog.status("x", sensor.now_ns).rate_hz == 10.0
    sensor.send(None, None, after_ns=200 * MS)
    assert sensor.state is SensorState.OK, "two late gaps, the outage is none"


def test_a_late_gap_that_left_the_window_does_not_count() -> None:
    sensor = Sensor()
    sensor.send(None)
    sensor.send(None, after_ns=200 * MS)
    sensor.send(*[None] * 8)
    sensor.send(None, None, after_ns=200 * MS)
    assert sensor.state is SensorState.OK, "three late gaps, but two of the last ten"
    sensor.send(None, after_ns=200 * MS)
    assert sensor.state is SensorState.SLOW


def test_a_slow_sensor_says_how_slow_it_is_and_what_was_promised() -> None:
    sensor = Sensor()
    sensor.send(*[None] * 3)
    sensor.send(*[None] * 4, after_ns=200 * MS)
    assert sensor.state is SensorState.SLOW
    said = sensor.said()
    assert "4 of the last 6 messages came" in said
    assert "5.0 Hz come, expected_hz is 10" in said
    sensor.send(*[None] * 9)
    assert sensor.said().startswith("1 of the last 10"), "that one keeps it down"
    sensor.send(None)
    assert (sensor.state, sensor.said()) == (SensorState.OK, "")


def test_a_sensor_comes_back_as_slow_as_it_is() -> None:
    sensor = Sensor()
    sensor.send(None, BAD, BAD)
    assert sensor.state is SensorState.INVALID
    sensor.send(None, None, None, after_ns=200 * MS)
    status = sensor.watchdog.status("x", sensor.now_ns)
    assert (status.state, status.since_ns) == (SensorState.SLOW, 3 * PERIOD + 3 * 200 * MS)


def test_what_happens_to_one_sensor_does_not_put_off_what_is_due_of_another() -> None:
    watchdog = Watchdog({"a": CONFIG, "b": CONFIG}, GRACE)
    watchdog.update(0)
    watchdog.observe("a", PERIOD)
    watchdog.observe("b", 2 * PERIOD)
    watchdog.update(PERIOD + CONFIG.late_after_ns)
    assert watchdog.states()["a"] is SensorState.LATE
    assert watchdog.states()["b"] is SensorState.OK


def test_damage_before_an_outage_does_not_count_after_it() -> None:
    sensor = Sensor()
    sensor.send(None, DAMAGED, DAMAGED)
    assert sensor.state is SensorState.DEGRADED
    assert sensor.said() == DAMAGED.reason
    sensor.rest(500 * MS)
    sensor.send(None, None, None, None)
    assert sensor.state is SensorState.OK
    sensor.send(DAMAGED)
    assert sensor.state is SensorState.OK, "one damaged message of two"
    sensor.send(DAMAGED)
    assert sensor.state is SensorState.DEGRADED


def test_bad_messages_before_an_outage_do_not_count_after_it() -> None:
    sensor = Sensor()
    sensor.send(None, BAD)
    sensor.rest(500 * MS)
    assert sensor.state is SensorState.STALE
    sensor.send(BAD)
    assert sensor.state is SensorState.STALE, "one bad message of two"
    sensor.send(BAD)
    assert sensor.state is SensorState.INVALID


@pytest.mark.parametrize("slow_gaps", [3, 4])
def test_a_slow_sensor_is_slow_from_the_third_late_message_of_ten(slow_gaps: int) -> None:
    sensor = Sensor()
    sensor.send(*[None] * 12)
    for number in range(slow_gaps):
        sensor.send(None, after_ns=200 * MS)
        assert sensor.state is (SensorState.SLOW if number >= 2 else SensorState.OK)
    status = sensor.watchdog.status("x", sensor.now_ns)
    assert status.since_ns == 12 * PERIOD + 3 * 200 * MS
    sensor.send(*[None] * 10, after_ns=80 * MS)
    status = sensor.watchdog.status("x", sensor.now_ns)
    assert status.state is SensorState.OK, "ten in time bring it back"
    assert status.since_ns == sensor.now_ns


def test_other_thresholds_hold_from_now_on() -> None:
    sensor = Sensor()
    sensor.send(None, None)
    slower = SensorConfig("x", "rgb", expected_hz=1.0, stale_after_s=5.0, failed_after_s=9.0)
    sensor.watchdog.configure("x", slower)
    sensor.rest(1700 * MS)
    assert sensor.state is SensorState.OK
    sensor.rest(200 * MS)
    assert sensor.state is SensorState.LATE
    sensor.rest(3000 * MS)
    assert sensor.state is SensorState.LATE
    sensor.rest(200 * MS)
    assert sensor.state is SensorState.STALE


def test_a_sensor_that_is_off_counts_nothing() -> None:
    health = SensorHealth(SensorConfig("x", "rgb", enabled=False))
    health.start(0, GRACE)
    assert health.due_ns() is None
    watchdog = Watchdog({"x": SensorConfig("x", "rgb", enabled=False)}, GRACE)
    watchdog.observe("x", PERIOD, None)
    assert watchdog.status("x", PERIOD).arrived == 0
    assert watchdog.next_change_ns() is None
