"""The corruptions of the robustness benchmark do what it says, to what it says."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from anymodal_seg_training.evaluation.corruption import (
    NOISE_LEVELS,
    NoiseLevel,
    noisy,
    randomly_without,
    without,
)

SPARSE = (False, False, True, False)


def planes() -> Tensor:
    return torch.randn(2, 4, 3, 20, 30, generator=chance(0))


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def share(where: Tensor) -> float:
    return float(where.float().mean())


def test_entire_missing_zeroes_what_is_absent_and_nothing_else() -> None:
    whole = planes()
    found = without(whole, [1, 3])
    assert not found[:, [1, 3]].any() and found[:, [0, 2]].equal(whole[:, [0, 2]])
    assert whole.equal(planes()), "the input was changed"


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_random_missing_zeroes_its_share_of_what_is_absent(ratio: float) -> None:
    whole = planes()
    found = randomly_without(whole, [1, 2, 3], ratio, chance(3))
    assert found[:, 0].equal(whole[:, 0]) and whole.equal(planes())
    assert share(found[:, 1:] == 0) == pytest.approx(ratio, abs=0.02)
    assert found[found != 0].equal(whole[found != 0])
    assert found.equal(randomly_without(whole, [1, 2, 3], ratio, chance(3)))


def test_noise_hits_every_modality_but_sparse_ones_get_no_gaussian_part() -> None:
    whole = planes()
    found = noisy(whole, SPARSE, NOISE_LEVELS["high"], chance(4))
    assert whole.equal(planes()), "the input was changed"
    unchanged = [share(found[:, row] == whole[:, row]) for row in range(4)]
    # Salt, then pepper, each at half the density, drawn with replacement.
    touched = (1 - math.exp(-0.1)) * 2
    assert unchanged[2] == pytest.approx(1 - touched, abs=0.03)
    assert max(unchanged[0], unchanged[1], unchanged[3]) < 0.01
    assert noisy(whole, SPARSE, NoiseLevel(0.0, 0.0), chance(4)).equal(whole)
