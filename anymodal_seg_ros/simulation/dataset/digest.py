"""One hash per frame, over pixels: whoever compresses the files may do it his own way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from anymodal_seg_ros.frames import Mask, Pixels


def frame_digest(pixels: Mapping[str, Pixels], labels: Mask) -> str:
    """SHA-256 of a frame in its stored form, as 64 hexadecimal digits.

    Covers the name, type, shape and little-endian bytes of every modality, in order of the names,
    then the labels.

    Args:
        pixels: by modality, as ``stored.stored`` returns them: integers, so that equal pictures
            have equal bytes.
        labels: uint8 ``[H, W]`` class ids.
    """
    digest = hashlib.sha256()
    for name, array in (*sorted(pixels.items()), ("labels", labels)):
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name} {plain.dtype.str[1:]} {plain.shape}\n".encode())
        digest.update(plain.tobytes())
    return digest.hexdigest()
