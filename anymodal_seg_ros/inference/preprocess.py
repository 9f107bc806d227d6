"""Images to normalised planes. The node and the trainer both run exactly this code.

Every modality becomes three float32 planes. Resizing comes first, on the sensor's own dtype, so
that the arithmetic runs on the network's few pixels and not on the camera's many.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import CountsConfig
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image, ModalityBatch, Pixels
from anymodal_seg_ros.inference.manifest import Manifest, ModalitySpec
from anymodal_seg_ros.sensing.decoding.encodings import (
    COLORS,
    COUNTS,
    METRES,
    for_opencv,
    to_metres,
    to_rgb,
)
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.geometry.lidar import LIDAR_IMAGE
from anymodal_seg_ros.sensing.geometry.muses import muses_event_picture, muses_lidar_picture

Planes = npt.NDArray[np.float32]

PICTURES = ("color", "hha", "muses_lidar", "muses_event")
"""The ways to planes that take pictures of three channels as they are."""

_GREYS = ("mono8", "8UC1")
"""Of :data:`COLORS`, those of one channel."""

_BEYOND = 1e9
"""No camera measures such a temperature."""

MODELS_OWN = CountsConfig()
"""Counts as the model's manifest describes them."""


@dataclass(frozen=True, slots=True, eq=False)
class BytePlanes:
    """The planes of a picture of 8 bits before they are normalised, a quarter of the memory.

    Attributes:
        pixels: uint8 ``[3, H, W]``, in RGB order.
        spec: of their modality; only of those whose ``planes`` are among :data:`PICTURES`.
    """

    pixels: npt.NDArray[np.uint8]
    spec: ModalitySpec

    @property
    def unit(self) -> ModalitySpec:
        """What their own numbers are if they are taken for normalised ones: 0 to 1 by 255."""
        return _unit(self.spec)

    def normalised(self, out: Planes | None = None) -> Planes:
        """Return them as :func:`planes` does."""
        result = np.empty(self.pixels.shape, np.float32) if out is None else out
        # Each of the 256 values that a pixel may have is normalised once.
        for plane, pixels, mean, std in zip(
            result, self.pixels, self.spec.mean, self.spec.std, strict=True
        ):
            cv2.LUT(pixels, _normalised_bytes(mean, std), plane)
        return result


class ByteBatch(ModalityBatch):
    """A batch of pictures of 8 bits: normalised when its images are asked for, or on a GPU.

    Attributes:
        rows: the pictures.
    """

    __slots__ = ("_images", "rows")
    rows: tuple[BytePlanes, ...]
    _images: Planes | None

    def __init__(self, rows: Sequence[BytePlanes]) -> None:
        """Stack some pictures, at least one."""
        object.__setattr__(self, "rows", tuple(rows))
        ids = np.array([row.spec.id for row in rows], np.int64)
        object.__setattr__(self, "modality_ids", ids)
        object.__setattr__(self, "_images", None)

    @property
    def images(self) -> Planes:
        """Float32 ``[M, 3, H, W]``, normalised; made once."""
        if self._images is None:
            made = np.empty((len(self.rows), *self.rows[0].pixels.shape), np.float32)
            for row, out in zip(self.rows, made, strict=True):
                row.normalised(out)
            object.__setattr__(self, "_images", made)
        assert self._images is not None
        return self._images


@functools.lru_cache(maxsize=64)
def _unit(spec: ModalitySpec) -> ModalitySpec:
    return replace(spec, mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))


def batch(images: Sequence[tuple[str, Image]], manifest: Manifest) -> ModalityBatch:
    """Stack the present sensors into what an engine takes.

    Args:
        images: ``(modality, image)`` of every present sensor, in any order, at least one.
        manifest: of the model; it knows sizes, ids and normalisation.

    Raises:
        DecodeError: an image cannot serve as its modality, e.g. colour as depth, or is damaged.
    """
    specs = [manifest.modalities[modality] for modality, _ in images]
    stacked = np.empty((len(images), 3, manifest.height, manifest.width), np.float32)
    for row, (spec, (_, image)) in enumerate(zip(specs, images, strict=True)):
        planes(image, spec, manifest.height, manifest.width, out=stacked[row])
    return ModalityBatch(stacked, np.array([spec.id for spec in specs], np.int64))


