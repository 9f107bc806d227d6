"""Variation of training frames: colours, blur, zoom, crop, flip, gain and offset of the sensors.

The kernels are torchvision's. What is drawn comes from each frame's own generator alone, and what
an option switches off draws nothing, so that one more option leaves all other draws as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as kernels

from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_training.data.photometry import other_camera
from anymodal_seg_training.recipe import AugmentationOptions

_EXACT = ("depth", "lidar")
"""Planes whose neighbours are never mixed, as in :mod:`.preprocess`: between a near and a far pixel
there is no surface, and beside a return of a LiDAR nothing was seen."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames that all have the same modalities.

    Attributes:
        images: float32 ``[B, M, 3, H, W]``, normalised.
        modality_ids: int64 ``[M]``.
        labels: int64 ``[B, H, W]``, 255 where there is none.
        replaced: a sentence for each frame that is damaged and stood in for by another.
        dataset: name of the data set that all frames are of, where several are mixed.
    """

    images: Tensor
    modality_ids: Tensor
    labels: Tensor
    replaced: tuple[str, ...] = ()
    dataset: str = ""

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device; from pinned memory the copy runs beside the computation."""
        images, ids, labels = (
            tensor.to(device, non_blocking=tensor.is_pinned())
            for tensor in (self.images, self.modality_ids, self.labels)
        )
        return replace(self, images=images, modality_ids=ids, labels=labels)

    def pin_memory(self) -> Batch:
        """Return the batch in memory that a GPU can read by itself."""
        return replace(
            self,
            images=self.images.pin_memory(),
            modality_ids=self.modality_ids.pin_memory(),
            labels=self.labels.pin_memory(),
        )


