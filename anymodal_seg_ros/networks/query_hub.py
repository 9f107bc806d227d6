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

from anymodal_seg_ros.networks.mix_transformer import tokens_to_map


def score_tokens(
    tokens: Tensor, weights: Tensor, bias: Tensor, height: int, width: int
) -> Tensor:
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
        """Build score nets of random weights for maps of ``channels`` C."""
        super().__init__()
        self.depthwise = nn.Parameter(torch.empty(kinds, channels, 9))
        self.depthwise_bias = nn.Parameter(torch.zeros(kinds, channels))
        self.pointwise = nn.Parameter(torch.empty(kinds, channels))
        self.pointwise_bias = nn.Parameter(torch.zeros(kinds))
        # As the other convolutions: variance 2 over the fan-out.
        nn.init.normal_(self.depthwise, std=math.sqrt(2.0 / 9.0))
        nn.init.normal_(self.pointwise, std=math.sqrt(2.0))

    def forward(self, tokens: Tensor, modality_ids: Tensor, height: int, width: int) -> Tensor:
        """Weight tokens ``[B, M, H*W, C]`` by 1 + score; ``modality_ids`` is int64 ``[M]``."""
        weights, bias = self._composed()
        scores = score_tokens(
            tokens,
            weights.index_select(0, modality_ids),
            bias.index_select(0, modality_ids),
            height,
            width,
        )
        return scores * tokens + tokens

    def _composed(self) -> tuple[Tensor, Tensor]:
        """Return the score nets as one convolution each: ``[T, C, 9]`` and ``[T]``."""
        weights = self.depthwise * self.pointwise[:, :, None]
        bias = (self.depthwise_bias * self.pointwise).sum(dim=1) + self.pointwise_bias
        return weights, bias

    @torch.no_grad()
    def folded(self) -> FoldedSelfQueryHub:
        """Return the hub for deployment."""
        return FoldedSelfQueryHub(*self._composed())


class FoldedSelfQueryHub(nn.Module):
    """The hub for deployment: each score net is one convolution."""

    def __init__(self, weights: Tensor, bias: Tensor) -> None:
        """Keep the composed weights ``[T, C, 9]`` and ``[T]``."""
        super().__init__()
        self.weights = nn.Parameter(weights)
        self.bias = nn.Parameter(bias)

    def forward(self, tokens: Tensor, modality_ids: Tensor, height: int, width: int) -> Tensor:
        """See :meth:`SelfQueryHub.forward`."""
        scores = score_tokens(
            tokens,
            self.weights.index_select(0, modality_ids),
            self.bias.index_select(0, modality_ids),
            height,
            width,
        )
        return scores * tokens + tokens


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
    rows = torch.arange(scored.shape[1], device=scored.device)[:, None, None]
    own = at == rows
    second = scored.masked_fill(own, lowest).amax(dim=1, keepdim=True)
    others = torch.where(own, second, best)
    return others.masked_fill(~has_company(present)[:, None, None], 0.0)


def has_company(present: Tensor) -> Tensor:
    """Tell for each of the rows whether another one takes part: bool ``[M]`` to bool ``[M]``."""
    counts = present.to(torch.int64)
    return counts.sum() - counts > 0
