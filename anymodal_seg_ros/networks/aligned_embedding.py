"""The modality-aligned embedding of SegRGB-X (arXiv 2603.28023), in the form of a proposal.

Prompts that are learned for each kind of sensor lessen the distance between the tokens of a stage
and the control prompts that are to steer them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.networks.modality_layers import ModalityTensor


class CrossAttention(nn.Module):
    """Attention with one head from some tokens to a few others."""

    def __init__(self, channels: int) -> None:
        """Attend among tokens of ``channels`` C."""
        super().__init__()
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Map ``[N, L, C]`` by asking ``[N, S, C]`` to ``[N, L, C]``."""
        key, value = self.key_value(source).chunk(2, dim=-1)
        parts = [part[:, None] for part in (self.query(x), key, value)]
        return self.out(F.scaled_dot_product_attention(parts[0], parts[1], parts[2])[:, 0])


class AlignedEmbedding(nn.Module):
    """Bring the control prompts into the tokens that enter a stage.

    With control prompts g, tokens E and the learned prompts A of the kind of sensor::

        q  = LN(mean of E)
        A' = A + CrossAttention(A; [g, q])
        E' = E + gate * CrossAttention(E; [g, A'])

    The gate is zero in the beginning, so that a fresh network is one without prompts.
    """

    def __init__(self, channels: int, prompts: int, modalities: int) -> None:
        """Build the module.

        Args:
            channels: width C of the tokens.
            prompts: learned prompts for each kind; 0: the control prompts are brought in directly.
            modalities: number of kinds.
        """
        super().__init__()
        self.bank: ModalityTensor | None = None
        if prompts:
            self.bank = ModalityTensor(
                [0.02 * torch.randn(prompts, channels) for _ in range(modalities)]
            )
            self.norm = nn.LayerNorm(channels)
            self.align = CrossAttention(channels)
        self.inject = CrossAttention(channels)
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, control: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Steer tokens.

        Args:
            x: tokens ``[N, L, C]``.
            control: control prompts ``[N, P, C]``.
            ids: kind of each row, int64 ``[N]``.

        Returns:
            Tokens ``[N, L, C]`` and the aligned prompts ``[N, A, C]``, where there are none the
            control prompts.
        """
        aligned, source = control, control
        if self.bank is not None:
            own = self.bank(ids)
            summary = self.norm(x.mean(dim=1, keepdim=True))
            aligned = own + self.align(own, torch.cat((control, summary), dim=1))
            source = torch.cat((control, aligned), dim=1)
        return x + self.gate * self.inject(x, source), aligned
