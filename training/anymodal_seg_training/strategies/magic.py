"""MAGIC (arXiv 2407.11344): all sensors, and the two that agree most and least with them.

Its code is not public. From the description: the loss of all sensors' prediction, that of the
prediction from the selected two, and that the others relate to both fused features alike.
Proposals: the second is compared with the labels, the third is a squared difference, weights are 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from anymodal_seg_ros.config import number
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_ros.networks.magic import Magic, ModalitySelection
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.strategies.all_modalities import AllModalities
from anymodal_seg_training.strategies.base import Setting, StepLoss
from anymodal_seg_training.strategies.criterion import Criterion, CriterionOptions


@dataclass(frozen=True, slots=True)
class MagicOptions:
    """What a recipe says about this strategy; the paper's weights are not known (proposal)."""

    selected_weight: float = number(1.0, 0.0, 1e3, "Of the prediction from the selected two (L_S)")
    consistency_weight: float = number(
        1.0, 0.0, 1e3, "Of how alike the others relate to all and to the selected (L_C)"
    )
    criterion: CriterionOptions = field(default_factory=CriterionOptions)


class MagicStrategy(AllModalities):
    """See the module."""

    def __init__(self, options: MagicOptions, setting: Setting) -> None:
        """Set up."""
        self._options = options
        self._criterion = Criterion(options.criterion, setting)

    def loss(
        self, network: AnyModalNetwork, batch: Batch, generator: np.random.Generator
    ) -> StepLoss:
        """See :meth:`Strategy.loss`.

        Raises:
            ConfigError: the network is not MAGIC's.
        """
        if not isinstance(network, Magic):
            raise ConfigError(
                f"strategy.name is 'magic': {type(network).__name__} selects no sensors, "
                "expected architecture.network magic"
            )
        options, ids = self._options, batch.modality_ids
        features = network.forward_features(batch.images, ids)
        terms = {"whole": self._criterion(network.decode(features, ids).logits, batch.labels)}
        if len(ids) > 1:
            found = network.select(features)
            selected = self._criterion(found.logits, batch.labels)
            terms["selected"] = options.selected_weight * selected
            terms["consistency"] = options.consistency_weight * inconsistency(found)
        return StepLoss.sum_of(terms)


def inconsistency(selection: ModalitySelection) -> Tensor:
    """How differently the sensors that were not selected relate to all and to the selected.

    Returns:
        The mean squared difference of their correlations; 0 where all were selected.
    """
    rest = torch.ones_like(selection.correlations).scatter(1, selection.rows, 0.0)
    difference = selection.selected_correlations.float() - selection.correlations.float()
    return (rest * difference.square()).sum() / rest.sum().clamp(min=1.0)
