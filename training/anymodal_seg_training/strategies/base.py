"""What a strategy is: how a network learns from a step's frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from anymodal_seg_ros.networks import AnyModalNetwork

if TYPE_CHECKING:  # it takes torchvision along, which takes as long as all the rest
    from anymodal_seg_training.data.augmentation import Batch


@dataclass(frozen=True, slots=True)
class Setting:
    """What a strategy knows of the run.

    Attributes:
        modalities: names in the order of their ids.
        frequencies: share of each class among the training pixels, ``[K]``.
        device: where the network is.
        known: where several data sets are mixed, the classes that each has labels of, by its name.
        classes: names in the order of their ids, for options that name some.
    """

    modalities: tuple[str, ...]
    frequencies: npt.NDArray[np.float64]
    device: torch.device
    known: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.frequencies)


@dataclass(frozen=True, slots=True)
class StepLoss:
    """What a step minimises.

    Attributes:
        total: a scalar with a gradient.
        parts: terms of it for the log, without gradients.
        notes: other numbers for the log.
    """

    total: Tensor
    parts: Mapping[str, Tensor]
    notes: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def sum_of(
        cls, terms: Mapping[str, Tensor], notes: Mapping[str, Tensor] | None = None
    ) -> StepLoss:
        """Add up weighted terms; each is a part for the log."""
        total = torch.stack([term.float() for term in terms.values()]).sum()
        return cls(total, {name: term.detach() for name, term in terms.items()}, notes or {})


class Strategy(ABC):
    """One way of training; a method of a paper is one of these."""

    def prepare(self, network: AnyModalNetwork) -> None:  # noqa: B027  most have nothing to do
        """Load and freeze what is to be, before anything is trained.

        Raises:
            ConfigError: the network does not suit.
            TrainingError: a file cannot be read.
        """

    def own_parts(self) -> nn.Module:
        """Return what learns beside the network and is of no use afterwards."""
        return nn.Module()

    def rate_of(self, parameter: str) -> float:
        """Return how many times the recipe's learning rate a parameter of the network learns with.

        Args:
            parameter: its name in the network.
        """
        return 1.0

    @abstractmethod
    def modalities(
        self, generator: np.random.Generator, available: Sequence[str]
    ) -> tuple[str, ...]:
        """Choose the modalities whose images this step needs, in the order of ``available``."""

    @abstractmethod
    def loss(
        self, network: AnyModalNetwork, batch: Batch, generator: np.random.Generator
    ) -> StepLoss:
        """Compute the loss of a step; ``network`` is in training mode.

        What is drawn from ``generator`` is the same in every process of a run.
        """

    @abstractmethod
    def validation_subsets(self, available: Sequence[str]) -> list[tuple[str, ...]]:
        """Subsets whose mean mIoU decides which weights are the best.

        None at all: what is trained makes no masks, and the latest weights are kept.
        """

    def state(self) -> dict[str, Tensor]:
        """Return what must be kept in a checkpoint to go on exactly."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027  most have nothing to do
        """Take back what :meth:`state` returned."""
