"""Brightness, contrast, saturation and blur of a picture.

In torchvision's numbers, bit for bit, so that a recipe gives the run that it always gave; to import
torchvision takes as long as PyTorch itself, for each command and each worker.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_BLUR = 3
"""Rows and columns that are mixed."""

_SIGMA = 0.15 * _BLUR + 0.35


def with_brightness(image: Tensor, factor: float) -> Tensor:
    """Return an image ``[3, H, W]`` from 0 to 1 this many times as bright, within 0 and 1."""
    return image.mul(factor).clamp_(0.0, 1.0)


def with_contrast(image: Tensor, factor: float) -> Tensor:
    """Move an image ``[3, H, W]`` from 0 to 1 away from its mean grey, or towards it."""
    return _blend(image, _grey(image).mean(dim=(-3, -2, -1), keepdim=True), factor)


def with_saturation(image: Tensor, factor: float) -> Tensor:
    """Move an image ``[3, H, W]`` from 0 to 1 away from its greys, or towards them."""
    return _blend(image, _grey(image), factor)


def blurred(planes: Tensor) -> Tensor:
    """Return planes ``[C, H, W]``, each pixel mixed with its neighbours."""
    reach = (_BLUR - 1) / (2.0 * 2.0**0.5)
    places = torch.linspace(-reach, reach, steps=_BLUR, dtype=planes.dtype, device=planes.device)
    weights = torch.softmax(places.div(_SIGMA).pow(2).neg(), dim=0)
    kernel = (weights.unsqueeze(-1) * weights).expand(len(planes), 1, _BLUR, _BLUR)
    side = _BLUR // 2
    padded = F.pad(planes[None], [side] * 4, mode="reflect")
    return F.conv2d(padded, kernel, groups=len(planes))[0]


def _grey(image: Tensor) -> Tensor:
    red, green, blue = image.unbind(dim=-3)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).unsqueeze(dim=-3)


def _blend(image: Tensor, other: Tensor, share: float) -> Tensor:
    return image.mul(share).add_(other, alpha=1.0 - share).clamp_(0.0, 1.0)
