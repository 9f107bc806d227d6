"""The network of EQUISeg (arXiv 2509.24505): equal encoding of all sensors.

Every sensor has a branch, in which it is the primary one and the others help; see
:mod:`.cross_modal_stage`. The paper's text leaves open how much the branches share and how they
become one map for the head; both are options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from anymodal_seg_ros.config import choice, count, number, text
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded
from anymodal_seg_ros.networks.cross_modal_stage import CrossModalStage
from anymodal_seg_ros.networks.mix_transformer import MixTransformer, size_of
from anymodal_seg_ros.networks.mix_transformer_block import DropPath, map_to_tokens, tokens_to_map
from anymodal_seg_ros.networks.modality_layers import ModalityTensor, ids_of_rows
from anymodal_seg_ros.networks.segformer_head import SegFormerHead
from anymodal_seg_ros.networks.slots import fill_slots


@dataclass(frozen=True, slots=True)
class EQUISegArchitecture:
    """What a model's manifest says about this network."""

    backbone: str = text("mit_b0", "Encoder: mit_nano or mit_b0 to mit_b5")
    branches: str = choice(
        ("shared", "separate"),
        "shared: one encoder, whose layer norms exist for each modality; separate: an encoder for "
        "each modality, at a fixed place, all of which run whatever is missing",
    )
    cross_attention: str = choice(
        ("last_block", "every_block"), "Which blocks of a stage attend to the other sensors"
    )
    mixers: int = count(1, 1, 8, "Pooling mixers of a stage, after its hub")
    fusion: str = choice(
        ("mean", "concatenation"),
        "How the branches become one map: their mean, or a 1x1 convolution on their concatenation "
        "with zeros for missing sensors",
    )
    head_width: int = count(256, 8, 4096, "Channels inside the head")
    drop_path: float = number(0.1, 0.0, 0.9, "Stochastic depth of the last block while training")
    dropout: float = number(0.1, 0.0, 0.9, "Dropout in the head while training")


class BranchConcatenation(nn.Module):
    """A 1x1 convolution on the concatenation of all branches, missing ones being zeros.

    Computed as the sum of a product for each branch that is there.
    """

    def __init__(self, channels: int, kinds: int) -> None:
        """Bring ``kinds`` maps of ``channels`` C to one of C."""
        super().__init__()
        std = (kinds * channels) ** -0.5
        self.weight = ModalityTensor([std * torch.randn(channels, channels) for _ in range(kinds)])
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor, modality_ids: Tensor) -> Tensor:
        """Map ``[B, M, C, H, W]`` of kinds ``[M]`` to ``[B, C, H, W]``."""
        batch, rows, _, height, width = maps.shape
        tokens = map_to_tokens(maps.flatten(0, 1))
        products = torch.bmm(tokens, self.weight(ids_of_rows(modality_ids, batch)))
        total = products.unflatten(0, (batch, rows)).sum(dim=1) + self.bias
        return tokens_to_map(total, height, width)


class EQUISeg(AnyModalNetwork):
    """Every sensor the primary in turn, equal fusion of all branches, SegFormer head."""

    encodes_apart: ClassVar[bool] = False

    def __init__(
        self, architecture: EQUISegArchitecture, num_classes: int, modalities: Sequence[str]
    ) -> None:
        """Build the network with random weights.

        Raises:
            ConfigError: the backbone is unknown.
        """
        super().__init__(num_classes, modalities)
        kinds = len(self.modalities)
        size = size_of(architecture.backbone)
        self.separate = architecture.branches == "separate"
        if self.separate:
            self.set_like = False  # type: ignore[misc]  # this one network has fixed places
            encoders = [MixTransformer(size, architecture.drop_path) for _ in self.modalities]
        else:
            encoders = [
                MixTransformer(size, architecture.drop_path, norms="per_modality", modalities=kinds)
            ]
        self.encoders = nn.ModuleList(encoders)
        self.stages = nn.ModuleList()
        for index, stage in enumerate(encoders[0].stages):
            channels, depth = size.channels[index], size.depths[index]
            first = depth - 1 if architecture.cross_attention == "last_block" else 0
            drop_path = [m.probability for m in stage.modules() if isinstance(m, DropPath)][-1]
            self.stages.append(
                CrossModalStage(
                    index,
                    channels,
                    kinds,
                    branches=len(encoders),
                    mixers=architecture.mixers,
                    attending=range(first, depth),
                    drop_path=drop_path,
                )
            )
        self.fusion = nn.ModuleList(
            BranchConcatenation(channels, kinds)
            for channels in size.channels
            if architecture.fusion == "concatenation"
        )
        self.head = SegFormerHead(
            size.channels,
            architecture.head_width,
            num_classes,
            architecture.dropout,
            kinds=len(self.modalities),
        )

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """Encode every sensor as the primary; see :meth:`AnyModalNetwork.forward_features`.

        S is M. The features of a sensor, which its prototypes are made of, have learned from all
        other sensors of the call.
        """
        rows = modality_ids.to(images.device)
        features, ids, present = images, rows, torch.ones_like(rows).bool()
        if self.separate:
            places = len(self.modalities)
            features = fill_slots(images, rows, places)
            ids = torch.arange(places, device=images.device)
            present = (ids[:, None] == rows).any(dim=1)
        # Where the number of sensors is a variable, what a single one learns from the others is
        # computed and masked; here nothing is computed in vain, nor seen by a batch norm.
        between = present if torch.compiler.is_exporting() or images.shape[1] > 1 else None
        pyramid = []
        levels = zip(
            *(cast(MixTransformer, encoder).stages for encoder in self.encoders), strict=True
        )
        for stage, encoders in zip(self.stages, levels, strict=True):
            features = stage(encoders, features, ids, between)
            pyramid.append(features.index_select(1, rows) if self.separate else features)
        return pyramid

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        """See :meth:`AnyModalNetwork.decode`."""
        if not self.fusion:
            return Decoded(self.head([stage.mean(dim=1) for stage in features], modality_ids))
        fused = [f(stage, modality_ids) for f, stage in zip(self.fusion, features, strict=True)]
        return Decoded(self.head(fused, modality_ids))
