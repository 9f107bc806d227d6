"""What a file can hold of a frame: every sensor as an integer image, and the way back.

Frames are trained on and hashed in this form, so that what is drawn in memory and what is read from
a folder are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Image, Pixels
from anymodal_seg_ros.simulation.world.shapes import Floats

LIDAR_FAR_M = 120.0
LIDAR_HEIGHT_M = (-4.0, 12.0)
LIDAR_BRIGHTEST = 255.0
"""Range, heights (in the LiDAR's frame) and intensity that its three 8-bit planes span."""


def stored(modality: str, image: Image) -> Pixels:
    """Return the pixels that a file of this modality holds.

    ``rgb``, ``event``: uint8 ``[H, W, 3]`` as they are. ``thermal``: uint16 counts as they are.
    ``depth``: uint16 millimetres, 0 where unknown. ``lidar``: uint8 ``[H, W, 3]``, see below.

    Raises:
        ConfigError: files have no form for this modality or encoding.
    """
    return _form(modality, image.encoding).write(image.pixels)


def restored(modality: str, pixels: Pixels) -> Image:
    """Return the image that stored pixels stand for, in an encoding that a node would get."""
    form = _form(modality)
    return Image(form.read(pixels), form.encoding)


def lidar_planes(pixels: Floats) -> npt.NDArray[np.uint8]:
    """Three 8-bit planes of a LiDAR image (range, height, intensity; NaN without a return).

    Range as ``1 + 254 · sqrt(range / 120 m)``, finer where it is near; height from -4 m to 12 m as
    1 to 255; intensity from 0 to 255 as 1 to 255. All 0 without a return.
    """
    lowest, highest = LIDAR_HEIGHT_M
    with np.errstate(invalid="ignore"):
        parts = (
            np.sqrt(pixels[..., 0] / LIDAR_FAR_M),
            (pixels[..., 1] - lowest) / (highest - lowest),
            pixels[..., 2] / LIDAR_BRIGHTEST,
        )
        planes = np.stack([1.0 + 254.0 * np.clip(part, 0.0, 1.0) for part in parts], -1)
    planes[np.isnan(pixels).any(-1)] = 0.0
    return np.asarray(np.round(planes), np.uint8)


def lidar_image(planes: npt.NDArray[np.uint8]) -> Floats:
    """The float32 image that ``lidar_planes`` wrote, as far as 8 bits hold it."""
    lowest, highest = LIDAR_HEIGHT_M
    share = (planes.astype(np.float32) - 1.0) / 254.0
    image = np.empty(planes.shape, np.float32)
    image[..., 0] = LIDAR_FAR_M * share[..., 0] ** 2
    image[..., 1] = lowest + (highest - lowest) * share[..., 1]
    image[..., 2] = LIDAR_BRIGHTEST * share[..., 2]
    image[planes[..., 0] == 0] = np.nan
    return image


def _millimetres(pixels: Pixels) -> Pixels:
    known = np.isfinite(pixels)
    counts = np.round(np.where(known, pixels, 0.0).astype(np.float64) * 1000.0)
    return np.where(counts <= 65535, counts, 0).astype(np.uint16)


def _as_is(pixels: Pixels) -> Pixels:
    return pixels


@dataclass(frozen=True, slots=True)
class _Form:
    """How one modality is written and read, and the encodings before and after."""

    write: Callable[[Pixels], Pixels]
    read: Callable[[Pixels], Pixels]
    written_from: str
    encoding: str


_FORMS: Mapping[str, _Form] = {
    "rgb": _Form(_as_is, _as_is, "rgb8", "rgb8"),
    "thermal": _Form(_as_is, _as_is, "mono16", "mono16"),
    "depth": _Form(_millimetres, _as_is, "32FC1", "16UC1"),
    "event": _Form(_as_is, _as_is, "8UC3", "8UC3"),
    "lidar": _Form(lidar_planes, lidar_image, "32FC3", "32FC3"),
}
MODALITIES = tuple(_FORMS)
"""What can be stored."""


def _form(modality: str, encoding: str | None = None) -> _Form:
    form = _FORMS.get(modality)
    if form is None or encoding not in (None, form.written_from):
        raise ConfigError(
            f"a {modality} image of encoding {encoding} cannot be stored: expected one of "
            + ", ".join(f"{name} ({f.written_from})" for name, f in _FORMS.items())
        )
    return form
