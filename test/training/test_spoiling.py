"""Sensors that lie show nothing of what is there; sensors that suffer show less of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_training.data.spoiling import lie, suffer


def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    small = torch.randn(8, 3, 6, 8, generator=generator)
    return F.interpolate(small, (48, 64), mode="bilinear").reshape(2, 4, 3, 48, 64)


def likeness(one: Tensor, other: Tensor) -> float:
    """Correlation of two pictures; 0 of one that is flat."""
    pair = torch.stack([one.flatten(), other.flatten()])
    return float(torch.nan_to_num(torch.corrcoef(pair))[0, 1])


@pytest.mark.parametrize("spoil", [lie, suffer])
def test_only_the_rows_that_were_named_change(spoil: object) -> None:
    whole = images()
    for seed in range(12):
        torch.manual_seed(seed)
        found = spoil(whole, [1, 3], np.random.default_rng(seed))  # type: ignore[operator]
        assert found.shape == whole.shape and torch.isfinite(found).all()
        assert found[:, [0, 2]].equal(whole[:, [0, 2]])
        assert not found[:, 1].equal(whole[:, 1]) and not found[:, 3].equal(whole[:, 3])
    assert whole.equal(images()), "the input was changed"


def test_a_liar_shows_nothing_of_what_is_there_and_a_sufferer_something() -> None:
    whole = images()
    alike: dict[str, list[float]] = {"lie": [], "suffer": []}
    for seed in range(40):
        for name, spoil in (("lie", lie), ("suffer", suffer)):
            torch.manual_seed(seed)
            found = spoil(whole, [0], np.random.default_rng(seed))
            alike[name].append(likeness(found[0, 0], whole[0, 0]))
    assert abs(np.mean(alike["lie"])) < 0.15 and max(alike["lie"]) < 0.6
    assert np.mean(alike["suffer"]) > 0.5 and min(alike["suffer"]) > 0.1


def test_the_same_draws_spoil_in_the_same_way() -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        found.append(suffer(lie(images(), [0], np.random.default_rng(1)), [2, 3], rng()))
    assert found[0].equal(found[1])


def rng() -> np.random.Generator:
    return np.random.default_rng(2)
