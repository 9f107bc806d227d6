"""The parallel pooling mixer (PPX): convolution and pooling in place of attention.

From CMNeXt (arXiv 2303.01480, section 3.3); its authors' code calls it MSPA.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.networks.mix_transformer_block import DropPath

HIDDEN_RATIOS = (8, 8, 4, 4)
"""How much wider the feed-forward part is inside, for each of the four stages."""
POOLS = (3, 7, 11)
LAYER_SCALE = 0.01


def window_means(features: Tensor, size: int) -> Tensor:
    """Average ``[N, C, H, W]`` over the window of ``size`` (odd) around each pixel.

    Pixels outside of the map do not count. What is left of a window is a rectangle, so its mean is
    that of the means of its rows, and the cost grows with ``size`` and not with its square.
    """
    rows = F.avg_pool2d(features, (1, size), 1, (0, size // 2), count_include_pad=False)
    return F.avg_pool2d(rows, (size, 1), 1, (size // 2, 0), count_include_pad=False)


class PoolingAttention(nn.Module):
    """Weight every feature at every place by what averages over three windows around it say."""

    def __init__(self, channels: int) -> None:
        """Build the attention for maps of ``channels`` C."""
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, C, H, W]`` to the same shape."""
        local = self.depthwise(features)
        around = local
        for size in POOLS:
            around = around + window_means(local, size)
        return self.mix(around).sigmoid() * features + features


class ChannelGate(nn.Module):
    """One weight for each channel of each item, from its mean and those of its two neighbours."""

    def __init__(self) -> None:
        """Build the gate, three numbers in all."""
        super().__init__()
        self.neighbours = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return the weights of ``[N, C, H, W]``: ``[N, C, 1, 1]``, 0..1."""
        means = features.mean(dim=(2, 3)).unsqueeze(1)
        return self.neighbours(means).sigmoid().squeeze(1)[:, :, None, None]


class PoolingMixer(nn.Module):
    """One block: pooling attention, then a convolutional feed-forward part beside a channel gate.

    The norms are batch norms, as published.
    """

    def __init__(self, channels: int, hidden_ratio: int, drop_path: float = 0.0) -> None:
        """Build the block.

        Args:
            channels: width C of the maps.
            hidden_ratio: see :data:`HIDDEN_RATIOS`.
            drop_path: probability that a residual branch is skipped for an item while training.
        """
        super().__init__()
        hidden = hidden_ratio * channels
        self.attention_norm = nn.BatchNorm2d(channels)
        self.attention = PoolingAttention(channels)
        self.attention_scale = nn.Parameter(torch.full((channels, 1, 1), LAYER_SCALE))
        self.gate = ChannelGate()
        self.feed_forward_norm = nn.BatchNorm2d(channels)
        self.feed_forward = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.GELU(),
            nn.Conv2d(hidden, channels, 1),
        )
        self.feed_forward_scale = nn.Parameter(torch.full((channels, 1, 1), LAYER_SCALE))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, C, H, W]`` to the same shape."""
        x = x + self.drop_path(self.attention_scale * self.attention(self.attention_norm(x)))
        fed = self.feed_forward_scale * self.feed_forward(self.feed_forward_norm(x))
        return self.gate(x) * x + self.drop_path(fed)
