"""The Mix Transformer (MiT), the hierarchical encoder of SegFormer.

Written from the definition in the SegFormer paper (arXiv 2105.15203, section 3.1). Networks put the
modality axis into the batch axis before they call it. As in the paper it knows nothing of sensors;
by options its norms and its first convolution are each kind of sensor's own, and so are adapters
behind its stages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.mix_transformer_block import (
    Block,
    Norm,
    map_to_tokens,
    tokens_to_map,
)
from anymodal_seg_ros.networks.modality_layers import (
    LayerNorm,
    ModalityAdapter,
    ModalityLayerNorm,
    ModalityStem,
)


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
STRIDES = (4, 8, 16, 32)
"""Stride of each feature map against the input image."""
SHARING = ("shared", "per_modality")
"""Whether something serves all kinds of sensors or exists for each kind."""
ADAPTERS = ("none", "per_modality")
"""Whether there is a residual adapter behind each stage, for each kind."""

_B1_CHANNELS = (64, 128, 320, 512)
SIZES: dict[str, MixTransformerSize] = {
    # Not published: for one CPU core.
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


class OverlapPatchEmbedding(nn.Module):
    """A strided convolution whose patches overlap, then a norm over channels."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int, norm: Norm = LayerNorm
    ) -> None:
        """Reduce ``in_channels`` maps by ``stride`` to ``channels`` maps."""
        super().__init__()
        self.projection = nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2)
        self.norm = norm(channels)

    def forward(self, features: Tensor, ids: Tensor | None = None) -> tuple[Tensor, int, int]:
        """Return tokens ``[N, H*W, C]`` and the H and W of the reduced map."""
        features = self.projection(features)
        height, width = features.shape[2], features.shape[3]
        return self.norm(map_to_tokens(features), ids), height, width


class ModalityPatchEmbedding(nn.Module):
    """The patch embedding of the first stage with a convolution for each kind of sensor."""

    def __init__(self, planes: int, channels: int, modalities: int, norm: Norm = LayerNorm) -> None:
        """Reduce images of ``planes`` planes by 4 to ``channels`` maps."""
        super().__init__()
        self.stem = ModalityStem(planes, channels, modalities)
        self.norm = norm(channels)

    def forward(self, images: Tensor, ids: Tensor) -> tuple[Tensor, int, int]:
        """Return tokens ``[N, H*W, C]`` and the H and W of the reduced map."""
        tokens, height, width = self.stem(images, ids)
        return self.norm(tokens, ids), height, width


class Stage(nn.Module):
    """One level of the pyramid: patch embedding, blocks, norm.

    Methods that work inside a stage call these three by themselves; tokens are ``[N, H*W, C]``.
    """

    def __init__(
        self,
        index: int,
        embedding: nn.Module,
        channels: int,
        drops: Sequence[float],
        norm: Norm = LayerNorm,
        adapter: ModalityAdapter | None = None,
    ) -> None:
        """Build level ``index`` (0..3) with one block for each drop probability in ``drops``."""
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.ModuleList(
            Block(channels, HEADS[index], REDUCTIONS[index], drop, norm) for drop in drops
        )
        self.norm = norm(channels, eps=1e-6)
        self.adapter = adapter

    def forward(self, features: Tensor, ids: Tensor | None = None) -> Tensor:
        """Map ``[N, C_in, H, W]`` to ``[N, C, H', W']``."""
        x, height, width = self.embedding(features, ids)
        for block in self.blocks:
            x = block(x, height, width, ids)
        return self.finish(x, height, width, ids)

    def finish(self, x: Tensor, height: int, width: int, ids: Tensor | None = None) -> Tensor:
        """Turn the tokens of the last block into the stage's map ``[N, C, H, W]``."""
        x = self.norm(x, ids)
        if self.adapter is not None:
            x = self.adapter(x, ids)
        return tokens_to_map(x, height, width)


class MixTransformer(nn.Module):
    """The encoder: an image becomes feature maps at strides 4, 8, 16 and 32.

    Any image of at least 32x32 pixels will do; a side that is no multiple of 32 is rounded up at
    each stage.
    """

    def __init__(
        self,
        size: MixTransformerSize,
        drop_path: float = 0.1,
        *,
        planes: int = 3,
        norms: str = "shared",
        stem: str = "shared",
        adapters: str = "none",
        modalities: int = 0,
    ) -> None:
        """Build the encoder with random weights.

        Args:
            size: its numbers.
            drop_path: drop probability of the last block; it rises linearly from 0.
            planes: P of an image.
            norms: one of :data:`SHARING`: whether every layer norm has a scale and an offset for
                each kind of sensor.
            stem: one of :data:`SHARING`: whether the first convolution exists for each kind.
            adapters: one of :data:`ADAPTERS`: whether every stage ends with an adapter of the kind.
            modalities: number of kinds, where something is ``per_modality``.

        Raises:
            ConfigError: ``norms``, ``stem`` or ``adapters`` is unknown, or the kinds are not told.
        """
        super().__init__()
        for option, value, known in (
            ("norms", norms, SHARING),
            ("stem", stem, SHARING),
            ("adapters", adapters, ADAPTERS),
        ):
            if value not in known:
                raise ConfigError(f"{option} is {value!r}: expected one of {', '.join(known)}")
            if value == "per_modality" and modalities < 1:
                raise ConfigError(f"{option} is {value!r}, but the number of modalities is 0")
        self.channels = size.channels
        norm: Norm = LayerNorm
        if norms == "per_modality":
            norm = partial(ModalityLayerNorm, modalities=modalities)
        total = sum(size.depths)
        drops = [drop_path * i / max(total - 1, 1) for i in range(total)]
        stages = []
        in_channels = planes
        for index, (channels, depth) in enumerate(zip(size.channels, size.depths, strict=True)):
            kernel, stride = (7, 4) if index == 0 else (3, 2)
            embedding: nn.Module
            if index == 0 and stem == "per_modality":
                embedding = ModalityPatchEmbedding(planes, channels, modalities, norm)
            else:
                embedding = OverlapPatchEmbedding(in_channels, channels, kernel, stride, norm)
            adapter = ModalityAdapter(channels, modalities) if adapters != "none" else None
            stages.append(Stage(index, embedding, channels, drops[:depth], norm, adapter))
            drops = drops[depth:]
            in_channels = channels
        self.stages = nn.ModuleList(stages)
        self.apply(initialise)

    def forward(self, images: Tensor, ids: Tensor | None = None) -> list[Tensor]:
        """Map ``[N, P, H, W]`` to four maps ``[N, C_i, H / stride_i, W / stride_i]``.

        Args:
            images: float, normalised.
            ids: kind of each image, int64 ``[N]``; needed where something is ``per_modality``.
        """
        pyramid = []
        features = images
        for stage in self.stages:
            features = stage(features, ids)
            pyramid.append(features)
        return pyramid


def initialise(module: nn.Module) -> None:
    """Initialise one module as the SegFormer authors do when there are no pretrained weights."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        fan_out = height * width * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, ModalityStem):
        for weight, bias in zip(module.weight.rows, module.bias.rows, strict=True):
            nn.init.normal_(weight, std=math.sqrt(2.0 / (weight[0, 0].numel() * weight.shape[0])))
            nn.init.zeros_(bias)


def count_parameters(module: nn.Module) -> int:
    """Count the learned numbers in a module."""
    return sum(parameter.numel() for parameter in module.parameters())
