"""How far confidence is from being right: the expected calibration error, and less of it."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from anymodal_seg_ros.frames import UNLABELED

_PIXELS = 4096


def some_pixels(logits: Tensor, labels: Tensor, most: int = _PIXELS) -> tuple[Tensor, Tensor]:
    """Pick about ``most`` labelled pixels of a batch, evenly spread.

    Args:
        logits: ``[B, K, H, W]``.
        labels: int64 ``[B, H, W]``.
        most: fewer than twice as many are picked.

    Returns:
        Float32 logits ``[N, K]`` and int64 labels ``[N]``, on the CPU; N is 0 where nothing is
        labelled.
    """
    known = (labels != UNLABELED).flatten().nonzero()[:, 0]
    chosen = known[:: max(len(known) // most, 1)]
    by_pixel = logits.permute(0, 2, 3, 1).flatten(0, 2)[chosen]
    return by_pixel.float().cpu(), labels.flatten()[chosen].cpu()


class PixelMeter(Protocol):
    """What is told logits and labels, batch by batch."""

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Take in logits ``[B, K, H, W]`` and labels int64 ``[B, H, W]``."""


class ConfidenceCalibration:
    """Expected calibration error (15 bins, L1) of the pixels' most likely classes.

    Of every batch some thousand labelled pixels, evenly spread, are enough for a mean.
    """

    def __init__(self, num_classes: int, temperature: float = 1.0) -> None:
        """Begin with no pixels; logits will be divided by the temperature."""
        from torchmetrics.classification import MulticlassCalibrationError  # it takes a second

        self._temperature = temperature
        self._metric = MulticlassCalibrationError(num_classes, n_bins=15, norm="l1")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Take in logits ``[B, K, H, W]`` and labels int64 ``[B, H, W]``."""
        chosen, truth = some_pixels(logits, labels)
        if len(truth):
            self._metric.update((chosen / self._temperature).softmax(dim=1), truth)

    def error(self) -> float:
        """Return the error, 0 to 1; NaN without a pixel."""
        if not self._metric.update_called:
            return float("nan")
        return float(torch.as_tensor(self._metric.compute()))
