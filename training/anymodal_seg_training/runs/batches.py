"""Which frames a process reads in each part of each step, and how they become a batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.data.augmentation import Batch, augment
from anymodal_seg_training.data.sampling import (
    Indices,
    batch_indices,
    frame_generators,
    step_generator,
    turns,
)
from anymodal_seg_training.datasets.frame_source import FrameSource
from anymodal_seg_training.datasets.mixed_frames import Share
from anymodal_seg_training.recipe import Recipe
from anymodal_seg_training.strategies.base import Strategy

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One process's share of one part of a step.

    Attributes:
        step: of the run.
        positions: places of the frames in the step's whole batch.
        indices: numbers of the frames in the split.
        modalities: to read, in the order of their ids.
        dataset: name of the data set that the frames are of, where several are mixed.
    """

    step: int
    positions: range
    indices: Indices
    modalities: tuple[str, ...]
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class MakeBatch:
    """Reads and varies the frames of a job; it goes to worker processes with the recipe."""

    recipe: Recipe

    def __call__(self, source: FrameSource, job: BatchJob) -> Batch:
        """Do a job of :meth:`.FrameSource.run`."""
        recipe, damaged = self.recipe, list[str]()
        planes, labels = source.read(job.indices, job.modalities, damaged)
        specs = [recipe.modalities[name] for name in job.modalities]
        generators = frame_generators(recipe.seed, job.step, job.positions)
        made = augment(planes, labels, specs, recipe.augmentation, generators, job.modalities)
        return replace(made, replaced=tuple(damaged), dataset=job.dataset)


def batch_jobs(
    recipe: Recipe,
    strategy: Strategy,
    shares: Sequence[Share],
    fabric: Fabric,
    first_step: int,
    blocks: Sequence[int] = (),
) -> Iterator[BatchJob]:
    """List the jobs of this process from a step to the end of the run.

    The order depends on the seed and the step alone. A strategy chooses by the generator that it is
    given and by nothing else, so it can be asked for steps that are still to come.

    Args:
        recipe: of the run.
        strategy: chooses the modalities of a step.
        shares: the data sets to learn from; a step has frames of one of them.
        fabric: of this process.
        first_step: from which on.
        blocks: see :func:`.sampling.epoch_order`.
    """
    options, size = recipe.training, part_size(recipe, fabric.world_size)
    drawn = turns(recipe.seed, [share.chance for share in shares])
    coming = itertools.islice(drawn, first_step, options.steps)
    for step, (place, turn) in enumerate(coming, start=first_step):
        share = shares[place]
        names = strategy.modalities(step_generator(recipe.seed, step), share.modalities)
        everything = share.first + batch_indices(
            recipe.seed, turn, options.batch_size, len(share.source), tuple(blocks)
        )
        for part in range(options.accumulate):
            first = (part * fabric.world_size + fabric.global_rank) * size
            positions = range(first, first + size)
            chosen = everything[first : first + size]
            yield BatchJob(step, positions, chosen, names, share.name)


def part_size(recipe: Recipe, processes: int) -> int:
    """Return how many frames one process has in one part of a step.

    Raises:
        ConfigError: the batch cannot be split evenly.
    """
    batch, parts = recipe.training.batch_size, recipe.training.accumulate
    if batch % (parts * processes):
        raise ConfigError(
            f"training.batch_size is {batch}: expected a multiple of {parts * processes}, which is "
            f"training.accumulate ({parts}) times the number of processes ({processes})"
        )
    return batch // (parts * processes)
