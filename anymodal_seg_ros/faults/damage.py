"""What dirt, weather and broken read-outs make of one picture, of depth, or of a scan."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.faults.colours import wrong_colours
from anymodal_seg_ros.faults.content import Content
from anymodal_seg_ros.faults.garbled import garbled
from anymodal_seg_ros.faults.kinds import (
    BrokenScan,
    Covered,
    Defocus,
    Fog,
    Garbled,
    Glare,
    Grain,
    Holes,
    ImageFault,
    Negative,
    Stripes,
    StuckBit,
    StuckLines,
    SwappedBytes,
    Torn,
    WrongColours,
    WrongGamma,
    WrongUnits,
)
from anymodal_seg_ros.faults.lidar_jitter import require_coordinates
from anymodal_seg_ros.frames import Pixels

_BLOTS = (4, 5)
"""Grid of chance from which blots of mud are made."""
_TORN_PIXELS = 14
_WAVE = (8.0, 14.0)
"""Pixels across and down from crest to crest of a herringbone."""
_STEEPEST_GAMMA = 3.0
_FARTHEST_M = 50.0
_BLOCKED_M = 0.4
_FLAT_SPAN = 8.0
_COARSE = 512.0
_SALT = 0.5
_GAUSS = 1.0 / 3.0

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def damaged(
    fault: ImageFault, content: Content, pixels: Pixels, rng: np.random.Generator
) -> Pixels:
    """Return what a fault makes of pixels.

    Args:
        fault: one that fits the content.
        content: what the pixels show.
        pixels: ``[H, W]`` or ``[H, W, C]``, or the points of a scan; native byte order.
        rng: dice.

    Raises:
        ConfigError: a scan has no x, y or z, or a picture no colours that could be wrong.
    """
    if isinstance(fault, BrokenScan):
        return _broken_scan(fault, pixels, rng)
    if isinstance(fault, Covered):
        return _covered(fault, content, pixels, rng)
    if isinstance(fault, StuckLines):
        return _stuck(fault, pixels)
    if isinstance(fault, Torn):
        step = max(1, round(_TORN_PIXELS * fault.severity))
        rows = [np.roll(row, step * number, axis=0) for number, row in enumerate(pixels)]
        return np.asarray(np.stack(rows))
    if isinstance(fault, Holes):
        return _holes(fault, pixels, rng)
    if isinstance(fault, SwappedBytes):
        return np.asarray(pixels.byteswap())
    if isinstance(fault, StuckBit):
        return _stuck_bit(fault, content, pixels)
    if isinstance(fault, Negative):
        return np.asarray(pixels.min() + (pixels.max() - pixels), pixels.dtype)
    if isinstance(fault, Garbled):
        return garbled(fault, pixels, rng)
    if isinstance(fault, WrongColours):
        return wrong_colours(fault, pixels)
    if isinstance(fault, WrongGamma):
        return _wrong_gamma(fault, content, pixels)
    if isinstance(fault, WrongUnits):
        return _as(np.nan_to_num(np.asarray(pixels, np.float64)) / 1000.0, pixels)
    return _worse_light(fault, pixels, rng)


def _stuck_bit(fault: StuckBit, content: Content, pixels: Pixels) -> Pixels:
    size = pixels.dtype.itemsize
    raw = pixels.view(f"u{size}")
    line = raw.dtype.type(1 << fault.bit + 8 * (size - 1) * (fault.byte == "high"))
    stuck = (raw | line if fault.how == "one" else raw & ~line).view(pixels.dtype)
    return np.where(pixels == 0, pixels, stuck) if content is Content.DEPTH else np.asarray(stuck)


def _wrong_gamma(fault: WrongGamma, content: Content, pixels: Pixels) -> Pixels:
    low, high = _lit(content, pixels)
    power = _STEEPEST_GAMMA ** (fault.severity if fault.how == "dark" else -fault.severity)
    shares = np.clip((np.asarray(pixels, np.float64) - low) / (high - low), 0.0, 1.0)
    return _as(low + (high - low) * shares**power, pixels)


def _worse_light(fault: ImageFault, pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return what fog, glare, defocus, noise and stripes make of a picture."""
    low, high = _span(pixels)
    span = high - low
    values = np.asarray(pixels, np.float64)
    height, width = pixels.shape[:2]
    if isinstance(fault, Defocus):
        sigma = max(0.1, fault.severity * width / 40)
        blurred = cv2.GaussianBlur(np.asarray(pixels, np.float32), (0, 0), sigma)
        return _as(np.asarray(blurred, np.float64).reshape(pixels.shape), pixels)
    if isinstance(fault, Fog):
        white = low + 0.8 * span
        return _as((1 - fault.severity) * values + fault.severity * white, pixels)
    if isinstance(fault, Glare):
        top = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else high
        return _as(
            np.where(_wide(_disc(height, width, fault.severity), pixels), top, values), pixels
        )
    if isinstance(fault, Stripes):
        offsets = fault.severity * span / 2 * _lines(fault.how, height, width, rng)
        return _as(values + _wide(offsets, pixels), pixels)
    assert isinstance(fault, Grain)
    if fault.how == "gauss":
        return _as(values + rng.normal(0.0, fault.severity * span * _GAUSS, pixels.shape), pixels)
    hit = rng.random((height, width)) < _SALT * fault.severity
    bright = rng.random((height, width)) < 0.5
    grains = np.where(bright, high + 0.5 * span, low - 0.5 * span)
    return _as(np.where(_wide(hit, pixels), _wide(grains, pixels), values), pixels)


