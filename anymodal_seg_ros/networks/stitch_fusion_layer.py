"""How StitchFusion makes one map of the sensors' maps at each stage (arXiv 2408.01343)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.networks.mix_transformer_block import map_to_tokens, tokens_to_map
from anymodal_seg_ros.networks.slots import fill_slots

KERNELS = (3, 5, 7)
ATTENTION_REDUCTION = 16


class MultiKernelFeedForward(nn.Module):
    """Linear, 1x1, three depthwise convolutions side by side, 1x1, GELU, linear; all of width C."""

    def __init__(self, channels: int) -> None:
        """Build the layer for ``channels`` C."""
        super().__init__()
        self.first = nn.Linear(channels, channels)
        self.mix_before = nn.Conv2d(channels, channels, 1)
        self.norm_before = nn.BatchNorm2d(channels)
        self.depthwise = nn.ModuleList(
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
            for kernel in KERNELS
        )
        self.mix_after = nn.Conv2d(channels, channels, 1)
        self.norm_after = nn.BatchNorm2d(channels)
        self.last = nn.Linear(channels, channels)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map tokens ``[B, H*W, C]`` to tokens of the same shape."""
        features = tokens_to_map(self.first(x), height, width)
        features = self.norm_before(self.mix_before(features))
        for scale in [depthwise(features) for depthwise in self.depthwise]:
            features = features + scale
        return self.last(F.gelu(map_to_tokens(self.norm_after(self.mix_after(features)))))


class ConcatFusion(nn.Module):
    """Concatenate all kinds, reduce to C, then feed-forward plus channel attention.

    The module that the paper calls FFM; not the one of CMX in :mod:`.cross_fusion`.
    """

    def __init__(self, channels: int, kinds: int) -> None:
        """Fuse maps of ``channels`` C of ``kinds`` N sensors."""
        super().__init__()
        self.kinds = kinds
        self.reduce = nn.Linear(kinds * channels, channels)
        self.feed_forward = MultiKernelFeedForward(channels)
        narrow = channels // ATTENTION_REDUCTION
        self.attention = nn.Sequential(
            nn.Linear(channels, narrow, bias=False),
            nn.ReLU(),
            nn.Linear(narrow, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor, modality_ids: Tensor) -> Tensor:
        """Fuse ``[B, M, C, H, W]`` to ``[B, C, H, W]``; the places of absent kinds are zero."""
        height, width = features.shape[3:]
        places = fill_slots(features, modality_ids, self.kinds).flatten(1, 2)
        x = self.reduce(map_to_tokens(places))
        weighted = x * self.attention(x.mean(dim=1, keepdim=True))
        return tokens_to_map(self.feed_forward(x, height, width) + weighted, height, width)


class PooledFusion(nn.Module):
    """Average the maps of the sensors that are there, times a number; nothing is learned."""

    def __init__(self, times: int) -> None:
        """Multiply the mean by ``times``: the number of kinds for a sum over all of them.

        A sum over fewer sensors would reach the head at a fraction of the scale that it knows.
        """
        super().__init__()
        self.times = times

    def forward(self, features: Tensor, modality_ids: Tensor) -> Tensor:
        """Fuse ``[B, M, C, H, W]`` to ``[B, C, H, W]``."""
        return features.mean(dim=1) * self.times
