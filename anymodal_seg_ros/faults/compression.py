"""Packing an image that was changed into the format that its compressed message had."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image, Pixels
from anymodal_seg_ros.sensing.decoding.compressed import Format
from anymodal_seg_ros.sensing.decoding.encodings import COUNTS
from anymodal_seg_ros.sensing.decoding.image_headers import read_header
from anymodal_seg_ros.sensing.decoding.payload import Bytes

_DEPTH_HEADER_BYTES = 12
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]
"""What compressed_image_transport has by default."""


def recompressed(format_text: str, before: Bytes, image: Image) -> tuple[str, Bytes]:
    """Compress an image as another was that came from the same decoder.

    Args:
        format_text: of that message.
        before: its data; compressed depth keeps its header, and with it its quantisation.
        image: of the encoding that decoding it gave.

    Returns:
        The new format and data. They are as before, but ``rvl`` becomes ``png``.
    """
    form = Format.parse(format_text)
    if not form.is_depth:
        codec = read_header(before).codec
        return format_text, _packed(codec, image.pixels)
    counts = image.pixels
    if image.encoding not in COUNTS:
        counts = _quantised(image.pixels, before)
    picture = _packed("png", counts)
    data = np.concatenate([before[:_DEPTH_HEADER_BYTES], picture])
    return f"{form.original}; compressedDepth png", data


def _packed(codec: str, pixels: Pixels) -> Bytes:
    # What the decoder calls BGR or RGB is the same order of bytes for OpenCV, there and back.
    suffix, options = (".jpg", _QUALITY) if codec == "jpeg" else (".png", [])
    _, data = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)
    packed: Bytes = np.asarray(data, np.uint8).reshape(-1)
    return packed


def _quantised(metres: Pixels, before: Bytes) -> npt.NDArray[np.uint16]:
    """Turn metres into inverse depth, ``a / metres + b``; 0 where there is none."""
    a, b = before[4:_DEPTH_HEADER_BYTES].view("<f4")
    with np.errstate(all="ignore"):
        counts = np.rint(float(a) / np.asarray(metres, np.float64) + float(b))
        fits = (counts >= 1) & (counts <= 65535)  # NaN does not
    return np.asarray(np.where(fits, counts, 0), np.uint16)
