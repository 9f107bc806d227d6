"""EQUISeg (arXiv 2509.24505): modalities teach each other, as published all in every step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from anymodal_seg_ros.config import choice, number
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.losses.prototypes import prototype_distillation
from anymodal_seg_training.strategies.base import Setting, StepLoss
from anymodal_seg_training.strategies.criterion import Criterion, CriterionOptions
from anymodal_seg_training.strategies.random_subsets import AllOrRandomSubset


@dataclass(frozen=True, slots=True)
class EQUISegOptions:
    """What a recipe says about this strategy."""

    modalities: str = choice(("all", "random_subset"), "Of a step: all as published, or some")
    # Proposal: 5 to 20 % of the loss at the start. Heavier, it makes all features alike (measured).
    balance_weight: float = number(1.0, 0.0, 1e6, "Of the self-guided module (SGM)")
    criterion: CriterionOptions = field(default_factory=CriterionOptions)


class EQUISegStrategy(AllOrRandomSubset):
    """Cross entropy, and prototypes of half of the modalities for the other half."""

    def __init__(self, options: EQUISegOptions, setting: Setting) -> None:
        """Set up."""
        super().__init__(drops=options.modalities == "random_subset")
        self._options = options
        self._criterion = Criterion(options.criterion, setting)

    def loss(
        self, network: AnyModalNetwork, batch: Batch, generator: np.random.Generator
    ) -> StepLoss:
        """See :meth:`Strategy.loss`.

        Raises:
            ConfigError: the network does not keep the modalities apart.
        """
        features = network.forward_features(batch.images, batch.modality_ids)
        modalities = batch.images.shape[1]
        if features[0].shape[1] != modalities:
            raise ConfigError(
                f"strategy.name is 'equiseg': {type(network).__name__} mixes the modalities in its "
                "encoder into one map, expected one map for each, as equiseg has"
            )
        segmentation = self._criterion(
            network.decode(features, batch.modality_ids).logits, batch.labels, batch.dataset
        )
        order = generator.permutation(modalities).tolist()
        pairs = list(zip(order[0::2], order[1::2], strict=False))
        balance = self._options.balance_weight * prototype_distillation(
            [stage.float() for stage in features], batch.labels, network.num_classes, pairs
        )
        parts = {"segmentation": segmentation.detach(), "balance": balance.detach()}
        return StepLoss(segmentation + balance, parts)
