"""Cross entropy over the pixels that are hard, as the code bases derived from DELIVER use it."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_training.fabric import of_all_processes

_MIN_SHARE = 16
_CONFIDENT = 0.7
"""Probability of its true class from which on a pixel is easy."""


def ohem_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy of the hard pixels (online hard example mining).

    Hard are pixels whose true class has a probability below 0.7; if these are fewer than
    a sixteenth of the labelled ones, the hardest sixteenth. No class is weighted. The pixels of all
    processes of a run are looked at together, as those of the whole batch in one.

    Args:
        logits: ``[B, K, H, W]``, B alike in every process.
        labels: int64 ``[B, H, W]``, 255 where there is none.

    Returns:
        A scalar; 0 if no pixel is labelled.
    """
    losses = F.cross_entropy(logits, labels, ignore_index=UNLABELED, reduction="none")
    none = -1.0  # no pixel has such a loss
    losses = of_all_processes(losses.masked_fill(labels == UNLABELED, none).flatten())
    losses = losses[losses != none]
    if losses.numel() == 0:
        return losses.sum()  # not of the logits: those of a class that is ruled out are -inf
    hard = losses[losses > -math.log(_CONFIDENT)]
    fewest = max(losses.numel() // _MIN_SHARE, 1)
    if hard.numel() < fewest:
        hard = losses.topk(fewest).values
    return hard.mean()
