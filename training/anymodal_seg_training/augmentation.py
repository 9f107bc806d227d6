"""Variation of training frames: crop, zoom, flip, and gain and offset of the sensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_training.recipe import AugmentationOptions


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames that all have the same modalities.

    Attributes:
        images: float32 ``[B, M, 3, H, W]``, normalised.
        modality_ids: int64 ``[M]``.
        labels: int64 ``[B, H, W]``, 255 where there is none.
    """

    images: Tensor
    modality_ids: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(self.images.to(device), self.modality_ids.to(device), self.labels.to(device))


@dataclass(frozen=True, slots=True)
class _Window:
    """A piece of a frame, in its pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool


def augment(
    images: Tensor,
    labels: Tensor,
    specs: Sequence[ModalitySpec],
    options: AugmentationOptions,
    generators: Sequence[np.random.Generator],
) -> Batch:
    """Vary a batch; every sensor of a frame gets the same window.

    Args:
        images: float ``[B, M, 3, H, W]``, normalised.
        labels: uint8 ``[B, H, W]``.
        specs: of the M modalities.
        options: how much to vary.
        generators: of each frame, its only source of chance.
    """
    batch, modalities, _, height, width = images.shape
    size = (options.crop_height, options.crop_width)
    out = images.new_empty((batch, modalities, 3, *size), dtype=torch.float32)
    out_labels = torch.empty((batch, *size), dtype=torch.int64)
    for item, generator in enumerate(generators):
        window = _draw_window(height, width, options, generator)
        for row, spec in enumerate(specs):
            out[item, row] = _cut(images[item, row], window, size, smooth=spec.planes != "depth")
            if spec.planes != "depth":  # metres are metres; brightness depends on the hour
                gain, offset = generator.uniform(-options.jitter, options.jitter, 2)
                out[item, row].mul_(1.0 + gain).add_(offset)
        out_labels[item] = _cut(labels[item][None], window, size, smooth=False)[0]
    ids = torch.tensor([spec.id for spec in specs], dtype=torch.int64)
    return Batch(out, ids, out_labels)


def _draw_window(
    height: int, width: int, options: AugmentationOptions, generator: np.random.Generator
) -> _Window:
    zoom = generator.uniform(1.0, options.max_zoom)
    rows = max(1, round(options.crop_height / zoom))
    columns = max(1, round(options.crop_width / zoom))
    return _Window(
        top=int(generator.integers(0, height - rows + 1)),
        left=int(generator.integers(0, width - columns + 1)),
        height=rows,
        width=columns,
        mirrored=bool(generator.random() < options.flip),
    )


def _cut(planes: Tensor, window: _Window, size: tuple[int, int], smooth: bool) -> Tensor:
    """Cut the window out of ``[C, H, W]`` and bring it to ``size``."""
    piece = planes[
        :, window.top : window.top + window.height, window.left : window.left + window.width
    ]
    if window.mirrored:
        piece = piece.flip(-1)
    mode = "bilinear" if smooth else "nearest-exact"
    return F.interpolate(piece[None].float(), size=size, mode=mode)[0]
