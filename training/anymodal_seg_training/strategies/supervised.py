"""Cross entropy, with or without leaving modalities out at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from anymodal_seg_ros.config import number, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.networks import AnyModalNetwork, upsample_logits
from anymodal_seg_training.augmentation import Batch
from anymodal_seg_training.sampling import all_subsets, draw_subset
from anymodal_seg_training.strategies.base import StepLoss, Strategy

DROPOUTS = ("random_subset", "none")


@dataclass(frozen=True, slots=True)
class SupervisedOptions:
    """What a recipe says about this strategy."""

    modality_dropout: str = text(
        "random_subset", "random_subset: each step sees a random subset of sensors; none: all"
    )
    class_balance: float = number(
        0.0, 0.0, 1.0, "Weight of a class is its frequency to the power of minus this"
    )


class Supervised(Strategy):
    """Learn from labels; a step's frames all have the same subset of modalities."""

    def __init__(self, options: SupervisedOptions, frequencies: npt.NDArray[np.float64]) -> None:
        """Set up.

        Args:
            options: see there.
            frequencies: share of each class among the training pixels, ``[K]``.

        Raises:
            ConfigError: ``modality_dropout`` is unknown.
        """
        if options.modality_dropout not in DROPOUTS:
            raise ConfigError(
                f"strategy.modality_dropout is {options.modality_dropout!r}: "
                f"expected one of {', '.join(DROPOUTS)}"
            )
        self._drops = options.modality_dropout == "random_subset"
        # A class that never occurs must not get an infinite weight.
        weights = np.maximum(frequencies, 1e-4) ** -options.class_balance
        self._weights = torch.tensor(weights / weights.mean(), dtype=torch.float32)

    def modalities(
        self, generator: np.random.Generator, available: Sequence[str]
    ) -> tuple[str, ...]:
        """See :meth:`Strategy.modalities`."""
        return draw_subset(generator, available) if self._drops else tuple(available)

    def loss(self, network: AnyModalNetwork, batch: Batch) -> StepLoss:
        """See :meth:`Strategy.loss`."""
        logits = network(batch.images, batch.modality_ids).float()
        logits = upsample_logits(logits, batch.labels.shape[1], batch.labels.shape[2])
        loss = F.cross_entropy(
            logits, batch.labels, self._weights.to(logits.device), ignore_index=UNLABELED
        )
        return StepLoss(loss, {})

    def validation_subsets(self, available: Sequence[str]) -> list[tuple[str, ...]]:
        """All subsets; without dropout only the full one, which is all that it trains for."""
        return all_subsets(available) if self._drops else [tuple(available)]
