from __future__ import annotations

import numpy as np
import pytest

from anymodal_seg_ros.evaluation.metrics import class_iou, confusion_matrix
from anymodal_seg_ros.evaluation.scorecard.runs import pixels
from anymodal_seg_ros.evaluation.scorecard.runs.pixels import (
    BINS,
    boundary_overlap,
    calibration,
    expected_calibration_error,
    iou,
    mean_iou,
    overlap,
    unchanged,
)


def mask(*rows: str) -> np.ndarray:
    """Digits are classes, a dot has no label."""
    return np.array([[255 if c == "." else int(c) for c in row] for row in rows], np.uint8)


def test_iou_counts_hits_over_union() -> None:
    counts = overlap(mask("0011", "0.11"), mask("0111", "0011"), 3)
    np.testing.assert_array_equal(counts[:, 0], [2, 2, 3])  # the pixel without a label: not counted
    np.testing.assert_array_equal(counts[:, 1], [4, 5, 4])
    assert iou(counts)[0] == pytest.approx(2 / 3)
    assert iou(counts)[1] == pytest.approx(4 / 5)
    assert np.isnan(iou(counts)[2]), "a class that never occurs has no IoU"
    assert mean_iou(counts) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_large_pictures_are_counted_as_small_ones_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take another way, because a float32 cannot hold the count of so many pixels."""
    label, found = mask("0011", "0.11"), mask("0111", "0011")
    expected = overlap(label, found, 5)
    monkeypatch.setattr(pixels, "_EXACT", 3)
    np.testing.assert_array_equal(overlap(label, found, 5), expected)


def test_a_pixel_without_prediction_is_a_miss() -> None:
    counts = overlap(mask("0000"), mask("00.."), 2)
    assert iou(counts)[0] == pytest.approx(0.5)


def test_without_labels_there_is_no_score() -> None:
    assert mean_iou(overlap(mask("...."), mask("0011"), 2)) is None


def test_counts_sum_up_to_the_iou_of_the_trainer() -> None:
    rng = np.random.default_rng(1)
    labels, masks = rng.integers(0, 5, (2, 3, 20, 30), np.uint8)
    together = sum(overlap(label, seen, 5) for label, seen in zip(labels, masks, strict=True))
    confusion = sum(confusion_matrix(a, b, 5) for a, b in zip(labels, masks, strict=True))
    np.testing.assert_allclose(iou(np.asarray(together)), class_iou(np.asarray(confusion)))


def test_boundaries_of_an_equal_mask_agree() -> None:
    label = np.zeros((60, 80), np.uint8)
    label[20:40, 30:60] = 1
    assert mean_iou(boundary_overlap(label, label, 2)) == 1.0


def test_only_pixels_close_to_a_boundary_count() -> None:
    label = np.zeros((60, 80), np.uint8)  # the diagonal is 100: the band is 2 wide
    label[20:40, 30:60] = 1
    counts = boundary_overlap(label, label, 2)
    assert counts[2, 1] == 20 * 30 - 16 * 26, "a frame of two pixels inside the rectangle"
    outside = 60 * 80 - 56 * 76 + 24 * 34 - 20 * 30
    assert counts[2, 0] == outside, "the edge of the image, and two pixels around the rectangle"


def test_a_moved_edge_costs_more_at_the_boundary_than_in_the_area() -> None:
    label = np.zeros((60, 80), np.uint8)
    label[:, 40:] = 1
    seen = np.zeros_like(label)
    seen[:, 42:] = 1
    whole, edge = mean_iou(overlap(label, seen, 2)), mean_iou(boundary_overlap(label, seen, 2))
    assert whole is not None and edge is not None
    assert edge < whole


def test_what_has_no_label_makes_no_boundary_error() -> None:
    label = np.zeros((60, 80), np.uint8)
    label[:, 40:] = 255
    seen = np.zeros_like(label)
    assert mean_iou(boundary_overlap(label, seen, 2)) == 1.0


def test_calibration_error_by_hand() -> None:
    # 4 pixels with confidence 1.0, of which 3 are right; 4 with 0.6, of which 1 is right.
    label, seen = mask("00000000"), mask("00010111")
    confidence = np.array([[255] * 4 + [153] * 4], np.uint8)
    bins = calibration(label, seen, confidence)
    assert bins.shape == (3, BINS)
    assert bins[0].sum() == 8
    expected = (4 * abs(0.75 - 1.0) + 4 * abs(0.25 - 0.6)) / 8
    assert expected_calibration_error(bins) == pytest.approx(expected)
    assert expected_calibration_error(np.zeros((3, BINS), np.int64)) is None


def test_unchanged_pixels() -> None:
    assert unchanged(mask("0011"), mask("0111")) == [3, 4]
    assert unchanged(mask("00.1"), mask("0111")) == [2, 3]
    where = np.array([[True, True, False, False]])
    assert unchanged(mask("0011"), mask("0111"), where) == [1, 2]
