"""From the samples of a frame set to its mask: what remains to be done when all is prepared."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import overload

import cv2
import numpy as np

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.frames import (
    UNLABELED,
    FrameSet,
    Image,
    Mask,
    Prediction,
    Segmentation,
    SensorStatus,
)
from anymodal_seg_ros.inference.engine_failures import engine_at_work
from anymodal_seg_ros.inference.engine_protocol import Engine, can_split, serving_engine
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.verification.contract import is_finite
from anymodal_seg_ros.pipeline.failing_subsets import FailingSubsets
from anymodal_seg_ros.pipeline.picture import Picture
from anymodal_seg_ros.pipeline.stages import Preparer, Stages
from anymodal_seg_ros.pipeline.stale_output import StaleOutput
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.geometry.lidar import LIDAR_IMAGE
from anymodal_seg_ros.sensing.health.evidence import shortfall


class Fusion:
    """Runs the network, or the half of it that fuses, on what the sensors saw at one instant."""

    def __init__(
        self, rig: RigConfig, manifest: Manifest, engine: Engine, preparer: Preparer
    ) -> None:
        """Put rig and network together."""
        self._rig, self._manifest, self._engine = rig, manifest, engine
        self._preparer = preparer
        self._failing = FailingSubsets()
        self._stale = StaleOutput(rig, manifest)
        self._serving: Engine | None = None

    def take_over(self, other: Fusion) -> None:
        """Know what another one of the same engine has found out about it."""
        self._failing, self._serving = other._failing, other._serving

    def segment(
        self,
        frame_set: FrameSet,
        stages: Mapping[str, Stages],
        picture: Picture,
        status: tuple[SensorStatus, ...],
    ) -> Prediction:
        """Make the mask of a frame set, if what is seen is enough to go by.

        Args:
            frame_set: the samples, and why others are missing.
            stages: what those of its samples have become that may be fused, by sensor.
            picture: the geometry of the mask.
            status: health of every sensor, to go with the mask.

        Raises:
            EngineError: what the engine returns is no segmentation.
            Exception: whatever the engine raises.
        """
        started_ns = time.perf_counter_ns()
        all_seen = {name: s for name, s in stages.items() if not s.missing}
        seen, why = self._workable(all_seen, frame_set.completed_ns)
        left_out = {name: s.missing for name, s in stages.items() if s.missing}
        left_out |= dict.fromkeys(all_seen.keys() - seen.keys(), why)
        frame_set = _described(frame_set, stages, left_out, picture)
        if lacking := shortfall(self._rig, list(seen)):
            mask = np.full((picture.height, picture.width), UNLABELED, np.uint8)
            return Prediction(
                mask, frame_set, (), status, 0, 0, unlabeled=lacking, picture=picture.sensor
            )
        network_started_ns = time.perf_counter_ns()
        result = self._segmented(seen, frame_set.completed_ns)
        network_ns = time.perf_counter_ns() - network_started_ns
        shares = [] if result.contributions is None else result.contributions.tolist()
        with engine_at_work(self._engine):
            mask = _mask(result, picture)
        return Prediction(
            mask,
            frame_set,
            tuple(seen),
            status,
            network_ns,
            process_ns=time.perf_counter_ns() - started_ns,
            confidence=_resized(result.confidence, picture, cv2.INTER_LINEAR),
            contributions=dict(zip(seen, shares, strict=bool(shares))),
            picture=picture.sensor,
        )

    def _workable(
        self, seen: Mapping[str, Stages], now_ns: int
    ) -> tuple[Mapping[str, Stages], str]:
        """Return the sensors that the engine can fuse, and why these are not all."""
        serving = serving_engine(self._engine)
        if serving is not self._serving:
            self._serving = serving
            self._failing.forget()
        names = tuple(seen)
        chosen = self._failing.choose(names, lambda some: not shortfall(self._rig, some), now_ns)
        if chosen == names:
            return seen, ""
        return {name: seen[name] for name in chosen}, self._failing.reason(names)

    def _segmented(self, seen: Mapping[str, Stages], now_ns: int) -> Segmentation:
        """Run the network, and remember whether it can fuse these sensors."""
        names = tuple(seen)
        try:
            result = self._run(seen)
            _check(result, self._manifest, len(seen))
            self._stale.look(result.logits, {name: s.image for name, s in seen.items()})
        except Exception as error:
            self._failing.failed(names, error, now_ns)
            raise
        self._failing.worked(names)
        return result

    def _run(self, seen: Mapping[str, Stages]) -> Segmentation:
        with engine_at_work(self._engine):
            if can_split(self._engine):
                features = [s.features for s in seen.values() if s.features is not None]
                return self._engine.fuse(features)
            return self._engine.run(self._preparer.batch(seen))


def _described(
    frame_set: FrameSet,
    stages: Mapping[str, Stages],
    left_out: Mapping[str, str],
    picture: Picture,
) -> FrameSet:
    """Say who was left out, and show the reference sample as it lies in the mask's picture."""
    name, reference = frame_set.reference, frame_set.reference_sample
    if picture.sensor != name or reference.image.encoding == POINT_CLOUD:
        own = stages.get(name)
        image = reference.image if own is None else own.image
        if image.encoding == POINT_CLOUD:
            size = picture.height, picture.width
            image = Image(np.full((*size, 3), np.nan, np.float32), LIDAR_IMAGE)
        reference = replace(reference, image=image, frame_id=picture.frame_id)
    # The reference keeps its sample whatever happens: the mask carries its stamp.
    samples = {n: s for n, s in frame_set.samples.items() if n not in left_out or n == name}
    return replace(
        frame_set,
        samples={**samples, name: reference},
        missing={**frame_set.missing, **left_out},
    )


