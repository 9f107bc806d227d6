"""Statuses of a mask in the words of the live node and of a bag of results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anymodal_seg_ros.frames import (
    FrameSet,
    FusedShare,
    Image,
    Prediction,
    Sample,
    SensorState,
    SensorStatus,
)
from anymodal_seg_ros.messages.evidence import (
    ERROR,
    OK,
    WARN,
    level_of,
    mask_evidence,
    milliseconds,
    out_of_order,
    paired_late,
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


LATE = "its messages come 120 ms after those of rgb: raise rig.deadline_max_s to 0.13"


@pytest.mark.parametrize(
    ("used", "state", "told"),
    [
        (60, SensorState.OK, True),
        (40, SensorState.OK, True),
        (10, SensorState.OK, False),  # that it is hardly ever fused is told instead
        (60, SensorState.CLOCK, False),
    ],
)
def test_pairs_with_older_pictures_than_there_are_are_told_with_the_mend(
    used: int, state: SensorState, told: bool
) -> None:
    share = FusedShare(used, 60, "no sample" if used < 60 else "", late=LATE)
    status = SensorStatus("thermal", state, 0, 60, fused=share)
    assert (LATE in paired_late(status)) is told
    assert paired_late(replace(status, fused=replace(share, late=""))) == ""


def test_of_a_mask_without_labels_each_sensor_says_why() -> None:
    pixels = Image(np.zeros((2, 2, 3), np.uint8), "rgb8")
    frames = FrameSet("rgb", {"rgb": Sample("rgb", 1, 1, 1, "rgb", pixels)}, {}, 1)
    status = (SensorStatus("rgb", SensorState.OK, 0, 1),)
    mask = np.full((2, 2), 255, np.uint8)
    blank = Prediction(mask, frames, (), status, 0, 0, unlabeled="thermal is critical")
    (rgb, _) = mask_evidence(blank, {})
    assert rgb.values["reason"] == rgb.message == "thermal is critical"


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
