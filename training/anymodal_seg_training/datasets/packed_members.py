"""What a frame is in a shard: a file for each sensor, for the conditions, and for the label.

All are lossless. Whole numbers that PNG can hold are PNG; everything else is NumPy's own format.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import cv2
import numpy as np

from anymodal_seg_ros.frames import Image, Mask, Pixels
from anymodal_seg_training.datasets.base import LabelledFrame
from anymodal_seg_training.datasets.bounded import array_of, unpacked
from anymodal_seg_training.errors import TrainingError

LABEL, CONDITIONS = "label", "conditions"
INDEX_DTYPE = np.int64
"""Of the index ``[frames, members, 3]``: first byte in the shard, number of bytes, CRC-32."""

_COMPRESSION = 3  # OpenCV's own choice takes twice as long for a few percent


@dataclass(frozen=True, slots=True)
class PackedFile:
    """One file of every frame.

    Attributes:
        name: the modality, ``conditions`` or ``label``.
        encoding: of the image; empty for the others.
        suffix: ``png`` or ``npy``; ``json`` for the conditions.
    """

    name: str
    encoding: str
    suffix: str

    @property
    def key(self) -> str:
        """What follows the frame's number and a dot in the name of the file."""
        return f"{self.name}.{self.suffix}"


def pack_frame(frame: LabelledFrame) -> dict[PackedFile, bytes]:
    """Write the files of a frame, the label last; its conditions too, if it has any.

    Raises:
        ValueError: the label is no uint8 ``[H, W]``.
    """
    if frame.label.dtype != np.uint8 or frame.label.ndim != 2:
        raise ValueError(
            f"a label is {frame.label.dtype} {frame.label.shape}: expected uint8 [H, W]"
        )
    files = {}
    for name, image in frame.images.items():
        suffix, content = _write(image.pixels)
        files[PackedFile(name, image.encoding, suffix)] = content
    if frame.conditions:
        content = json.dumps(dict(frame.conditions)).encode()
        files[PackedFile(CONDITIONS, "", "json")] = content
    suffix, content = _write(frame.label)
    files[PackedFile(LABEL, "", suffix)] = content
    return files


def unpack_image(content: bytes, member: PackedFile) -> Image:
    """Read one sensor's file.

    Raises:
        TrainingError: it is damaged, or too large.
    """
    return Image(_read(content, member), member.encoding)


def unpack_label(content: bytes, member: PackedFile) -> Mask:
    """Read the label's file.

    Raises:
        TrainingError: as of :func:`unpack_image`, or it is no label.
    """
    label = _read(content, member)
    if label.dtype != np.uint8 or label.ndim != 2:
        raise TrainingError(
            f"the label of a packed frame is {label.dtype} {label.shape}: expected uint8 [H, W]"
        )
    return np.asarray(label, np.uint8)


def unpack_conditions(content: bytes) -> dict[str, str]:
    """Read the conditions' file.

    Raises:
        TrainingError: it is damaged.
    """
    try:
        return {str(name): str(value) for name, value in json.loads(content).items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise TrainingError(f"the conditions of a packed frame cannot be read: {error}") from error


def _write(pixels: Pixels) -> tuple[str, bytes]:
    """Return the suffix and the content of a file that holds the pixels."""
    native = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    channels = native.shape[2] if native.ndim == 3 else 0
    if native.dtype in (np.uint8, np.uint16) and channels in (0, 3, 4):
        done, encoded = cv2.imencode(".png", native, [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION])
        assert done
        return "png", encoded.tobytes()
    file = io.BytesIO()
    np.save(file, native, allow_pickle=False)
    return "npy", file.getvalue()


def _read(content: bytes, member: PackedFile) -> Pixels:
    name = f"the {member.name} of a packed frame"
    if member.suffix == "npy":
        return array_of(io.BytesIO(content), len(content), name)
    return unpacked(np.frombuffer(content, np.uint8), name)
