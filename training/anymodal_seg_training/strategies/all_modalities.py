"""What the strategies have in common whose every step needs all modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.data.sampling import all_subsets
from anymodal_seg_training.strategies.base import Strategy


class AllModalities(Strategy):
    """Reads every modality in every step, and is judged by all subsets."""

    def modalities(
        self, generator: np.random.Generator, available: Sequence[str]
    ) -> tuple[str, ...]:
        """See :meth:`Strategy.modalities`."""
        return tuple(available)

    def validation_subsets(self, available: Sequence[str]) -> list[tuple[str, ...]]:
        """See :meth:`Strategy.validation_subsets`."""
        return all_subsets(available)


def refuse_mixing(strategy: str, network: AnyModalNetwork) -> None:
    """Refuse a network whose features of a row are not those of this row alone.

    Raises:
        ConfigError: its encoder lets the modalities see each other.
    """
    if not network.encodes_apart:
        raise ConfigError(
            f"strategy.name is {strategy!r}: {type(network).__name__} mixes the modalities in its "
            f"encoder, expected a network that keeps them apart, such as {strategy}"
        )


def of_rows(batch: Batch, rows: Sequence[int]) -> Batch:
    """Return the batch with these rows of the modality axis alone."""
    index = torch.as_tensor(rows, device=batch.images.device)
    return replace(batch, images=batch.images[:, index], modality_ids=batch.modality_ids[index])
