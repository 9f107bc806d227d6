"""A second look at the same image, at half its size, where everything is half as large.

The encoder that sees both sizes is one; its second look costs a quarter of the first. What a place
is, is then asked twice, near and from afar, and the answers are averaged. Where its edges are, only
the full size knows: its fine maps stay as they are, or poles and signs would be lost. Not every
kind of sensor gains by it: with the weights of rig-lite events and depth are better seen once.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from anymodal_seg_ros.networks.segformer_head import resize_map

SEEN_TWICE = 2
"""So many of the coarsest maps are averaged: those of strides 16 and 32."""


def halved(images: Tensor) -> Tensor:
    """Return images ``[N, P, H, W]`` at half their size, sides rounded up.

    Of even sides each new pixel is the mean of four: bilinear resizing by two reads just there.
    """
    height, width = images.shape[-2:]
    return resize_map(images, (-(-height // 2), -(-width // 2)))


def averaged(pyramid: Sequence[Tensor], half: Sequence[Tensor], twice: Tensor) -> list[Tensor]:
    """Return the maps of images, the coarse ones averaged with those of their halves.

    The cells of each map divide the whole image evenly, so those of the half lie right after
    resizing, whatever the size of the image.

    Args:
        pyramid: four maps ``[N, C_i, H_i, W_i]``, fine ones first.
        half: those of the images at half their size.
        twice: bool ``[N]``, the images that are seen twice; the maps of others stay.
    """
    share = (twice.to(pyramid[0].dtype) / 2)[:, None, None, None]
    coarse = zip(pyramid[-SEEN_TWICE:], half[-SEEN_TWICE:], strict=True)
    return [
        *pyramid[:-SEEN_TWICE],
        *(own + (resize_map(seen, own.shape[-2:]) - own) * share for own, seen in coarse),
    ]