def _lines(how: str, height: int, width: int, rng: np.random.Generator) -> Floats:
    """Return the offsets of stripes or of a wave, ``[H, W]``, about 1 high."""
    if how == "herringbone":
        y, x = np.ogrid[:height, :width]
        return np.asarray(np.sin(2 * np.pi * (x / _WAVE[0] + y / _WAVE[1] + rng.random())))
    shape = (1, width) if how == "columns" else (height, 1)
    return np.broadcast_to(rng.standard_normal(shape), (height, width))


def _covered(fault: Covered, content: Content, pixels: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    low, high = _lit(content, pixels)
    floor = 0.0 if content is not Content.COUNTS else low
    result: Pixels = pixels.copy()
    if fault.how in ("black", "grey"):
        first = round(height * (1.0 - fault.severity))
        result[first:] = _as(np.array(floor if fault.how == "black" else (low + high) / 2), pixels)
        return result
    across = np.linspace(0.0, 1.0, width)[None, :].repeat(height, axis=0)
    if fault.how == "hand":
        hidden = across >= 1.0 - fault.severity
        shade = low + (high - low) * (0.02 + 0.2 * across)
    else:
        # Dirt stays where it is: its shape does not depend on the moment.
        coarse = np.random.default_rng(7).random(_BLOTS).astype(np.float32)
        blots = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        hidden = np.asarray(blots <= np.quantile(blots, fault.severity))
        shade = low + (high - low) * (0.25 + 0.1 * across)
    if content is Content.DEPTH:
        shade = np.zeros_like(shade)
    shown = _as(shade, pixels)
    result[hidden] = shown[hidden] if pixels.ndim == 2 else shown[hidden][:, None]
    return result


def _lit(content: Content, pixels: Pixels) -> tuple[float, float]:
    """Return the counts of dark and light, which are the same from image to image."""
    if content is Content.PICTURE:
        return 0.0, float(np.iinfo(pixels.dtype).max)
    low, high = _span(pixels)
    return low // _COARSE * _COARSE, -(-high // _COARSE) * _COARSE


def _stuck(fault: StuckLines, pixels: Pixels) -> Pixels:
    result: Pixels = pixels.copy()
    lines = result if fault.how == "rows" else result.swapaxes(0, 1)
    count = round(fault.severity * lines.shape[0])
    first = (lines.shape[0] - count) // 2
    lines[first : first + count] = lines[first].copy()
    return result


def _holes(fault: Holes, pixels: Pixels, rng: np.random.Generator) -> Pixels:
    result: Pixels = pixels.copy()
    if fault.how == "side":
        result[:, : round(fault.severity * pixels.shape[1])] = 0
    else:
        result[rng.random(pixels.shape[:2]) < fault.severity] = 0
    return result


def _broken_scan(fault: BrokenScan, cloud: Pixels, rng: np.random.Generator) -> Pixels:
    require_coordinates(cloud)
    result: Pixels = cloud.copy()
    flat = result.reshape(-1)
    if fault.how == "missing":
        angle = np.arctan2(flat["y"].astype(np.float64), flat["x"].astype(np.float64))
        gone = np.flatnonzero(angle < -np.pi + 2 * np.pi * fault.severity)
        for axis in "xyz":
            flat[axis][gone] = 0
        return result
    chosen = np.flatnonzero(rng.random(flat.size) < fault.severity)
    for axis in "xyz":
        dtype = flat.dtype[axis]
        if fault.how == "random_bytes":
            flat[axis][chosen] = np.frombuffer(rng.bytes(chosen.size * dtype.itemsize), dtype)
        elif fault.how == "random_points":
            flat[axis][chosen] = rng.uniform(-_FARTHEST_M, _FARTHEST_M, chosen.size)
    if fault.how == "blocked":
        xyz = np.stack([flat[axis].astype(np.float64) for axis in "xyz"])
        scale = _BLOCKED_M / np.maximum(np.linalg.norm(xyz, axis=0), 1e-3)
        for axis, values in zip("xyz", xyz * scale, strict=True):
            flat[axis][chosen] = values[chosen]
    return result


def _disc(height: int, width: int, share: float) -> Flags:
    """Return a disc about the middle that covers a share of a picture."""
    y, x = np.mgrid[:height, :width]
    away = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2)
    return np.asarray(away <= np.quantile(away, share))


def _wide(plane: Pixels, pixels: Pixels) -> Pixels:
    return plane[..., None] if pixels.ndim == 3 else plane


def _span(pixels: Pixels) -> tuple[float, float]:
    """Return the 1st and 99th percentile of what is measured, a little apart at least."""
    known = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    if not known.size:
        return 0.0, _FLAT_SPAN
    low, high = (float(v) for v in np.percentile(known, (1, 99)))
    return low, max(high, low + _FLAT_SPAN)


def _as(values: Pixels, like: Pixels) -> Pixels:
    """Bring values to the dtype of an image, clipped to what it can hold."""
    if like.dtype.kind == "f":
        return np.asarray(values, like.dtype)
    info = np.iinfo(like.dtype)
    whole = np.rint(np.asarray(values, np.float64))
    return np.asarray(np.clip(whole, info.min, info.max), like.dtype)
