"""What one mask adds to the figures: counts of pixels, which sum up over any choice of masks."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import UNLABELED, Mask

Counts = npt.NDArray[np.int64] | npt.NDArray[np.int32]
"""Integers ``[3, K]``: pixels of every class that are hit, predicted and labelled."""

HIT, PREDICTED, LABELLED = 0, 1, 2
"""Rows of :data:`Counts`."""

_EXACT = 1 << 24
"""Up to this a float32, in which OpenCV counts, holds every integer."""

BINS = 15
"""Of confidence, as in Guo et al., arXiv 1706.04599."""

BOUNDARY_SHARE = 0.02
"""Width of the band along boundaries, of the image's diagonal (Cheng et al., arXiv 2103.16562)."""


def overlap(label: Mask, predicted: Mask, num_classes: int) -> Counts:
    """Count the pixels that an IoU is made of.

    Args:
        label: uint8 ``[H, W]``; pixels that are :data:`UNLABELED` are not counted at all.
        predicted: uint8 ``[H, W]``; :data:`UNLABELED` is a miss of whatever is there.
        num_classes: K.
    """
    return _counts(label, predicted, label != UNLABELED, num_classes)


def boundary_overlap(label: Mask, predicted: Mask, num_classes: int) -> Counts:
    """Count the pixels that a boundary IoU is made of: those close to the edge of their own region.

    A pixel is in the band if a pixel of another class, or the edge of the image, is within
    :data:`BOUNDARY_SHARE` of the diagonal of it, along rows and columns. What has no label counts
    for neither side.
    """
    known = label != UNLABELED
    seen = np.where(known, predicted, np.uint8(UNLABELED))
    width = max(1, round(BOUNDARY_SHARE * float(np.hypot(*label.shape))))
    in_label, in_predicted = _band(label, width), _band(seen, width)
    counts = np.zeros((3, num_classes), np.int64)
    both = known & in_label & in_predicted & (label == seen)
    counts[HIT] = _histogram(label, both, num_classes)
    counts[PREDICTED] = _histogram(seen, known & in_predicted, num_classes)
    counts[LABELLED] = _histogram(label, known & in_label, num_classes)
    return counts


def calibration(label: Mask, predicted: Mask, confidence: Mask) -> Counts:
    """Count pixels by confidence.

    Args:
        label: uint8 ``[H, W]``; pixels without a label are not counted.
        predicted: uint8 ``[H, W]`` class ids.
        confidence: uint8 ``[H, W]``, 255 being certainty.

    Returns:
        int64 ``[3, BINS]``: pixels, right ones among them, and the sum of their confidences in
        units of 1/255. Bin ``n`` holds confidences from ``n / BINS`` up to ``(n + 1) / BINS``.
    """
    known = (label != UNLABELED) & (predicted != UNLABELED)
    sure = confidence[known].astype(np.int64)
    right = label[known] == predicted[known]
    places = np.minimum(sure * BINS // 255, BINS - 1)
    return np.stack(
        [
            np.bincount(places, minlength=BINS),
            np.bincount(places[right], minlength=BINS),
            np.rint(np.bincount(places, weights=sure, minlength=BINS)).astype(np.int64),
        ]
    ).astype(np.int64)


def unchanged(before: Mask, after: Mask, where: npt.NDArray[np.bool_] | None = None) -> list[int]:
    """Return how many pixels kept their class, and how many were compared.

    Args:
        before: uint8 ``[H, W]``, an earlier mask.
        after: of the same size; pixels that are :data:`UNLABELED` in one are not compared.
        where: bool ``[H, W]``, which pixels to compare; None for all.
    """
    compared = (before != UNLABELED) & (after != UNLABELED)
    if where is not None:
        compared &= where
    return [int(np.count_nonzero(compared & (before == after))), int(np.count_nonzero(compared))]


def iou(counts: Counts) -> npt.NDArray[np.float64]:
    """Return the IoU of every class; NaN for a class that is neither labelled nor predicted."""
    hits = counts[HIT].astype(np.float64)
    union = counts[PREDICTED] + counts[LABELLED] - counts[HIT]
    found = np.full(hits.shape, np.nan)
    np.divide(hits, union, out=found, where=union > 0)
    return found


def mean_iou(counts: Counts) -> float | None:
    """Return the mean IoU over the classes that occur in labels or predictions, as in training.

    None if no pixel has a label: that is no score, and never 0.
    """
    if not counts[LABELLED].any():
        return None
    return float(np.nanmean(iou(counts)))


def expected_calibration_error(bins: Counts) -> float | None:
    """Return the mean distance of confidence and accuracy, weighted by pixels; None without any."""
    pixels, right, confidence = (row.astype(np.float64) for row in bins)
    if pixels.sum() == 0:
        return None
    return float(np.abs(right - confidence / 255.0).sum() / pixels.sum())


def _counts(label: Mask, predicted: Mask, where: npt.NDArray[np.bool_], num_classes: int) -> Counts:
    counts = np.zeros((3, num_classes), np.int64)
    counts[HIT] = _histogram(label, where & (label == predicted), num_classes)
    counts[PREDICTED] = _histogram(predicted, where, num_classes)
    counts[LABELLED] = _histogram(label, where, num_classes)
    return counts


def _histogram(ids: Mask, where: npt.NDArray[np.bool_], num_classes: int) -> npt.NDArray[np.int64]:
    """Count the ids of some pixels."""
    if ids.size > _EXACT:
        return np.bincount(ids[where], minlength=256)[:num_classes].astype(np.int64)
    # Faster, and exact as long as a float32 can hold the count.
    chosen = np.ascontiguousarray(where).view(np.uint8)
    found = cv2.calcHist([np.ascontiguousarray(ids)], [0], chosen, [256], [0, 256])
    return np.asarray(found.ravel()[:num_classes], np.int64)  # a column in OpenCV 4, a row in 5


def _band(ids: Mask, width: int) -> npt.NDArray[np.bool_]:
    """Mark the pixels that have another id, or the image's edge, within ``width``."""
    square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    # OpenCV pads so that the edge of the image never counts; a frame makes it count.
    band = cv2.erode(ids, square) != cv2.dilate(ids, square)
    band[:width] = band[-width:] = True
    band[:, :width] = band[:, -width:] = True
    return np.asarray(band, np.bool_)
