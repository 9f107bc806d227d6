"""Which masks are kept for the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fixtures.manifests import small_manifest
from fixtures.scored_bags import mask_record

from anymodal_seg_ros.evaluation.scorecard.runs.worst import WorstMasks
from anymodal_seg_ros.frames import FrameSet, Image, Prediction, Sample

PIXELS = np.zeros((6, 8, 3), np.uint8)


def prediction(time_s: float) -> Prediction:
    stamp = round(time_s * 1e9)
    sample = Sample("rgb", stamp, stamp, stamp, "rgb", Image(PIXELS, "rgb8"))
    frames = FrameSet("rgb", {"rgb": sample}, {}, stamp)
    return Prediction(PIXELS[..., 0], frames, ("rgb",), (), 0, 0)


def test_masks_with_a_label_are_not_compared_with_those_without(tmp_path: Path) -> None:
    """What stayed since the mask before is no mIoU: where labels are few, they alone count."""
    good = np.array([[9, 9], [10, 10], [10, 10]], np.int64)
    worst = WorstMasks(small_manifest())
    for number in range(60):
        labelled = number % 10 == 5
        record = mask_record(
            number / 10, kept=(1, 100), overlap=good if labelled else None, stamp_ns=number
        )
        worst.add(record, prediction(number / 10), PIXELS[..., 0] if labelled else None)
    kept = worst.write(tmp_path / "worst")
    assert [mask.of for mask in kept] == ["miou"] * 4
    assert all("label" in mask.pictures for mask in kept)


def test_without_any_label_what_stayed_counts(tmp_path: Path) -> None:
    worst = WorstMasks(small_manifest())
    for number in range(4):
        record = mask_record(float(number), kept=(10 * number + 10, 100))
        worst.add(record, prediction(float(number)), None)
    assert [mask.score for mask in worst.write(tmp_path / "worst")] == [0.1, 0.2, 0.3, 0.4]
