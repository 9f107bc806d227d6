"""What the strategies have in common that train with all modalities, or with a random subset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_training.data.sampling import all_subsets, draw_subset
from anymodal_seg_training.strategies.base import Strategy


class AllOrRandomSubset(Strategy):
    """A step's frames all have the same modalities, and what is trained is judged by these."""

    def __init__(self, drops: bool, sets: Sequence[tuple[str, ...]] = ()) -> None:
        """Draw a subset for each step if ``drops``, of ``sets`` if there are any; else take all."""
        self._drops = drops
        self._sets = sets

    def modalities(
        self, generator: np.random.Generator, available: Sequence[str]
    ) -> tuple[str, ...]:
        """See :meth:`Strategy.modalities`."""
        if self._sets:
            fitting = self._fitting(available)
            return fitting[int(generator.integers(len(fitting)))]
        return draw_subset(generator, available) if self._drops else tuple(available)

    def validation_subsets(self, available: Sequence[str]) -> list[tuple[str, ...]]:
        """All subsets that occur in training; else the full one, which is what it is for."""
        if self._sets:
            return list(dict.fromkeys(self._fitting(available)))
        return all_subsets(available) if self._drops else [tuple(available)]

    def _fitting(self, available: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the sets whose sensors a data set has."""
        fitting = [each for each in self._sets if set(each) <= set(available)]
        if not fitting:
            raise ConfigError(
                f"strategy.sets names no set of sensors among {', '.join(available)}, which are "
                "those of a data set: add one"
            )
        return fitting


def parse_sets(sets: Sequence[str], modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Read sets of sensors such as ``rgb+thermal``, each in the order of ``modalities``.

    Raises:
        ConfigError: one names a sensor that the run has not, or names it twice.
    """
    found = []
    for text in sets:
        members = text.split("+")
        if len(set(members)) < len(members) or not set(members) <= set(modalities):
            raise ConfigError(
                f"strategy.sets has {quote(repr(text))}: expected sensors of the run, each once, "
                f"joined by '+': {', '.join(modalities)}"
            )
        found.append(tuple(name for name in modalities if name in members))
    return found
