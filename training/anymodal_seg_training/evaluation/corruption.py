"""The corruptions of the robustness benchmark (arXiv 2503.18445): missing and noisy modalities.

They act on the normalised planes, float ``[B, M, 3, H, W]``: for a colour image zero is the mean
colour. What is drawn comes from a generator on the device of the planes, so that it is the same
again on the same kind of device. None of them changes the planes that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MISSING_RATIOS = (0.75, 0.5, 0.25)
"""Shares of the elements that RMM zeroes."""

SCORED_RATIO = 0.5
"""The one of them that the robustness score takes."""


@dataclass(frozen=True, slots=True)
class NoiseLevel:
    """One level of NM.

    Attributes:
        density: share of the elements that become salt or pepper, half of it each.
        sigma: standard deviation of the Gaussian noise; sparse pictures get none.
    """

    density: float
    sigma: float


NOISE_LEVELS: Mapping[str, NoiseLevel] = {
    "low": NoiseLevel(0.05, 0.1),
    "mid": NoiseLevel(0.10, 0.2),
    "high": NoiseLevel(0.20, 0.5),
}


def without(planes: Tensor, rows: Sequence[int]) -> Tensor:
    """Return a copy in which the modalities of these rows are zero (EMM)."""
    changed = planes.clone()
    changed[:, list(rows)] = 0.0
    return changed


def randomly_without(
    planes: Tensor, rows: Sequence[int], ratio: float, generator: torch.Generator
) -> Tensor:
    """Return a copy in which elements of the modalities of these rows are zero (RMM).

    Args:
        planes: see the module.
        rows: of the modality axis.
        ratio: probability of an element, one pixel of one plane, to be zeroed.
        generator: source of the mask.
    """
    changed = planes.clone()
    for row in rows:
        lots = torch.rand(changed[:, row].shape, generator=generator, device=planes.device)
        changed[:, row] *= lots >= ratio
    return changed


def noisy(
    planes: Tensor, sparse: Sequence[bool], level: NoiseLevel, generator: torch.Generator
) -> Tensor:
    """Return a copy with salt, then pepper, then Gaussian noise on every modality (NM).

    As in the benchmark's code, salt and pepper are the largest and the smallest value of the whole
    batch of a modality, and their places are drawn with replacement, so that they may coincide.

    Args:
        planes: see the module.
        sparse: of each modality, whether it gets no Gaussian noise, as events there.
        level: how much of it.
        generator: source of the noise.
    """
    changed, device = planes.clone(), planes.device
    for row, spared in enumerate(sparse):
        values = changed[:, row]
        brightest, darkest = values.max(), values.min()
        count = math.ceil(level.density * values.numel() / 2)
        for value in (brightest, darkest):
            places = tuple(
                torch.randint(side, (count,), generator=generator, device=device)
                for side in values.shape
            )
            values[places] = value
        if not spared:
            values += level.sigma * torch.randn(values.shape, generator=generator, device=device)
    return changed
