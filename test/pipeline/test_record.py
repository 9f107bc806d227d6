"""What is told of the masks that a sensor was left out of."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymodal_seg_ros.frames import FrameSet, Image, Prediction, Sample
from anymodal_seg_ros.pipeline.record import FusionRecord

PIXELS = Image(np.zeros((2, 2, 3), np.uint8), "rgb8")
RGB = Sample("rgb", 1, 1, 1, "rgb", PIXELS)


def left_out(reason: str) -> Any:
    """A mask that was made without the thermal camera."""
    frames = FrameSet("rgb", {"rgb": RGB}, {"thermal": reason}, 1)
    return Prediction(np.zeros((2, 2), np.uint8), frames, ("rgb",), (), 0, 0)


def test_the_reason_told_is_the_usual_one_whatever_its_figures() -> None:
    """One that names a distance is another text for each mask, and still one reason."""
    record = FusionRecord(["rgb", "thermal"])
    for _ in range(3):
        record.fused(left_out("no sample"))
    for frame in range(40):
        record.fused(left_out(f"nearest sample {40 + frame / 2:g} ms away, 37 ms allowed"))
    record.fused(left_out("no sample"))
    told = record.status("thermal")
    assert told.reason == "nearest sample 59.5 ms away, 37 ms allowed", "with its last figures"
    assert (told.used, told.masks) == (0, 44)
    assert record.status("rgb").reason == ""


def test_stamps_that_go_back_are_counted_with_how_far() -> None:
    record = FusionRecord(["rgb"])
    for time_ns in (5, 8, 8, 9, 2, 3, 1):
        sample = Sample("rgb", time_ns, time_ns, 1, "rgb", PIXELS)
        frames = FrameSet("rgb", {"rgb": sample}, {}, 1)
        record.fused(Prediction(np.zeros((2, 2), np.uint8), frames, ("rgb",), (), 0, 0))
    assert (record.went_back, record.went_back_by_ns) == (2, 2)
