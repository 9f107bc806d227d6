"""MAGIC (arXiv 2407.11344) from its description: its code is not public.

One encoder serves all kinds of sensors. A multi-modal aggregation module (MAM) fuses the features
of the sensors that are present, at each of the four scales. While training, an arbitrary-modal
selection module (ASM) picks the sensors that agree most and least with the fused features; a second
MAM fuses these two, and the losses compare its prediction and its features with the first one's.

Proposals where the description is silent: the aggregation begins with the mean over the sensors, so
that any number in any order will do; the convolution is depthwise 7x7; there are two parallel MLPs,
of hidden widths C and 2C; the ranking is by the cosine averaged over pixels and scales, image by
image; both predictions come from one head.

The published 24.73 M parameters (MiT-B2, 25 classes) are those of the encoder and of a head of
width 256. The aggregation modules are not in that number; here they are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.config import count, number, text
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded
from anymodal_seg_ros.networks.encoders import BACKBONES, pyramid_encoder
from anymodal_seg_ros.networks.mix_transformer import initialise
from anymodal_seg_ros.networks.segformer_head import SegFormerHead

POOLS = (3, 7, 11)
"""Sides of the average pools that run in parallel."""


@dataclass(frozen=True, slots=True)
class MagicArchitecture:
    """What a model's manifest says about this network."""

    backbone: str = text("mit_b0", f"Encoder: {BACKBONES}")
    head_width: int = count(256, 8, 4096, "Channels inside the head")
    drop_path: float = number(0.1, 0.0, 0.9, "Stochastic depth of the last block while training")
    dropout: float = number(0.1, 0.0, 0.9, "Dropout in the head while training")


class AggregationModule(nn.Module):
    """MAM: convolution, parallel pools, sigmoid gate, parallel MLPs, residuals."""

    def __init__(self, channels: int) -> None:
        """Aggregate maps of ``channels`` channels."""
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.gate = nn.Conv2d(channels, channels, 1)
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, width, 1), nn.GELU(), nn.Conv2d(width, channels, 1))
            for width in (channels, 2 * channels)
        )
        self.apply(initialise)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, M, C, H, W]`` to ``[B, C, H, W]``; the order of the M is of no account."""
        mean = features.mean(dim=1)
        pooled = mixed = self.convolution(mean)
        for side in POOLS:
            mixed = mixed + F.avg_pool2d(pooled, side, 1, side // 2, count_include_pad=False)
        gated = mean + torch.sigmoid(self.gate(mixed)) * mean
        return gated + self.mlps[0](gated) + self.mlps[1](gated)


class ModalitySelection(NamedTuple):
    """What the selection module gives to the losses.

    Attributes:
        rows: int64 ``[B, 2]``, which rows of the modality axis agree most and least with the fused
            features, image by image.
        logits: of these two alone, ``[B, K, H/4, W/4]`` (P_s of the paper).
        correlations: cosines between every row's features and the fused ones, ``[B, M]``, detached.
        selected_correlations: cosines between every row's features and those fused from the two
            selected ones, ``[B, M]``. The loss L_C compares both on the rows not selected.
    """

    rows: Tensor
    logits: Tensor
    correlations: Tensor
    selected_correlations: Tensor


class Magic(AnyModalNetwork):
    """Shared encoder, aggregation at each scale, SegFormer head."""

    def __init__(
        self, architecture: MagicArchitecture, num_classes: int, modalities: Sequence[str]
    ) -> None:
        """Build the network with random weights.

        Raises:
            ConfigError: the backbone is unknown, or its library is not installed.
        """
        super().__init__(num_classes, modalities)
        self.encoder = pyramid_encoder(architecture.backbone, architecture.drop_path)
        channels = self.encoder.channels
        self.aggregation = nn.ModuleList(AggregationModule(c) for c in channels)
        self.selected_aggregation = nn.ModuleList(AggregationModule(c) for c in channels)
        self.head = SegFormerHead(
            channels,
            architecture.head_width,
            num_classes,
            architecture.dropout,
            kinds=len(self.modalities),
        )

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """See :meth:`AnyModalNetwork.forward_features`; the ids are of no account here."""
        batch, modalities = images.shape[:2]
        pyramid = self.encoder(images.flatten(0, 1))
        return [features.unflatten(0, (batch, modalities)) for features in pyramid]

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        """See :meth:`AnyModalNetwork.decode`."""
        return Decoded(self.head(_aggregate(self.aggregation, features), modality_ids))

    def select(self, features: list[Tensor]) -> ModalitySelection:
        """Do what the ASM does in a training step (arXiv 2407.11344).

        Args:
            features: of all sensors, from :meth:`forward_features`; M of at least 2.
        """
        with torch.no_grad():
            fused = _aggregate(self.aggregation, features)
            correlations = correlate(features, fused)
            rows = torch.stack([correlations.argmax(dim=1), correlations.argmin(dim=1)], dim=1)
        images = torch.arange(rows.shape[0], device=rows.device)[:, None]
        selected = _aggregate(self.selected_aggregation, [f[images, rows] for f in features])
        return ModalitySelection(
            rows, self.head(selected), correlations, correlate(features, selected)
        )

    def training_parts(self) -> Sequence[nn.Module]:
        """See :meth:`AnyModalNetwork.training_parts`."""
        return (self.selected_aggregation,)


def correlate(features: Sequence[Tensor], references: Sequence[Tensor]) -> Tensor:
    """Return cosines over channels, averaged over pixels and scales, in single precision.

    Args:
        features: at each scale ``[B, M, C, H, W]``.
        references: at each scale ``[B, C, H, W]``.

    Returns:
        ``[B, M]``, from -1 to 1.
    """
    cosines = [
        F.cosine_similarity(stage.float(), reference[:, None].float(), dim=2).mean(dim=(2, 3))
        for stage, reference in zip(features, references, strict=True)
    ]
    return torch.stack(cosines).mean(dim=0)


def _aggregate(modules: nn.ModuleList, features: Sequence[Tensor]) -> list[Tensor]:
    return [module(stage) for module, stage in zip(modules, features, strict=True)]
