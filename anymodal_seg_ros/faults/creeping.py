"""Streams that hang without being equal, and what drifts: faults that no single image shows."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.condensation import condensed
from anymodal_seg_ros.faults.content import Content, content_of
from anymodal_seg_ros.frames import Image, Pixels
from anymodal_seg_ros.sensing.decoding.encodings import INVALID_MILLIMETRES
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD

_CLOCK = (20, 8)
"""The patch of a clock that is burned in has this share of the height and of the width."""
_BLOCK, _HANGING_SHARE = 32, 0.25
"""Pixels of a block that may hang, and the share of them that do."""
_QUALITIES = (95, 90, 94, 88, 92)
_FLAT_SPAN = 8.0
"""Span of counts that a flat image is taken to have."""


def nearly_stuck(how: str, old: Image, new: Image, count: int, rng: np.random.Generator) -> Image:
    """Return an old image that is not quite the same.

    Args:
        how: ``clock``, ``noise``, ``recompressed``, ``half`` or ``blocks``, as
            :class:`~anymodal_seg_ros.faults.kinds.Hanging` says.
        old: what is shown again.
        new: what should be shown, of the same size: of the last two, the rest of it still is.
        count: of the images since the fault began: no two in a row are alike.
        rng: dice.

    Raises:
        DecodeError: a deferred image is damaged.
        ConfigError: it is a point cloud, or 16 bits or floats are to be compressed as JPEG.
    """
    if POINT_CLOUD in (old.encoding, new.encoding):
        raise ConfigError(f"{how} cannot happen to a point cloud: it fits images")
    pixels = np.array(old.pixels)
    height, width = pixels.shape[:2]
    if how == "clock":
        rows, columns = max(1, height // _CLOCK[0]), max(1, width // _CLOCK[1])
        patch = pixels[:rows, :columns]
        pixels[:rows, :columns] = patch[::-1] if rng.random() < 0.5 else np.roll(patch, 1, axis=1)
        pixels[0, 0] = rng.integers(0, 200)
    elif how == "noise":
        step = rng.integers(-1, 2, pixels.shape)
        pixels = _as(pixels.astype(np.float64) + step * _one_count(pixels), pixels)
    elif how in ("half", "blocks"):
        if new.pixels.shape == pixels.shape:
            lives = ~_hangs(how, height, width)
            pixels[lives] = new.pixels[lives]
    else:
        if pixels.dtype != np.uint8:
            raise ConfigError(f"recompressed cannot happen to {old.encoding}: it fits 8 bits")
        quality = _QUALITIES[count % len(_QUALITIES)]
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        assert decoded is not None  # it was packed a moment ago
        pixels = np.asarray(decoded, np.uint8).reshape(pixels.shape)
    return Image(pixels, old.encoding)


def _hangs(how: str, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return which pixels hang, ``[H, W]``: the same in every image of a size."""
    if how == "half":
        return np.broadcast_to(np.arange(height)[:, None] < height // 2, (height, width))
    dice = np.random.default_rng(7).random((-(-height // _BLOCK), -(-width // _BLOCK)))
    hangs = (dice < _HANGING_SHARE).repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)
    return np.asarray(hangs[:height, :width])


def drifted(what: str, amount: float, image: Image, modality: str = "") -> Image:
    """Return an image of a sensor of which something has grown.

    Args:
        what: ``offset`` (shares of the span are added), ``gain`` (the contrast about the middle of
            the span is larger by this share), ``shift`` (to the right, in shares of the width),
            ``turn`` (about the middle, in degrees), ``roll`` (down, in shares of the height) or
            ``condensation`` (from the corners, 0, to the middle, 1).
        amount: how much; negative amounts go the other way.
        image: of any encoding but that of clouds; pixels without depth stay without.
        modality: kind of sensor, where the encoding leaves open what it shows.

    Raises:
        DecodeError: a deferred image is damaged.
        ConfigError: it is a point cloud, or one of events or a LiDAR is to be behind water.
    """
    if image.encoding == POINT_CLOUD:
        raise ConfigError(f"a drift of {what} cannot happen to a point cloud: it fits images")
    pixels = np.asarray(image.pixels)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    if what in ("shift", "turn"):
        height, width = pixels.shape[:2]
        middle = ((width - 1) / 2, (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(middle, amount if what == "turn" else 0.0, 1.0)
        matrix[0, 2] += amount * width if what == "shift" else 0.0
        moved = cv2.warpAffine(
            pixels, matrix, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT
        )
        return Image(np.asarray(moved).reshape(pixels.shape), image.encoding)
    if what == "roll":
        return Image(np.roll(pixels, round(amount * len(pixels)), axis=0), image.encoding)
    if what == "condensation":
        return condensed(amount, Image(pixels, image.encoding), modality)
    known = _known(pixels, content_of(image, modality))
    values = np.where(known, pixels, 0).astype(np.float64)
    low, high = np.percentile(values[known], (1, 99)) if known.any() else (0.0, 0.0)
    span = max(float(high - low), _FLAT_SPAN * _one_count(pixels))
    if what == "offset":
        values = values + amount * span
    else:
        middle_value = (low + high) / 2
        values = middle_value + (values - middle_value) * max(0.0, 1.0 + amount)
    return Image(np.where(known, _as(values, pixels), pixels), image.encoding)


def _known(pixels: Pixels, content: Content | None) -> npt.NDArray[np.bool_]:
    """Return the pixels that hold a measurement."""
    if pixels.dtype.kind == "f":
        return np.asarray(np.isfinite(pixels))
    if content is Content.DEPTH:
        none, far = INVALID_MILLIMETRES
        return np.asarray((pixels != none) & (pixels != far))
    return np.ones(pixels.shape, bool)


def _one_count(pixels: Pixels) -> float:
    return 1e-3 if pixels.dtype.kind == "f" else 1.0


def _as(values: npt.NDArray[np.float64], like: Pixels) -> Pixels:
    """Bring values to the dtype of an image, clipped to what it can hold."""
    if like.dtype.kind == "f":
        return values.astype(like.dtype)
    info = np.iinfo(like.dtype)
    return np.clip(np.rint(values), info.min, info.max).astype(like.dtype)
