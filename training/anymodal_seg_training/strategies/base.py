"""What a strategy is: how a network learns from a step's frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.augmentation import Batch


@dataclass(frozen=True, slots=True)
class StepLoss:
    """What a step minimises.

    Attributes:
        total: a scalar with a gradient.
        parts: numbers for the log.
    """

    total: Tensor
    parts: Mapping[str, float]


class Strategy(ABC):
    """One way of training; a method of a paper is one of these."""

    @abstractmethod
    def modalities(
        self, generator: np.random.Generator, available: Sequence[str]
    ) -> tuple[str, ...]:
        """Choose the modalities whose images this step needs, in the order of ``available``."""

    @abstractmethod
    def loss(self, network: AnyModalNetwork, batch: Batch) -> StepLoss:
        """Compute the loss of a step; ``network`` is in training mode."""

    @abstractmethod
    def validation_subsets(self, available: Sequence[str]) -> list[tuple[str, ...]]:
        """Subsets whose mean mIoU decides which weights are the best."""
