"""Files of a data set to images and labels, in the encodings that a node would get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import UNLABELED, Image, Mask
from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_ros.inference.preprocess import PICTURES
from anymodal_seg_training.datasets.bounded import array, label_picture, picture
from anymodal_seg_training.datasets.event_files import dsec_image, npz_image
from anymodal_seg_training.datasets.layout import ImageLayout, LabelLayout
from anymodal_seg_training.datasets.polarisation import ANGLES, polarisation_image
from anymodal_seg_training.errors import TrainingError, UnknownLabelError

Raw = npt.NDArray[np.generic]
_ROWS = 256
"""Of a label that are understood at a time: the numbers in between take much more memory."""


def read_image(
    paths: list[Path], layout: ImageLayout, crop_left: int = 0, moment: str = ""
) -> Image:
    """Read one modality of one frame.

    ``color``, ``hha``, ``muses_lidar``, ``muses_event``: 8 or 16 bits, the first three channels,
    grey repeated, to ``rgb8``; the latter three say what the channels are. ``gray``: 8 bits
    to ``mono8``. ``fourth``: the fourth channel to ``mono8``. ``counts``: 16 bits to ``mono16``.
    ``depth``: 16 bits to ``32FC1`` in metres, NaN where unknown. ``floats``: one or three ``.npy``
    planes; ``low`` to ``high`` becomes 0 to 255 in ``mono8`` or ``8UC3``. ``metres``: a ``.npy`` of
    distances to ``32FC1``, NaN where there is none. ``polarisation``: pictures at four angles of
    a polariser to ``8UC3``; see :mod:`.polarisation`. ``npz_events`` and ``dsec``: events to the
    ``8UC3`` image that the node makes of them; see :mod:`.event_files`.

    Args:
        paths: one file; for ``floats`` one or three; for ``polarisation`` those at 0, 45, 90 and
            135 degrees; for ``dsec`` events, map and times.
        layout: how they are understood.
        crop_left: columns to cut off on the left.
        moment: for ``dsec``, the number of the frame's line in the times.

    Raises:
        TrainingError: a file is missing, damaged or of another kind.
    """
    image = _read(paths, layout, moment)
    kept = image.pixels[: layout.rows or None, crop_left:]
    if kept.shape == image.pixels.shape:
        return image
    if not kept.size:
        raise TrainingError(_nothing_left(paths[0], image.pixels, crop_left))
    return Image(np.ascontiguousarray(kept), image.encoding)


def _read(paths: list[Path], layout: ImageLayout, moment: str) -> Image:
    """Read the whole picture."""
    if layout.read == "dsec":
        return dsec_image(paths, layout, moment)
    if layout.read == "floats":
        return _floats(paths, layout)
    if layout.read == "polarisation":
        return _polarisation(paths)
    if len(paths) != 1:
        raise TrainingError(f"{len(paths)} files for one image of kind {layout.read}: expected one")
    if layout.read == "npz_events":
        return npz_image(paths[0], layout)
    if layout.read == "metres":
        return _distances(paths[0])
    pixels = picture(paths[0])
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    found = f"{channels} channels of {pixels.dtype}"
    if layout.read in PICTURES and pixels.dtype in (np.uint8, np.uint16):
        return Image(_color(pixels), "rgb8")
    if layout.read == "gray" and pixels.dtype == np.uint8:
        return Image(_grey(pixels), "mono8")
    if layout.read == "fourth" and channels == 4 and pixels.dtype == np.uint8:
        return Image(np.ascontiguousarray(pixels[..., 3]), "mono8")
    if layout.read in ("counts", "depth") and channels == 1 and pixels.dtype == np.uint16:
        if layout.read == "counts":
            return Image(np.ascontiguousarray(pixels), "mono16")
        return Image(_metres(pixels, layout), "32FC1")
    raise TrainingError(f"{paths[0]} has {found}: it cannot be read as {layout.read}")


def read_label(
    path: Path, layout: LabelLayout, classes: tuple[ClassSpec, ...], crop_left: int = 0
) -> Mask:
    """Read the class ids of one frame, uint8 ``[H, W]``, 255 where there is none.

    Raises:
        TrainingError: the file is missing or damaged, or has a number or colour that is no class;
            the message lists them.
    """
    colors = layout.read == "colors"
    raw = array(path) if path.suffix == ".npy" else label_picture(path, colors)
    if raw.ndim not in (2, 3):
        raise TrainingError(f"{path} is {raw.dtype} {raw.shape}: expected a label [H, W]")
    if crop_left >= raw.shape[1]:
        raise TrainingError(_nothing_left(path, raw, crop_left))
    return class_ids(raw[:, crop_left:], layout, classes, path)


def _nothing_left(path: Path, pixels: Raw, crop_left: int) -> str:
    return f"{path} has {pixels.shape[1]} columns: crop_left is {crop_left}, which leaves none"


def class_ids(
    raw: Raw, layout: LabelLayout, classes: tuple[ClassSpec, ...], path: Path | str
) -> Mask:
    """Turn stored numbers or colours into class ids, uint8 ``[H, W]``, 255 where there is none.

    Args:
        raw: ``[H, W]`` or ``[H, W, C]``, channels in the order red, green, blue.
        layout: how they are encoded.
        classes: in the order of their ids.
        path: where they are from, for messages.

    Raises:
        TrainingError: as :func:`read_label`.
    """
    if layout.read == "colors":
        return _from_colors(raw, layout, classes, path)
    if raw.ndim == 3:
        if layout.channel >= raw.shape[2]:
            raise TrainingError(
                f"{path} has {raw.shape[2]} channels: label.channel is {layout.channel}"
            )
        if _shows_colors(raw, classes):
            raise TrainingError(
                f"{path} holds the colours of the classes, label.read is ids, which would take "
                f"channel {layout.channel} of them for numbers: set label.read to colors"
            )
        raw = raw[..., layout.channel]
    return _from_numbers(raw, layout, len(classes), path)


def _color(pixels: Raw) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels / np.float32(257.0)).astype(np.uint8)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2).astype(np.uint8)
    # OpenCV loads blue first.
    return np.ascontiguousarray(pixels[..., 2::-1], np.uint8)


def _grey(pixels: Raw) -> npt.NDArray[np.uint8]:
    """Return how bright a picture is, as OpenCV reads it where grey is asked for."""
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels, np.uint8)
    return np.asarray(cv2.cvtColor(pixels[..., :3].astype(np.uint8), cv2.COLOR_BGR2GRAY), np.uint8)


def _metres(counts: Raw, layout: ImageLayout) -> npt.NDArray[np.float32]:
    metres = counts.astype(np.float32) * np.float32(layout.metres_per_count)
    metres[(counts == 0) | (counts == layout.invalid)] = np.nan
    return metres


def _distances(path: Path) -> Image:
    raw = array(path)
    if raw.ndim == 3 and raw.shape[2] == 1:
        raw = raw[..., 0]
    if raw.ndim != 2 or not np.issubdtype(raw.dtype, np.floating):
        raise TrainingError(f"{path} is {raw.dtype} {raw.shape}: expected distances [H, W] in m")
    metres = raw.astype(np.float32)
    metres[~np.isfinite(metres) | (metres <= 0.0)] = np.nan
    return Image(metres, "32FC1")


def _floats(paths: list[Path], layout: ImageLayout) -> Image:
    if len(paths) not in (1, 3):
        raise TrainingError(f"{len(paths)} files of floats for one image: expected 1 or 3")
    if layout.low >= layout.high:
        raise TrainingError(
            f"floats from low {layout.low} to high {layout.high}: expected low < high"
        )
    found = [array(path) for path in paths]
    for path, plane in zip(paths, found, strict=True):
        if plane.dtype.kind not in "biuf":
            raise TrainingError(f"{path} is {plane.dtype} {plane.shape}: expected numbers [H, W]")
    planes = [plane.astype(np.float32) for plane in found]
    if any(plane.ndim != 2 or plane.shape != planes[0].shape for plane in planes):
        shapes = ", ".join(str(plane.shape) for plane in planes)
        raise TrainingError(f"{paths[0]} and what belongs to it have the shapes {shapes}")
    whole = planes[0] if len(planes) == 1 else np.stack(planes, axis=2)
    share = np.nan_to_num((whole - layout.low) / (layout.high - layout.low))
    levels = np.round(255.0 * np.clip(share, 0.0, 1.0)).astype(np.uint8)
    return Image(levels, "mono8" if len(planes) == 1 else "8UC3")


def _polarisation(paths: list[Path]) -> Image:
    if len(paths) != len(ANGLES):
        raise TrainingError(f"{len(paths)} files of a polariser for one image: expected 4")
    pictures = [picture(path) for path in paths]
    first = pictures[0]
    for path, found in zip(paths, pictures, strict=True):
        if found.dtype not in (np.uint8, np.uint16) or found.shape != first.shape:
            raise TrainingError(
                f"{path} is {found.dtype} {found.shape}, {paths[0]} is {first.dtype} "
                f"{first.shape}: expected pictures of 8 or 16 bits and of one size"
            )
    return polarisation_image([_color(found) for found in pictures])


def _from_numbers(raw: Raw, layout: LabelLayout, num_classes: int, path: Path | str) -> Mask:
    if raw.dtype == np.bool_:  # a picture of one bit, as tools write labels of two classes
        raw = raw.astype(np.uint8)
    if not np.issubdtype(raw.dtype, np.integer) or raw.ndim != 2:
        raise TrainingError(f"{path} is {raw.dtype} {raw.shape}: expected whole numbers [H, W]")
    blocks = [raw[first : first + _ROWS] for first in range(0, len(raw), _ROWS)]
    numbers = np.unique(np.concatenate([np.unique(block) for block in blocks] or [raw[0:0, 0]]))
    ids = np.empty(len(numbers), np.uint8)
    unknown = []
    for index, number in enumerate(int(n) for n in numbers):
        found = layout.renumber.get(number, number) + layout.shift
        if number in layout.ignore:
            found = UNLABELED
        elif not 0 <= found < num_classes:
            unknown.append(number)
            found = UNLABELED
        ids[index] = found
    if unknown:
        raise UnknownLabelError(
            path,
            "label ids",
            [str(number) for number in unknown],
            f"give them a class (there are {num_classes}, from 0 on) by label.renumber or "
            "label.shift, or add them to label.ignore",
        )
    label = np.empty(raw.shape, np.uint8)
    for first, block in zip(range(0, len(raw), _ROWS), blocks, strict=True):
        label[first : first + _ROWS] = ids[np.searchsorted(numbers, block)]
    return label


def _shows_colors(raw: Raw, classes: tuple[ClassSpec, ...]) -> bool:
    """Whether all that is not grey in a label has the colour of a class, and something is."""
    if raw.shape[2] < 3 or raw.dtype != np.uint8:
        return False
    some = raw[:: max(len(raw) // _ROWS, 1), :, :3]
    found = np.unique(_code(some[(some != some[..., :1]).any(axis=2)]))
    known = [_code(np.array(entry.color)) for entry in classes]
    return len(found) > 0 and bool(np.isin(found, known).all())


def _from_colors(
    raw: Raw, layout: LabelLayout, classes: tuple[ClassSpec, ...], path: Path | str
) -> Mask:
    if raw.ndim != 3 or raw.shape[2] < 3 or raw.dtype != np.uint8:
        raise TrainingError(
            f"{path} is {raw.dtype} {raw.shape}: expected a colour image; set label.read to ids if "
            "it holds numbers"
        )
    known = {int(_code(np.array(entry.color))): number for number, entry in enumerate(classes)}
    label = np.full(raw.shape[:2], UNLABELED, np.uint8)
    unknown: set[int] = set()
    for first in range(0, len(raw), _ROWS):
        codes = _code(raw[first : first + _ROWS, :, :3])
        part = label[first : first + _ROWS]
        for code, number in known.items():
            part[codes == code] = number
        unknown.update(np.unique(codes[part == UNLABELED]).tolist())
    if unknown := unknown - {int(_code(np.array(color))) for color in layout.ignore_colors}:
        colors = [str((code >> 16, code >> 8 & 255, code & 255)) for code in sorted(unknown)]
        raise UnknownLabelError(
            path,
            "colours",
            colors,
            "add classes of these colours, or add them to label.ignore_colors",
        )
    return label


def _code(colors: Raw) -> Any:
    """Return colours ``[..., 3]`` as one number each."""
    return colors.astype(np.int64) @ np.array((65536, 256, 1))
