"""The parts of CHARM (arXiv 2508.03060): projectors of each kind of sensor, and the MPU.

Maps have their channels last, except inside the convolutions of the projector.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import fusion

from anymodal_seg_ros.networks.mix_transformer_block import DropPath, MixFeedForward
from anymodal_seg_ros.networks.modality_layers import ids_of_rows
from anymodal_seg_ros.networks.windows import WindowCrossAttention

KERNELS = (11, 7, 3)


class SemanticProjector(nn.Module):
    """Depthwise convolutions of 11x11, 7x7 and 3x3, then 1x1: the semantics of one kind of sensor.

    Their order, the norms, the GELU between them and the residual are a proposal.
    """

    def __init__(self, channels: int) -> None:
        """Project maps of ``channels`` channels to maps of the same shape."""
        super().__init__()
        self.depthwise = nn.ModuleList(
            nn.Conv2d(channels, channels, k, padding=k // 2, groups=channels, bias=False)
            for k in KERNELS
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in KERNELS)
        self.between = nn.GELU()
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, C, H, W]`` to the same shape."""
        x = features
        for index, (convolution, norm) in enumerate(zip(self.depthwise, self.norms, strict=True)):
            x = norm(convolution(self.between(x) if index else x))
        return features + self.pointwise(x)

    def fold(self) -> None:
        """Fold the batch norms into the convolutions."""
        for index, norm in enumerate(self.norms):
            if isinstance(norm, nn.BatchNorm2d):
                convolution = cast(nn.Conv2d, self.depthwise[index])
                self.depthwise[index] = fusion.fuse_conv_bn_eval(convolution.eval(), norm.eval())
                self.norms[index] = nn.Identity()


class SemanticProjectors(nn.Module):
    """A projector for each kind of sensor."""

    def __init__(self, channels: int, kinds: int) -> None:
        """Build ``kinds`` projectors for maps of ``channels`` channels."""
        super().__init__()
        self.kinds = nn.ModuleList(SemanticProjector(channels) for _ in range(kinds))

    def forward(self, features: Tensor, modality_ids: Tensor) -> Tensor:
        """Map ``[B, M, C, H, W]``, the kinds of M given by ids ``[M]``, to the same shape.

        Where the kinds are known, each row goes through its own projector. In a compiled or
        exported graph they are not: there every row goes through every projector and takes what is
        its own. A convolution with weights picked at run time would cost less, but few of the
        programs that run such graphs have it.
        """
        if self.training or not torch.compiler.is_compiling():
            return self._each(features, modality_ids.tolist())
        batch, modalities = features.shape[:2]
        rows = features.flatten(0, 1)
        kinds = ids_of_rows(modality_ids, batch)[:, None, None, None]
        projected = self.kinds[0](rows)
        for kind, projector in enumerate(self.kinds):
            if kind:
                projected = torch.where(kinds == kind, projector(rows), projected)
        return projected.unflatten(0, (batch, modalities))

    def _each(self, features: Tensor, kinds: Sequence[int]) -> Tensor:
        """Put the rows of each kind through its projector, all at once for the norms' sake."""
        rows: list[Tensor] = [features] * len(kinds)
        for kind in set(kinds):
            places = [place for place, other in enumerate(kinds) if other == kind]
            together = torch.cat([features[:, place] for place in places])
            parts = self.kinds[kind](together).chunk(len(places))
            for place, part in zip(places, parts, strict=True):
                rows[place] = part
        return torch.stack(rows, dim=1)

    def add_modality(self, like: int) -> list[nn.Parameter]:
        """Append a copy of the projector ``like`` and return its parameters."""
        added = copy.deepcopy(self.kinds[like]).requires_grad_(True)
        self.kinds.append(added)
        return list(added.parameters())

    def replace_modalities(self, rows: Sequence[int]) -> None:
        """Keep the projectors ``rows``, in this order; one named twice is copied."""
        self.kinds = nn.ModuleList(copy.deepcopy(self.kinds[row]) for row in rows)


class PerceptionBlock(nn.Module):
    """One block of the MPU: the semantic map asks the sensors inside windows, then feeds forward.

    Keys and values of the sensors are concatenated (proposal), so that any number of them will do.
    Where the sensors ask, too, each is first refined by what it reads in all the others.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        window: int,
        shifted: bool,
        ratio: int,
        drop_path: float,
        mutual: bool = False,
    ) -> None:
        """Build the block.

        Args:
            channels: C of all maps.
            heads: see :class:`.WindowCrossAttention`.
            window: see there.
            shifted: see there.
            ratio: how far the feed-forward widens.
            drop_path: probability that a residual branch is skipped for an item while training.
            mutual: whether the sensors ask, too.
        """
        super().__init__()
        self.mutual_norm = nn.LayerNorm(channels, eps=1e-6) if mutual else None
        self.mutual = WindowCrossAttention(channels, heads, window, shifted) if mutual else None
        self.asking_norm = nn.LayerNorm(channels, eps=1e-6)
        self.asked_norm = nn.LayerNorm(channels, eps=1e-6)
        self.attention = WindowCrossAttention(channels, heads, window, shifted)
        self.feed_forward_norm = nn.LayerNorm(channels, eps=1e-6)
        self.feed_forward = MixFeedForward(channels, ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, semantic: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Refine the map ``[B, H, W, C]`` by the sensors' ``[B, M, H, W, C]``, and those."""
        height, width = semantic.shape[1:3]
        if self.mutual is not None and self.mutual_norm is not None:
            projected = projected + self.drop_path(self.mutual.among(self.mutual_norm(projected)))
        answer = self.attention(self.asking_norm(semantic), self.asked_norm(projected))
        x = (semantic + self.drop_path(answer)).flatten(1, 2)
        x = x + self.drop_path(self.feed_forward(self.feed_forward_norm(x), height, width))
        return x.unflatten(1, (height, width)), projected


class MutualPerceptionUnit(nn.Module):
    """The MPU of one stage: the sensors' maps, weighted by robustness, then refined by asking them.

    Every second block shifts its windows.
    """

    def __init__(
        self,
        channels: int,
        blocks: int,
        heads: int,
        window: int,
        ratio: int,
        drop_path: float,
        mutual: bool = False,
    ) -> None:
        """Build the robustness evaluator and ``blocks`` blocks; see :class:`PerceptionBlock`."""
        super().__init__()
        self.robustness = nn.Linear(channels, 1)
        self.blocks = nn.ModuleList(
            PerceptionBlock(channels, heads, window, index % 2 == 1, ratio, drop_path, mutual)
            for index in range(blocks)
        )

    def forward(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``[B, M, H, W, C]`` to the semantic map ``[B, H, W, C]`` and scores ``[B, M, H, W]``.

        The softmax of the scores over M weights the sensors (that it is a softmax is a proposal).
        """
        scores = self.robustness(projected).squeeze(-1)
        semantic = (scores.softmax(dim=1).unsqueeze(-1) * projected).sum(dim=1)
        for block in self.blocks:
            semantic, projected = block(semantic, projected)
        return semantic, scores
