"""SegRGB-X (arXiv 2603.28023), one set of weights for RGB with any other sensor, for any sensors.

The paper takes RGB and one other sensor. What is known of it: prompts from a CLIP encoder with
low-rank additions (MA-CLIP) steer the segmentation network, learned prompts align the two, a module
refines features by domain (DSRM), the label spaces of several data sets are united (see
:mod:`.label_space`). How these parts are built, and their extension to any subset of sensors in any
order, are a proposal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from anymodal_seg_ros.config import choice, count, number, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.aligned_embedding import AlignedEmbedding
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded
from anymodal_seg_ros.networks.control_prompts import ClipPrompts, LearnedPrompts
from anymodal_seg_ros.networks.domain_refinement import DomainRefinement
from anymodal_seg_ros.networks.ma_clip import CLIP_SIZES, MaClip
from anymodal_seg_ros.networks.mix_transformer import HEADS, SHARING, MixTransformer, Stage, size_of
from anymodal_seg_ros.networks.modality_layers import ids_of_rows
from anymodal_seg_ros.networks.one_versus_others import OneVersusOthers
from anymodal_seg_ros.networks.segformer_head import SegFormerHead


@dataclass(frozen=True, slots=True)
class SegRGBXArchitecture:
    """What a model's manifest says about this network."""

    backbone: str = text("mit_b2", "Encoder: mit_nano or mit_b0 to mit_b5")
    norms: str = choice(SHARING[::-1], "Layer norms of the encoder: for each kind, or shared")
    control: str = choice(
        ("clip", "learned"), "Control prompts from MA-CLIP, or learned for each kind without it"
    )
    clip: str = choice(CLIP_SIZES, "Image tower of CLIP; tiny-random is for tests and trials")
    lora_rank: int = count(8, 1, 256, "Rank of the additions to CLIP")
    lora_alpha: float = number(16.0, 0.0, 1024.0, "The additions count alpha / rank")
    control_prompts: int = count(4, 1, 64, "Control prompts of each stage")
    aligned_prompts: int = count(
        8, 0, 64, "Learned prompts of each kind and stage; 0: control prompts enter directly"
    )
    refinement: str = choice(("all", "last", "none"), "Stages with a DSRM")
    gating: str = choice(
        ("soft", "hard"), "What picks its experts: features and prompts, or the kinds of sensors"
    )
    experts: int = count(5, 1, 64, "Experts of a DSRM with soft gating; with hard, one for a kind")
    head_width: int = count(512, 8, 4096, "Channels inside the head")
    drop_path: float = number(0.1, 0.0, 0.9, "Stochastic depth of the last block while training")
    dropout: float = number(0.1, 0.0, 0.9, "Dropout in the head while training")


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the encoder of :class:`SegRGBX` says, one entry for each stage.

    Attributes:
        pyramid: fused maps ``[B, C_i, H_i, W_i]``.
        control: control prompts ``[B, M, P, C_i]``.
        aligned: aligned prompts ``[B, M, A, C_i]``, for the alignment loss.
        gates: weights of the experts ``[B, X]`` where there is a DSRM, for the gate's loss.
    """

    pyramid: list[Tensor]
    control: list[Tensor]
    aligned: list[Tensor]
    gates: list[Tensor]


class SegRGBX(AnyModalNetwork):
    """Shared Mix Transformer, steered by MA-CLIP, pairwise fusion made symmetric, DSRM.

    Attributes:
        architecture: what it was built from.
        ma_clip: the CLIP encoder; None where the control prompts are learned without it.
    """

    encodes_apart: ClassVar[bool] = False

    def __init__(
        self, architecture: SegRGBXArchitecture, num_classes: int, modalities: Sequence[str]
    ) -> None:
        """Build the network with random weights, those of CLIP frozen.

        Raises:
            ConfigError: the backbone is unknown.
        """
        super().__init__(num_classes, modalities)
        self.architecture = architecture
        size, kinds = size_of(architecture.backbone), len(modalities)
        self.encoder = MixTransformer(
            size, architecture.drop_path, norms=architecture.norms, modalities=kinds
        )
        self.ma_clip: MaClip | None = None
        self.prompts: ClipPrompts | LearnedPrompts
        if architecture.control == "clip":
            self.ma_clip = MaClip(
                architecture.clip, architecture.lora_rank, architecture.lora_alpha, kinds
            )
            self.prompts = ClipPrompts(
                self.ma_clip.embedding, size.channels, architecture.control_prompts
            )
        else:
            self.prompts = LearnedPrompts(kinds, size.channels, architecture.control_prompts)
        self.embeddings = nn.ModuleList(
            AlignedEmbedding(channels, architecture.aligned_prompts, kinds)
            for channels in size.channels
        )
        self.fusions = nn.ModuleList(map(OneVersusOthers, size.channels, HEADS))
        self.expert_for_each_kind = architecture.gating == "hard"
        experts = kinds if self.expert_for_each_kind else architecture.experts
        refined = {"all": range(4), "last": (3,), "none": ()}[architecture.refinement]
        self.refinements = nn.ModuleDict(
            {
                str(stage): DomainRefinement(size.channels[stage], experts, architecture.gating)
                for stage in refined
            }
        )
        self.head = SegFormerHead(
            size.channels,
            architecture.head_width,
            num_classes,
            architecture.dropout,
            kinds=len(self.modalities),
        )

    def encode(self, images: Tensor, modality_ids: Tensor) -> Encoded:
        """Encode and fuse, for training: with what the auxiliary losses of the proposal need.

        Args:
            images: float ``[B, M, 3, H, W]``, normalised.
            modality_ids: int64 ``[M]``.
        """
        batch, rows = images.shape[:2]
        ids = ids_of_rows(modality_ids, batch)
        control = self._control(images, modality_ids)
        pyramid, aligned, gates = [], [], []
        features = images
        for index, stage in enumerate(self.encoder.stages):
            assert isinstance(stage, Stage)
            x, height, width = stage.embedding(features.flatten(0, 1), ids)
            x, prompts = self.embeddings[index](x, control[index].flatten(0, 1), ids)
            for block in stage.blocks:
                x = block(x, height, width, ids)
            features = stage.finish(x, height, width, ids).unflatten(0, (batch, rows))
            features, fused = self.fusions[index](features)
            if str(index) in self.refinements:
                refine = self.refinements[str(index)]
                fused, gate = refine(fused, control[index], modality_ids)
                gates.append(gate)
            pyramid.append(fused)
            aligned.append(prompts.unflatten(0, (batch, rows)))
        return Encoded(pyramid, control, aligned, gates)

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """See :meth:`AnyModalNetwork.forward_features`; S is 1."""
        return [fused[:, None] for fused in self.encode(images, modality_ids).pyramid]

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        """See :meth:`AnyModalNetwork.decode`; the sensors are fused already."""
        return Decoded(self.head([stage[:, 0] for stage in features], modality_ids))

    def _refuse_other_kinds(self, change: str) -> None:
        """Not with hard gating, which counts kinds."""
        if self.expert_for_each_kind:
            raise ConfigError(
                f"cannot {change}: with gating 'hard' every modality has an expert of its own and "
                "the network must be trained anew"
            )
        super()._refuse_other_kinds(change)

    def _control(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """Return the control prompts of each stage, ``[B, M, P, C_i]``."""
        batch, rows = images.shape[:2]
        if isinstance(self.prompts, LearnedPrompts):
            return self.prompts(batch, modality_ids)
        assert self.ma_clip is not None
        ids = ids_of_rows(modality_ids, batch)
        embeddings = self.ma_clip(images.flatten(0, 1), ids)
        return self.prompts(embeddings.unflatten(0, (batch, rows)))
