"""Images of a sensor that lies: what a network should learn to distrust.

Which ways there are, and how strong they are, is a proposal of this project.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def spoil(images: Tensor, row: int, generator: np.random.Generator) -> Tensor:
    """Return a copy of a batch in which one modality lies, in a way that is drawn.

    Args:
        images: float ``[B, M, 3, H, W]``, normalised.
        row: of the modality.
        generator: the only source of chance.
    """
    changed = images.clone()
    way = _WAYS[int(generator.integers(len(_WAYS)))]
    changed[:, row] = way(images[:, row], generator)
    return changed


def _flat(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """A covered lens, a black or a saturated sensor: one level everywhere."""
    return torch.full_like(planes, float(generator.uniform(-2.5, 2.5)))


def _noise(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """Nothing but noise."""
    return _gaussian(planes, generator)


def _noisy(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """Strong noise over what is still there."""
    return planes + float(generator.uniform(0.7, 2.0)) * _gaussian(planes, generator)


def _elsewhere(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """Another frame of the batch, mirrored: a sensor that is stuck or turned away."""
    return planes.roll(1, dims=0).flip(-1)


def _shifted(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """A sensor that was knocked: its picture has moved by a fifth to a half."""
    width = planes.shape[-1]
    return planes.roll(int(generator.integers(width // 5, width // 2 + 1)), dims=-1)


def _gaussian(planes: Tensor, generator: np.random.Generator) -> Tensor:
    noise = generator.standard_normal(tuple(planes.shape), np.float32)
    return torch.from_numpy(noise).to(planes.device, planes.dtype)


_WAYS: tuple[Callable[[Tensor, np.random.Generator], Tensor], ...] = (
    _flat,
    _noise,
    _noisy,
    _elsewhere,
    _shifted,
)
