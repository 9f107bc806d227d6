"""Statuses of a mask in the words of the live node and of a bag of results."""

from __future__ import annotations

import pytest

from anymodal_seg_ros.frames import SensorState, SensorStatus
from anymodal_seg_ros.messages.evidence import (
    ERROR,
    OK,
    WARN,
    level_of,
    milliseconds,
    out_of_order,
)


@pytest.mark.parametrize("state", list(SensorState))
def test_levels_follow_whether_a_sensor_is_fused(state: SensorState) -> None:
    level = level_of(state)
    assert (level == ERROR) is state.down
    assert (level == OK) is (state in (SensorState.OK, SensorState.DISABLED))
    assert level in (OK, WARN, ERROR)


def test_a_time_that_is_not_known_is_left_empty() -> None:
    assert milliseconds(None) == ""
    assert milliseconds(1_500_000) == "1.500"


def counted(arrived: int, **dropped: int) -> SensorStatus:
    reasons = {reason.replace("_", " "): number for reason, number in dropped.items()}
    return SensorStatus("rgb", SensorState.OK, 0, arrived, dropped=reasons, arrived=arrived)


def test_stamps_that_repeat_while_all_is_well_are_told_with_the_mend() -> None:
    words = out_of_order(counted(130, duplicate_stamp=80), counted(100, duplicate_stamp=60))
    assert words.startswith(
        "20 of the last 30 messages had the stamp of one before: let the driver"
    )


@pytest.mark.parametrize("reason", ["too_old", "a_later_frame_set_had_left"])
def test_messages_that_come_after_their_masks_are_told(reason: str) -> None:
    assert out_of_order(counted(30, **{reason: 10})).startswith("10 of the last 30 messages ")


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (counted(130, duplicate_stamp=62), counted(100, duplicate_stamp=60)),  # one now and then
        (counted(130, duplicate_stamp=60), counted(100, duplicate_stamp=60)),  # long ago
        (counted(103, duplicate_stamp=61), counted(100, duplicate_stamp=60)),  # one of a few
        (counted(0), None),
        (counted(30, duplicate_stamp=0), counted(100, duplicate_stamp=60)),  # after a new run
        (counted(130, not_needed_by_any_frame_set=90), counted(100)),  # faster than the reference
    ],
)
def test_what_is_usual_is_not_told(now: SensorStatus, before: SensorStatus | None) -> None:
    assert out_of_order(now, before) == ""
