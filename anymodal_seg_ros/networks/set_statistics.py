"""Running statistics of a batch norm for each set of sensors that may be alive.

A fused map of one sensor is spread differently from one of four. While training each is normalised
by its own batch; one mixture of running statistics would then normalise none of them as it learned
to be. Weights serve all sets, only mean and variance are private, as in the switchable batch norm
of slimmable networks (arXiv 1812.08928).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_KINDS = 10
"""Kinds of sensors up to which every set has a row; there are two to the power of them."""


def set_of(modality_ids: Tensor, kinds: int) -> Tensor:
    """Return which set of kinds is present: bit k for the kind k, int64 ``[1]``.

    The order does not matter, and two sensors of a kind count once. Made of operators that every
    engine knows, so that in an exported graph the ids stay data.

    Args:
        modality_ids: int64 ``[M]``, each from 0 to ``kinds`` - 1.
        kinds: number of kinds.
    """
    places = torch.arange(kinds, device=modality_ids.device)
    present = (modality_ids[:, None] == places).to(torch.int64).amax(dim=0)
    bits = torch.tensor([1 << kind for kind in range(kinds)], device=modality_ids.device)
    return (present * bits).sum(dim=0, keepdim=True)


class SetStatistics(nn.Module):
    """Normalises as a batch norm does, in evaluation by the statistics of the sensors' own set.

    The batch norm's own statistics stay those of all sets together. They serve sets that were never
    seen, and all of them where weights are from before there were sets.

    Attributes:
        mean: ``[2^kinds, C]``, by the set as :func:`set_of` numbers it.
        variance: the same, of the unbiased variance.
        batches: int64 ``[2^kinds]``, of how many batches they are; 0 for a set that was not seen.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, kinds: int, channels: int) -> None:
        """Keep statistics of ``channels`` channels; of no set beyond :data:`MAX_KINDS`."""
        super().__init__()
        self.kinds = kinds
        rows = _rows(kinds)
        self.register_buffer("mean", torch.zeros(rows, channels))
        self.register_buffer("variance", torch.ones(rows, channels))
        self.register_buffer("batches", torch.zeros(rows, dtype=torch.int64))

    def forward(self, norm: nn.BatchNorm2d, x: Tensor, modality_ids: Tensor | None) -> Tensor:
        """Normalise ``[B, C, H, W]``, a map of the sensors ``modality_ids``; None: of no set."""
        if not len(self.mean) or modality_ids is None:
            normalised: Tensor = norm(x)
            return normalised
        row = set_of(modality_ids, self.kinds)
        if self.training:
            return self._learn(norm, x, row)
        mean, variance = (table.index_select(0, row)[0] for table in self.tables(norm))
        return F.batch_norm(x, mean, variance, norm.weight, norm.bias, False, 0.0, norm.eps)

    def tables(self, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
        """Return mean and variance of every set, ``[2^kinds, C]`` each; of unseen ones the norm's.

        Args:
            norm: whose statistics of all sets together fill the gaps.
        """
        assert norm.running_mean is not None and norm.running_var is not None
        seen = (self.batches > 0)[:, None]
        return (
            torch.where(seen, self.mean, norm.running_mean),
            torch.where(seen, self.variance, norm.running_var),
        )

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of every set, ``[2^kinds, C]`` each."""
        return self.mean, self.variance

    @property
    def any_seen(self) -> bool:
        """Whether a set has statistics of its own."""
        # A network that is only counted has no numbers, and none of its sets has been seen.
        return not self.batches.is_meta and bool((self.batches > 0).any())

    def _learn(self, norm: nn.BatchNorm2d, x: Tensor, row: Tensor) -> Tensor:
        """Normalise by the batch, and note its statistics for the set and for all sets."""
        assert norm.running_mean is not None and norm.running_var is not None
        shared, momentum = (norm.running_mean, norm.running_var), norm.momentum
        # With momentum 1 the norm, synchronised between processes or not, tells those of the batch.
        norm.running_mean, norm.running_var = (torch.zeros_like(kept) for kept in shared)
        norm.momentum = 1.0
        try:
            result: Tensor = norm(x)
            found = norm.running_mean, norm.running_var
        finally:
            (norm.running_mean, norm.running_var), norm.momentum = shared, momentum
        with torch.no_grad():
            rate = torch.tensor(0.1 if momentum is None else momentum, device=x.device)
            # The first batches of a set count evenly: a set that is seldom drawn has few.
            own_rate = torch.maximum(rate, 1.0 / (self.batches[row] + 1.0))
            for kept, own, batch in zip(shared, self.moments, found, strict=True):
                kept.lerp_(batch, rate.to(kept.dtype))
                own.index_copy_(0, row, own[row].lerp(batch[None], own_rate.to(own.dtype)[:, None]))
            self.batches.index_add_(0, row, torch.ones_like(row))
        return result

    @torch.no_grad()
    def put(self, modality_ids: Tensor, mean: Tensor, variance: Tensor, batches: int) -> None:
        """Set the statistics of the set of the kinds ``modality_ids``, ``[C]`` each."""
        row = int(set_of(modality_ids, self.kinds))
        self.mean[row], self.variance[row], self.batches[row] = mean, variance, batches

    def replace_modalities(self, kinds: Sequence[int]) -> None:
        """Let the kinds be those of the numbers ``kinds``, each with the statistics of the old one.

        A set of new kinds begins with what the set of the old kinds has that they were.
        """
        self.kinds = len(kinds)
        sets = range(_rows(self.kinds))
        if not len(self.mean):  # there were too many kinds
            self.mean, self.variance = (t.new_ones(len(sets), t.shape[1]) for t in self.moments)
            self.batches = self.batches.new_zeros(len(sets))
            return
        rows = [sum({1 << old for new, old in enumerate(kinds) if s >> new & 1}) for s in sets]
        picked = torch.tensor(rows, dtype=torch.int64, device=self.batches.device)
        self.mean, self.variance = (table.index_select(0, picked) for table in self.moments)
        self.batches = self.batches.index_select(0, picked)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """Take weights from before there were sets, too: none of them was seen."""
        for name, table in self.named_buffers():
            state_dict.setdefault(f"{prefix}{name}", torch.zeros_like(table))
        super()._load_from_state_dict(state_dict, prefix, *others)


@torch.no_grad()
def copy_statistics(source: nn.Module, target: nn.Module) -> None:
    """Let a copy of a network have the statistics of every set that the network has.

    For averages of weights over steps: an average with sets that were not seen yet means nothing.
    """
    for ours, theirs in zip(source.modules(), target.modules(), strict=True):
        if isinstance(ours, SetStatistics):
            theirs.load_state_dict(ours.state_dict())


def _rows(kinds: int) -> int:
    return 1 << kinds if kinds <= MAX_KINDS else 0
