"""``sensor_msgs/CompressedImage``: JPEG, PNG and compressed depth, unpacked at the first use.

In the callback only the format string and the picture's header are read. That fixes size and
encoding, refuses what cannot be, and bounds the memory that unpacking may take.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.frames import DeferredImage, Image, Pixels
from anymodal_seg_ros.sensing.decoding.camera_formats import CAMERA_FORMATS
from anymodal_seg_ros.sensing.decoding.encodings import COLORS, COUNTS, LAYOUTS, PixelLayout
from anymodal_seg_ros.sensing.decoding.image_headers import (
    PNG_SIGNATURE,
    PictureHeader,
    check_complete,
    read_header,
)
from anymodal_seg_ros.sensing.decoding.payload import Bytes, as_bytes
from anymodal_seg_ros.sensing.decoding.rvl import check_rvl_size, decode_rvl

_TURNED_TO_BGR = frozenset(COLORS) - {"8UC1", "8UC3"}
"""Originals that image_transport stores as BGR or grey; all others it stores as they are."""

_DEPTH_HEADER = np.dtype([("kind", "<i4"), ("a", "<f4"), ("b", "<f4")])
_RVL_HEADER = np.dtype([("width", "<u4"), ("height", "<u4")])


@dataclass(frozen=True, slots=True)
class Format:
    """A format string, taken apart.

    Drivers write ``jpeg``, ``png`` or nothing; ``compressed_image_transport`` writes
    ``rgb8; jpeg compressed bgr8``, ``mono16; png compressed `` and the like;
    ``compressed_depth_image_transport`` writes ``16UC1; compressedDepth png``, ``...; rvl`` or,
    in old versions, just ``16UC1; compressedDepth``.

    Attributes:
        text: as it came, for error messages; not more than they can bear.
        original: encoding of the image before compression; empty if it does not say.
        words: what follows the semicolon, in lower case.
    """

    text: str
    original: str
    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Format:
        """Take a format string apart; any string will do."""
        original, found, rest = text.partition(";")
        return cls(quote(text), original.strip() if found else "", tuple(rest[:60].lower().split()))

    @property
    def is_depth(self) -> bool:
        """Whether the data begin with the header of compressedDepth."""
        return "compresseddepth" in self.words

    @property
    def stored_as_rgb(self) -> bool:
        """Whether what OpenCV calls blue is red, as ``compressed rgb8`` means in ROS."""
        return any(word.startswith("rgb") for word in self.words)


def decode_compressed(format_text: str, payload: Any) -> Image:
    """Promise the image of a ``sensor_msgs/CompressedImage``.

    Args:
        format_text: the message's ``format``.
        payload: the message's ``data``, bytes-like.

    Returns:
        An image of encoding ``mono8``, ``mono16``, ``bgr8``, ``bgr16``, ``rgb8`` or ``rgb16``, or
        of the one that the format names where the picture holds it unchanged.

    Raises:
        DecodeError: naming the field, its value and what was expected.
    """
    form, data = Format.parse(str(format_text)), as_bytes(payload)
    if form.is_depth:
        return _decode_depth(form, data)
    if form.text == "zstd":
        raise DecodeError(
            "format is 'zstd', as zstd_image_transport sends: take the raw topic, or the one that "
            "ends in /compressed: expected a jpeg or png picture",
            "format",
        )
    header = read_header(data)
    encoding = _encoding(form, header)
    camera_format = CAMERA_FORMATS.get(encoding)
    if camera_format is None:
        return DeferredImage(header.height, header.width, encoding, partial(_unpack, data, header))
    camera_format.check_size(encoding, header.height, header.width)
    return DeferredImage(
        header.height,
        header.width,
        camera_format.encoding,
        lambda: camera_format.convert(_unpack(data, header), header.width),
    )


def _encoding(form: Format, header: PictureHeader) -> str:
    """Return the encoding of what the picture holds: of its pixels, or a Bayer mosaic."""
    if header.channels == 3:
        natural = f"{'rgb' if form.stored_as_rgb else 'bgr'}{header.bits}"
    else:
        natural = f"mono{header.bits}"
    layout = None if form.original in _TURNED_TO_BGR else LAYOUTS.get(form.original)
    # One channel of a Bayer camera is its mosaic, in a jpeg as well: image_transport makes colours
    # of what has some, and packs all else as it is.
    if header.channels == 1 and form.original.startswith("bayer_"):
        layout = CAMERA_FORMATS[form.original].layout if form.original in CAMERA_FORMATS else None
    if layout is None:
        return natural
    if layout != PixelLayout(np.dtype(f"u{header.bits // 8}"), header.channels):
        raise DecodeError(
            f"format is '{form.text}', but data is a {header.codec} of {header.channels} x "
            f"{header.bits} bits: expected a picture that holds {form.original}; "
            "png and compressedDepth hold 16 bits, jpeg does not",
            "format",
        )
    return form.original


def _unpack(data: Bytes, header: PictureHeader) -> Pixels:
    """Let OpenCV unpack a picture, and hold the result to its header."""
    check_complete(data, header.height, header.width)
    kind = cv2.IMREAD_GRAYSCALE if header.channels == 1 else cv2.IMREAD_COLOR
    # A camera's pixels stay where they are, whatever its EXIF data say of its orientation.
    flags = kind | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels: Pixels | None = cv2.imdecode(data, flags)
    except cv2.error as error:
        said = quote(error.err)
        raise DecodeError(f"data is a damaged {header.codec} picture: {said}", "data") from error
    if pixels is None:
        raise DecodeError(
            f"data is a damaged {header.codec} picture: OpenCV cannot read it", "data"
        )
    expected = (header.height, header.width) + ((3,) if header.channels == 3 else ())
    if pixels.shape != expected or pixels.dtype.itemsize * 8 != header.bits:
        raise DecodeError(
            f"data is a damaged {header.codec} picture: it holds {pixels.dtype} {pixels.shape}, "
            f"its header says {header.bits} bits {expected}",
            "data",
        )
    return pixels


def _decode_depth(form: Format, data: Bytes) -> Image:
    """Promise the image of a compressedDepth message: 12 bytes of parameters, then png or rvl."""
    if form.original not in (*COUNTS, "32FC1"):
        raise DecodeError(
            f"format is '{form.text}': expected '16UC1; compressedDepth png' or with mono16, "
            "32FC1 or rvl",
            "format",
        )
    size = _DEPTH_HEADER.itemsize
    if data.size < size + _RVL_HEADER.itemsize:
        raise DecodeError(
            f"data has {data.size} bytes: expected a compressedDepth header and more", "data"
        )
    # Who packs counts by hand mostly leaves out the parameters, which only floats need.
    bare = data[: len(PNG_SIGNATURE)].tobytes() == PNG_SIGNATURE
    if bare and form.original not in COUNTS:
        raise DecodeError(
            f"data is a png without the header of compressedDepth: expected {size} bytes before "
            f"it, which say how counts become {form.original} metres",
            "data",
        )
    picture = data if bare else data[size:]
    # What begins like a png is one, whatever format says: as an rvl it would be a billion wide.
    if "rvl" in form.words and picture[: len(PNG_SIGNATURE)].tobytes() != PNG_SIGNATURE:
        width, height = (int(side) for side in picture[:8].view(_RVL_HEADER)[0])
        check_rvl_size(height, width)
        counts = partial(decode_rvl, picture[8:], height, width)
    else:
        header = read_header(picture)
        if (header.codec, header.channels, header.bits) != ("png", 1, 16):
            raise DecodeError(
                f"data is a {header.codec} of {header.channels} channels of {header.bits} bits: "
                f"expected a grey 16-bit png, as format '{form.text}' says",
                "data",
            )
        height, width = header.height, header.width
        counts = partial(_unpack, picture, header)
    if form.original in COUNTS:
        return DeferredImage(height, width, form.original, counts)
    _, a, b = data[:size].view(_DEPTH_HEADER)[0]
    if not (np.isfinite(a) and np.isfinite(b)):
        raise DecodeError(
            f"data says depth is {a} / (value - {b}): expected finite numbers", "data"
        )
    return DeferredImage(height, width, "32FC1", lambda: _from_inverse(counts(), a, b))


def _from_inverse(values: Pixels, a: np.float32, b: np.float32) -> Pixels:
    """Return metres from quantised inverse depth; 0 means no measurement."""
    with np.errstate(all="ignore"):  # what is infinite or not a number is invalid, not wrong
        metres: Pixels = a / (values.astype(np.float32) - b)
    metres[values == 0] = np.nan
    return metres
