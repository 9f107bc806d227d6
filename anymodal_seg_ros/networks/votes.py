"""How sensors vote at every pixel: reliability, consensus, and what to do without a quorum.

Proposal of this project, see ``docs/explanation/methods/quorum.md``. Every tensor has a modality
axis M of any length >= 1 behind the batch axis; nothing depends on the order along it. Maps have
their channels last here, as they lie in memory, so that 1x1 convolutions are linear layers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.networks.modality_layers import ModalityEmbedding
from anymodal_seg_ros.networks.segformer_head import resize_map

HIDDEN_SHARE = 4
"""Channels of a map per hidden channel of the small layers in here."""

TRUST = 2.0
"""Log-odds of being right that a sensor has before anything is learned."""


class ReliabilityScorer(nn.Module):
    """Log-odds that a sensor is right at a pixel, from its own map and from everyone's mean.

    ``r_m = w . GELU(A F_m + B mean_n F_n + e_kind)``. One scorer serves all sensors, so that their
    scores can be compared; the embedding lets it know whom it hears. The mean is what the sensor is
    judged against: a scorer that sees one map only, as that of CHARM (arXiv 2508.03060), cannot
    tell a sensor that contradicts all the others.
    """

    def __init__(self, channels: int, kinds: int, trust: float) -> None:
        """Score maps of ``channels`` channels of ``kinds`` kinds of sensors, at first ``trust``."""
        super().__init__()
        hidden = channels // HIDDEN_SHARE
        self.own = nn.Linear(channels, hidden)
        self.others = nn.Linear(channels, hidden, bias=False)
        self.kind = ModalityEmbedding(kinds, hidden)
        self.score = nn.Linear(hidden, 1)
        nn.init.normal_(self.score.weight, std=0.02)
        nn.init.constant_(self.score.bias, trust)

    def forward(self, features: Tensor, modality_ids: Tensor) -> Tensor:
        """Map features ``[B, M, H, W, C]`` and ids ``[M]`` to log-odds ``[B, M, H, W]``."""
        others = self.others(_sum_over_sensors(features) / features.shape[1])
        # As long as a row of the map: adding a few numbers at a time is slow.
        kind = self.kind(modality_ids)[:, None, None].expand(-1, -1, features.shape[3], -1)
        hidden = _at_each_pixel(self.own, features) + others.unsqueeze(1)
        hidden = (hidden.flatten(-2) + kind.flatten(-2)).view_as(hidden)
        return _at_each_pixel(self.score, F.gelu(hidden)).squeeze(-1)


class Consensus(nn.Module):
    """What the voters agree on, corrected by what cancels out among them.

    ``Z + U GELU(V [Z, D])`` with the consensus ``Z = sum_m w_m F_m`` and the dissent
    ``D = sum_m |w_m F_m| - |Z|``. Weights per pixel cannot take texture from one sensor and edges
    from another; this can, and it runs once, not once per sensor. D is zero for a single sensor.
    """

    def __init__(self, channels: int) -> None:
        """Refine maps of ``channels`` channels; at first hardly at all."""
        super().__init__()
        hidden = channels // HIDDEN_SHARE
        self.agreed = nn.Linear(channels, hidden)
        self.dissent = nn.Linear(channels, hidden, bias=False)
        self.correct = nn.Linear(hidden, channels)
        nn.init.normal_(self.correct.weight, std=0.02)
        nn.init.zeros_(self.correct.bias)

    def forward(self, agreed: Tensor, dissent: Tensor) -> Tensor:
        """Map the consensus and the dissent, ``[..., C]``, to a map of that shape."""
        hidden = _at_each_pixel(self.agreed, agreed) + self.dissent(dissent)
        return agreed + _at_each_pixel(self.correct, F.gelu(hidden))


class Ballot(nn.Module):
    """One stage: the maps of the sensors and their log-odds become one map."""

    def __init__(self, channels: int, consensus: bool, abstention: bool) -> None:
        """Count votes on maps of ``channels`` channels.

        Args:
            channels: C.
            consensus: whether the result is refined, see :class:`Consensus`.
            abstention: whether a learned vector takes the place of sensors that nobody should
                believe. It has log-odds 0, so a single sensor counts by its probability of being
                right, and the scorer learns from frames with one sensor too.
        """
        super().__init__()
        self.consensus = Consensus(channels) if consensus else None
        self.nobody = nn.Parameter(torch.zeros(channels)) if abstention else None

    def forward(self, features: Tensor, log_odds: Tensor) -> Tensor:
        """Map ``[B, M, H, W, C]`` and log-odds ``[B, M, H, W]`` to ``[B, H, W, C]``."""
        votes = log_odds.softmax(dim=1).unsqueeze(-1) * features
        result = _sum_over_sensors(votes)
        if self.consensus is not None:
            dissent = _sum_over_sensors(votes.abs()) - result.abs()
            result = self.consensus(result, dissent)
        if self.nobody is not None:
            quorum = log_odds.logsumexp(dim=1).sigmoid().unsqueeze(-1)
            result = self.nobody + quorum * (result - self.nobody)
        return result


def _sum_over_sensors(maps: Tensor) -> Tensor:
    """Add up ``[B, M, H, W, C]`` to ``[B, H, W, C]``.

    As a product with ones: ONNX Runtime takes ten times as long to add along an outer axis.
    """
    ones = maps.new_ones(maps.shape[0], 1, maps.shape[1])
    return torch.bmm(ones, maps.flatten(2)).view(maps.shape[0], *maps.shape[2:])


def _at_each_pixel(layer: nn.Module, maps: Tensor) -> Tensor:
    """Apply a linear layer to ``[..., C]``.

    On a matrix: there the offset belongs to the product, elsewhere it is an addition of its own,
    which for few channels takes longer than the product.
    """
    result: Tensor = layer(maps.flatten(0, -2))
    return result.unflatten(0, maps.shape[:-1])


def contributions_of(log_odds: list[Tensor]) -> Tensor:
    """Average the shares of the sensors over the stages.

    Args:
        log_odds: for each stage ``[B, M, H_i, W_i]``, the finest first.

    Returns:
        ``[B, M, H_1, W_1]``, 0 or more, summing to 1 over M.
    """
    size = log_odds[0].shape[-2:]
    shares = [stage.softmax(dim=1) for stage in log_odds]
    return torch.stack([shares[0], *(resize_map(s, size) for s in shares[1:])]).mean(dim=0)