def planes(
    image: Image,
    spec: ModalitySpec,
    height: int,
    width: int,
    out: Planes | None = None,
    counts: CountsConfig = MODELS_OWN,
) -> Planes:
    """Turn one image into normalised planes.

    ``color``: RGB order, 0..1; grey is repeated. ``thermal``: 16-bit counts or floats (kelvin
    unless ``counts`` says otherwise) mapped linearly to 0..1 as ``thermal_mode`` says and clipped,
    or 8-bit images scaled to 0..1; repeated. ``depth``:
    metres become (d / far clipped to 1, 1 / (1 + d), valid 0 or 1); invalid pixels are 0 in all
    three. ``hha``: a picture of it, as ``color``; distances become one with the intrinsics of their
    camera (:func:`~anymodal_seg_ros.sensing.geometry.hha.hha_image`). ``lidar``: range, height and
    intensity become (1 - r / far, the height's place in ``height_range_m``, i /
    ``intensity_max``), each clipped to 0..1; pixels without a return are 0 in all three, which the
    first plane tells from everything nearer than far. ``muses_lidar``: a picture of it, as
    ``color``, or the same image, of which such a picture is made
    (:func:`~anymodal_seg_ros.sensing.geometry.muses.muses_lidar_picture`).
    ``muses_event``: likewise, of the image that the node makes of events. Then ``(x - mean) / std``
    per plane.

    Args:
        image: as decoded; any size.
        spec: the modality's entry in the manifest.
        height: rows of the result.
        width: columns of the result.
        out: float32 ``[3, height, width]`` to write into.
        counts: what the numbers of a thermal camera, a LiDAR or 16-bit colours mean, where that is
            not what the model assumes. Depth is taken as it is: :func:`to_metres` knows its unit.

    Returns:
        float32 ``[3, height, width]``, ``out`` if it was given.

    Raises:
        DecodeError: the encoding cannot serve as this modality, or a deferred image is damaged.
    """
    check_encoding(image, spec)
    result = np.empty((3, height, width), np.float32) if out is None else out
    if spec.planes in PICTURES:
        _color(image, spec, counts, height, width, result)
    elif spec.planes == "thermal":
        _thermal(image, spec, counts, height, width, result)
    elif spec.planes == "lidar":
        _lidar(image, spec, counts, height, width, result)
    else:
        _depth(image, spec, height, width, result)
    return result


def byte_planes(
    image: Image,
    spec: ModalitySpec,
    height: int,
    width: int,
    counts: CountsConfig = MODELS_OWN,
) -> BytePlanes | None:
    """Turn one image into planes that are not normalised yet, where they are a picture of 8 bits.

    Args:
        image: as of :func:`planes`.
        spec: likewise.
        height: likewise.
        width: likewise.
        counts: likewise.

    Returns:
        None where they are none: of depth, LiDAR and temperatures, which are numbers.

    Raises:
        DecodeError: as of :func:`planes`.
    """
    if spec.planes not in PICTURES:
        return None
    check_encoding(image, spec)
    return BytePlanes(_channels(image, spec, counts, height, width), spec)


