"""Folders of image files as if they came from a sensor: listing, pairing by name, loading."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.evaluation.bags import BagError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.frames import Image, Pixels
from anymodal_seg_ros.sensing.decoding.image_headers import (
    PNG_SIGNATURE,
    check_complete,
    read_header,
)
from anymodal_seg_ros.written_files import write_file

MAX_BYTES = 1 << 29
"""Of a file: nothing that is read is as large, unpacked."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")

_CHECKED = (PNG_SIGNATURE, b"\xff\xd8")
"""Beginnings of those whose headers can be held against the data, whatever they are called."""

_NATURAL = {
    ("uint8", 1): "mono8",
    ("uint8", 3): "rgb8",
    ("uint8", 4): "rgba8",
    ("uint16", 1): "mono16",
    ("float32", 1): "32FC1",
}
"""The encoding of a file's pixels when none is asked for, by dtype and channels."""

_CONVERSIONS: dict[tuple[str, str], int | None] = {
    ("mono8", "mono8"): None,
    ("mono8", "8UC1"): None,
    ("mono8", "rgb8"): cv2.COLOR_GRAY2RGB,
    ("mono8", "bgr8"): cv2.COLOR_GRAY2BGR,
    ("rgb8", "rgb8"): cv2.COLOR_BGR2RGB,
    ("rgb8", "8UC3"): cv2.COLOR_BGR2RGB,
    ("rgb8", "bgr8"): None,
    ("rgb8", "mono8"): cv2.COLOR_BGR2GRAY,
    ("rgba8", "rgba8"): cv2.COLOR_BGRA2RGBA,
    ("rgba8", "bgra8"): None,
    ("rgba8", "rgb8"): cv2.COLOR_BGRA2RGB,
    ("rgba8", "bgr8"): cv2.COLOR_BGRA2BGR,
    ("rgba8", "mono8"): cv2.COLOR_BGRA2GRAY,
    ("mono16", "mono16"): None,
    ("mono16", "16UC1"): None,
    ("32FC1", "32FC1"): None,
}
"""From the natural to the wanted encoding: OpenCV's code; OpenCV loads colours as BGR."""

ENCODINGS = tuple(dict.fromkeys(wanted for _, wanted in _CONVERSIONS))
"""Every encoding that can be asked for."""


def list_images(source: str) -> list[Path]:
    """List image files in order of their names; numbers in them count as numbers.

    Args:
        source: a folder, or a glob pattern such as ``frames/*.color.jpg``.

    Raises:
        BagError: there are none.
    """
    found = Path(source).iterdir() if Path(source).is_dir() else map(Path, glob.glob(source))
    images = sorted((p for p in found if p.suffix.lower() in SUFFIXES), key=lambda p: _rank(str(p)))
    if not images:
        raise BagError(
            f"no images in {source!r}: expected a folder or a quoted glob pattern with files of "
            f"type {', '.join(SUFFIXES)}"
        )
    return images


def _rank(name: str) -> list[tuple[str, int, str]]:
    """Return what to sort names by: ``9`` comes before ``10``, and ``1.25`` before ``1.5``."""
    parts = [*re.split(r"(\d+)(?:\.(\d+))?", name), "", ""]  # text, number, decimals, text, …
    triples = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return [(text, int(number or 0), decimals or "") for text, number, decimals in triples]


def pair_by_name(images: Mapping[str, Sequence[Path]]) -> dict[str, list[Path]]:
    """Keep the images that every sensor has, so that the n-th ones belong together.

    Names are compared up to their first dot: ``0007.color.jpg`` pairs with ``0007.depth.png``.

    Raises:
        BagError: no name occurs in all folders, or one occurs twice in a folder.
    """
    by_name: dict[str, dict[str, Path]] = {}
    for sensor, paths in images.items():
        named = by_name[sensor] = {path.name.split(".")[0]: path for path in paths}
        if len(named) < len(paths):
            first = next(path for path in paths if named[path.name.split(".")[0]] != path)
            raise BagError(
                f"two images of {sensor!r} have the same name up to the first dot, "
                f"{quote(first.name)} and {quote(named[first.name.split('.')[0]].name)}: leave one "
                "out, with a quoted pattern such as 'rgb/*.png'"
            )
    common = set.intersection(*(set(named) for named in by_name.values()))
    if not common:
        such = ", ".join(f"{name}: {quote(p[0].name)}" for name, p in images.items() if p)
        raise BagError(
            f"no image name occurs for all of {', '.join(images)}, which have such as {such}: "
            "those that belong together must be called the same up to the first dot"
        )
    return {
        sensor: [named[n] for n in sorted(common, key=_rank)] for sensor, named in by_name.items()
    }


def read_picture(path: Path) -> Pixels:
    """Read an image file as it is stored, blue first where it has colours.

    Raises:
        BagError: it is missing, no regular file, damaged, or larger than its header may claim.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            raise BagError(f"cannot read the image {path}: it is missing, or no regular file")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise BagError(f"cannot read the image {path}: it is larger than {MAX_BYTES >> 20} MB")
        data = np.fromfile(path, np.uint8, size)
        if data[:8].tobytes().startswith(_CHECKED):
            # OpenCV takes gigabytes for a few bytes of these, if their lengths are damaged.
            header = read_header(data)
            check_complete(data, header.height, header.width)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except (OSError, DecodeError, MemoryError) as error:
        raise BagError(f"cannot read the image {path}: {error}") from error
    except cv2.error as error:
        raise BagError(f"cannot read the image {path}: {quote(error.err, 100)}") from error
    if pixels is None:
        raise BagError(f"cannot read the image {path}: it is damaged, or of another kind")
    return np.asarray(pixels)


def write_picture(path: Path, pixels: Pixels) -> None:
    """Write pixels, blue first where they have colours, as a file of the kind that its name says.

    A link in its place is replaced.

    Raises:
        OSError: it cannot be written.
    """
    # OpenCV's own writer does not say why it cannot, and dies of names that are not UTF-8.
    write_file(path, cv2.imencode(path.suffix, pixels)[1].tobytes())


def load_image(path: Path, encoding: str = "") -> Image:
    """Load an image file.

    Args:
        path: 8-bit grey, RGB or RGBA; 16-bit grey; or float32 grey (TIFF).
        encoding: a sensor_msgs encoding, one of :data:`ENCODINGS`; '' takes the natural one:
            ``mono8``, ``rgb8``, ``rgba8``, ``mono16`` or ``32FC1``.

    Raises:
        BagError: the file is damaged, or its pixels cannot be had in this encoding.
    """
    pixels = read_picture(path)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    natural = _NATURAL.get((str(pixels.dtype), channels))
    if natural is None:
        raise BagError(f"{path} has {channels} channels of {pixels.dtype}: no encoding for that")
    wanted = encoding or natural
    if (natural, wanted) not in _CONVERSIONS:
        possible = [to for source, to in _CONVERSIONS if source == natural]
        raise BagError(
            f"{path} cannot be had as {wanted}: from {natural} expected {', '.join(possible)}"
        )
    code = _CONVERSIONS[natural, wanted]
    return Image(np.asarray(pixels if code is None else cv2.cvtColor(pixels, code)), wanted)
