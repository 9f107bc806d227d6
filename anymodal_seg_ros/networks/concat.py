"""The plain peer: a SegFormer (arXiv 2105.15203) that takes all sensors' planes as one image.

Each kind of sensor has its three planes; those of an absent one are zero. Trained with all sensors
present and nothing else, this is what a missing sensor does to a network that never missed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from anymodal_seg_ros.config import count, number, text
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded
from anymodal_seg_ros.networks.encoders import BACKBONES, pyramid_encoder
from anymodal_seg_ros.networks.segformer_head import SegFormerHead
from anymodal_seg_ros.networks.slots import fill_slots


@dataclass(frozen=True, slots=True)
class ConcatArchitecture:
    """What a model's manifest says about this network."""

    backbone: str = text("mit_b0", f"Encoder: {BACKBONES}")
    head_width: int = count(256, 8, 4096, "Channels inside the head")
    drop_path: float = number(0.1, 0.0, 0.9, "Stochastic depth of the last block while training")
    dropout: float = number(0.1, 0.0, 0.9, "Dropout in the head while training")


class Concat(AnyModalNetwork):
    """One encoder over the planes of all kinds of sensors, SegFormer head."""

    set_like = False
    encodes_apart = False

    def __init__(
        self, architecture: ConcatArchitecture, num_classes: int, modalities: Sequence[str]
    ) -> None:
        """Build the network with random weights.

        Raises:
            ConfigError: the backbone is unknown, or its library is not installed.
        """
        super().__init__(num_classes, modalities)
        self.encoder = pyramid_encoder(
            architecture.backbone, architecture.drop_path, planes=3 * len(modalities)
        )
        # Absent sensors are black ones, so all sets share their statistics.
        self.head = SegFormerHead(
            self.encoder.channels, architecture.head_width, num_classes, architecture.dropout
        )

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """See :meth:`AnyModalNetwork.forward_features`; the encoder fuses from its first layer."""
        planes = fill_slots(images, modality_ids, len(self.modalities)).flatten(1, 2)
        return [features.unsqueeze(1) for features in self.encoder(planes)]

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        """See :meth:`AnyModalNetwork.decode`."""
        return Decoded(self.head([stage.squeeze(1) for stage in features], modality_ids))
