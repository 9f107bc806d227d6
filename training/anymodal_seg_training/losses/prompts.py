"""The two losses beside cross entropy of SegRGB-X (arXiv 2603.28023).

The paper's losses are not known; both are a proposal.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def prompt_alignment(aligned: Sequence[Tensor], control: Sequence[Tensor]) -> Tensor:
    """Return how far the aligned prompts point away from the control prompts.

    One minus the cosine of the means over the prompts, averaged over stages, images and sensors.

    Args:
        aligned: for each stage ``[B, M, A, C]``.
        control: for each stage ``[B, M, P, C]``; no gradient reaches them.

    Returns:
        A scalar from 0 to 2.
    """
    apart = [
        1.0 - F.cosine_similarity(a.float().mean(dim=2), c.detach().float().mean(dim=2), dim=-1)
        for a, c in zip(aligned, control, strict=True)
    ]
    return torch.stack(apart).mean()


def gate_supervision(gates: Sequence[Tensor], kinds: Tensor) -> Tensor:
    """Return the cross entropy that lets expert i of each DSRM serve sensors of kind i.

    Several kinds share the weight alike. Averaged over stages and images.

    Args:
        gates: weights of the experts of each DSRM, ``[B, X]``, summing to 1.
        kinds: int64 ``[N]``, each less than X.

    Returns:
        A scalar, 0 or more.
    """
    surprise = [-gate.float().clamp(min=1e-6).log()[:, kinds].mean() for gate in gates]
    return torch.stack(surprise).mean()