@dataclass(frozen=True, slots=True)
class _Window:
    """A piece of a frame, in its pixels, whether it is mirrored, and the size it is brought to."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool
    size: tuple[int, int]


def augment(
    images: Tensor,
    labels: Tensor,
    specs: Sequence[ModalitySpec],
    options: AugmentationOptions,
    generators: Sequence[np.random.Generator],
    names: Sequence[str] = (),
) -> Batch:
    """Vary a batch; every sensor of a frame gets the same window.

    The order is that of DELIVER's training code (arXiv 2303.01480): colours, flip, blur, then zoom
    and crop. Where a frame is smaller than the crop it is padded below and on the right: images
    with what a pixel of value 0 became, labels with 255.

    Args:
        images: float ``[B, M, 3, H, W]``, normalised.
        labels: uint8 ``[B, H, W]``.
        specs: of the M modalities.
        options: how much to vary.
        generators: of each frame, its only source of chance.
        names: of the M modalities, by which the one is known that has its colours varied.
    """
    batch, modalities, _, height, width = images.shape
    size = (options.crop_height, options.crop_width)
    out = images.new_empty((batch, modalities, 3, *size), dtype=torch.float32)
    out_labels = torch.empty((batch, *size), dtype=torch.int64)
    colored = names.index(options.color_modality) if options.color_modality in names else -1
    kinds = [tv_tensors.Mask if s.planes in _EXACT else tv_tensors.Image for s in specs]
    blacks = [_black(spec) for spec in specs]
    unlabeled = torch.full((1,), UNLABELED)
    for item, generator in enumerate(generators):
        window = _draw_window(height, width, options, generator)
        colors = _draw_colors(options, generator)
        for row, spec in enumerate(specs):
            planes = images[item, row]
            if row == colored:
                planes = _vary_colors(planes, spec, colors)
            planes = other_camera(planes, labels[item], spec, options, generator)
            _cut(kinds[row](planes), window, out[item, row], blacks[row])
            if spec.planes != "depth":  # metres are metres; brightness depends on the hour
                gain, offset = generator.uniform(-options.jitter, options.jitter, 2)
                out[item, row].mul_(1.0 + gain).add_(offset)
        _cut(tv_tensors.Mask(labels[item][None]), window, out_labels[item][None], unlabeled)
    ids = torch.tensor([spec.id for spec in specs], dtype=torch.int64)
    return Batch(out, ids, out_labels)


def _draw_window(
    height: int, width: int, options: AugmentationOptions, generator: np.random.Generator
) -> _Window:
    """Draw a piece of a frame that, enlarged or shrunk by the zoom, fills the crop."""
    zoom = generator.uniform(options.min_zoom, options.max_zoom)
    rows = max(1, round(options.crop_height / zoom))
    columns = max(1, round(options.crop_width / zoom))
    # A shrunk frame may not fill the crop.
    size = (
        options.crop_height if rows <= height else round(height * zoom),
        options.crop_width if columns <= width else round(width * zoom),
    )
    rows, columns = min(rows, height), min(columns, width)
    return _Window(
        top=int(generator.integers(0, height - rows + 1)),
        left=int(generator.integers(0, width - columns + 1)),
        height=rows,
        width=columns,
        mirrored=bool(generator.random() < options.flip),
        size=size,
    )


@dataclass(frozen=True, slots=True)
class _Colors:
    """Factors of brightness, contrast and saturation, if they change; whether to blur."""

    factors: tuple[float, float, float] | None
    blurred: bool


def _draw_colors(options: AugmentationOptions, generator: np.random.Generator) -> _Colors:
    factors = None
    if options.color_jitter > 0.0 and generator.random() < options.color_jitter:
        reach = options.color_range
        brightness, contrast, saturation = generator.uniform(1.0 - reach, 1.0 + reach, 3)
        factors = (float(brightness), float(contrast), float(saturation))
    blurred = options.blur > 0.0 and bool(generator.random() < options.blur)
    return _Colors(factors, blurred)


def _vary_colors(planes: Tensor, spec: ModalitySpec, colors: _Colors) -> Tensor:
    """Vary normalised planes ``[3, H, W]`` as if they had been varied before normalisation."""
    if colors.factors is None and not colors.blurred:
        return planes
    planes = planes.float()
    if colors.factors is not None:
        mean, std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))
        brightness, contrast, saturation = colors.factors
        image = (planes * std + mean).clamp_(0.0, 1.0)
        image = kernels.adjust_brightness_image(image, brightness)
        image = kernels.adjust_contrast_image(image, contrast)
        image = kernels.adjust_saturation_image(image, saturation)
        planes = (image - mean) / std
    # Blurring mixes pixels with weights that add up to 1, before or after normalisation alike.
    return kernels.gaussian_blur_image(planes, [3, 3]) if colors.blurred else planes


def _black(spec: ModalitySpec) -> Tensor:
    """What 0 becomes by normalisation, ``[3]``; of depth it means that there is none."""
    return -torch.tensor(spec.mean) / torch.tensor(spec.std)


def _cut(planes: Tensor, window: _Window, out: Tensor, padding: Tensor) -> None:
    """Cut the window out of ``[C, H, W]``, bring it to its size and write it into ``out``.

    A mask is never interpolated. Its nearest neighbours are those of pixel centres, as the bilinear
    ones of an image are; torchvision's own choice for masks is half a pixel off.
    """
    exact = isinstance(planes, tv_tensors.Mask)
    piece = kernels.crop_image(
        planes.as_subclass(Tensor), window.top, window.left, window.height, window.width
    )
    if window.mirrored:
        piece = kernels.horizontal_flip_image(piece)
    if piece.shape[-2:] != window.size:
        how = InterpolationMode.NEAREST_EXACT if exact else InterpolationMode.BILINEAR
        piece = kernels.resize_image(piece.float(), list(window.size), how, antialias=False)
    rows, columns = window.size
    if window.size != tuple(out.shape[-2:]):
        out.copy_(padding.to(out.dtype)[:, None, None].expand_as(out))
    out[:, :rows, :columns] = piece
