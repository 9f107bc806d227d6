"""The transformer block of the Mix Transformer (arXiv 2105.15203, section 3.1) and its parts.

All of them take tokens ``[N, H*W, C]`` with the height and width of the map they come from, and the
ids of the rows for norms that are each kind of sensor's own (see :mod:`.modality_layers`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.networks.modality_layers import LayerNorm

MLP_RATIO = 4

Norm = Callable[..., nn.Module]
"""Makes a layer norm from its channels and ``eps``; it is called with tokens and ids."""


def tokens_to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """Turn ``[N, H*W, C]`` into ``[N, C, H, W]`` in channels_last memory, without a copy.

    Reshape and permute, not transpose and unflatten: the strides of the latter are not recognised
    as channels_last when N is 1, and every later operation would copy the map twice.
    """
    return tokens.reshape(tokens.shape[0], height, width, tokens.shape[2]).permute(0, 3, 1, 2)


def map_to_tokens(features: Tensor) -> Tensor:
    """Turn ``[N, C, H, W]`` into ``[N, H*W, C]``."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """Turn ``[N, L, C]`` into ``[N, heads, L, C / heads]``."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


class DropPath(nn.Module):
    """Drop the residual branch of whole items at random while training (stochastic depth)."""

    def __init__(self, probability: float) -> None:
        """Drop with this probability; kept branches are scaled so that the mean stays."""
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` of any shape ``[N, ...]``, some of its items zeroed."""
        if not self.training or self.probability == 0.0:
            return x
        keep = 1.0 - self.probability
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * (mask / keep)


class EfficientAttention(nn.Module):
    """Attention whose keys and values come from a smaller map, to a map itself or to another."""

    def __init__(self, channels: int, heads: int, reduction: int, norm: Norm = LayerNorm) -> None:
        """Attend with ``heads`` heads; keys and values on a map ``reduction`` times smaller."""
        super().__init__()
        self.heads = heads
        self.reduction = reduction
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        if reduction > 1:
            self.reduce = nn.Conv2d(channels, channels, reduction, reduction)
            self.reduce_norm = norm(channels)

    def forward(
        self,
        x: Tensor,
        height: int,
        width: int,
        ids: Tensor | None = None,
        source: Tensor | None = None,
    ) -> Tensor:
        """Map tokens ``[N, H*W, C]`` to tokens of the same shape.

        Args:
            x: what asks.
            height: of the map.
            width: of the map.
            ids: kind of each row, int64 ``[N]``, where the norm depends on it.
            source: what is asked, tokens of a map of the same size; ``x`` itself by default.
        """
        source = x if source is None else source
        if self.reduction > 1:
            source = map_to_tokens(self.reduce(tokens_to_map(source, height, width)))
            source = self.reduce_norm(source, ids)
        key, value = self.key_value(source).chunk(2, dim=-1)
        query, key, value = (split_heads(t, self.heads) for t in (self.query(x), key, value))
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.out(attended.transpose(1, 2).flatten(2))


class MixFeedForward(nn.Module):
    """Two linear layers with a depthwise 3x3 convolution between them, which tells positions."""

    def __init__(self, channels: int, ratio: int = MLP_RATIO) -> None:
        """Widen ``ratio`` times and return to ``channels``."""
        super().__init__()
        hidden = ratio * channels
        self.widen = nn.Linear(channels, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.narrow = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map tokens ``[N, H*W, C]`` to tokens of the same shape."""
        hidden = self.depthwise(tokens_to_map(self.widen(x), height, width))
        return self.narrow(F.gelu(map_to_tokens(hidden)))


class Block(nn.Module):
    """One transformer block: attention and feed-forward, each with norm and residual."""

    def __init__(
        self,
        channels: int,
        heads: int,
        reduction: int,
        drop_path: float,
        norm: Norm = LayerNorm,
    ) -> None:
        """See :class:`EfficientAttention`; ``drop_path`` is the probability of skipping."""
        super().__init__()
        self.attention_norm = norm(channels, eps=1e-6)
        self.attention = EfficientAttention(channels, heads, reduction, norm)
        self.feed_forward_norm = norm(channels, eps=1e-6)
        self.feed_forward = MixFeedForward(channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, height: int, width: int, ids: Tensor | None = None) -> Tensor:
        """Map tokens ``[N, H*W, C]`` to tokens of the same shape."""
        return self.feed(self.attend(x, height, width, ids), height, width, ids)

    def attend(self, x: Tensor, height: int, width: int, ids: Tensor | None = None) -> Tensor:
        """Do the first half of the block, residual included."""
        normed = self.attention_norm(x, ids)
        return x + self.drop_path(self.attention(normed, height, width, ids))

    def feed(self, x: Tensor, height: int, width: int, ids: Tensor | None = None) -> Tensor:
        """Do the second half of the block, residual included."""
        normed = self.feed_forward_norm(x, ids)
        return x + self.drop_path(self.feed_forward(normed, height, width))
