"""The three distillation losses of AnySeg (arXiv 2411.17141), with slips of the code put right.

They are known from the code of a later work of the same group (RobustSeg, arXiv 2505.12861), which
does things that look like slips. The options that repeat these are named after what they do. The
defaults are a proposal; cosines of the features themselves are also what the paper's formula has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

UNIMODAL_AXES = ("channels", "height")
CROSS_MODAL_FEATURES = ("raw", "softmax")


def prediction_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Modality-agnostic semantic distillation (MaD): what the teacher sees in all, in any subset.

    The Kullback-Leibler divergence from teacher to student over the classes, at temperature 1, as
    the mean over all **elements** B·K·H·W, so K times smaller than per pixel; the published weight
    of 50 belongs to this mean.

    Args:
        student: logits ``[B, K, H, W]``.
        teacher: logits of the same shape; no gradient reaches them.

    Returns:
        A scalar, 0 or more.
    """
    return _divergence(student, teacher.detach(), dim=1).clamp(min=0.0)


def unimodal_distillation(
    student: Sequence[Tensor], teacher: Sequence[Tensor], axis: str = "channels"
) -> Tensor:
    """Unimodal distillation (UMD): each modality's features towards the teacher's of the same one.

    The sum over stages and modalities of the mean over elements of the divergence, averaged over
    the batch.

    Args:
        student: for each stage ``[B, M, C, h, w]``.
        teacher: the same, of the same modalities in the same order; no gradient reaches them.
        axis: what the softmax runs over. ``channels``: each place is a distribution over channels.
            ``height``: the published code, which normalises along the rows of the image.

    Returns:
        A scalar, 0 or more.
    """
    dim = {"channels": 2, "height": 3}[axis]
    total = _single(student[0].new_zeros(()))
    for mine, others in zip(student, teacher, strict=True):
        terms = _divergence(mine, others.detach(), dim, keep=2)
        total = total + terms.clamp(min=0.0).sum(dim=1).mean()
    return total


def cross_modal_distillation(
    student: Sequence[Tensor], teacher: Sequence[Tensor], features: str = "raw"
) -> Tensor:
    """Cross-modal distillation (CMD): how alike the modalities are, as the teacher has it.

    For each item and stage the matrix of similarities between the modalities; the mean of its
    squared differences, summed over the stages, averaged over the batch.

    Args:
        student: for each stage ``[B, M, C, h, w]``.
        teacher: the same, of the same modalities in the same order; no gradient reaches them.
        features: ``raw``: similarities of the features. ``softmax``: the published code, which
            compares softmax maps of the teacher with log-softmax maps of the student, both along
            the rows of the image, so that the loss is not 0 for equal features.

    Returns:
        A scalar, 0 or more; 0 for a single modality.
    """
    total = _single(student[0].new_zeros(()))
    for mine, others in zip(student, teacher, strict=True):
        others = others.detach()
        if features == "softmax":
            mine, others = F.log_softmax(_single(mine), dim=3), F.softmax(_single(others), dim=3)
        difference = similarities(mine) - similarities(others)
        total = total + difference.square().mean()
    return total


def similarities(features: Tensor) -> Tensor:
    """Return how alike the modalities of each item are, ``[B, M, M]``, from -1 to 1.

    The cosine over the image of each channel, averaged over the channels; 1 on the diagonal.

    Args:
        features: ``[B, M, C, h, w]``.
    """
    # In bf16 cosines that differ by less than 1/256 are one.
    with torch.autocast(features.device.type, enabled=False):
        unit = F.normalize(_single(features).flatten(3), dim=3)
        alike = torch.einsum("bmcx,bncx->bmn", unit, unit) / features.shape[2]
    # A channel that is zero everywhere has no direction, but is like itself.
    itself = torch.eye(features.shape[1], dtype=torch.bool, device=features.device)
    return alike.masked_fill(itself, 1.0)


def _single(tensor: Tensor) -> Tensor:
    """Return a tensor in single precision at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _divergence(student: Tensor, teacher: Tensor, dim: int, keep: int = 0) -> Tensor:
    """Elementwise p_T (log p_T - log p_S), averaged over all but the first ``keep`` axes."""
    # In bf16 logarithms are a hundredth off, which is as much as what they differ by.
    log_student, log_teacher = (F.log_softmax(_single(x), dim) for x in (student, teacher))
    elements = F.kl_div(log_student, log_teacher, reduction="none", log_target=True)
    return elements.mean(dim=tuple(range(keep, elements.ndim)))
