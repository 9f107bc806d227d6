"""What is random in a run, as a function of the seed and the step alone.

Nothing here keeps a state. So a run that was killed goes on exactly as if it had not been, and a
checkpoint need not know how many random numbers were drawn before it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
T = TypeVar("T")

_ORDER, _STEP, _FRAME, _PROCESS, _LOSS, _CASE, _SET = range(7)


def step_generator(seed: int, step: int, of_loss: bool = False) -> np.random.Generator:
    """Return the generator of one step, or of its loss, independent of every other one."""
    return np.random.default_rng((_LOSS if of_loss else _STEP, seed, step))


def frame_generators(seed: int, step: int, positions: Sequence[int]) -> list[np.random.Generator]:
    """Return the generator of each frame of a step, by its place in the whole batch.

    So a frame is varied in the same way however the batch is split over processes.
    """
    return [np.random.default_rng((_FRAME, seed, step, position)) for position in positions]


def torch_seed(seed: int, step: int, process: int) -> int:
    """Return the seed of torch's own generator (dropout) for a step in one of the processes."""
    return int(np.random.default_rng((_PROCESS, seed, step, process)).integers(2**62))


def turns(seed: int, chances: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Draw the data set of every step, from the first one on.

    Args:
        seed: of the run.
        chances: of each data set; they add up to 1.

    Yields:
        The data set's place, and how many earlier steps had it.
    """
    bounds, had = np.cumsum(chances)[:-1], [0] * len(chances)
    for step in itertools.count():
        draw = np.random.default_rng((_SET, seed, step)).random() if len(bounds) else 0.0
        place = int(np.searchsorted(bounds, draw, side="right"))
        yield place, had[place]
        had[place] += 1


def case_seed(seed: int, case: int, batch: int) -> int:
    """Return the seed of torch's generator for a batch of an evaluation in one of its cases."""
    return int(np.random.default_rng((_CASE, seed, case, batch)).integers(2**62))


def batch_indices(
    seed: int, step: int, batch_size: int, length: int, blocks: tuple[int, ...] = ()
) -> Indices:
    """Choose the frames of a step: every frame once in an epoch, each epoch in a new order.

    Of several data sets each has epochs of its own; ``step`` is then the number of its turn.

    A batch may begin in one epoch and end in the next; no frame is left out.
    """
    first = step * batch_size
    positions = np.arange(first, first + batch_size)
    epochs = positions // length
    chosen = np.empty(batch_size, np.int64)
    for epoch in np.unique(epochs):
        order = epoch_order(seed, int(epoch), length, blocks)
        chosen[epochs == epoch] = order[positions[epochs == epoch] % length]
    return chosen


@functools.lru_cache(maxsize=16)  # of a million frames it takes some milliseconds
def epoch_order(seed: int, epoch: int, length: int, blocks: tuple[int, ...] = ()) -> Indices:
    """Return the order of the frames in an epoch.

    Args:
        seed: of the run.
        epoch: its number.
        length: how many frames there are.
        blocks: how many frames lie together in each block of neighbours; they add up to
            ``length``. The blocks come in a random order and so do the frames within each, so that
            neighbours are read about the same time. Empty: all frames are one block.
    """
    generator = np.random.default_rng((_ORDER, seed, epoch))
    if not blocks:
        order = generator.permutation(length)
    else:
        ends = np.cumsum(blocks)
        assert ends[-1] == length
        order = np.concatenate(
            [
                generator.permutation(np.arange(ends[block] - blocks[block], ends[block]))
                for block in generator.permutation(len(blocks))
            ]
        )
    order.flags.writeable = False  # it is kept
    return order


def spread_indices(wanted: int, length: int) -> Indices:
    """Choose ``wanted`` frames (at most all) evenly over a split, always the same ones."""
    return np.linspace(0, length - 1, min(wanted, length)).round().astype(np.int64)


def draw_subset(
    generator: np.random.Generator, modalities: Sequence[T], largest: int | None = None
) -> tuple[T, ...]:
    """Draw a non-empty subset, of names or of rows: first its size, uniformly, then its members.

    This is how AnySeg (arXiv 2411.17141) draws it: all sensors and each single sensor come often.

    Args:
        generator: the only source of chance.
        modalities: to draw from.
        largest: size of the largest subset; all of them by default.
    """
    size = int(generator.integers(1, (largest or len(modalities)) + 1))
    members = sorted(generator.choice(len(modalities), size, replace=False))
    return tuple(modalities[member] for member in members)


def all_subsets(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """List the non-empty subsets, small ones first, each in the given order."""
    return [
        subset
        for size in range(1, len(modalities) + 1)
        for subset in itertools.combinations(modalities, size)
    ]


def subset_key(subset: Sequence[str]) -> str:
    """Write a subset as it stands in manifests and tables, e.g. ``rgb+thermal``."""
    return "+".join(subset)
