"""Image faults: pure functions of an image and dice.

DELIVER (arXiv 2303.01480) names them and gives no formulas, so strengths are proposals. Size,
encoding and dtype stay as they are, and so does every pixel without a measurement.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.content import FITS, Content, content_of
from anymodal_seg_ros.faults.damage import damaged
from anymodal_seg_ros.faults.kinds import (
    EventLowResolution,
    ImageFault,
    LidarJitter,
    MotionBlur,
    OverExposure,
    UnderExposure,
)
from anymodal_seg_ros.faults.lidar_jitter import jitter_cloud, jitter_image
from anymodal_seg_ros.frames import Image, Pixels
from anymodal_seg_ros.sensing.decoding.encodings import INVALID_MILLIMETRES

Floats = npt.NDArray[np.float32]

_GAMMA = 2.2
"""Between light and the numbers of a picture."""

_BLUR_SHARE = 0.1
"""Length of the longest blur, of the width."""

_OVER_STOPS, _UNDER_STOPS = 4.0, 6.0
"""Powers of two that light is multiplied and divided by at severity 1."""

_FULL_WELL = 10_000.0
"""Electrons of a pixel of full light: so many make shot noise of one per cent."""

_READ_NOISE = 0.002
"""Of full light."""

_COUNTS_NOISE = 0.02
"""Of the span of a 16-bit image that is under-exposed with severity 1."""

_SPAN = (1.0, 99.0)
"""Percentiles between which a 16-bit image has its span."""

_LARGEST_BLOCK = 8
"""Side in pixels of what one pixel of the coarsest event camera speaks for."""


def apply_image_fault(
    fault: ImageFault, image: Image, rng: np.random.Generator, modality: str = ""
) -> Image:
    """Show an image as a sensor with a fault would have taken it.

    ``motion_blur`` averages light (pictures), counts, or the distances that are known (depth).
    ``over_exposure`` and ``under_exposure`` scale the light of pictures; of 16-bit counts they
    scale the span that the image has, because there a factor would mean absurd temperatures.
    ``lidar_jitter`` tilts the scan and blurs its ranges. ``event_low_resolution`` gives each block
    of pixels the value of one of them. For the others see :mod:`~anymodal_seg_ros.faults.damage`.

    Args:
        fault: of one of the image kinds. Severity 0 changes nothing.
        image: of an encoding that the kind fits, see :data:`~anymodal_seg_ros.faults.content.FITS`;
            a point cloud has the encoding ``PointCloud2``. It is not written to.
        rng: dice of noise and jitter; no other randomness is used.
        modality: kind of sensor, where the encoding leaves open what it shows.

    Returns:
        An image of the same size, encoding and dtype (in native byte order).

    Raises:
        ConfigError: the kind does not fit the encoding, or a cloud has no x, y or z.
        DecodeError: a deferred image is damaged.
    """
    content = content_of(image, modality)
    if content is None or content not in FITS[type(fault)]:
        fitting = ", ".join(c.value for c in FITS[type(fault)])
        raise ConfigError(
            f"{fault.kind} cannot happen to an image of the encoding {image.encoding}: it fits "
            f"{fitting}"
        )
    if fault.severity == 0.0:
        return image
    pixels = np.asarray(image.pixels)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    return Image(_changed(fault, content, pixels, rng), image.encoding)


def _changed(
    fault: ImageFault, content: Content, pixels: Pixels, rng: np.random.Generator
) -> Pixels:
    if isinstance(fault, LidarJitter):
        jitter = jitter_cloud if content is Content.CLOUD else jitter_image
        return jitter(pixels, fault.severity, rng)
    if isinstance(fault, EventLowResolution):
        return _coarse(pixels, fault.severity)
    if not isinstance(fault, MotionBlur | OverExposure | UnderExposure):
        return damaged(fault, content, pixels, rng)
    if isinstance(fault, MotionBlur):
        return _blurred(pixels, content, _kernel(fault, pixels.shape[1]))
    stops = _OVER_STOPS if isinstance(fault, OverExposure) else -_UNDER_STOPS
    gain = 2.0 ** (stops * fault.severity)
    exposed = _exposed_counts if content is Content.COUNTS else _exposed_picture
    return exposed(pixels, gain, rng)


def _kernel(fault: MotionBlur, width: int) -> Floats:
    """Draw the line along which light is averaged: float32, odd sides, sum 1."""
    length = max(1.0, fault.severity * _BLUR_SHARE * width)
    angle = np.deg2rad(fault.angle_deg)
    radius = int(np.ceil(length / 2))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    along = np.linspace(-length / 2, length / 2, 8 * radius + 1)
    x, y = radius + along * np.cos(angle), radius - along * np.sin(angle)
    for dx in (0, 1):
        for dy in (0, 1):
            column, row = np.floor(x).astype(int) + dx, np.floor(y).astype(int) + dy
            weight = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
            inside = (column <= 2 * radius) & (row <= 2 * radius)  # outside the weight is 0
            np.add.at(kernel, (row[inside], column[inside]), weight[inside])
    return np.asarray(kernel / kernel.sum(), np.float32)


def _blurred(pixels: Pixels, content: Content, kernel: Floats) -> Pixels:
    if content is Content.PICTURE:
        return _from_light(_filtered(_to_light(pixels), kernel), pixels.dtype)
    with np.errstate(over="ignore"):  # of doubles beyond float32
        values = np.asarray(pixels, np.float32)
    if content is Content.COUNTS:
        return _rounded(_filtered(values, kernel), pixels.dtype)
    if pixels.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            known = np.isfinite(values) & (values > 0)
    else:
        known = (pixels != INVALID_MILLIMETRES[0]) & (pixels != INVALID_MILLIMETRES[1])
    weight = _filtered(known.astype(np.float32), kernel)
    total = _filtered(np.where(known, values, np.float32(0)), kernel)
    mean = np.asarray(total / np.maximum(weight, np.float32(1e-6)), np.float32)
    return np.where(known, _rounded(mean, pixels.dtype), pixels)


def _filtered(values: Floats, kernel: Floats) -> Floats:
    blurred = cv2.filter2D(values, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32).reshape(values.shape)


def _exposed_picture(pixels: Pixels, gain: float, rng: np.random.Generator) -> Pixels:
    """Scale light; what comes of little light is noisy."""
    light = _to_light(pixels) * np.float32(gain)
    if gain < 1.0:
        shot = np.sqrt(light / np.float32(_FULL_WELL))
        noise = np.sqrt(shot**2 + np.float32(_READ_NOISE**2))
        light = light + noise * rng.standard_normal(light.shape, np.float32)
    return _from_light(light, pixels.dtype)


def _exposed_counts(pixels: Pixels, gain: float, rng: np.random.Generator) -> Pixels:
    """Scale the span of an image: its upper part saturates, or all of it sinks into noise."""
    low, high = np.percentile(pixels, _SPAN)
    span = float(high - low)
    shares = (pixels.astype(np.float32) - np.float32(low)) / np.float32(max(span, 1.0))
    shares = np.clip(shares, 0.0, None) * np.float32(gain)
    if gain < 1.0:
        amplitude = np.float32(_COUNTS_NOISE * (1.0 - gain))
        shares = shares + amplitude * rng.standard_normal(shares.shape, np.float32)
    else:
        shares = np.minimum(shares, np.float32(1.0))
    return _rounded(np.asarray(low + shares * span, np.float32), pixels.dtype)


def _to_light(pixels: Pixels) -> Floats:
    """Turn the numbers of a picture into light from 0 to 1."""
    scale = np.float32(1.0 / np.iinfo(pixels.dtype).max)
    return np.asarray((pixels.astype(np.float32) * scale) ** np.float32(_GAMMA), np.float32)


def _from_light(light: Floats, dtype: np.dtype[Any]) -> Pixels:
    coded = np.clip(light, 0.0, 1.0) ** np.float32(1.0 / _GAMMA)
    return _rounded(np.asarray(coded * np.float32(np.iinfo(dtype).max), np.float32), dtype)


def _rounded(values: Floats, dtype: np.dtype[Any]) -> Pixels:
    """Bring values back to the image's dtype, clipped to what it can hold."""
    if dtype.kind == "f":
        return values.astype(dtype)
    info = np.iinfo(dtype)
    return np.clip(np.rint(values), info.min, info.max).astype(dtype)


def _coarse(pixels: Pixels, severity: float) -> Pixels:
    """Give every block the value of the pixel in its middle."""
    side = 1 + int(np.ceil((_LARGEST_BLOCK - 1) * severity))
    rows, columns = (
        np.minimum(np.arange(length) // side * side + side // 2, length - 1)
        for length in pixels.shape[:2]
    )
    return np.ascontiguousarray(pixels[rows][:, columns])
