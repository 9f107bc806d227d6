"""Masks for people: class colours, and colours over the reference image."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image, Mask
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.sensing.decoding.encodings import COLORS, METRES, to_metres, to_rgb
from anymodal_seg_ros.sensing.geometry.lidar import LIDAR_IMAGE

Rgb = npt.NDArray[np.uint8]

_LEAST_BITS = 10
"""Of 16-bit colours: a camera that sees nothing stays dark."""


def palette(manifest: Manifest) -> Rgb:
    """Return uint8 ``[256, 3]``: the RGB colour of every id; ids without a class are black."""
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(manifest.classes)] = [spec.color for spec in manifest.classes]
    return colors


def colorize(mask: Mask, manifest: Manifest) -> Rgb:
    """Return the mask in class colours, uint8 ``[H, W, 3]`` RGB."""
    # A look-up of three channels at once: a quarter of the time of NumPy's take.
    return np.asarray(cv2.applyColorMap(mask, palette(manifest).reshape(256, 1, 3)), np.uint8)


def overlay(image: Image, mask: Mask, manifest: Manifest, alpha: float = 0.5) -> Rgb:
    """Return class colours over the image, uint8 ``[H, W, 3]`` RGB.

    Args:
        image: what the mask shows, in any encoding that the pipeline takes; brought to its size.
        mask: uint8 ``[H, W]``.
        manifest: knows the palette.
        alpha: opacity of the colours, 0..1.
    """
    colors, below = colorize(mask, manifest), viewable(image)
    if below.shape[:2] != mask.shape:
        below = np.asarray(cv2.resize(below, mask.shape[::-1], interpolation=cv2.INTER_LINEAR))
    return np.asarray(cv2.addWeighted(colors, alpha, below, 1.0 - alpha, 0.0), np.uint8)


def viewable(image: Image) -> Rgb:
    """Return any image that a modality takes as uint8 ``[H, W, 3]`` RGB for people to look at.

    16-bit grey and depth images are stretched between their 2nd and 98th percentile; depth is shown
    near-bright, invalid pixels black, and so is the range of a LiDAR image. 16-bit colours are
    shown by the bits that they use, because most cameras have 10 or 12.
    """
    if image.encoding == LIDAR_IMAGE:
        image = Image(image.pixels[..., 0], "32FC1")
    if image.encoding in COLORS:
        used = int(image.pixels.max(initial=0)).bit_length() if image.pixels.itemsize > 1 else 0
        pixels = to_rgb(image, (1 << max(used, _LEAST_BITS)) - 1 if used else 0.0)
        return pixels if pixels.ndim == 3 else _repeat(pixels)
    near_bright = image.encoding in METRES
    values = to_metres(image) if near_bright else image.pixels.astype(np.float32)
    if near_bright:
        values = 1.0 / values
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, (2, 98)) if known.size else (0.0, 1.0)
    grey = np.clip((values - low) / max(high - low, 1e-6), 0.0, 1.0)
    return _repeat((np.nan_to_num(grey) * 255).astype(np.uint8))


def _repeat(grey: Rgb) -> Rgb:
    """Turn ``[H, W]`` into three equal channels."""
    return np.repeat(grey[..., None], 3, axis=2)
