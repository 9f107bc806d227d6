"""Other cameras than the rig's: response to light, white balance, contrast enhancement, grain.

A simulated camera is one camera. A network that has seen its pictures in the response of many is
asked for shapes and not for one camera's greys (domain randomisation, arXiv 1703.06907).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as kernels

from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_training.data.surfaces import other_surfaces
from anymodal_seg_training.recipe import AugmentationOptions

GAMMA = 1.8
"""Largest exponent of a response to light; the smallest is its reciprocal."""
BALANCE = 1.3
"""Largest gain of one colour, as of another lamp; the smallest is its reciprocal."""
MOST_COLOR = 1.4
"""Largest saturation; the smallest is none, as of a grey camera."""
MOST_BLACK = 0.5
"""Largest share of the pixels, the coldest, that a stretched thermal image shows as one black."""
MOST_WHITE = 0.03
"""Largest share of the pixels, the warmest, that it shows as one white."""
THERMAL_GAMMA = 3.0
"""Largest exponent of a thermal camera's display; the smallest is the reciprocal of ``GAMMA``."""
LEAST_RANGE = 0.4
"""Smallest share of the range of grey levels that a stretched thermal image takes up."""


def other_camera(
    planes: Tensor,
    labels: Tensor,
    spec: ModalitySpec,
    options: AugmentationOptions,
    generator: np.random.Generator,
) -> Tensor:
    """Return normalised planes ``[3, H, W]`` as another camera might have taken them elsewhere.

    Colours get other surfaces, another response, white balance and saturation, thermal images a
    stretched contrast, both get grain. Depth and events are returned as they are, and draw nothing.

    Args:
        planes: of one sensor.
        labels: uint8 ``[H, W]``, by which surfaces are known.
        spec: of its modality.
        options: how much to vary.
        generator: the only source of chance.
    """
    colored = spec.planes == "color" and not spec.sparse
    thermal = spec.planes == "thermal"
    if not (colored or thermal):
        return planes
    if colored and options.surfaces > 0.0 and generator.random() < options.surfaces:
        planes = _as_image(planes, spec, lambda image: other_surfaces(image, labels, generator))
    chance = options.camera if colored else options.contrast
    if chance > 0.0 and generator.random() < chance:
        change = _other_response if colored else _stretched
        planes = _as_image(planes, spec, lambda image: change(image, generator))
    if options.grain > 0.0:
        strength = generator.uniform(0.0, options.grain)
        noise = generator.standard_normal(planes.shape, np.float32)
        # A thermal camera has one plane, three times.
        noise = noise if colored else np.repeat(noise[:1], len(noise), axis=0)
        planes = planes.float() + strength * torch.from_numpy(noise)
    return planes


def _as_image(planes: Tensor, spec: ModalitySpec, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change normalised planes as the picture from 0 to 1 that they were made of."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    return (change((planes.float() * std + mean).clamp_(0.0, 1.0)) - mean) / std


def _other_response(image: Tensor, generator: np.random.Generator) -> Tensor:
    gamma = GAMMA ** generator.uniform(-1.0, 1.0)
    gains = torch.tensor(BALANCE ** generator.uniform(-1.0, 1.0, 3), dtype=image.dtype)
    image = (image.pow(gamma) * gains[:, None, None]).clamp_(0.0, 1.0)
    return kernels.adjust_saturation_image(image, float(generator.uniform(0.0, MOST_COLOR)))


def _stretched(image: Tensor, generator: np.random.Generator) -> Tensor:
    """What cameras that are not radiometric give: grey levels for what is there alone.

    Many let one hot spot rule the range, so that all else lies near black; some lift it or leave
    part of the range free. A small share of black or white is the likelier one.
    """
    below = MOST_BLACK * generator.random() ** 2
    above = MOST_WHITE * generator.random() ** 3
    some = image[0, ::2, ::2].flatten()
    low, high = torch.quantile(some, torch.tensor([below, 1.0 - above], dtype=some.dtype))
    gamma = np.exp(generator.uniform(-np.log(GAMMA), np.log(THERMAL_GAMMA)))
    levels = generator.uniform(LEAST_RANGE, 1.0)
    floor = (1.0 - levels) * generator.random() ** 2
    shares = ((image - low) / (high - low).clamp(min=1e-3)).clamp_(0.0, 1.0).pow(float(gamma))
    return floor + levels * shares
