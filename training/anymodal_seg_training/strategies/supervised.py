"""Cross entropy, with or without leaving modalities out at random."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from anymodal_seg_ros.config import choice, names
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.strategies.base import Setting, StepLoss
from anymodal_seg_training.strategies.criterion import Criterion, CriterionOptions
from anymodal_seg_training.strategies.random_subsets import AllOrRandomSubset, parse_sets


@dataclass(frozen=True, slots=True)
class SupervisedOptions:
    """What a recipe says about this strategy."""

    modality_dropout: str = choice(
        ("random_subset", "none"),
        "random_subset: each step sees a random subset of sensors; none: all",
    )
    sets: tuple[str, ...] = names(
        "Of random_subset: the sets of sensors that are drawn, such as rgb+thermal, each as often "
        "as it is named; any if none is"
    )
    criterion: CriterionOptions = field(default_factory=CriterionOptions)


class Supervised(AllOrRandomSubset):
    """Learn from labels; a step's frames all have the same subset of modalities."""

    def __init__(self, options: SupervisedOptions, setting: Setting) -> None:
        """Set up.

        Raises:
            ConfigError: sets are named where none is drawn, or they name no sensors of the run.
        """
        drops = options.modality_dropout == "random_subset"
        if options.sets and not drops:
            raise ConfigError(
                "strategy.sets needs modality_dropout: random_subset: with none a step sees all"
            )
        super().__init__(drops, parse_sets(options.sets, setting.modalities))
        self._criterion = Criterion(options.criterion, setting)

    def loss(
        self, network: AnyModalNetwork, batch: Batch, generator: np.random.Generator
    ) -> StepLoss:
        """See :meth:`Strategy.loss`."""
        logits = network(batch.images, batch.modality_ids)
        return StepLoss(self._criterion(logits, batch.labels, batch.dataset), {})
