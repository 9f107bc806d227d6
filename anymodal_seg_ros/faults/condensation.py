"""Water that condenses on a lens, from its rim to its middle."""

from __future__ import annotations

import cv2
import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.content import Content, content_of
from anymodal_seg_ros.frames import Image

_VEIL, _WHITE = 0.75, 0.7
"""Share of the light that comes from drops, and how bright they are, as a share of the span."""
_BLUR = 60
"""The rest is blurred by this share of the width."""
_SOFT = 1 / 6
"""Width of the edge of the water, as a share of the way from a corner to the middle."""


def condensed(amount: float, image: Image, modality: str = "") -> Image:
    """Return what a camera sees behind water that has grown from the corners of its picture.

    Args:
        amount: 0: there is none; 1: it has reached the middle; negative amounts are none.
        image: a picture, 16-bit counts, or depth, of which water leaves nothing.
        modality: kind of sensor, where the encoding leaves open what it shows.

    Raises:
        ConfigError: it is another image.
    """
    content = content_of(image, modality)
    if content not in (Content.PICTURE, Content.COUNTS, Content.DEPTH):
        raise ConfigError(
            f"condensation cannot happen to an image of the encoding {image.encoding}: it fits "
            "picture, 16-bit counts, depth"
        )
    pixels = image.pixels
    height, width = pixels.shape[:2]
    y, x = np.ogrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j]
    inwards = 1.0 - np.hypot(x, y) / np.sqrt(2.0)
    water = np.clip((amount * (1.0 + _SOFT) - inwards) / _SOFT, 0.0, 1.0).astype(np.float32)
    if content is Content.DEPTH:
        return Image(np.where(water > 0.5, pixels.dtype.type(0), pixels), image.encoding)
    low, high = np.percentile(pixels, (1, 99))
    values = np.asarray(pixels, np.float32)
    soft = cv2.GaussianBlur(values, (0, 0), max(0.1, width / _BLUR)).reshape(values.shape)
    veiled = (1 - _VEIL) * soft + np.float32(_VEIL * (low + _WHITE * (high - low)))
    water = water[..., None] if pixels.ndim == 3 else water
    return Image(np.rint(values + water * (veiled - values)).astype(pixels.dtype), image.encoding)
