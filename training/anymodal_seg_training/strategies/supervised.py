"""Cross entropy, with or without leaving modalities out at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from anymodal_seg_ros.config import choice
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.augmentation import Batch
from anymodal_seg_training.sampling import all_subsets, draw_subset
from anymodal_seg_training.strategies.base import Setting, StepLoss, Strategy
from anymodal_seg_training.strategies.criterion import Criterion, CriterionOptions


@dataclass(frozen=True, slots=True)
class SupervisedOptions:
    """What a recipe says about this strategy."""

    modality_dropout: str = choice(
        ("random_subset", "none"),
        "random_subset: each step sees a random subset of sensors; none: all",
    )
    criterion: CriterionOptions = field(default_factory=CriterionOptions)


class Supervised(Strategy):
    """Learn from labels; a step's frames all have the same subset of modalities."""

    def __init__(self, options: SupervisedOptions, setting: Setting) -> None:
        """Set up."""
        self._drops = options.modality_dropout == "random_subset"
        self._criterion = Criterion(options.criterion, setting)

    def modalities(
        self, generator: np.random.Generator, available: Sequence[str]
    ) -> tuple[str, ...]:
        """See :meth:`Strategy.modalities`."""
        return draw_subset(generator, available) if self._drops else tuple(available)

    def loss(
        self, network: AnyModalNetwork, batch: Batch, generator: np.random.Generator
    ) -> StepLoss:
        """See :meth:`Strategy.loss`."""
        logits = network(batch.images, batch.modality_ids)
        return StepLoss(self._criterion(logits, batch.labels, batch.dataset), {})

    def validation_subsets(self, available: Sequence[str]) -> list[tuple[str, ...]]:
        """All subsets; without dropout only the full one, which is all that it trains for."""
        return all_subsets(available) if self._drops else [tuple(available)]