def _check(result: Segmentation, manifest: Manifest, present: int) -> None:
    """Refuse what is no segmentation: an engine that returns nonsense has failed."""
    if not isinstance(result, Segmentation):
        raise EngineError(
            f"the engine returned a {quote(type(result).__name__)}: expected a Segmentation"
        )
    height, width = manifest.height, manifest.width
    logits, mask, shares = result.logits, result.mask, result.contributions
    if logits is not None:
        shape = len(manifest.classes), -(-height // 4), -(-width // 4)
        if logits.shape != shape or logits.dtype != np.float32:
            raise EngineError(
                f"the engine returned logits of {logits.dtype} and the shape {logits.shape}: "
                f"expected float32 {shape}"
            )
    elif mask is None:
        raise EngineError("the engine returned neither a mask nor logits")
    elif mask.shape != (height, width) or mask.dtype != np.uint8:
        raise EngineError(
            f"the engine returned a mask of {mask.dtype} {mask.shape}: expected "
            f"uint8 {(height, width)}"
        )
    elif (highest := int(mask.max(initial=0))) >= len(manifest.classes):
        raise EngineError(
            f"the engine returned a mask with class {highest}: expected less than "
            f"{len(manifest.classes)}, the number of classes"
        )
    sure = result.confidence
    if sure is not None and (sure.ndim != 2 or not sure.size or sure.dtype != np.uint8):
        raise EngineError(
            f"the engine returned a confidence of {sure.dtype} {sure.shape}: expected uint8 "
            "(height, width)"
        )
    if shares is not None and shares.shape != (present,):
        raise EngineError(
            f"the engine returned contributions of the shape {shares.shape}: expected {(present,)}"
        )
    if not is_finite(result):
        raise EngineError("the engine returned logits or contributions that are not finite")


def _mask(result: Segmentation, picture: Picture) -> Mask:
    """Return the mask at the size of its picture, its borders as smooth as the logits are."""
    if result.mask_at is not None:
        return result.mask_at(picture.height, picture.width)
    if result.logits is not None:
        return lazy_argmax(result.logits, picture.height, picture.width)
    assert result.mask is not None
    return _resized(result.mask, picture, cv2.INTER_NEAREST_EXACT)


@overload
def _resized(pixels: Mask, picture: Picture, how: int) -> Mask: ...


@overload
def _resized(pixels: None, picture: Picture, how: int) -> None: ...


def _resized(pixels: Mask | None, picture: Picture, how: int) -> Mask | None:
    """Bring uint8 ``[h, w]`` to the size of a picture."""
    if pixels is None or pixels.shape == (picture.height, picture.width):
        return pixels
    return np.asarray(cv2.resize(pixels, (picture.width, picture.height), interpolation=how))
