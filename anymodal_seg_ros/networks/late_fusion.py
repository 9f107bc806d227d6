"""The other plain peer: a SegFormer (arXiv 2105.15203) for each kind of sensor, opinions averaged.

Nothing is shared and nothing is learned together but the classes, so it shows what sensors can do
without knowing of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anymodal_seg_ros.config import choice, count, number, text
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded
from anymodal_seg_ros.networks.encoders import BACKBONES, pyramid_encoder
from anymodal_seg_ros.networks.segformer_head import SegFormerHead
from anymodal_seg_ros.networks.slots import fill_slots


@dataclass(frozen=True, slots=True)
class LateFusionArchitecture:
    """What a model's manifest says about this network."""

    backbone: str = text("mit_b0", f"Encoder of each kind of sensor: {BACKBONES}")
    head_width: int = count(256, 8, 4096, "Channels inside each head")
    # The mean of log-probabilities is the mean of logits but for a number that all classes share.
    fusion: str = choice(
        ("logits", "probabilities"),
        "Mean of the logits, which multiplies opinions; or of the probabilities, which adds them",
    )
    drop_path: float = number(0.1, 0.0, 0.9, "Stochastic depth of the last block while training")
    dropout: float = number(0.1, 0.0, 0.9, "Dropout in the heads while training")


class LateFusion(AnyModalNetwork):
    """An encoder and a head for each kind of sensor; the mean of what the present ones say."""

    set_like = False

    def __init__(
        self, architecture: LateFusionArchitecture, num_classes: int, modalities: Sequence[str]
    ) -> None:
        """Build the network with random weights.

        Raises:
            ConfigError: the backbone is unknown, or its library is not installed.
        """
        super().__init__(num_classes, modalities)
        self._fusion = architecture.fusion
        encoders = [
            pyramid_encoder(architecture.backbone, architecture.drop_path) for _ in modalities
        ]
        self.encoders = nn.ModuleList(encoders)
        self.heads = nn.ModuleList(
            SegFormerHead(e.channels, architecture.head_width, num_classes, architecture.dropout)
            for e in encoders
        )

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """See :meth:`AnyModalNetwork.forward_features`."""

        def encode(kind: int, inputs: Sequence[Tensor]) -> list[Tensor]:
            pyramid: list[Tensor] = self.encoders[kind](inputs[0])
            return pyramid

        return self._each(encode, [images], modality_ids)

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        """See :meth:`AnyModalNetwork.decode`."""

        def classify(kind: int, inputs: Sequence[Tensor]) -> list[Tensor]:
            return [self.heads[kind](inputs)]

        (logits,) = self._each(classify, features, modality_ids)
        if self._fusion == "probabilities":
            return Decoded(logits.float().softmax(dim=2).mean(dim=1).clamp_min(1e-30).log())
        return Decoded(logits.mean(dim=1))

    def _each(
        self,
        part: Callable[[int, Sequence[Tensor]], list[Tensor]],
        rows: Sequence[Tensor],
        modality_ids: Tensor,
    ) -> list[Tensor]:
        """Let the part of its kind work on every row.

        In a compiled or exported graph the ids are not known, so the parts of all kinds run and
        those of absent ones are thrown away. While training only the present ones may run: the
        batch norms of the others would learn from zeros.

        Args:
            part: maps a kind and tensors ``[B, ...]`` to tensors ``[B, ...]``.
            rows: tensors ``[B, M, ...]``.
            modality_ids: int64 ``[M]``.

        Returns:
            Tensors ``[B, M, ...]``.
        """
        kinds = len(self.modalities)
        if torch.compiler.is_compiling() and not self.training:
            slots = [fill_slots(tensor, modality_ids, kinds) for tensor in rows]
            results = [part(k, [slot[:, k] for slot in slots]) for k in range(kinds)]
            stacked = [torch.stack(maps, dim=1) for maps in zip(*results, strict=True)]
            return [maps.index_select(1, modality_ids) for maps in stacked]
        results = [
            part(kind, [tensor[:, row] for tensor in rows])
            for row, kind in enumerate(modality_ids.tolist())
        ]
        return [torch.stack(maps, dim=1) for maps in zip(*results, strict=True)]
