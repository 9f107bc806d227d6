"""The network of AnySeg (arXiv 2411.17141): one shared encoder, mean over the modalities, one head.

There are no weights of a modality's own and no weights in the fusion, so any subset of sensors, and
any number of them, runs through the same network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from anymodal_seg_ros.config import count, number, text
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded
from anymodal_seg_ros.networks.encoders import BACKBONES, pyramid_encoder
from anymodal_seg_ros.networks.segformer_head import SegFormerHead


@dataclass(frozen=True, slots=True)
class AnySegArchitecture:
    """What a model's manifest says about this network."""

    backbone: str = text("mit_b0", f"Encoder: {BACKBONES}")
    # The authors' code uses 768 for every backbone; 256 costs less and is what their peers use.
    head_width: int = count(256, 8, 4096, "Channels inside the head")
    drop_path: float = number(0.1, 0.0, 0.9, "Stochastic depth of the last block while training")
    dropout: float = number(0.1, 0.0, 0.9, "Dropout in the head while training")


class AnySeg(AnyModalNetwork):
    """Shared encoder, mean fusion, SegFormer head."""

    def __init__(
        self, architecture: AnySegArchitecture, num_classes: int, modalities: Sequence[str]
    ) -> None:
        """Build the network with random weights.

        Raises:
            ConfigError: the backbone is unknown, or its library is not installed.
        """
        super().__init__(num_classes, modalities)
        self.encoder = pyramid_encoder(architecture.backbone, architecture.drop_path)
        self.head = SegFormerHead(
            self.encoder.channels,
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
        return Decoded(self.head([stage.mean(dim=1) for stage in features], modality_ids))
