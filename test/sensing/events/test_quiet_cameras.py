"""Event cameras that send when there are events and not before: silence that is no fault."""

from __future__ import annotations

import pytest
from fixtures.quiet_events import MESSAGES, Robot, creeps, stands, stands_and_drives, states


def names(robot: Robot, seconds: float) -> list[str]:
    return [state for _, state, _ in states(robot, seconds)]


@pytest.mark.parametrize("sends", MESSAGES)
def test_silence_while_nothing_moves_is_no_fault(sends: str) -> None:
    assert names(Robot(sends), 6.5) == ["WAITING", "OK"]


@pytest.mark.parametrize("hz", [5.0, 10.0, 30.0])
def test_however_many_pictures_the_camera_beside_it_takes(hz: float) -> None:
    assert names(Robot("evt3", hz=hz), 6.5) == ["WAITING", "OK"]


@pytest.mark.parametrize(
    "robot",
    [
        Robot("array", pace=creeps, events_a_pixel=2.0),
        Robot("array", pace=stands, flashes_s=1.7),
        Robot("cloud", span_ms=33),
        Robot("cloud", span_ms=100),
        Robot("evt3", delay_ms=100),
    ],
    ids=["now and then", "bursts", "33 ms at once", "100 ms at once", "pictures come late"],
)
def test_neither_are_long_pauses_between_a_few_messages(robot: Robot) -> None:
    assert names(robot, 6.5) == ["WAITING", "OK"]


@pytest.mark.parametrize("sends", MESSAGES)
def test_a_camera_that_has_nothing_to_tell_from_the_start_is_waited_for(sends: str) -> None:
    assert names(Robot(sends, pace=stands_and_drives), 6.5) == ["WAITING", "OK"]


def test_silence_while_the_world_goes_by_is_a_fault() -> None:
    told = states(Robot("evt3", dies_s=1.0), 3.0)
    assert [state for _, state, _ in told] == ["WAITING", "OK", "STALE"]
    assert told[-1][0] < 1.9


def test_a_camera_that_died_at_rest_is_found_when_the_robot_drives_on() -> None:
    told = states(Robot("evt3", pace=stands_and_drives, flashes_s=1.0, dies_s=3.5), 9.0)
    assert [state for _, state, _ in told] == ["WAITING", "OK", "LATE", "STALE", "FAILED"]
    assert 6.0 < told[2][0] < 7.2


def test_a_camera_that_never_came_fails_although_the_grace_is_over_in_a_stand() -> None:
    told = states(Robot("evt3", pace=stands_and_drives, dies_s=0.0), 8.0)
    assert [state for _, state, _ in told] == ["WAITING", "FAILED"]
    assert 6.0 < told[1][0] < 7.0


def test_a_camera_that_sends_although_there_is_no_event_is_missed_at_once() -> None:
    told = states(Robot("array", pace=stands, idle=True, dies_s=2.0), 2.5)
    assert [state for _, state, _ in told][-2:] == ["LATE", "STALE"]


def test_masks_go_on_where_the_silent_camera_is_the_first_of_the_rig() -> None:
    told = states(Robot("evt3", first=True), 4.5)
    assert [state for _, state, _ in told] == ["WAITING", "OK", "LATE", "OK"]
    late_s, again_s = told[2][0], told[3][0]
    assert again_s - late_s < 0.3
