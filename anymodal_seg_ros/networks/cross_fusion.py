"""The feature fusion module (FFM): two streams exchange global context and become one map.

From CMX (arXiv 2203.04838, section III-C), as CMNeXt (arXiv 2303.01480) uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anymodal_seg_ros.networks.mix_transformer_block import (
    map_to_tokens,
    split_heads,
    tokens_to_map,
)


class ContextExchange(nn.Module):
    """Attention across two streams at a cost linear in their length.

    Keys and values of a stream are first summed over its tokens to one small matrix for each head,
    its context; the tokens of the *other* stream, as they are, query it.
    """

    def __init__(self, channels: int, heads: int) -> None:
        """Exchange between streams of ``channels`` C with ``heads`` heads."""
        super().__init__()
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.first_key_value = nn.Linear(channels, 2 * channels, bias=False)
        self.second_key_value = nn.Linear(channels, 2 * channels, bias=False)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Map two streams ``[N, L, C]`` to what each reads in the other, same shapes."""
        of_first = self._context(self.first_key_value(first))
        of_second = self._context(self.second_key_value(second))
        return self._read(first, of_second), self._read(second, of_first)

    def _context(self, key_value: Tensor) -> Tensor:
        """Sum keys and values ``[N, L, 2C]`` over the tokens: ``[N, heads, C/heads, C/heads]``."""
        key, value = (split_heads(part, self.heads) for part in key_value.chunk(2, dim=-1))
        return ((self.scale * key).transpose(-2, -1) @ value).softmax(dim=-2)

    def _read(self, queries: Tensor, context: Tensor) -> Tensor:
        return (split_heads(queries, self.heads) @ context).transpose(1, 2).flatten(2)


class CrossPath(nn.Module):
    """Each stream keeps one half of itself and reads the other stream with the other half."""

    def __init__(self, channels: int, heads: int) -> None:
        """Build the paths of two streams of ``channels`` C."""
        super().__init__()
        self.first_split = nn.Linear(channels, 2 * channels)
        self.second_split = nn.Linear(channels, 2 * channels)
        self.exchange = ContextExchange(channels, heads)
        self.first_out = nn.Linear(2 * channels, channels)
        self.second_out = nn.Linear(2 * channels, channels)
        self.first_norm = nn.LayerNorm(channels)
        self.second_norm = nn.LayerNorm(channels)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Map two streams of tokens ``[N, L, C]`` to streams of the same shapes."""
        first_kept, first_query = self.first_split(first).relu().chunk(2, dim=-1)
        second_kept, second_query = self.second_split(second).relu().chunk(2, dim=-1)
        first_read, second_read = self.exchange(first_query, second_query)
        first_out = self.first_out(torch.cat((first_kept, first_read), dim=-1))
        second_out = self.second_out(torch.cat((second_kept, second_read), dim=-1))
        return self.first_norm(first + first_out), self.second_norm(second + second_out)


class FeatureFusion(nn.Module):
    """Two maps of the same places become one."""

    def __init__(self, channels: int, heads: int) -> None:
        """Fuse two maps of ``channels`` C to one of C; ``heads`` must divide C."""
        super().__init__()
        self.cross_path = CrossPath(channels, heads)
        self.residual = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.embed = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
        )
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fuse ``[N, C, H, W]`` and ``[N, C, H, W]`` to ``[N, C, H, W]``, channels_last."""
        height, width = first.shape[2:]
        streams = self.cross_path(map_to_tokens(first), map_to_tokens(second))
        both = tokens_to_map(torch.cat(streams, dim=-1), height, width)
        return self.norm(self.residual(both) + self.embed(both))
