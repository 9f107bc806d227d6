"""What the strategies have in common whose every step needs all modalities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from anymodal_seg_training.augmentation import Batch
from anymodal_seg_training.sampling import all_subsets
from anymodal_seg_training.strategies.base import Strategy


class AllModalities(Strategy):
    """Reads every modality in every step, and is judged by all subsets."""

    def modalities(
        self, generator: np.random.Generator, available: Sequence[str]
    ) -> tuple[str, ...]:
        """See :meth:`Strategy.modalities`."""
        return tuple(available)

    def validation_subsets(self, available: Sequence[str]) -> list[tuple[str, ...]]:
        """See :meth:`Strategy.validation_subsets`."""
        return all_subsets(available)


def draw_rows(generator: np.random.Generator, modalities: int) -> list[int]:
    """Draw a non-empty subset of rows: first its size, uniformly, then its members, sorted.

    As AnySeg (arXiv 2411.17141) draws it: all sensors and each single sensor come often.
    """
    size = int(generator.integers(1, modalities + 1))
    return sorted(int(row) for row in generator.choice(modalities, size, replace=False))


def of_rows(batch: Batch, rows: Sequence[int]) -> Batch:
    """Return the batch with these rows of the modality axis alone."""
    index = torch.as_tensor(rows, device=batch.images.device)
    return Batch(batch.images[:, index], batch.modality_ids[index], batch.labels)
