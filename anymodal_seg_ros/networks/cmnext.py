"""The network of CMNeXt (arXiv 2303.01480): one camera, helped by any of some other sensors.

The primary sensor has a Mix Transformer of its own. All others together have one branch of pooling
mixers, into which the self-query hub lets at each place and channel the strongest sensor; so a
further sensor costs next to nothing. At each stage the two branches rectify each other and are
fused into one map for the head.

Every kind of sensor has its fixed place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from anymodal_seg_ros.config import choice, count, number, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded
from anymodal_seg_ros.networks.cross_fusion import FeatureFusion
from anymodal_seg_ros.networks.mix_transformer import (
    HEADS,
    MixTransformer,
    OverlapPatchEmbedding,
    size_of,
)
from anymodal_seg_ros.networks.mix_transformer_block import DropPath, map_to_tokens, tokens_to_map
from anymodal_seg_ros.networks.modality_layers import ModalityLayerNorm, ids_of_rows
from anymodal_seg_ros.networks.pooling_mixer import HIDDEN_RATIOS, PoolingMixer
from anymodal_seg_ros.networks.published_initialisation import initialise_as_published
from anymodal_seg_ros.networks.query_hub import SelfQueryHub, strongest
from anymodal_seg_ros.networks.rectification import FeatureRectification
from anymodal_seg_ros.networks.segformer_head import SegFormerHead
from anymodal_seg_ros.networks.slots import fill_slots

NARROW_HEADS = {"mit_nano": 256, "mit_b0": 256, "mit_b1": 256}
WIDE_HEAD = 512


@dataclass(frozen=True, slots=True)
class CMNeXtArchitecture:
    """What a model's manifest says about this network."""

    backbone: str = text("mit_b2", "Encoder of the primary sensor: mit_nano or mit_b0 to mit_b5")
    primary: str = text("rgb", "The modality with the full encoder; where missing, it is zeros")
    head_width: int = count(
        0, 0, 4096, "Channels inside the head; 0 means 256 up to mit_b1 and 512 beyond"
    )
    missing: str = choice(
        ("left_out", "zeros"),
        "Missing auxiliary sensors: left_out of the maximum in the hub, or zeros as images, as in "
        "the published robustness benchmark",
    )
    add_back: str = choice(
        ("aligned", "scrambled"),
        "How an auxiliary sensor gets the rectified map added before the next stage: aligned in "
        "place, or after being scrambled as in the authors' code, which their weights rely on",
    )
    drop_path: float = number(0.1, 0.0, 0.9, "Stochastic depth of the last block while training")
    dropout: float = number(0.1, 0.0, 0.9, "Dropout in the head while training")


