"""What MA-CLIP tells the segmentation network about a scene (SegRGB-X, arXiv 2603.28023).

The paper speaks of modality-specific control prompts; how they are made is a proposal. There they
come from the embeddings of RGB and of the one other sensor; here from a sensor's own and from the
mean of all others', so that any number of sensors in any order has its prompts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from anymodal_seg_ros.networks.modality_layers import ModalityTensor, ids_of_rows


def mean_of_others(x: Tensor) -> Tensor:
    """Return for each row of ``[B, M, ...]`` the mean of all other rows; zeros where M is 1."""
    rows = x.shape[1]
    return (x.sum(dim=1, keepdim=True) - x) / max(rows - 1, 1)


class ClipPrompts(nn.Module):
    """Control prompts of each stage from embeddings."""

    def __init__(self, embedding: int, channels: Sequence[int], prompts: int) -> None:
        """Make ``prompts`` tokens for each stage, of ``channels`` C_i, from ``embedding`` E."""
        super().__init__()
        self.norm = nn.LayerNorm(embedding)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Linear(2 * embedding, embedding // 2),
                nn.GELU(),
                nn.Linear(embedding // 2, prompts * width),
                nn.Unflatten(-1, (prompts, width)),
            )
            for width in channels
        )

    def forward(self, embeddings: Tensor) -> list[Tensor]:
        """Map ``[B, M, E]`` to prompts ``[B, M, P, C_i]``, one tensor for each stage."""
        own = self.norm(embeddings)
        pair = torch.cat((own, mean_of_others(own)), dim=-1)
        return [stage(pair) for stage in self.stages]


class LearnedPrompts(nn.Module):
    """Control prompts without MA-CLIP: learned, the same for every image of a kind of sensor."""

    def __init__(self, modalities: int, channels: Sequence[int], prompts: int) -> None:
        """Learn ``prompts`` tokens of ``channels`` C_i for each kind and stage."""
        super().__init__()
        self.stages = nn.ModuleList(
            ModalityTensor([0.02 * torch.randn(prompts, width) for _ in range(modalities)])
            for width in channels
        )

    def forward(self, batch: int, modality_ids: Tensor) -> list[Tensor]:
        """Return prompts ``[B, M, P, C_i]`` for kinds ``[M]``, one tensor for each stage."""
        ids = ids_of_rows(modality_ids, batch)
        return [stage(ids).unflatten(0, (batch, -1)) for stage in self.stages]
