"""What the strategies have in common that train with all modalities, or with a random subset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anymodal_seg_training.data.sampling import all_subsets, draw_subset
from anymodal_seg_training.strategies.base import Strategy


class AllOrRandomSubset(Strategy):
    """A step's frames all have the same modalities, and what is trained is judged by these."""

    def __init__(self, drops: bool) -> None:
        """Draw a subset for each step if ``drops``, else take all modalities."""
        self._drops = drops

    def modalities(
        self, generator: np.random.Generator, available: Sequence[str]
    ) -> tuple[str, ...]:
        """See :meth:`Strategy.modalities`."""
        return draw_subset(generator, available) if self._drops else tuple(available)

    def validation_subsets(self, available: Sequence[str]) -> list[tuple[str, ...]]:
        """All subsets where they occur in training; else the full one, which is what it is for."""
        return all_subsets(available) if self._drops else [tuple(available)]
