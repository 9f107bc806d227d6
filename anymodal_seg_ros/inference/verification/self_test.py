"""Is an engine right on this machine? A frame and the masks it must give, from the model folder."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.frames import Mask, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.engine_protocol import Engine, can_split
from anymodal_seg_ros.inference.model import Model

ROLE = "self_test"
"""What the manifest calls the file."""

EXACT, HALF = 0.9999, 0.995
"""Smallest share of equal classes in single and in half precision."""

_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,  # encrypted, or packed in a way that is not implemented
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One frame with every kind of sensor, and what the network makes of each subset of it.

    Attributes:
        images: float16 ``[N, 3, H, W]``, normalised, the kinds in the order of their ids.
        masks: class ids of the logits, uint8 ``[2^N - 1, h, w]``, in the order of :func:`subsets`.
    """

    images: npt.NDArray[np.float16]
    masks: Mask

    def mask(self, subset: tuple[int, ...]) -> Mask:
        """Return what the network makes of some of its sensors."""
        mask: Mask = self.masks[subsets(len(self.images)).index(subset)]
        return mask

    def packed(self) -> bytes:
        """Return the content of its file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=self.images, masks=self.masks)
        return buffer.getvalue()


def subsets(kinds: int) -> list[tuple[int, ...]]:
    """Return the subsets of so many kinds of sensors, the smallest first."""
    return [s for n in range(1, kinds + 1) for s in combinations(range(kinds), n)]


def read_self_test(model: Model) -> SelfTest | None:
    """Return the self-test of a model, None if its folder has none.

    Raises:
        ModelError: it is damaged, or of another model.
    """
    if not model.has(ROLE):
        return None
    manifest, kinds = model.manifest, len(model.manifest.modalities)
    quarter = (-(-manifest.height // 4), -(-manifest.width // 4))
    try:
        with zipfile.ZipFile(io.BytesIO(model.read(ROLE))) as archive:
            images = _array(
                archive, "images", np.float16, (kinds, 3, manifest.height, manifest.width)
            )
            masks = _array(archive, "masks", np.uint8, (2**kinds - 1, *quarter))
    except _DAMAGED as error:
        raise ModelError(
            f"cannot read {model.file(ROLE)}: {error}; export the model again"
        ) from error
    return SelfTest(images, masks)


def _array(
    archive: zipfile.ZipFile, name: str, kind: type[np.generic], shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Read an array of an ``.npz`` file, if it is what it must be: no claim costs memory.

    Raises:
        ValueError: it is another one.
        Exception: of the other :data:`_DAMAGED`.
    """
    dtype = np.dtype(kind)
    with archive.open(f"{name}.npy") as file:
        np.lib.format.read_magic(file)
        found, by_columns, found_dtype = np.lib.format.read_array_header_1_0(file)
        if (found, by_columns, found_dtype) != (shape, False, dtype):
            raise ValueError(
                f"it is of another model: {name} is {quote(found_dtype)} {quote(found)}, expected "
                f"{dtype} {shape}"
            )
        size = math.prod(shape) * dtype.itemsize
        content = file.read(size)
    if len(content) < size:
        raise ValueError(f"{name} has {len(content)} bytes: expected {size}")
    return np.frombuffer(content, dtype).reshape(shape)


def frame_of(images: npt.NDArray[np.float16], subset: tuple[int, ...]) -> ModalityBatch:
    """Return the frame of a self-test with some of its sensors."""
    rows = np.ascontiguousarray(images[list(subset)], np.float32)
    return ModalityBatch(rows, np.array(subset, np.int64))


def frame_of_all(model: Model) -> ModalityBatch:
    """Return a frame with every kind of sensor: that of the self-test, or zeros."""
    test, kinds = read_self_test(model), len(model.manifest.modalities)
    if test is not None:
        return frame_of(test.images, tuple(range(kinds)))
    shape = (kinds, 3, model.manifest.height, model.manifest.width)
    return ModalityBatch(np.zeros(shape, np.float32), np.arange(kinds, dtype=np.int64))


def agreements(engine: Engine, test: SelfTest) -> dict[tuple[int, ...], float]:
    """Return the share of pixels with the right class for each subset of the sensors.

    In halves, if the engine can split, as it will be used: each sensor is encoded once, and what it
    became is fused in every subset; else whole. A result that is not finite, or without logits,
    agrees nowhere.
    """
    every = subsets(len(test.images))
    if can_split(engine):
        features = engine.encode(frame_of(test.images, every[-1]))
        results = (engine.fuse([features[row] for row in subset]) for subset in every)
    else:
        results = (engine.run(frame_of(test.images, subset)) for subset in every)
    return {
        subset: agreement(result, expected)
        for subset, result, expected in zip(every, results, test.masks, strict=True)
    }


def whole_agreements(engine: Engine, test: SelfTest) -> dict[tuple[int, ...], float]:
    """Return the same of the whole network in one piece, whether the engine can split or not."""
    return {
        subset: agreement(engine.run(frame_of(test.images, subset)), expected)
        for subset, expected in zip(subsets(len(test.images)), test.masks, strict=True)
    }


def agreement(result: Segmentation, expected: Mask) -> float:
    """Return the share of pixels with the right class; 0 for what is not finite, or no logits."""
    logits = result.logits
    if logits is None or not np.isfinite(logits).all():
        return 0.0
    return float(np.mean(logits.argmax(axis=0) == expected))