def check_encoding(image: Image, spec: ModalitySpec) -> None:
    """Raise :class:`DecodeError` if an image of this encoding cannot serve as the modality."""
    if spec.planes == "depth":
        fits = sends_metres(image)
        wanted = "16UC1 or mono16 in millimetres, or 32FC1 in metres"
    elif spec.planes == "hha":
        fits = sends_metres(image) or _shows_channels(image)
        wanted = "depth (16UC1 or mono16 in millimetres, 32FC1 in metres), or HHA such as rgb8"
    elif spec.planes == "muses_lidar":
        fits = image.encoding in (LIDAR_IMAGE, POINT_CLOUD) or _shows_channels(image)
        wanted = "points (type: point_cloud), 32FC3, or pictures of MUSES such as rgb8"
    elif spec.planes == "lidar":
        fits = image.encoding in (LIDAR_IMAGE, POINT_CLOUD)
        wanted = "32FC3 of range, height and intensity, or points (type: point_cloud)"
    elif spec.planes == "thermal":
        fits = image.encoding in (*COLORS, *COUNTS, *METRES)
        wanted = "mono8 or another 8-bit encoding, mono16/16UC1 counts, or 32FC1 in kelvin"
    else:
        fits = image.encoding in COLORS
        wanted = "colour or 8-bit grey such as rgb8, bgr8, mono8, 8UC3, bayer_rggb8 or uyvy"
    if not fits:
        raise DecodeError(
            f"encoding {image.encoding} cannot be used as {spec.planes}: expected {wanted}",
            "encoding",
        )


def _shows_channels(image: Image) -> bool:
    """Whether an image is a picture of several channels."""
    return image.encoding in COLORS and image.encoding not in _GREYS


def sends_metres(image: Image) -> bool:
    """Whether an image that serves as depth holds distances, not a picture of them."""
    return image.encoding in (*COUNTS, *METRES)


