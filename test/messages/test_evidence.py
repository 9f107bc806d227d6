"""Statuses of a mask in the words of the live node and of a bag of results."""

from __future__ import annotations

import pytest

from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.messages.evidence import ERROR, OK, WARN, level_of, milliseconds


@pytest.mark.parametrize("state", list(SensorState))
def test_levels_follow_whether_a_sensor_is_fused(state: SensorState) -> None:
    level = level_of(state)
    assert (level == ERROR) is state.down
    assert (level == OK) is (state in (SensorState.OK, SensorState.DISABLED))
    assert level in (OK, WARN, ERROR)


def test_a_time_that_is_not_known_is_left_empty() -> None:
    assert milliseconds(None) == ""
    assert milliseconds(1_500_000) == "1.500"
