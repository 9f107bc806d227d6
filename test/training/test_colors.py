"""Colours and blur are torchvision's, to the last bit: recipes give the runs that they gave."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from anymodal_seg_training.data.colors import (
    blurred,
    with_brightness,
    with_contrast,
    with_saturation,
)

theirs = pytest.importorskip("torchvision.transforms.v2.functional")


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize(
    ("change", "name"),
    [
        (with_brightness, "adjust_brightness_image"),
        (with_contrast, "adjust_contrast_image"),
        (with_saturation, "adjust_saturation_image"),
    ],
)
def test_colours_are_torchvisions(
    change: Callable[[Tensor, float], Tensor], name: str, factor: float
) -> None:
    image = torch.rand(3, 37, 41, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    assert torch.equal(change(image, factor), getattr(theirs, name)(image, factor))
    assert torch.equal(image, before)


def test_blur_is_torchvisions() -> None:
    planes = torch.randn(3, 37, 41, generator=torch.Generator().manual_seed(0))
    assert torch.equal(blurred(planes), theirs.gaussian_blur_image(planes, [3, 3]))