class AuxiliaryStage(nn.Module):
    """One stage of the branch that all auxiliary sensors share."""

    def __init__(
        self, index: int, in_channels: int, channels: int, drops: Sequence[float], kinds: int
    ) -> None:
        """Build stage ``index`` (0..3) for ``kinds`` A, one mixer for each drop probability."""
        super().__init__()
        kernel, stride = (7, 4) if index == 0 else (3, 2)
        norm = partial(ModalityLayerNorm, modalities=kinds)
        self.embedding = OverlapPatchEmbedding(in_channels, channels, kernel, stride, norm)
        # The authors build no hub where there is nothing to choose from.
        self.hub = SelfQueryHub(channels, kinds) if kinds > 1 else None
        self.mixers = nn.Sequential(
            *(PoolingMixer(channels, HIDDEN_RATIOS[index], drop) for drop in drops)
        )
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, features: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Embed each auxiliary sensor and select.

        Args:
            features: ``[B, A, C_in, H, W]``.
            present: bool ``[A]``, who takes part in the selection.

        Returns:
            The scored maps of all sensors, ``[B, A, C, H', W']``, and the selected and mixed one,
            ``[B, C, H', W']``.
        """
        batch, kinds = features.shape[:2]
        ids = torch.arange(kinds, device=features.device)
        tokens, height, width = self.embedding(features.flatten(0, 1), ids_of_rows(ids, batch))
        scored = tokens.unflatten(0, (batch, kinds))
        if self.hub is not None:
            scored = self.hub(scored, ids, height, width)
        selected = self.mixers(tokens_to_map(strongest(scored, present), height, width))
        selected = tokens_to_map(self.norm(map_to_tokens(selected)), height, width)
        maps = tokens_to_map(scored.flatten(0, 1), height, width)
        return maps.unflatten(0, (batch, kinds)), selected


class CMNeXt(AnyModalNetwork):
    """A full encoder for the primary sensor, a light branch for all others, fusion per stage."""

    set_like: ClassVar[bool] = False
    encodes_apart: ClassVar[bool] = False

    def __init__(
        self, architecture: CMNeXtArchitecture, num_classes: int, modalities: Sequence[str]
    ) -> None:
        """Build the network with random weights.

        Raises:
            ConfigError: the backbone is unknown, or the primary is none of the modalities.
        """
        super().__init__(num_classes, modalities)
        if architecture.primary not in self.modalities:
            raise ConfigError(
                f"primary is {architecture.primary!r}: expected one of the modalities "
                f"{', '.join(self.modalities)}"
            )
        self.primary = self.modalities.index(architecture.primary)
        self.zeros_take_part = architecture.missing == "zeros"
        self.scrambled = architecture.add_back == "scrambled"
        size = size_of(architecture.backbone)
        self.encoder = MixTransformer(size, architecture.drop_path)
        self.auxiliary = nn.ModuleList()
        self.rectify = nn.ModuleList()
        self.fuse = nn.ModuleList()
        kinds = len(self.modalities) - 1
        for index, stage in enumerate(self.encoder.stages if kinds else ()):
            drops = [m.probability for m in stage.modules() if isinstance(m, DropPath)]
            channels = size.channels[index]
            in_channels = size.channels[index - 1] if index else 3
            self.auxiliary.append(AuxiliaryStage(index, in_channels, channels, drops, kinds))
            self.rectify.append(FeatureRectification(channels))
            self.fuse.append(FeatureFusion(channels, HEADS[index]))
        width = architecture.head_width or NARROW_HEADS.get(architecture.backbone, WIDE_HEAD)
        # Where missing sensors are black ones, all sets share their statistics.
        sets = 0 if self.zeros_take_part else len(self.modalities)
        self.head = SegFormerHead(
            size.channels, width, num_classes, architecture.dropout, kinds=sets
        )
        for part in (self.auxiliary, self.rectify, self.fuse, self.head):
            part.apply(initialise_as_published)

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """See :meth:`AnyModalNetwork.forward_features`; S is 1."""
        slots = fill_slots(images, modality_ids, len(self.modalities))
        if not self.auxiliary:
            return [features.unsqueeze(1) for features in self.encoder(slots[:, 0])]
        present = self._present(modality_ids.to(images.device))
        first, others = slots[:, self.primary], self._without_primary(slots, dim=1)
        pyramid = []
        for encode, auxiliary, rectify, fuse in zip(
            self.encoder.stages, self.auxiliary, self.rectify, self.fuse, strict=True
        ):
            others, second = auxiliary(others, present)
            first, second = rectify(encode(first), second)
            pyramid.append(fuse(first, second).unsqueeze(1))
            others = self._add_back(others, second)
        return pyramid

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        """See :meth:`AnyModalNetwork.decode`."""
        return Decoded(self.head([stage[:, 0] for stage in features], modality_ids))

    def _present(self, modality_ids: Tensor) -> Tensor:
        """Tell which auxiliary sensors take part in the hub: bool ``[A]``."""
        kinds = torch.arange(len(self.modalities), device=modality_ids.device)
        present = (kinds[:, None] == modality_ids).any(dim=1)
        return self._without_primary(present | self.zeros_take_part, dim=0)

    def _without_primary(self, slots: Tensor, dim: int) -> Tensor:
        before = slots.narrow(dim, 0, self.primary)
        after = slots.narrow(dim, self.primary + 1, slots.shape[dim] - self.primary - 1)
        return torch.cat((before, after), dim=dim)

    def _add_back(self, others: Tensor, rectified: Tensor) -> Tensor:
        """Add the rectified map ``[B, C, H, W]`` to the sensors' maps ``[B, A, C, H, W]``."""
        if others.shape[1] == 1:  # the authors pass on the rectified map itself
            return rectified.unsqueeze(1)
        if self.scrambled:
            batch, kinds, channels, height, width = others.shape
            # A map [C, H, W] read as if it were [H, W, C].
            others = others.contiguous().reshape(batch, kinds, height, width, channels)
            others = others.permute(0, 1, 4, 2, 3)
        return others + rectified.unsqueeze(1)
