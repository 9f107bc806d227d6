"""The network of CHARM (arXiv 2508.03060): sensors answer what their weighted sum asks, in windows.

The paper's code is not public. What it leaves open is an option here, or a marked proposal. See
``docs/explanation/methods/charm.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from anymodal_seg_ros.config import choice, count, number, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded
from anymodal_seg_ros.networks.charm_parts import (
    MutualPerceptionUnit,
    SemanticProjector,
    SemanticProjectors,
)
from anymodal_seg_ros.networks.encoders import BACKBONES, pyramid_encoder
from anymodal_seg_ros.networks.mix_transformer import HEADS, initialise
from anymodal_seg_ros.networks.segformer_head import SegFormerHead
from anymodal_seg_ros.networks.votes import contributions_of

WIDE_FROM = 64
"""Channels of the first stage from which on the head is 512 wide by default (proposal).

The widths are CMNeXt's, which has 256 for MiT-B1 too; timm's pyramids have no such names.
"""


@dataclass(frozen=True, slots=True)
class CharmArchitecture:
    """What a model's manifest says about this network. The paper gives none but the backbone."""

    backbone: str = text("mit_b0", f"Encoder: {BACKBONES}")
    head_width: int = count(
        0, 0, 4096, "Channels inside the head; 0: 512, but 256 for mit_nano and mit_b0"
    )
    window: int = count(8, 2, 64, "Side of the windows of the MPU, in cells of a map")
    blocks: int = count(2, 1, 16, "Blocks of the MPU at each stage; every second one is shifted")
    heads: int = count(
        1, 1, 8, "Attention heads at the first stage; the others have 2, 5 and 8 times as many"
    )
    queries: str = choice(
        ("fused", "mutual"),
        "fused: the weighted sum of the sensors asks them; mutual: before it does, every sensor "
        "asks all the others, too",
    )
    feed_forward_ratio: int = count(4, 1, 8, "How far the MPU's feed-forward widens")
    drop_path: float = number(
        0.1, 0.0, 0.9, "Stochastic depth of the encoder's last block and of the MPU, in training"
    )
    dropout: float = number(0.1, 0.0, 0.9, "Dropout in the head while training")


class Charm(AnyModalNetwork):
    """Shared encoder, semantic projectors, MPU at each stage, SegFormer head.

    The collaborative path (CoL) is :meth:`forward`. For the individual path (InE), :meth:`decode`
    is called again with one row of the features, drawn by :func:`softmin_probabilities` of
    :meth:`robustness`.
    """

    any_size: ClassVar[bool] = False

    def __init__(
        self, architecture: CharmArchitecture, num_classes: int, modalities: Sequence[str]
    ) -> None:
        """Build the network with random weights.

        Raises:
            ConfigError: the backbone is unknown or not installed, or its channels cannot be split
                into the heads.
        """
        super().__init__(num_classes, modalities)
        self.encoder = pyramid_encoder(architecture.backbone, architecture.drop_path)
        channels = self.encoder.channels
        heads = [architecture.heads * factor for factor in HEADS]
        if any(c % h for c, h in zip(channels, heads, strict=True)):
            raise ConfigError(
                f"heads is {architecture.heads}: the channels of {architecture.backbone}, "
                f"{', '.join(map(str, channels))}, cannot be split into "
                f"{', '.join(map(str, heads))} heads; use a power of two"
            )
        self.projectors = nn.ModuleList(
            SemanticProjectors(c, len(self.modalities)) for c in channels
        )
        self.units = nn.ModuleList(
            MutualPerceptionUnit(
                c,
                architecture.blocks,
                h,
                architecture.window,
                architecture.feed_forward_ratio,
                architecture.drop_path,
                architecture.queries == "mutual",
            )
            for c, h in zip(channels, heads, strict=True)
        )
        self.projectors.apply(initialise)
        self.units.apply(initialise)
        wide = 512 if channels[0] >= WIDE_FROM else 256
        self.head = SegFormerHead(
            channels,
            architecture.head_width or wide,
            num_classes,
            architecture.dropout,
            kinds=len(self.modalities),
        )

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """Encode and project; see :meth:`AnyModalNetwork.forward_features`."""
        batch, modalities = images.shape[:2]
        pyramid = self.encoder(images.flatten(0, 1))
        return [
            projectors(features.unflatten(0, (batch, modalities)), modality_ids)
            for projectors, features in zip(self.projectors, pyramid, strict=True)
        ]

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        """See :meth:`AnyModalNetwork.decode`; the features know their kinds already."""
        semantics, scores = [], []
        for unit, projected in zip(self.units, features, strict=True):
            semantic, score = unit(projected.permute(0, 1, 3, 4, 2))
            semantics.append(semantic.permute(0, 3, 1, 2))
            scores.append(score)
        return Decoded(self.head(semantics, modality_ids), contributions_of(scores))

    @torch.no_grad()
    def robustness(self, features: list[Tensor]) -> Tensor:
        """Return the robustness of each sensor, ``[M]``, without gradients.

        It is the mean of the evaluators' scores over pixels and batch, then over the stages
        (proposal).

        Args:
            features: what :meth:`forward_features` returned.
        """
        means = []
        for unit, projected in zip(self.units, features, strict=True):
            assert isinstance(unit, MutualPerceptionUnit)
            # The evaluator is linear: the mean of its scores is the score of the mean.
            means.append(unit.robustness(projected.mean(dim=(0, 3, 4))).squeeze(-1))
        return torch.stack(means).mean(dim=0)

    def add_modality(self, name: str, like: str) -> list[nn.Parameter]:
        """See :meth:`AnyModalNetwork.add_modality`; the new kind has projectors of its own."""
        added = super().add_modality(name, like)
        for projectors in self.projectors:
            assert isinstance(projectors, SemanticProjectors)
            added += projectors.add_modality(self.modalities.index(like))
        return added

    def _keep_rows(self, rows: Sequence[int]) -> None:
        super()._keep_rows(rows)
        for projectors in self.projectors:
            assert isinstance(projectors, SemanticProjectors)
            projectors.replace_modalities(rows)

    def modality_parameters(self, name: str) -> list[nn.Parameter]:
        """See :meth:`AnyModalNetwork.modality_parameters`."""
        own = super().modality_parameters(name)
        for projectors in self.projectors:
            assert isinstance(projectors, SemanticProjectors)
            own += projectors.kinds[self.modalities.index(name)].parameters()
        return own

    def fold(self) -> None:
        """See :meth:`AnyModalNetwork.fold`; batch norms of the projectors are folded too."""
        super().fold()
        for module in self.projectors.modules():
            if isinstance(module, SemanticProjector):
                module.fold()


def softmin_probabilities(robustness: Tensor, temperature: float = 1.0) -> Tensor:
    """Return how likely each sensor is drawn for the individual path, ``[M]``: weak ones more.

    Args:
        robustness: what :meth:`Charm.robustness` returned, or its average over steps.
        temperature: tau; large makes all equally likely.
    """
    return (-robustness / temperature).softmax(dim=0)
