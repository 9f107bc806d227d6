"""Cross entropy over the pixels that are hard, as the code bases derived from DELIVER use it."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.frames import UNLABELED

_MIN_SHARE = 16


def ohem_cross_entropy(logits: Tensor, labels: Tensor, confident: float = 0.7) -> Tensor:
    """Return the mean cross entropy of the hard pixels (online hard example mining).

    Hard are pixels whose true class has a probability below ``confident``; if these are fewer than
    a sixteenth of the labelled ones, the hardest sixteenth. No class is weighted.

    Args:
        logits: ``[B, K, H, W]``.
        labels: int64 ``[B, H, W]``, 255 where there is none.
        confident: probability from which on a pixel is easy, above 0, at most 1.

    Returns:
        A scalar; 0 if no pixel is labelled.
    """
    losses = F.cross_entropy(logits, labels, ignore_index=UNLABELED, reduction="none")
    losses = losses[labels != UNLABELED]
    if losses.numel() == 0:
        return logits.sum() * 0.0
    hard = losses[losses > -math.log(confident)]
    fewest = max(losses.numel() // _MIN_SHARE, 1)
    if hard.numel() < fewest:
        hard = losses.topk(fewest).values
    return hard.mean()
