"""CHARM (arXiv 2508.03060): all modalities together, and one alone, a weak one more often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from anymodal_seg_ros.config import choice, number
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_ros.networks.charm import Charm, softmin_probabilities
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.fabric import mean_of_processes
from anymodal_seg_training.strategies.all_modalities import AllModalities
from anymodal_seg_training.strategies.base import Setting, StepLoss
from anymodal_seg_training.strategies.criterion import Criterion, CriterionOptions


@dataclass(frozen=True, slots=True)
class CharmOptions:
    """What a recipe says about this strategy; the paper gives none of these numbers (proposal)."""

    collaborative_weight: float = number(1.0, 0.0, 1e3, "Of the path with all modalities (CoL)")
    individual_weight: float = number(1.0, 0.0, 1e3, "Of the path with one modality (InE)")
    temperature: float = number(1.0, 1e-3, 1e3, "Of the choice of that one; large: all alike")
    sampling: str = choice(
        ("softmin", "uniform", "softmax"), "Which modality comes more often: weak, none, or strong"
    )
    momentum: float = number(
        0.0, 0.0, 0.9999, "Of the average of the robustness over steps; 0: this step's alone"
    )
    criterion: CriterionOptions = field(default_factory=CriterionOptions)


class CharmStrategy(AllModalities):
    """Both paths in every step, from one encoding; one modality is drawn for the whole batch."""

    def __init__(self, options: CharmOptions, setting: Setting) -> None:
        """Set up."""
        self._options = options
        self._criterion = Criterion(options.criterion, setting)
        self._average: Tensor | None = None

    def loss(
        self, network: AnyModalNetwork, batch: Batch, generator: np.random.Generator
    ) -> StepLoss:
        """See :meth:`Strategy.loss`.

        Raises:
            ConfigError: the network is not CHARM's.
        """
        if not isinstance(network, Charm):
            raise ConfigError(
                f"strategy.name is 'charm': {type(network).__name__} has no robustness evaluator, "
                "expected architecture.network charm"
            )
        options, ids = self._options, batch.modality_ids
        features = network.forward_features(batch.images, ids)
        together = self._criterion(network.decode(features, ids).logits, batch.labels)
        # Of the whole batch: every process must draw the same modality and keep the same average.
        robustness = mean_of_processes(network.robustness(features).float()).cpu()
        robustness = self._averaged(robustness)
        row = self._draw(robustness, generator)
        one = [stage[:, row : row + 1] for stage in features]
        alone = self._criterion(network.decode(one, ids[row : row + 1]).logits, batch.labels)
        terms = {
            "collaborative": options.collaborative_weight * together,
            "individual": options.individual_weight * alone,
        }
        chances = self._chances(robustness).float().to(ids.device)
        named = zip(ids.tolist(), chances, strict=True)
        notes = {f"chance_{network.modalities[kind]}": chance for kind, chance in named}
        return StepLoss.sum_of(terms, notes)

    def state(self) -> dict[str, Tensor]:
        """See :meth:`Strategy.state`."""
        return {} if self._average is None else {"robustness": self._average}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See :meth:`Strategy.restore`."""
        self._average = state.get("robustness")

    def _averaged(self, robustness: Tensor) -> Tensor:
        if self._average is None:
            self._average = robustness
        self._average = torch.lerp(robustness, self._average, self._options.momentum)
        return self._average

    def _draw(self, robustness: Tensor, generator: np.random.Generator) -> int:
        shares = np.cumsum(self._chances(robustness).numpy())[:-1]
        return int(np.searchsorted(shares, generator.random()))

    def _chances(self, robustness: Tensor) -> Tensor:
        """Return how likely each modality is drawn, float64 ``[M]``."""
        sign = {"softmin": 1.0, "uniform": 0.0, "softmax": -1.0}[self._options.sampling]
        return softmin_probabilities(sign * robustness.double(), self._options.temperature)
