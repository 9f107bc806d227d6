"""Quorum: sensors vote at every pixel, and count as far as they can be relied on there.

Proposal of this project, see ``docs/explanation/methods/quorum.md``. Shared encoder and late fusion
as in AnySeg (arXiv 2411.17141), weights per pixel as in the robustness evaluator of CHARM (arXiv
2508.03060), and parameters of a modality's own only where they are cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anymodal_seg_ros.config import choice, count, names, number, switch, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded
from anymodal_seg_ros.networks.encoders import BACKBONES, pyramid_encoder
from anymodal_seg_ros.networks.half_size import averaged, halved
from anymodal_seg_ros.networks.modality_layers import ids_of_rows
from anymodal_seg_ros.networks.segformer_head import SegFormerHead, resize_map
from anymodal_seg_ros.networks.votes import TRUST, Ballot, ReliabilityScorer, contributions_of


@dataclass(frozen=True, slots=True)
class QuorumArchitecture:
    """What a model's manifest says about this network. The choices take its parts away."""

    backbone: str = text("mit_b0", f"Encoder: {BACKBONES}")
    head_width: int = count(256, 8, 4096, "Channels inside the head")
    drop_path: float = number(0.1, 0.0, 0.9, "Stochastic depth of the last block while training")
    dropout: float = number(0.1, 0.0, 0.9, "Dropout in the head while training")
    stem: str = choice(
        ("per_modality", "shared"), "First convolution: one for each kind of sensor, or one for all"
    )
    norms: str = choice(
        ("per_modality", "shared"),
        "Scales and offsets of the encoder's layer norms: for each kind of sensor, or for all",
    )
    adapters: str = choice(
        ("none", "per_modality"),
        "A residual adapter behind each stage of the encoder: none, or one for each kind of sensor",
    )
    half_size: tuple[str, ...] = names(
        "Kinds of sensors that are seen at half their size, too: coarse maps of both are averaged"
    )
    fusion: str = choice(
        ("quorum", "reliability", "mean"),
        "quorum: by reliability, and a learned vector where nobody is reliable; reliability: the "
        "same without that vector; mean: all sensors count the same",
    )
    context: str = choice(
        ("coarse_to_fine", "stage"),
        "Reliability of a stage: added to that of the coarser stage, or by itself",
    )
    consensus: bool = switch(True, "Refine the fused map by what cancels out among the sensors")


class Quorum(AnyModalNetwork):
    """Shared encoder, votes by reliability at each stage, SegFormer head."""

    def __init__(
        self, architecture: QuorumArchitecture, num_classes: int, modalities: Sequence[str]
    ) -> None:
        """Build the network with random weights.

        Raises:
            ConfigError: the backbone is unknown or has not what is asked for, or no sensor is of
                a kind of ``half_size``.
        """
        super().__init__(num_classes, modalities)
        if unknown := sorted({*architecture.half_size}.difference(self.modalities)):
            raise ConfigError(
                f"architecture.half_size: there is no modality {unknown[0]!r}: expected some of "
                f"{', '.join(self.modalities)}"
            )
        self.encoder = pyramid_encoder(
            architecture.backbone,
            architecture.drop_path,
            norms=architecture.norms,
            stem=architecture.stem,
            adapters=architecture.adapters,
            modalities=len(self.modalities),
        )
        channels = self.encoder.channels
        self.half_size = [name in architecture.half_size for name in self.modalities]
        self.coarse_to_fine = architecture.context == "coarse_to_fine"
        self.scorers = nn.ModuleList()
        if architecture.fusion != "mean":
            # From coarse to fine the trust adds up, so only the coarsest stage brings it in.
            first = (0.0, 0.0, 0.0, TRUST) if self.coarse_to_fine else (TRUST,) * 4
            self.scorers.extend(
                ReliabilityScorer(c, len(self.modalities), trust)
                for c, trust in zip(channels, first, strict=True)
            )
        self.ballots = nn.ModuleList(
            Ballot(c, architecture.consensus, architecture.fusion == "quorum") for c in channels
        )
        self.head = SegFormerHead(
            channels,
            architecture.head_width,
            num_classes,
            architecture.dropout,
            kinds=len(self.modalities),
        )

    def add_modality(self, name: str, like: str) -> list[nn.Parameter]:
        """See :meth:`AnyModalNetwork.add_modality`; the new kind is seen as often as the other."""
        added = super().add_modality(name, like)
        self.half_size.append(self.half_size[self.modalities.index(like)])
        return added

    def _keep_rows(self, rows: Sequence[int]) -> None:
        super()._keep_rows(rows)
        self.half_size = [self.half_size[row] for row in rows]

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """See :meth:`AnyModalNetwork.forward_features`."""
        batch, modalities = images.shape[:2]
        rows, ids = images.flatten(0, 1), ids_of_rows(modality_ids, batch)
        pyramid = self.encoder(rows, ids)
        if any(self.half_size):
            twice = torch.tensor(self.half_size, device=ids.device).index_select(0, ids)
            pyramid = averaged(pyramid, self.encoder(halved(rows), ids), twice)
        return [features.unflatten(0, (batch, modalities)) for features in pyramid]

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        """See :meth:`AnyModalNetwork.decode`."""
        return self.count(features, self.reliability(features, modality_ids), modality_ids)

    def reliability(self, features: list[Tensor], modality_ids: Tensor) -> list[Tensor]:
        """Predict how far each sensor can be relied on, at each pixel of each stage.

        Training may supervise this, for example by whether the sensor alone would be right there;
        :meth:`count` then goes on from it without computing it twice.

        Args:
            features: what :meth:`forward_features` returned.
            modality_ids: int64 ``[M]``.

        Returns:
            For each stage the log-odds ``[B, M, H_i, W_i]`` of being right; zeros where the
            network fuses by the mean.
        """
        if not self.scorers:
            return [stage.new_zeros(stage.shape[:2] + stage.shape[3:]) for stage in features]
        log_odds = [
            scorer(_channels_last(stage), modality_ids)
            for scorer, stage in zip(self.scorers, features, strict=True)
        ]
        if self.coarse_to_fine:
            for stage in (2, 1, 0):
                coarser = resize_map(log_odds[stage + 1], log_odds[stage].shape[-2:])
                log_odds[stage] = log_odds[stage] + coarser
        return log_odds

    def count(
        self, features: list[Tensor], reliability: list[Tensor], modality_ids: Tensor
    ) -> Decoded:
        """Count the votes and classify.

        Args:
            features: what :meth:`forward_features` returned.
            reliability: log-odds as :meth:`reliability` returns them, or others in their place.
            modality_ids: int64 ``[M]``.
        """
        fused = [
            ballot(_channels_last(stage), log_odds).permute(0, 3, 1, 2)
            for ballot, stage, log_odds in zip(self.ballots, features, reliability, strict=True)
        ]
        return Decoded(self.head(fused, modality_ids), contributions_of(reliability))


def _channels_last(features: Tensor) -> Tensor:
    """Turn ``[B, M, C, H, W]`` into ``[B, M, H, W, C]``."""
    return features.permute(0, 1, 3, 4, 2)
