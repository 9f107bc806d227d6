"""The ways in which an evaluation feeds a network: which sensors, whole, zeroed or noisy."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anymodal_seg_ros.evaluation.robustness import Subset
from anymodal_seg_training.data.sampling import all_subsets, subset_key
from anymodal_seg_training.evaluation.corruption import (
    NOISE_LEVELS,
    noisy,
    randomly_without,
    without,
)

Change = Callable[[Tensor, torch.Generator], Tensor]
"""From planes ``[B, M, 3, H, W]`` of all modalities to spoiled ones, with a source of chance."""

DROPS = ("skip", "zero")
"""What happens to an absent modality: it is not passed at all, or as zeros."""


@dataclass(frozen=True, slots=True)
class ProtocolRow:
    """One row of a protocol.

    Attributes:
        key: the modalities that are whole, such as ``rgb+depth``, or the level of the noise.
        present: these modalities.
        rows: of the modality axis that are passed.
        change: what is done to the planes before; None for nothing.
    """

    key: str
    present: Subset
    rows: tuple[int, ...]
    change: Change | None = None


def combinations(modalities: Sequence[str], drop: str = "skip") -> list[ProtocolRow]:
    """All non-empty subsets; with ``drop`` zero these are the cases of EMM."""
    everything = tuple(range(len(modalities)))
    cases = []
    for subset in all_subsets(modalities):
        present = frozenset(subset)
        if drop == "skip":
            rows = tuple(modalities.index(name) for name in subset)
            cases.append(ProtocolRow(subset_key(subset), present, rows))
        else:
            change = _without(_absent(modalities, present))
            cases.append(ProtocolRow(subset_key(subset), present, everything, change))
    return cases


def random_missing(modalities: Sequence[str], ratio: float) -> list[ProtocolRow]:
    """The cases of RMM: elements of the modalities outside a subset are zero at random."""
    everything = tuple(range(len(modalities)))
    cases = []
    for subset in all_subsets(modalities):
        present = frozenset(subset)
        change = _randomly(_absent(modalities, present), ratio)
        cases.append(ProtocolRow(subset_key(subset), present, everything, change))
    return cases


def noise_levels(modalities: Sequence[str], sparse: Container[str]) -> list[ProtocolRow]:
    """The cases of NM: noise on every modality, by level.

    Args:
        modalities: in the order of their rows.
        sparse: those of them that get no Gaussian noise.
    """
    everything = tuple(range(len(modalities)))
    spared = [name in sparse for name in modalities]
    return [
        ProtocolRow(name, frozenset(modalities), everything, _noise(spared, name))
        for name in NOISE_LEVELS
    ]


def _absent(modalities: Sequence[str], present: Subset) -> list[int]:
    return [row for row, name in enumerate(modalities) if name not in present]


def _without(rows: Sequence[int]) -> Change:
    return lambda planes, generator: without(planes, rows)


def _randomly(rows: Sequence[int], ratio: float) -> Change:
    return lambda planes, generator: randomly_without(planes, rows, ratio, generator)


def _noise(sparse: Sequence[bool], level: str) -> Change:
    return lambda planes, generator: noisy(planes, sparse, NOISE_LEVELS[level], generator)
