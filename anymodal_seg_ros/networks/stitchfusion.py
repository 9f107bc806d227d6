"""StitchFusion (arXiv 2408.01343): one encoder, small adapters between every pair of sensors.

All sensors run through the same Mix Transformer. Inside its blocks, behind the attention and behind
the feed-forward, adapters carry information from every sensor to every other one; at each stage
their maps become one. With the sum as fusion and adapters between unordered pairs the network has
the published number of parameters; that the DELIVER experiments used the sum is inferred from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from anymodal_seg_ros.config import choice, count, number, text
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded
from anymodal_seg_ros.networks.mix_transformer import MixTransformer, Stage, size_of
from anymodal_seg_ros.networks.modality_layers import ids_of_rows
from anymodal_seg_ros.networks.pair_adapters import PAIRS, PairAdapters
from anymodal_seg_ros.networks.published_initialisation import initialise_as_published
from anymodal_seg_ros.networks.segformer_head import SegFormerHead
from anymodal_seg_ros.networks.slots import fill_slots
from anymodal_seg_ros.networks.stitch_fusion_layer import ConcatFusion, PooledFusion
from anymodal_seg_ros.networks.stitched_block import UPDATES, Stitches


@dataclass(frozen=True, slots=True)
class StitchFusionArchitecture:
    """What a model's manifest says about this network."""

    backbone: str = text("mit_b0", "Encoder: mit_nano or mit_b0 to mit_b5")
    pairs: str = choice(
        PAIRS, "An adapter for each unordered pair of kinds, for each ordered pair, or one for all"
    )
    # The published count for four modalities is that of the last two stages alone (3): inferred.
    first_stitched_stage: int = count(1, 1, 4, "First stage of the encoder with adapters")
    update: str = choice(
        UPDATES,
        "at_once: sensors tell each other what they know at the same time; in_turn: kind by kind, "
        "later ones telling also what they have just been told, as the published code does",
    )
    fusion: str = choice(
        ("sum", "concat", "mean"),
        "sum of the sensors' maps, absent ones counting as the mean of the others; concat: "
        "concatenation, multi-kernel feed-forward and attention; mean, a proposal",
    )
    absent: str = choice(
        ("skip", "zeros"),
        "skip: absent kinds cost nothing; zeros: they run through the network as black images",
    )
    # As published: 256 for mit_b0 and mit_b1, 512 for the larger ones.
    head_width: int = count(256, 8, 4096, "Channels inside the head")
    drop_path: float = number(0.1, 0.0, 0.9, "Stochastic depth of the last block while training")
    dropout: float = number(0.1, 0.0, 0.9, "Dropout in adapters and head while training")


class StitchFusion(AnyModalNetwork):
    """Shared Mix Transformer with adapters between all pairs of sensors, SegFormer head."""

    set_like: ClassVar[bool] = False
    encodes_apart: ClassVar[bool] = False

    def __init__(
        self, architecture: StitchFusionArchitecture, num_classes: int, modalities: Sequence[str]
    ) -> None:
        """Build the network with random weights.

        Raises:
            ConfigError: the backbone is unknown.
        """
        super().__init__(num_classes, modalities)
        size, kinds = size_of(architecture.backbone), len(modalities)
        self.run_absent = architecture.absent == "zeros"
        self.encoder = MixTransformer(size, architecture.drop_path)
        self.stitches = nn.ModuleList(
            nn.ModuleList(_stitches(architecture, channels, kinds) for _ in range(depth))
            if kinds > 1 and stage >= architecture.first_stitched_stage
            else nn.ModuleList()
            for stage, (channels, depth) in enumerate(
                zip(size.channels, size.depths, strict=True), start=1
            )
        )
        self.fusions = nn.ModuleList(
            ConcatFusion(channels, kinds)
            if architecture.fusion == "concat"
            else PooledFusion(times=kinds if architecture.fusion == "sum" else 1)
            for channels in size.channels
        ).apply(initialise_as_published)
        self.head = SegFormerHead(
            size.channels,
            architecture.head_width,
            num_classes,
            architecture.dropout,
            # Where absent sensors are black ones, all sets share their statistics.
            kinds=0 if self.run_absent else kinds,
        ).apply(initialise_as_published)

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """See :meth:`AnyModalNetwork.forward_features`; S is 1."""
        if self.run_absent:
            kinds = len(self.modalities)
            images = fill_slots(images, modality_ids, kinds)
            modality_ids = torch.arange(kinds, device=images.device)
        features, pyramid = images, []
        for stage, stitches, fusion in zip(
            self.encoder.stages, self.stitches, self.fusions, strict=True
        ):
            assert isinstance(stage, Stage) and isinstance(stitches, nn.ModuleList)
            features = _run(stage, stitches, features, modality_ids)
            pyramid.append(fusion(features, modality_ids)[:, None])
        return pyramid

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        """See :meth:`AnyModalNetwork.decode`; the sensors are fused already."""
        return Decoded(self.head([stage[:, 0] for stage in features], modality_ids))

    def fold(self) -> None:
        """See :meth:`AnyModalNetwork.fold`; the adapters become shorter too."""
        super().fold()
        for module in self.modules():
            if isinstance(module, PairAdapters):
                module.fold()


def _stitches(architecture: StitchFusionArchitecture, channels: int, kinds: int) -> Stitches:
    return Stitches(channels, architecture.pairs, kinds, architecture.update, architecture.dropout)


def _run(stage: Stage, stitches: nn.ModuleList, features: Tensor, modality_ids: Tensor) -> Tensor:
    """Run one stage of the encoder with its adapters: ``[B, M, C, H, W]`` to the next such map."""
    batch, rows = features.shape[:2]
    ids = ids_of_rows(modality_ids, batch)
    tokens, height, width = stage.embedding(features.flatten(0, 1), ids)
    if not len(stitches):
        for block in stage.blocks:
            tokens = block(tokens, height, width, ids)
    else:
        tokens = tokens.unflatten(0, (batch, rows))
        for block, stitch in zip(stage.blocks, stitches, strict=True):
            tokens = stitch(block, tokens, height, width, modality_ids)
        tokens = tokens.flatten(0, 1)
    return stage.finish(tokens, height, width, ids).unflatten(0, (batch, rows))
