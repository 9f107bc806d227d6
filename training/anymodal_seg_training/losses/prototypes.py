"""The self-guided module (SGM) of EQUISeg (arXiv 2509.24505): modalities teach one another.

The paper gives the idea and the Kullback-Leibler divergence between class prototypes; what a
distribution is made of, the pairing and the scale are proposals, modelled on the prototype loss in
the code of RobustSeg (arXiv 2505.12861) without its double division by the number of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def class_prototypes(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Average the features of each class in each image.

    Args:
        features: ``[B, M, C, h, w]``.
        labels: int64 ``[B, H, W]``, 255 where there is none; taken at the features' resolution by
            nearest neighbour.
        num_classes: K.

    Returns:
        Prototypes ``[B, M, K, C]``, 0 for an absent class; which classes are present, bool
        ``[B, K]``.
    """
    size = features.shape[-2:]
    small = F.interpolate(labels[:, None].float(), size=size, mode="nearest")[:, 0].long()
    known = (small >= 0) & (small < num_classes)
    members = F.one_hot(small.where(known, 0), num_classes) * known[..., None]
    weights = members.to(features.dtype).flatten(1, 2)  # [B, h*w, K]
    counts = weights.sum(dim=1)
    with torch.autocast(features.device.type, enabled=False):  # bf16 has no room for a difference
        sums = torch.einsum("bmcx,bxk->bmkc", features.flatten(3), weights)
    return sums / counts.clamp(min=1.0)[:, None, :, None], counts > 0


def prototype_distillation(
    features: Sequence[Tensor],
    labels: Tensor,
    num_classes: int,
    pairs: Sequence[tuple[int, int]],
) -> Tensor:
    """Return the divergence from the teachers' class prototypes to the students'.

    Each channel of the prototypes is a distribution over the classes that the image has. The mean
    over their elements, summed over stages and pairs, averaged over the batch.

    Args:
        features: for each stage ``[B, M, C, h, w]``.
        labels: int64 ``[B, H, W]``, 255 where there is none.
        num_classes: K.
        pairs: (teacher, student) rows of the modality axis; no gradient reaches the teachers.

    Returns:
        A scalar, 0 or more; 0 without a pair or without a labelled pixel.
    """
    total = features[0].sum() * 0.0
    if not pairs:
        return total
    teachers, students = (list(rows) for rows in zip(*pairs, strict=True))
    for stage in features:
        prototypes, present = class_prototypes(stage, labels, num_classes)
        absent = ~present[:, None, :, None]
        # A finite floor keeps images without any class free of NaN.
        log_share = prototypes.masked_fill(absent, torch.finfo(stage.dtype).min).log_softmax(dim=2)
        taught = log_share[:, students]
        example = log_share[:, teachers].detach()
        elements = (example.exp() * (example - taught)).masked_fill(absent, 0.0)
        count = present.sum(dim=1).clamp(min=1) * stage.shape[2]
        total = total + (elements.sum(dim=(2, 3)) / count[:, None]).sum(dim=1).mean()
    return total
