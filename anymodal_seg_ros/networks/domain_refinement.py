"""The domain-specific refinement module (DSRM) of SegRGB-X (arXiv 2603.28023).

The paper says what it is for, to refine features by domain; its form is a proposal: small experts
side by side, weighted by a gate, plus one that always counts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REDUCTION = 4


class DomainRefinement(nn.Module):
    """Add to a fused map what the experts for its sensors make of it.

    An expert is a 1x1 convolution to a quarter of the channels, a depthwise 3x3, GELU and a 1x1
    convolution back. All of them are computed as one, the gate weighting the channels between.
    """

    def __init__(self, channels: int, experts: int, gating: str) -> None:
        """Build the module for maps of ``channels`` C.

        Args:
            channels: C.
            experts: number of experts X beside the one that always counts.
            gating: soft: by what the map and the control prompts say; hard: expert i counts if a
                sensor of kind i is there, all of them alike.
        """
        super().__init__()
        self.hidden = max(channels // REDUCTION, 1)
        width = (experts + 1) * self.hidden
        self.down = nn.Conv2d(channels, width, 1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.up = nn.Conv2d(width, channels, 1)
        self.gate = nn.Linear(2 * channels, experts) if gating == "soft" else None
        self.scale = nn.Parameter(torch.zeros(channels))
        self.register_buffer("one_hot", torch.eye(experts), persistent=False)

    def forward(
        self, features: Tensor, control: Tensor, modality_ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Refine a fused map.

        Args:
            features: ``[B, C, H, W]``.
            control: control prompts of all sensors ``[B, M, P, C]``.
            modality_ids: int64 ``[M]``; with hard gating, less than the number of experts.

        Returns:
            The map refined ``[B, C, H, W]`` and the gate ``[B, X]``, which sums to 1.
        """
        if self.gate is None:
            assert isinstance(self.one_hot, Tensor)
            gate = self.one_hot.index_select(0, modality_ids).mean(dim=0)
            gate = gate.expand(features.shape[0], -1)
        else:
            summary = (features.mean(dim=(2, 3)), control.mean(dim=(1, 2)))
            gate = self.gate(torch.cat(summary, dim=-1)).softmax(dim=-1)
        weights = torch.cat((gate, torch.ones_like(gate[:, :1])), dim=1)
        weights = weights.repeat_interleave(self.hidden, dim=1)[:, :, None, None]
        hidden = F.gelu(self.depthwise(self.down(features))) * weights.to(features.dtype)
        return features + self.scale[:, None, None] * self.up(hidden), gate