def _resize(
    pixels: Pixels, height: int, width: int, exact: bool = False, scattered: bool = False
) -> Pixels:
    """Resize in the image's own dtype.

    With ``exact`` neighbouring values are never mixed; with ``scattered`` no lone pixel is lost
    between those that are sampled.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    pixels = for_opencv(pixels)
    if exact:
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_NEAREST))
    # Means of 2 x 2 pixels are six times as fast as those of areas that are no whole number.
    while (halved := _half(pixels.shape)) and halved[0] >= height and halved[1] >= width:
        pixels = np.asarray(cv2.resize(pixels, halved[::-1], interpolation=cv2.INTER_AREA))
    shrinks = pixels.shape[0] >= 2 * height and pixels.shape[1] >= 2 * width
    shrinks |= scattered and pixels.shape[0] >= height and pixels.shape[1] >= width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how))


def _half(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return half of a picture's rows and columns; None if that is not a whole number of them."""
    return None if shape[0] % 2 or shape[1] % 2 else (shape[0] // 2, shape[1] // 2)


def _color(
    image: Image, spec: ModalitySpec, counts: CountsConfig, height: int, width: int, out: Planes
) -> None:
    BytePlanes(_channels(image, spec, counts, height, width), spec).normalised(out)


def _channels(
    image: Image, spec: ModalitySpec, counts: CountsConfig, height: int, width: int
) -> npt.NDArray[np.uint8]:
    """Return red, green and blue of a colour image at a size, uint8 ``[3, height, width]``."""
    if spec.planes == "hha" and sends_metres(image):
        raise DecodeError(
            "distances become HHA with the intrinsics of their camera, which are not known here: "
            "give pictures of HHA",
            "encoding",
        )
    if image.encoding == LIDAR_IMAGE:
        image = muses_lidar_picture(image, counts.intensity_max or spec.intensity_max)
    if spec.planes == "muses_event":
        image = muses_event_picture(image)
    scattered = spec.planes in ("muses_lidar", "muses_event")
    pixels = _resize(image.pixels, height, width, scattered=scattered)
    small = to_rgb(Image(pixels, image.encoding), counts.full_scale)
    if small.ndim == 2:
        return np.broadcast_to(small, (3, height, width))
    channels = np.empty((3, height, width), np.uint8)
    for number, channel in enumerate(channels):
        cv2.extractChannel(small, number, channel)
    return channels


@functools.lru_cache(maxsize=64)
def _normalised_bytes(mean: float, std: float) -> npt.NDArray[np.float32]:
    """Return what becomes of 0 to 255, float32 ``[256]``."""
    values: npt.NDArray[np.float32] = np.arange(256, dtype=np.float32) * np.float32(1 / 255)
    values -= mean
    values *= 1.0 / std
    return values


def _normalise(out: Planes, spec: ModalitySpec) -> None:
    """Normalise planes in place."""
    for plane, mean, std in zip(out, spec.mean, spec.std, strict=True):
        plane -= mean
        plane *= 1.0 / std


def kelvin_per_count(image: Image, spec: ModalitySpec, counts: CountsConfig) -> float:
    """Return the temperature of one count of a 16-bit thermal image, or of 1.0, in kelvin."""
    usual = 1.0 if image.encoding in METRES else spec.kelvin_per_count
    return counts.per_count or usual


def _thermal(
    image: Image, spec: ModalitySpec, counts: CountsConfig, height: int, width: int, out: Planes
) -> None:
    values, full_scale = _resize(image.pixels, height, width), 65535.0
    if image.encoding in METRES:
        # What is no number was not measured: it becomes the lowest value, as counts of 0 do.
        values = np.nan_to_num(values, nan=-_BEYOND, posinf=_BEYOND, neginf=-_BEYOND)
    elif image.encoding not in COUNTS:
        values, full_scale = to_rgb(Image(values, image.encoding)), 255.0
        if values.ndim == 3:
            values = values.mean(axis=2)
    unit = kelvin_per_count(image, spec, counts)
    low, high = _thermal_range(values, full_scale, spec, unit, counts.offset)
    with np.errstate(over="ignore"):  # doubles beyond all temperatures; they are clipped
        np.multiply(values, 1.0 / (high - low), out=out[0], casting="unsafe")
    out[0] -= low / (high - low)
    np.clip(out[0], 0.0, 1.0, out=out[0])
    for plane, mean, std in reversed(list(zip(out, spec.mean, spec.std, strict=True))):
        np.subtract(out[0], mean, out=plane)
        plane *= 1.0 / std


def _thermal_range(
    values: Pixels, full_scale: float, spec: ModalitySpec, unit: float, offset: float
) -> tuple[float, float]:
    """Return the values that become 0 and 1."""
    if spec.thermal_mode == "percentile":
        low, high = np.percentile(values, spec.percentiles)
        return float(low), float(max(high, low + 1.0))  # an even image is black, not noise
    if spec.thermal_mode == "kelvin_range" and full_scale > 255.0:
        low, high = spec.kelvin_range
        return (low - offset) / unit, (high - offset) / unit
    return 0.0, full_scale


def _depth(image: Image, spec: ModalitySpec, height: int, width: int, out: Planes) -> None:
    # Averaging a near and a far pixel invents a surface between them, so depth is never smoothed.
    metres = to_metres(Image(_resize(image.pixels, height, width, exact=True), image.encoding))
    valid = np.isfinite(metres)
    out[2] = valid
    np.copyto(metres, np.float32(0), where=~valid)
    np.divide(metres, np.float32(spec.far_m), out=out[0])
    np.minimum(out[0], np.float32(1), out=out[0])
    metres += np.float32(1)
    np.divide(out[2], metres, out=out[1])
    _normalise(out, spec)


def _lidar(
    image: Image, spec: ModalitySpec, counts: CountsConfig, height: int, width: int, out: Planes
) -> None:
    # A pixel between two returns saw nothing of either, so neighbours are never mixed.
    ranges, heights, intensities = np.moveaxis(
        _resize(image.pixels, height, width, exact=True).astype(np.float32), 2, 0
    )
    valid = np.isfinite(ranges) & (ranges > 0)
    low, high = spec.height_range_m
    with np.errstate(invalid="ignore", over="ignore"):
        out[0] = 1.0 - ranges / np.float32(spec.far_m)
        out[1] = (heights - np.float32(low)) / np.float32(high - low)
        out[2] = intensities / np.float32(counts.intensity_max or spec.intensity_max)
    out[:, ~valid] = 0.0
    np.nan_to_num(out, copy=False, nan=0.0)
    np.clip(out, 0.0, 1.0, out=out)
    _normalise(out, spec)
