"""The self-query hub (SQ-Hub): every sensor scores its own places, and the strongest features win.

From CMNeXt (arXiv 2303.01480, section 3.2): for each kind of sensor a score net, a depthwise 3x3
convolution and a 1x1 convolution to one channel, then sigmoid; features times 1 + score; maximum
over the sensors.

Which kind each row of the modality axis is comes as data, and a convolution whose weights come as
data is poorly supported by deployment engines. There is nothing between the two convolutions, so a
score net is one 3x3 convolution to one channel. That is nine dot products over the channels at
every place, one batched matrix product for all rows, and the sum of the nine results, each shifted
to where it belongs: a 3x3 convolution with constant weights.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.networks.mix_transformer_block import tokens_to_map
from anymodal_seg_ros.networks.modality_layers import ModalityEmbedding, ModalityTensor


def score_tokens(tokens: Tensor, weights: Tensor, bias: Tensor, height: int, width: int) -> Tensor:
    """Convolve each row of the modality axis 3x3 to one channel and take the sigmoid.

    Args:
        tokens: ``[B, M, H*W, C]``.
        weights: ``[M, C, 9]``, the last axis row by row.
        bias: ``[M]``.
        height: H.
        width: W.

    Returns:
        Scores ``[B, M, H*W, 1]``, 0..1.
    """
    batch, rows = tokens.shape[:2]
    products = tokens_to_map((tokens @ weights).flatten(0, 1), height, width)
    # Channel k of the products goes to tap k of the kernel, and nowhere else.
    taps = torch.eye(9, dtype=products.dtype, device=products.device).reshape(1, 9, 3, 3)
    scores = F.conv2d(products, taps, padding=1).reshape(batch, rows, height * width, 1)
    return (scores + bias[:, None, None]).sigmoid()


class SelfQueryHub(nn.Module):
    """The score nets of all kinds of sensors."""

    def __init__(self, channels: int, kinds: int) -> None:
        """Build score nets for maps of ``channels`` C; all scores begin close to one half.

        CMNeXt's own begin otherwise, see :mod:`.published_initialisation`.
        """
        super().__init__()
        self.depthwise = ModalityTensor(
            [math.sqrt(2.0 / 9.0) * torch.randn(channels, 9) for _ in range(kinds)]
        )
        self.depthwise_bias = ModalityTensor([torch.zeros(channels) for _ in range(kinds)])
        self.pointwise = ModalityEmbedding(kinds, channels)
        self.pointwise_bias = ModalityTensor([torch.zeros(()) for _ in range(kinds)])

    def forward(self, tokens: Tensor, modality_ids: Tensor, height: int, width: int) -> Tensor:
        """Weight tokens ``[B, M, H*W, C]`` by 1 + score; ``modality_ids`` is int64 ``[M]``."""
        weights, bias = self.score_nets(modality_ids)
        return tokens + score_tokens(tokens, weights, bias, height, width) * tokens

    def score_nets(self, modality_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return both convolutions of each row as one: weights ``[M, C, 9]``, biases ``[M]``."""
        pointwise = self.pointwise(modality_ids)
        weights = self.depthwise(modality_ids) * pointwise[:, :, None]
        bias = (self.depthwise_bias(modality_ids) * pointwise).sum(dim=1)
        return weights, bias + self.pointwise_bias(modality_ids)


def strongest(scored: Tensor, present: Tensor) -> Tensor:
    """Take the maximum over the modality axis.

    Args:
        scored: ``[B, M, L, C]``.
        present: bool ``[M]``, which rows take part.

    Returns:
        ``[B, L, C]``; zeros where no row takes part.
    """
    lowest = torch.finfo(scored.dtype).min
    best = scored.masked_fill(~present[:, None, None], lowest).amax(dim=1)
    return best.masked_fill(~present.any(), 0.0)


def strongest_of_the_others(scored: Tensor, present: Tensor) -> Tensor:
    """For each row of the modality axis, take the maximum over all others.

    The best and the second best of all rows answer for every row at once, at the cost of two
    maxima instead of one for each row.

    Args:
        scored: ``[B, M, L, C]``.
        present: bool ``[M]``, which rows take part.

    Returns:
        ``[B, M, L, C]``; zeros for a row beside which no other takes part.
    """
    lowest = torch.finfo(scored.dtype).min
    scored = scored.masked_fill(~present[:, None, None], lowest)
    best, at = scored.max(dim=1, keepdim=True)
    own = at == torch.arange(scored.shape[1], device=scored.device)[:, None, None]
    second = scored.masked_fill(own, lowest).amax(dim=1, keepdim=True)
    others = torch.where(own, second, best)
    return others.masked_fill(~has_company(present)[:, None, None], 0.0)


def has_company(present: Tensor) -> Tensor:
    """Tell for each row whether another one takes part: bool ``[M]`` to bool ``[M]``."""
    counts = present.to(torch.int64)
    return counts.sum() - counts > 0
