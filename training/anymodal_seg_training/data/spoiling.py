"""Images of sensors that lie, and of sensors that suffer: what a network should learn to bear.

A lying sensor shows nothing of what is there, and should lose its vote. A suffering one shows less
of it (noise, dead pixels), and should keep what vote it deserves. Which ways there are, and how
strong they are, is a proposal of this project. What must be the same in every process is drawn from
NumPy's generator, noise from torch's own, as dropout is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Way = Callable[[Tensor, np.random.Generator], Tensor]
"""From planes ``[B, 3, H, W]`` of one modality to spoiled ones; may return the same tensor."""


def lie(images: Tensor, rows: Sequence[int], generator: np.random.Generator) -> Tensor:
    """Return a copy of a batch in which some modalities lie, each in a way that is drawn.

    Args:
        images: float ``[B, M, 3, H, W]``, normalised.
        rows: of these modalities.
        generator: source of the ways.
    """
    return _changed(images, rows, _LIES, generator)


def suffer(images: Tensor, rows: Sequence[int], generator: np.random.Generator) -> Tensor:
    """Return a copy of a batch in which some modalities suffer, each in a way that is drawn.

    Args:
        images: float ``[B, M, 3, H, W]``, normalised.
        rows: of these modalities.
        generator: source of the ways and of how bad it is.
    """
    return _changed(images, rows, _SUFFERINGS, generator)


def _changed(
    images: Tensor, rows: Sequence[int], ways: Sequence[Way], generator: np.random.Generator
) -> Tensor:
    changed = images.clone()
    for row in rows:
        way = ways[int(generator.integers(len(ways)))]
        changed[:, row] = way(images[:, row], generator)
    return changed


def _flat(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """A covered lens, a black or a saturated sensor: one level everywhere."""
    return torch.full_like(planes, float(generator.uniform(-2.5, 2.5)))


def _noise(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """Nothing but noise."""
    return torch.randn_like(planes)


def _elsewhere(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """Another frame of the batch, mirrored: a sensor that is stuck or turned away."""
    return planes.roll(1, dims=0).flip(-1)


def _shifted(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """A sensor that was knocked: its picture has moved by a fifth to a half."""
    width = planes.shape[-1]
    return planes.roll(int(generator.integers(width // 5, width // 2 + 1)), dims=-1)


def _grain(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """Noise over the picture, from hardly any to more noise than picture."""
    return planes + float(generator.uniform(0.0, 1.5)) * torch.randn_like(planes)


def _lost(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """Readings that are lost here and there: up to four fifths of them are one level."""
    missing = torch.rand_like(planes) < float(generator.uniform(0.0, 0.8))
    return planes.masked_fill(missing, float(generator.uniform(-1.0, 1.0)))


def _specks(planes: Tensor, generator: np.random.Generator) -> Tensor:
    """Hot and dead pixels: up to a fifth of the readings are the largest or the smallest."""
    share = float(generator.uniform(0.0, 0.2)) / 2
    lots = torch.rand_like(planes)
    hot = torch.where(lots < share, planes.amax(), planes)
    return torch.where(lots > 1.0 - share, planes.amin(), hot)


_LIES: tuple[Way, ...] = (_flat, _noise, _elsewhere, _shifted)
_SUFFERINGS: tuple[Way, ...] = (_grain, _lost, _specks)
