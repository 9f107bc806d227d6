"""Small adapters that carry information from every sensor to every other one (StitchFusion).

An adapter is Linear(C -> 8), Linear(8 -> 8), GELU, dropout, Linear(8 -> C) (arXiv 2408.01343,
MultiAdapter). Its parameters are the published ones; its arithmetic is shorter. Nothing non-linear
stands between the first two layers, so they are multiplied beforehand; and the sum over the sources
of what they tell one target is itself a matrix product, so that no map is ever repeated for pairs.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BOTTLENECK = 8
PAIRS = ("every_one", "every_two", "shared")
"""One adapter for each unordered pair of kinds, for each ordered pair, or one for all pairs."""


def pair_table(pairs: str, kinds: int) -> list[list[int]]:
    """Return which adapter leads from kind i to kind j: N rows of N numbers, the diagonal 0.

    Args:
        pairs: one of :data:`PAIRS`.
        kinds: number of kinds of sensors N.
    """
    table = [[0] * kinds for _ in range(kinds)]
    if pairs == "shared":
        return table
    number = 0
    for source, target in itertools.combinations(range(kinds), 2):
        table[source][target] = number
        number += pairs == "every_two"
        table[target][source] = number
        number += 1
    return table


class PairAdapters(nn.Module):
    """The adapters of one place in the network, between all pairs of sensors."""

    table: Tensor
    middle: nn.Parameter | None
    middle_bias: nn.Parameter | None

    def __init__(self, channels: int, pairs: str, kinds: int, dropout: float = 0.1) -> None:
        """Build the adapters, random as the published code's global initialiser leaves them.

        Args:
            channels: width C of the tokens.
            pairs: one of :data:`PAIRS`.
            kinds: number of kinds of sensors N, 2 or more unless ``pairs`` is shared.
            dropout: probability that a number in the bottleneck is zeroed while training.
        """
        super().__init__()
        table = pair_table(pairs, kinds)
        self.register_buffer("table", torch.tensor(table), persistent=False)
        count = max(map(max, table)) + 1
        # Biases of all adapters in one row: optimisers decay what has more than one dimension.
        self.down = nn.Parameter(torch.empty(count, BOTTLENECK, channels))
        self.down_bias = nn.Parameter(torch.zeros(count * BOTTLENECK))
        self.middle = nn.Parameter(torch.empty(count, BOTTLENECK, BOTTLENECK))
        self.middle_bias = nn.Parameter(torch.zeros(count * BOTTLENECK))
        self.up = nn.Parameter(torch.empty(count, BOTTLENECK, channels))
        self.up_bias = nn.Parameter(torch.zeros(count * channels))
        self.dropout = nn.Dropout(dropout)
        for weight in (self.down, self.middle, self.up):
            nn.init.trunc_normal_(weight, std=0.02)

    def forward(self, tokens: Tensor, modality_ids: Tensor, weights: Tensor) -> Tensor:
        """Return what every sensor is told by the others.

        Args:
            tokens: normalised tokens ``[B, M, L, C]``.
            modality_ids: int64 ``[M]``.
            weights: ``[B, M, M]``, how much what row i tells row j counts; 0 on the diagonal and,
                while training, for pairs that are dropped.

        Returns:
            ``[B, M, L, C]``; zeros where M is 1.
        """
        batch, rows, length, channels = tokens.shape
        down, bias, up, up_bias = self.select(modality_ids, modality_ids)
        # Every source against the adapters to all targets at once: [B, S, L, T * 8].
        hidden = tokens @ down.permute(0, 3, 1, 2).flatten(2) + bias.flatten(1)[:, None]
        hidden = self.dropout(F.gelu(hidden)).unflatten(3, (rows, BOTTLENECK))
        hidden = hidden * weights[:, :, None, :, None]
        # Every target from all sources at once: [B, T, L, S * 8] by [T, S * 8, C].
        hidden = hidden.permute(0, 3, 2, 1, 4).reshape(batch, rows, length, rows * BOTTLENECK)
        told = hidden @ up.transpose(0, 1).reshape(rows, rows * BOTTLENECK, channels)
        constant = weights.permute(2, 0, 1) @ up_bias.transpose(0, 1)
        return told + constant.transpose(0, 1)[:, :, None]

    def tell(self, tokens: Tensor, source: int) -> Tensor:
        """Return what one kind tells all kinds, itself included.

        Args:
            tokens: normalised tokens of this kind, ``[B, L, C]``.
            source: its id.

        Returns:
            ``[B, N, L, C]``.
        """
        kinds = torch.arange(self.table.shape[0], device=tokens.device)
        down, bias, up, up_bias = self.select(kinds[source : source + 1], kinds)
        hidden = tokens @ down[0].flatten(0, 1).t() + bias[0].flatten()
        hidden = self.dropout(F.gelu(hidden)).unflatten(2, (-1, BOTTLENECK)).transpose(1, 2)
        return hidden @ up[0] + up_bias[0][:, None]

    def select(self, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the adapters between kinds, the first two layers as one.

        Args:
            sources: int64 ``[S]``, kinds that tell.
            targets: int64 ``[T]``, kinds that are told.

        Returns:
            ``[S, T, 8, C]``, ``[S, T, 8]``, ``[S, T, 8, C]`` and ``[S, T, C]``: the weights and
            biases into the bottleneck and out of it.
        """
        chosen = self.table.index_select(0, sources).index_select(1, targets)
        shape, chosen = chosen.shape, chosen.flatten()
        down, bias = self._composed()
        into, into_bias, out, out_bias = (
            part.index_select(0, chosen).unflatten(0, shape)
            for part in (down, bias, self.up, self.up_bias.unflatten(0, (len(self.up), -1)))
        )
        return into, into_bias, out, out_bias

    def _composed(self) -> tuple[Tensor, Tensor]:
        """Multiply the two layers in front of the GELU: ``[P, 8, C]`` and ``[P, 8]``."""
        bias = self.down_bias.unflatten(0, (-1, BOTTLENECK))
        if self.middle is None or self.middle_bias is None:
            return self.down, bias
        added = self.middle_bias.unflatten(0, (-1, BOTTLENECK))
        return self.middle @ self.down, (self.middle @ bias[:, :, None])[:, :, 0] + added

    @torch.no_grad()
    def fold(self) -> None:
        """Keep the two layers in front of the GELU as one; the parameters of the second vanish."""
        down, bias = self._composed()
        self.down, self.down_bias = nn.Parameter(down), nn.Parameter(bias.flatten())
        self.middle, self.middle_bias = None, None
