"""The ways in which an evaluation feeds a network: which sensors, whole, zeroed or noisy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.evaluation.robustness import (
    NOISE_LEVELS,
    Planes,
    Subset,
    noisy,
    randomly_without,
    without,
)
from anymodal_seg_training.sampling import all_subsets, subset_key

Change = Callable[[Planes, np.random.Generator], Planes]
"""From planes ``[B, M, 3, H, W]`` of all modalities to spoiled ones, with a source of chance."""

DROPS = ("skip", "zero")
"""What happens to an absent modality: it is not passed at all, or as zeros."""


@dataclass(frozen=True, slots=True)
class Case:
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


def combinations(modalities: Sequence[str], drop: str = "skip") -> list[Case]:
    """All non-empty subsets; with ``drop`` zero these are the cases of EMM."""
    everything = tuple(range(len(modalities)))
    cases = []
    for subset in all_subsets(modalities):
        present = frozenset(subset)
        if drop == "skip":
            rows = tuple(modalities.index(name) for name in subset)
            cases.append(Case(subset_key(subset), present, rows))
        else:
            change = _without(modalities, present)
            cases.append(Case(subset_key(subset), present, everything, change))
    return cases


def random_missing(modalities: Sequence[str], ratio: float) -> list[Case]:
    """The cases of RMM: elements of the modalities outside a subset are zero at random."""
    everything = tuple(range(len(modalities)))
    return [
        Case(subset_key(s), frozenset(s), everything, _randomly(modalities, frozenset(s), ratio))
        for s in all_subsets(modalities)
    ]


def noise_levels(modalities: Sequence[str]) -> list[Case]:
    """The cases of NM: noise on every modality, by level."""
    everything = tuple(range(len(modalities)))
    return [
        Case(name, frozenset(modalities), everything, _noise(modalities, name))
        for name in NOISE_LEVELS
    ]


def _without(modalities: Sequence[str], present: Subset) -> Change:
    return lambda planes, rng: without(planes, modalities, present)


def _randomly(modalities: Sequence[str], present: Subset, ratio: float) -> Change:
    return lambda planes, rng: randomly_without(planes, modalities, present, ratio, rng)


def _noise(modalities: Sequence[str], level: str) -> Change:
    return lambda planes, rng: noisy(planes, modalities, NOISE_LEVELS[level], rng)
