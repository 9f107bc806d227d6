"""Files of a data set that is not to be trusted: what they claim to hold is checked before it is.

A picture, an array or a table says in a few bytes how large it is, and a reader that believes it
takes all memory of the machine. So a claim is compared with a limit, or with the bytes there are.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from anymodal_seg_ros.sensing.decoding.image_headers import check_complete
from anymodal_seg_training.errors import TrainingError

Bytes = npt.NDArray[np.uint8]
Raw = npt.NDArray[np.generic]

MAX_PIXELS = 1 << 26
"""Of a picture: 8192 x 8192, ten times what the cameras of the known data sets have."""

FORMATS = ("PNG", "JPEG", "JPEG2000", "TIFF", "BMP", "GIF", "WEBP", "PPM")
"""Kinds of pictures. Pillow knows more, and starts Ghostscript for one of them, whatever the file's
name says."""

_ORIENTATION = 0x0112
"""Tag of EXIF; 1 is upright, 0 unknown."""

MAX_BYTES = 1 << 30
"""Of an array, or of all those of an archive together, unpacked."""


def picture(path: Path) -> Raw:
    """Read a picture as it is stored, ``[H, W]`` or ``[H, W, C]``, blue first where it has colours.

    Raises:
        TrainingError: it is missing, damaged, cut off, of another kind, or too large.
    """
    return unpacked(_content(path), path)


def unpacked(data: Bytes, name: object) -> Raw:
    """Unpack a picture as :func:`picture` does.

    Raises:
        TrainingError: as of :func:`picture`; it is called ``name``.
    """
    with _reading(name):
        _check_picture(data, name)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise ValueError("it is damaged, or of another kind")
        return np.asarray(pixels)


def label_picture(path: Path, colors: bool = False) -> Raw:
    """Read a label: with Pillow, which leaves the numbers of a palette image alone.

    Args:
        path: of the file.
        colors: whether its colours are wanted and not its numbers, where it has a palette.

    Raises:
        TrainingError: as of :func:`picture`.
    """
    data = _content(path)
    with _reading(path):
        _check_picture(data, path)
        with Pillow.open(io.BytesIO(data.tobytes()), formats=FORMATS) as image:
            return np.asarray(image.convert("RGB") if colors and image.mode == "P" else image)


def _content(path: Path) -> Bytes:
    """Read a file as it is, uint8 ``[N]``."""
    check_file(path)
    with _reading(path):
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MB")
        if not size:
            raise ValueError("it is empty")
        return np.fromfile(path, np.uint8, size)


def _check_picture(data: Bytes, name: object) -> None:
    """Refuse a picture whose header claims too many pixels, before any of them is unpacked.

    One that a camera has marked as lying on its side is refused, too: some tools turn such pictures
    and some do not, so that nobody can say which way up its label is.

    Raises:
        TrainingError: it is too large, or to be turned; it is called ``name``.
        Exception: it is cut off, or whatever Pillow raises where it does not know the format.
    """
    with Pillow.open(io.BytesIO(data.tobytes()), formats=FORMATS) as image:
        width, height = image.size
        turned = image.format == "JPEG" and image.getexif().get(_ORIENTATION, 1) not in (0, 1)
    if turned:
        raise TrainingError(
            f"{name} is stored turned or mirrored, as its EXIF orientation says: its label may be "
            "of either way up. Store both alike and upright, for example by 'mogrify -auto-orient'"
        )
    if width * height > MAX_PIXELS:
        raise TrainingError(
            f"{name} is a picture of {width}x{height}: more than {MAX_PIXELS} pixels; scale it down"
        )
    check_complete(data, height, width)


@contextmanager
def _reading(name: object) -> Iterator[None]:
    """Turn whatever a damaged picture leads to into one kind of error."""
    try:
        yield
    except TrainingError:
        raise
    except UnidentifiedImageError as error:  # whose text names an object in memory
        raise TrainingError(
            f"{name} cannot be read as an image: it is damaged, or none of {', '.join(FORMATS)}"
        ) from error
    except Exception as error:  # a damaged file can make its reader stumble in any way
        raise TrainingError(f"{name} cannot be read as an image: {error}") from error


def array(path: Path) -> Raw:
    """Read a ``.npy`` file.

    Raises:
        TrainingError: it is missing, damaged, too large, or holds objects.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            return array_of(file, path.stat().st_size, path)
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error


def array_of(file: BinaryIO, size: int, name: object) -> Raw:
    """Read a file of NumPy's own format, of ``size`` bytes.

    Raises:
        TrainingError: it is damaged, too large, or holds objects; it is called ``name``.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
        needed = math.prod(shape) * max(dtype.itemsize, 1)
        if needed > min(size - file.tell(), MAX_BYTES):
            raise ValueError(
                f"it claims {needed} bytes and has {size - file.tell()}, of at most {MAX_BYTES}"
            )
        file.seek(0)
        return np.asarray(np.load(file, allow_pickle=False))
    except Exception as error:  # a damaged file can make its reader stumble in any way
        raise TrainingError(f"{name} cannot be read as a NumPy array: {error}") from error


def arrays(path: Path, names: tuple[str, ...]) -> list[Raw]:
    """Read arrays of an ``.npz`` archive.

    Raises:
        TrainingError: it is missing, damaged, too large unpacked, or an array is missing.
    """
    check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [archive.getinfo(f"{name}.npy") for name in names]
            if (total := sum(entry.file_size for entry in entries)) > MAX_BYTES:
                raise ValueError(f"unpacked it has {total} bytes, of at most {MAX_BYTES}")
            found = []
            for entry in entries:
                # An entry may be longer than its own header says; no more than that is read.
                with archive.open(entry) as packed:
                    content = packed.read(entry.file_size)
                found.append(
                    array_of(io.BytesIO(content), len(content), f"{path}/{entry.filename}")
                )
            return found
    except TrainingError:
        raise
    except Exception as error:  # a damaged file can make its reader stumble in any way
        kind = f"events ({', '.join(names)})"
        raise TrainingError(f"{path} cannot be read as {kind}: {error}") from error


def check_file(path: Path) -> None:
    """Refuse what is no regular file: a pipe would be waited for, a device has no end.

    Raises:
        TrainingError: it is missing, or something else.
    """
    if not path.exists():
        raise TrainingError(f"{path} is missing")
    if not path.is_file():
        raise TrainingError(f"{path} is no file")
