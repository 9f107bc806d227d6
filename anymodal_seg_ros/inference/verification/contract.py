"""What an engine owes: looked at when a model is loaded, so that no frame meets a surprise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.frames import Mask, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.engine_protocol import Engine, can_split
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.verification.one_training import HALVES, WHOLE, Agreement
from anymodal_seg_ros.inference.verification.self_test import frame_of, read_self_test


def probes(manifest: Manifest) -> Iterator[ModalityBatch]:
    """Yield a frame of noise for each number of sensors that there may be."""
    kinds = len(manifest.modalities)
    shape = (kinds, 3, manifest.height, manifest.width)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    for present in range(1, kinds + 1):
        yield ModalityBatch(noise[:present], np.arange(present, dtype=np.int64))


def known_probes(model: Model) -> Iterator[tuple[ModalityBatch, Mask | None]]:
    """Yield a frame for each number of sensors that there may be, and what its mask must be.

    Those of the self-test; noise, of which nothing is known, where the folder has none.
    """
    test = read_self_test(model)
    if test is None:
        yield from ((batch, None) for batch in probes(model.manifest))
        return
    for present in range(1, len(test.images) + 1):
        subset = tuple(range(present))
        yield frame_of(test.images, subset), test.mask(subset)


def check_engine(
    engine: Engine,
    model: Model,
    whole: bool = True,
    halves: bool = True,
    found: Agreement | None = None,
) -> Agreement:
    """Run everything that an engine can do once per number of sensors, and look at the results.

    Args:
        engine: whatever it is.
        model: that it runs.
        whole: also the whole graph of a network that is in halves.
        halves: also these.
        found: what was found before, of the other way.

    Returns:
        How well it gives the masks of the self-test; see
        :func:`~anymodal_seg_ros.inference.verification.one_training.demand_one_training`.

    Raises:
        ModelError: it fails, or returns something else than the manifest says.
    """
    manifest, found = model.manifest, found or Agreement()
    for batch, expected in known_probes(model):
        present = len(batch.modality_ids)
        many = f"{present} sensors of {manifest.height}x{manifest.width}"
        doing = f"with {many}"
        try:
            if whole:
                result = engine.run(batch)
                check_segmentation(result, manifest, present)
                found.add(WHOLE, present, result, expected)
            if halves and can_split(engine):
                doing = f"encoding and fusing {many}"
                result = engine.fuse(engine.encode(batch))
                check_segmentation(result, manifest, present)
                found.add(HALVES, present, result, expected)
        except Exception as error:  # the libraries' errors have no common base
            raise ModelError(f"{doing}, {error}") from error
    return found


def warm_up(engine: Engine, manifest: Manifest, sensors: int) -> None:
    """Fuse more sensors than there are kinds of them once, so that no frame waits for a compiler.

    Up to one of each kind, engines have done so when they were loaded.

    Args:
        engine: that :func:`check_engine` was content with.
        manifest: of its model.
        sensors: that the rig has.

    Raises:
        ModelError: the engine cannot fuse so many.
    """
    kinds = present = len(manifest.modalities)
    if sensors <= kinds:
        return
    *_, batch = probes(manifest)
    try:
        features = engine.encode(batch) if can_split(engine) else ()
        for present in range(kinds + 1, sensors + 1):
            rows = np.arange(present) % kinds
            if can_split(engine):
                result = engine.fuse([features[row] for row in rows])
            else:
                result = engine.run(ModalityBatch(batch.images[rows], batch.modality_ids[rows]))
            check_segmentation(result, manifest, present)
    except Exception as error:  # the libraries' errors have no common base
        raise ModelError(f"{engine.name} cannot fuse {present} sensors: {error}") from error


def check_segmentation(result: Segmentation, manifest: Manifest, present: int) -> None:
    """Check what an engine made of a frame.

    Args:
        result: what it made.
        manifest: of the model.
        present: number of sensors M.

    Raises:
        ModelError: it is not what the manifest says, or no sensible answer.
    """
    classes, size = len(manifest.classes), (manifest.height, manifest.width)
    quarter = (-(-size[0] // 4), -(-size[1] // 4))
    if result.mask is None and result.logits is None:
        raise ModelError("it returns neither a mask nor logits")
    if result.mask is not None:
        _check_array("mask", result.mask, np.uint8, size)
        if (highest := int(result.mask.max())) >= classes:
            raise ModelError(f"mask has class {highest}, but there are {classes} classes")
    if result.logits is not None:
        _check_array("logits", result.logits, np.float32, (classes, *quarter))
    if result.confidence is not None:
        _check_array("confidence", result.confidence, np.uint8, quarter)
    if (shares := result.contributions) is not None:
        _check_array("contributions", shares, np.float32, (present,))
        if shares.min() < -1e-3 or abs(float(shares.sum()) - 1.0) > 1e-2:
            raise ModelError(f"contributions are {shares.tolist()}: expected shares of 1")
    if not is_finite(result):
        raise ModelError("logits or contributions are not finite: the weights are damaged")


def is_finite(result: Segmentation) -> bool:
    """Whether all numbers of a result are numbers; cheap enough to be asked for every frame."""
    parts: list[npt.NDArray[np.float32] | None] = [result.logits, result.contributions]
    # A sum is finite only if all its terms are, and needs no second array.
    with np.errstate(over="ignore", invalid="ignore"):  # which is what is asked for
        return all(bool(np.isfinite(np.sum(part))) for part in parts if part is not None)


def _check_array(name: str, value: Any, dtype: type, shape: tuple[int, ...]) -> None:
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.shape != shape:
        kind = getattr(value, "dtype", type(value).__name__)
        raise ModelError(
            f"{name} is {kind} {list(np.shape(value))}: expected {np.dtype(dtype)} {list(shape)}"
        )
