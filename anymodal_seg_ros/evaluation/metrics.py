"""Confusion matrices and the numbers made from them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import UNLABELED, Mask

Confusion = npt.NDArray[np.int64]


def confusion_matrix(label: Mask, predicted: Mask, num_classes: int) -> Confusion:
    """Count pixels by true and predicted class.

    Args:
        label: uint8 ``[H, W]``; pixels that are :data:`UNLABELED` are not counted.
        predicted: uint8 ``[H, W]`` class ids below K.
        num_classes: K.

    Returns:
        int64 ``[K, K]``, rows are true classes, columns predicted ones.
    """
    known = label != UNLABELED
    cells = label[known].astype(np.int64) * num_classes + predicted[known]
    counts = np.bincount(cells, minlength=num_classes * num_classes)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def class_iou(confusion: Confusion) -> npt.NDArray[np.float64]:
    """Return the intersection over union of every class; NaN for a class that never occurs."""
    hits = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - hits
    iou = np.full(len(hits), np.nan)
    np.divide(hits, union, out=iou, where=union > 0)
    return iou


def mean_iou(confusion: Confusion) -> float:
    """Return the mean IoU over the classes that occur in labels or predictions; NaN if none do."""
    iou = class_iou(confusion)
    known = iou[~np.isnan(iou)]
    return float(known.mean()) if known.size else float("nan")
