from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_training.data.sampling import (
    all_subsets,
    batch_indices,
    draw_subset,
    epoch_order,
    spread_indices,
    step_generator,
    subset_key,
)

NAMES = ("rgb", "thermal", "depth", "event")


def test_all_subsets_come_and_as_often_as_they_should() -> None:
    draws = Counter(draw_subset(step_generator(1, step), NAMES) for step in range(6000))
    assert set(draws) == set(all_subsets(NAMES))
    for subset, count in draws.items():  # each size is equally likely, then each member
        peers = sum(len(other) == len(subset) for other in all_subsets(NAMES))
        assert count / 6000 == pytest.approx(0.25 / peers, rel=0.25)


def test_there_are_fifteen_subsets_in_the_order_of_the_tables() -> None:
    subsets = all_subsets(NAMES)
    assert len(subsets) == 15
    assert [subset_key(s) for s in subsets[:5]] == [*NAMES, "rgb+thermal"]
    assert subsets[-1] == NAMES


def test_every_frame_comes_once_in_an_epoch() -> None:
    length, batch = 10, 4  # 5 batches are 2 epochs; the third batch lies across the border
    drawn = np.concatenate([batch_indices(7, step, batch, length) for step in range(5)])
    assert sorted(drawn[:10]) == list(range(10))
    assert sorted(drawn[10:]) == list(range(10))
    assert list(drawn[:10]) != list(drawn[10:])


def test_a_batch_larger_than_the_data_set_is_filled() -> None:
    counts = Counter(batch_indices(7, 0, 8, 3).tolist())
    assert sum(counts.values()) == 8 and set(counts) == {0, 1, 2}


def test_steps_and_seeds_are_independent_and_repeatable() -> None:
    draw = lambda seed, step: step_generator(seed, step).random(4).tolist()  # noqa: E731
    assert draw(1, 5) == draw(1, 5)
    assert draw(1, 5) != draw(1, 6) and draw(1, 5) != draw(2, 5)
    assert batch_indices(1, 3, 8, 100).tolist() == batch_indices(1, 3, 8, 100).tolist()
    assert batch_indices(1, 3, 8, 100).tolist() != batch_indices(2, 3, 8, 100).tolist()


def test_spread_indices_cover_the_split() -> None:
    assert spread_indices(3, 11).tolist() == [0, 5, 10]
    assert spread_indices(50, 4).tolist() == [0, 1, 2, 3]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    blocks=st.lists(st.integers(0, 7), min_size=1, max_size=9).filter(sum).map(tuple),
)
def test_blocks_stay_together_and_every_frame_comes_once(
    seed: int, blocks: tuple[int, ...]
) -> None:
    length = sum(blocks)
    order = epoch_order(seed, 0, length, blocks)
    assert sorted(order) == list(range(length))
    block_of = np.repeat(np.arange(len(blocks)), blocks)
    changes = np.count_nonzero(np.diff(block_of[order]))
    assert changes == np.count_nonzero(blocks) - 1
    assert np.array_equal(order, epoch_order(seed, 0, length, blocks))
    order = batch_indices(seed, 0, length, length, blocks)
    assert np.array_equal(order, epoch_order(seed, 0, length, blocks))
