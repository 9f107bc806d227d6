"""How far confidence is from being right: the expected calibration error."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassCalibrationError

from anymodal_seg_ros.frames import UNLABELED

_PIXELS = 4096


class Calibration:
    """Expected calibration error (15 bins, L1) of the pixels' most likely classes.

    Of every batch some thousand labelled pixels, evenly spread, are enough for a mean.
    """

    def __init__(self, num_classes: int) -> None:
        """Begin with no pixels."""
        self._metric = MulticlassCalibrationError(num_classes, n_bins=15, norm="l1")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Take in logits ``[B, K, H, W]`` and labels int64 ``[B, H, W]``."""
        known = (labels != UNLABELED).flatten().nonzero()[:, 0]
        if not len(known):
            return
        chosen = known[:: max(len(known) // _PIXELS, 1)]
        by_pixel = logits.permute(0, 2, 3, 1).flatten(0, 2)[chosen]
        probabilities = by_pixel.float().softmax(dim=1).cpu()
        self._metric.update(probabilities, labels.flatten()[chosen].cpu())

    def error(self) -> float:
        """Return the error, 0 to 1; NaN without a pixel."""
        if not self._metric.update_called:
            return float("nan")
        return float(torch.as_tensor(self._metric.compute()))
