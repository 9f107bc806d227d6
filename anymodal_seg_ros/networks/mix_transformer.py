"""The Mix Transformer (MiT), the hierarchical encoder of SegFormer.

Written from the definition in the SegFormer paper (arXiv 2105.15203, section 3.1). It knows nothing
of sensors: networks put the modality axis into the batch axis before they call it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.errors import ConfigError


@dataclass(frozen=True, slots=True)
class MixTransformerSize:
    """The numbers that tell one MiT from another, one entry for each of the four stages.

    Attributes:
        channels: width of the feature maps.
        depths: number of transformer blocks.
    """

    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
"""Keys and values are computed on a map this many times smaller in both directions."""
MLP_RATIO = 4
STRIDES = (4, 8, 16, 32)
"""Stride of each feature map against the input image."""

_B1_CHANNELS = (64, 128, 320, 512)
SIZES: dict[str, MixTransformerSize] = {
    # Not published: small enough for four sensors at 30 Hz on one CPU core.
    "mit_nano": MixTransformerSize((16, 32, 80, 128), (1, 1, 2, 2)),
    "mit_b0": MixTransformerSize((32, 64, 160, 256), (2, 2, 2, 2)),
    "mit_b1": MixTransformerSize(_B1_CHANNELS, (2, 2, 2, 2)),
    "mit_b2": MixTransformerSize(_B1_CHANNELS, (3, 4, 6, 3)),
    "mit_b3": MixTransformerSize(_B1_CHANNELS, (3, 4, 18, 3)),
    "mit_b4": MixTransformerSize(_B1_CHANNELS, (3, 8, 27, 3)),
    "mit_b5": MixTransformerSize(_B1_CHANNELS, (3, 6, 40, 3)),
}


def size_of(backbone: str) -> MixTransformerSize:
    """Look up a backbone by name.

    Raises:
        ConfigError: there is no such backbone.
    """
    if backbone not in SIZES:
        raise ConfigError(f"backbone is {backbone!r}: expected one of {', '.join(SIZES)}")
    return SIZES[backbone]


def tokens_to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """Turn ``[N, H*W, C]`` into ``[N, C, H, W]`` in channels_last memory, without a copy.

    Reshape and permute, not transpose and unflatten: the strides of the latter are not recognised
    as channels_last when N is 1, and every later operation would copy the map twice.
    """
    return tokens.reshape(tokens.shape[0], height, width, tokens.shape[2]).permute(0, 3, 1, 2)


def map_to_tokens(features: Tensor) -> Tensor:
    """Turn ``[N, C, H, W]`` into ``[N, H*W, C]``."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


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


class OverlapPatchEmbedding(nn.Module):
    """A strided convolution whose patches overlap, then LayerNorm over channels."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int) -> None:
        """Reduce ``in_channels`` maps by ``stride`` to ``channels`` maps."""
        super().__init__()
        self.projection = nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor) -> tuple[Tensor, int, int]:
        """Return tokens ``[N, H*W, C]`` and the H and W of the reduced map."""
        features = self.projection(features)
        height, width = features.shape[2], features.shape[3]
        return self.norm(map_to_tokens(features)), height, width


class EfficientSelfAttention(nn.Module):
    """Self-attention whose keys and values come from a smaller map."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        """Attend with ``heads`` heads; keys and values on a map ``reduction`` times smaller."""
        super().__init__()
        self.heads = heads
        self.reduction = reduction
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        if reduction > 1:
            self.reduce = nn.Conv2d(channels, channels, reduction, reduction)
            self.reduce_norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map tokens ``[N, H*W, C]`` to tokens of the same shape."""
        source = x
        if self.reduction > 1:
            source = map_to_tokens(self.reduce(tokens_to_map(x, height, width)))
            source = self.reduce_norm(source)
        key, value = self.key_value(source).chunk(2, dim=-1)
        attended = F.scaled_dot_product_attention(
            self._split(self.query(x)), self._split(key), self._split(value)
        )
        return self.out(attended.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        """Turn ``[N, L, C]`` into ``[N, heads, L, C / heads]``."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class MixFeedForward(nn.Module):
    """Two linear layers with a depthwise 3x3 convolution between them, which tells positions."""

    def __init__(self, channels: int) -> None:
        """Widen by :data:`MLP_RATIO` and return to ``channels``."""
        super().__init__()
        hidden = MLP_RATIO * channels
        self.widen = nn.Linear(channels, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.narrow = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map tokens ``[N, H*W, C]`` to tokens of the same shape."""
        hidden = self.depthwise(tokens_to_map(self.widen(x), height, width))
        return self.narrow(F.gelu(map_to_tokens(hidden)))


class Block(nn.Module):
    """One transformer block: attention and feed-forward, each with norm and residual."""

    def __init__(self, channels: int, heads: int, reduction: int, drop_path: float) -> None:
        """See :class:`EfficientSelfAttention`; ``drop_path`` is the probability of skipping."""
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels, eps=1e-6)
        self.attention = EfficientSelfAttention(channels, heads, reduction)
        self.feed_forward_norm = nn.LayerNorm(channels, eps=1e-6)
        self.feed_forward = MixFeedForward(channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map tokens ``[N, H*W, C]`` to tokens of the same shape."""
        x = x + self.drop_path(self.attention(self.attention_norm(x), height, width))
        return x + self.drop_path(self.feed_forward(self.feed_forward_norm(x), height, width))


class Stage(nn.Module):
    """One level of the pyramid: patch embedding, blocks, norm."""

    def __init__(self, index: int, in_channels: int, channels: int, drops: list[float]) -> None:
        """Build level ``index`` (0..3) with one block for each drop probability in ``drops``."""
        super().__init__()
        kernel, stride = (7, 4) if index == 0 else (3, 2)
        self.embedding = OverlapPatchEmbedding(in_channels, channels, kernel, stride)
        self.blocks = nn.ModuleList(
            Block(channels, HEADS[index], REDUCTIONS[index], drop) for drop in drops
        )
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, C_in, H, W]`` to ``[N, C, H', W']``."""
        x, height, width = self.embedding(features)
        for block in self.blocks:
            x = block(x, height, width)
        return tokens_to_map(self.norm(x), height, width)


class MixTransformer(nn.Module):
    """The encoder: an image becomes feature maps at strides 4, 8, 16 and 32.

    Any image of at least 32x32 pixels will do; a side that is no multiple of 32 is rounded up at
    each stage.
    """

    def __init__(self, size: MixTransformerSize, drop_path: float = 0.1) -> None:
        """Build the encoder; the drop probability rises linearly from 0 to ``drop_path``."""
        super().__init__()
        self.channels = size.channels
        total = sum(size.depths)
        drops = [drop_path * i / max(total - 1, 1) for i in range(total)]
        stages = []
        in_channels = 3
        for index, (channels, depth) in enumerate(zip(size.channels, size.depths, strict=True)):
            stages.append(Stage(index, in_channels, channels, drops[:depth]))
            drops = drops[depth:]
            in_channels = channels
        self.stages = nn.ModuleList(stages)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``[N, 3, H, W]`` to four maps ``[N, C_i, H / stride_i, W / stride_i]``."""
        pyramid = []
        features = images
        for stage in self.stages:
            features = stage(features)
            pyramid.append(features)
        return pyramid


def _initialise(module: nn.Module) -> None:
    """Initialise as the SegFormer authors do when there are no pretrained weights."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        fan_out = height * width * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        assert module.bias is not None
        nn.init.zeros_(module.bias)


def count_parameters(module: nn.Module) -> int:
    """Count the learned numbers in a module."""
    return sum(parameter.numel() for parameter in module.parameters())
