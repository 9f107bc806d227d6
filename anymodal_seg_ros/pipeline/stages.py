"""What a sample becomes on its way to the network: registered, scaled to planes, encoded.

Each stage is made at most once and kept with the sample, under what it depends on beside the sample
itself: in whose picture, by which calibrations, by whose distances. A frame set only chooses
samples; what it finds made already costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.errors import DecodeError, EngineError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.frames import Features, Image, ModalityBatch, Sample
from anymodal_seg_ros.inference.engine_failures import engine_at_work
from anymodal_seg_ros.inference.engine_protocol import SplitEngine
from anymodal_seg_ros.inference.evidence import lack_of_cover, lack_of_evidence
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.preprocess import (
    ByteBatch,
    BytePlanes,
    Planes,
    byte_planes,
    planes,
    sends_metres,
)
from anymodal_seg_ros.pipeline.modalities import DEPTH_PLANES
from anymodal_seg_ros.sensing.decoding.encodings import in_metres, to_metres
from anymodal_seg_ros.sensing.geometry.hha import hha_image
from anymodal_seg_ros.sensing.geometry.muses import muses_event_picture
from anymodal_seg_ros.sensing.geometry.registration import Registrar
from anymodal_seg_ros.sensing.geometry.reprojection import Metres
from anymodal_seg_ros.sensing.geometry.rig_geometry import UnknownGeometryError


class StageKey(NamedTuple):
    """What the stages of a sample depend on beside the sample.

    Attributes:
        picture: the sensor in whose picture it is wanted.
        generation: of the calibrations.
        depth: sensor and time of the depth image by which it is registered; None without.
    """

    picture: str
    generation: int
    depth: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Stages:
    """What a sample has become.

    Attributes:
        image: in the picture that was asked for; at its own size if it did not have to be warped.
        missing: why it is no evidence and must not be fused, in words; empty if it is.
        planes: float32 ``[3, H, W]``, or a picture of 8 bits that is normalised with its batch;
            None if it is no evidence, or encoded already.
        features: what the network's encoder made of the planes; None if it was not asked to.
    """

    image: Image
    missing: str = ""
    planes: Planes | BytePlanes | None = None
    features: Features | None = None


class Preparer:
    """Takes samples through their stages. Safe for threads: it keeps all with the samples."""

    def __init__(
        self, rig: RigConfig, manifest: Manifest, registrar: Registrar, engine: SplitEngine | None
    ) -> None:
        """Set up for the sensors of a rig.

        Args:
            rig: the sensors and what their counts mean.
            manifest: of the model.
            registrar: of the rig.
            engine: that encodes each sensor by itself; None if the network does not.
        """
        self._rig, self._manifest, self._registrar, self._engine = rig, manifest, registrar, engine

    def key(self, sample: Sample, picture: str, companions: Mapping[str, Sample]) -> StageKey:
        """Return under what the stages of a sample are kept.

        Args:
            sample: whose stages are wanted.
            picture: the sensor in whose picture.
            companions: the samples of its frame set: a depth image among them may be needed.
        """
        depth = None
        if self._registrar.needs_metres(sample.sensor, picture):
            depth = self._depth(companions)
        kept = None if depth is None else (depth.sensor, depth.time_ns)
        return StageKey(picture, self._registrar.generation, kept)

    def needs_companions(self, sensor: str, picture: str) -> bool:
        """Whether what becomes of a sensor's sample depends on the frame set that it is in."""
        return self._registrar.needs_metres(sensor, picture)

    def made(self, sample: Sample, key: StageKey) -> Stages | None:
        """Return what a sample has become, if it is as far as the engine wants it."""
        stages = sample.made.get(key)
        return stages if isinstance(stages, Stages) else None

    def prepare(self, sample: Sample, picture: str, companions: Mapping[str, Sample]) -> Stages:
        """Take a sample through its stages, as far as they are not made yet.

        Args:
            sample: whose image may be fused.
            picture: the sensor in whose picture it is wanted.
            companions: as of :meth:`key`.

        Raises:
            Exception: whatever the engine raises.
        """
        stages = self._kept(sample, picture, companions)
        if stages.missing:
            return stages
        try:
            # Of this frame set, not of the sample: what is made ahead of time knows no companions.
            self._registrar.check_target(sample.sensor, picture, _size(companions.get(picture)))
        except UnknownGeometryError as error:
            return Stages(sample.image, f"cannot be registered to {picture}: {error}")
        return stages

    def _kept(self, sample: Sample, picture: str, companions: Mapping[str, Sample]) -> Stages:
        """Return what is kept of a sample, or make it."""
        key = self.key(sample, picture, companions)
        if (known := self.made(sample, key)) is not None:
            return known
        try:
            stages = self._scaled(sample, picture, companions)
        except (UnknownGeometryError, DecodeError) as error:
            # Kept until the next CameraInfo, which is another generation.
            stages = Stages(sample.image, f"cannot be registered to {picture}: {error}")
        if self._engine is not None and stages.planes is not None:
            with engine_at_work(self._engine):
                found = self._engine.encode(self.batch({sample.sensor: stages}))
            stages = replace(stages, planes=None, features=_single(found))
        sample.made[key] = stages
        return stages

    def batch(self, stages: Mapping[str, Stages]) -> ModalityBatch:
        """Stack the planes of some sensors, by their names."""
        made = [s.planes for s in stages.values()]
        if pictures := [one for one in made if isinstance(one, BytePlanes)]:
            return ByteBatch(pictures)  # of one sensor, that is encoded by itself
        present = [one for one in made if isinstance(one, np.ndarray)]
        ids = [self._spec_id(name) for name in stages]
        images = present[0][None] if len(present) == 1 else np.stack(present)
        return ModalityBatch(images, np.array(ids, np.int64))

    def _scaled(self, sample: Sample, picture: str, companions: Mapping[str, Sample]) -> Stages:
        """Register an image, scale it to planes, and look whether it shows anything."""
        manifest, sensor = self._manifest, self._rig.sensors[sample.sensor]
        spec, looked_at = manifest.modalities[sensor.modality], self._rig.content_checks
        measured = spec.planes in DEPTH_PLANES and sends_metres(sample.image)
        image = in_metres(sample.image, sensor.counts) if measured else sample.image
        if spec.planes == "muses_event":
            image = muses_event_picture(image)
        brought = self._registrar.bring(
            sample.sensor,
            image,
            picture,
            metres=self._metres(sample.sensor, picture, companions),
        )
        if looked_at and (reason := lack_of_cover(brought.covered, spec, picture)):
            return Stages(brought.image, reason)
        shown = brought.image
        if measured and spec.planes == "hha":
            try:
                shown = self._encoded_depth(sample.sensor, shown, picture)
            except UnknownGeometryError as error:
                return Stages(shown, _no_intrinsics(sample.sensor, error))
        size, counts = (manifest.height, manifest.width), sensor.counts
        made: Planes | BytePlanes | None = None
        if self._engine is not None:  # else it may be seen several times, and is normalised once
            made = byte_planes(shown, spec, *size, counts)
        if made is None:
            made = planes(shown, spec, *size, counts=counts)
        if looked_at and (reason := lack_of_evidence(made, shown, spec, sensor)):
            reason = reason.replace("rig.sensors.*", f"rig.sensors.{sample.sensor}")
            return Stages(brought.image, reason)
        return Stages(brought.image, planes=made)

    def _encoded_depth(self, sensor: str, image: Image, picture: str) -> Image:
        """Encode distances as HHA, with the intrinsics of the picture that they are in."""
        rays = self._registrar.rays(sensor, picture, image.height, image.width)
        return hha_image(to_metres(image), rays)

    def _metres(self, sensor: str, picture: str, companions: Mapping[str, Sample]) -> Metres | None:
        """Return the distances in a picture that the depth image of a frame set measures."""
        depth = self._depth(companions)
        if depth is None or not self._registrar.needs_metres(sensor, picture):
            return None
        key = ("metres", picture, self._registrar.generation)
        if key not in depth.made:
            stages = self._kept(depth, picture, companions)
            usable = {} if stages.missing else {depth.sensor: stages.image}
            depth.made[key] = self._registrar.metres(usable)
        found: Metres | None = depth.made[key]
        return found

    def _depth(self, companions: Mapping[str, Sample]) -> Sample | None:
        """Return the depth image of a frame set that others are registered by."""
        return next((companions[n] for n in self._registrar.depths if n in companions), None)

    def _spec_id(self, sensor: str) -> int:
        return self._manifest.modalities[self._rig.sensors[sensor].modality].id


def _no_intrinsics(sensor: str, error: UnknownGeometryError) -> str:
    return (
        f"cannot be encoded as HHA, which takes the intrinsics of its picture: {error}; name the "
        f"CameraInfo topic in rig.sensors.{sensor}.registration.camera_info, or a file in "
        "calibration"
    )


def _size(sample: Sample | None) -> tuple[int, int] | None:
    return None if sample is None else (sample.image.height, sample.image.width)


def _single(features: Sequence[object]) -> Features:
    """Return what an engine made of one image: one that returns anything else has failed."""
    if len(features) != 1:
        raise EngineError(f"the engine encoded one image to {len(features)} features: expected 1")
    found = features[0]
    if not isinstance(found, Features):
        name = quote(type(found).__name__)
        raise EngineError(f"the engine encoded an image to a {name}: expected Features")
    return found
