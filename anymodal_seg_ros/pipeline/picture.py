"""In whose picture the masks are, and how large they are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.frames import FrameSet, Sample
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.geometry.registration import Registrar


@dataclass(frozen=True, slots=True)
class Picture:
    """The geometry of a mask.

    Attributes:
        sensor: whose picture it is.
        height: rows of the mask.
        width: columns of the mask.
        frame_id: coordinate frame of the mask.
    """

    sensor: str
    height: int
    width: int
    frame_id: str


class Pictures:
    """Chooses the picture of every mask.

    With ``geometry: fixed`` it is that of the first sensor, dead or alive: whoever consumes masks
    may rely on their frame and size. Only an image of it that was fused changes them: what a faulty
    driver sends is no new geometry. Until it has been seen once, its calibration tells size and
    frame. Where nothing tells them, or the reference cannot be brought into its picture because no
    calibration has come yet, the mask stays in the reference's own.
    """

    def __init__(self, rig: RigConfig, manifest: Manifest, registrar: Registrar) -> None:
        """Begin without having seen anything."""
        self._fixed = rig.geometry == "fixed"
        self._manifest, self._registrar = manifest, registrar
        self._seen: Sample | None = None
        self._settled: Picture | None = None

    def take_over(self, other: Pictures) -> None:
        """Keep the geometry that the masks have had before the configuration changed."""
        if other._registrar.first == self._registrar.first:
            self._seen, self._settled = other._seen, other._settled

    def see(self, sample: Sample) -> None:
        """Take note of the size and frame of the first sensor's images."""
        if sample.sensor == self._registrar.first:
            self._seen = sample

    def settle(self, picture: Picture, fused: Collection[str]) -> None:
        """Take note of a mask, and of the sensors whose images were fused."""
        if picture.sensor == self._registrar.first and picture.sensor in fused:
            self._settled = picture

    def sensor(self, reference: str) -> str:
        """Return in whose picture the masks of a reference sensor are."""
        first = self._registrar.first
        if reference in self._registrar.clouds:  # which have no picture of their own
            return first
        brought = self._fixed and self._registrar.can_bring(reference, first)
        return first if brought and self._has_frame(first, reference) else reference

    def _has_frame(self, first: str, reference: str) -> bool:
        """Whether a mask in the first sensor's picture could say in whose frame it is."""
        if self._seen is not None or self._registrar.same_picture(reference, first):
            return True
        known = self._registrar.calibrated(first)
        return known is not None and bool(known[2])

    def of(self, frame_set: FrameSet) -> Picture:
        """Return the picture of a frame set's mask."""
        reference = frame_set.reference_sample
        sensor = self.sensor(frame_set.reference)
        settled = self._settled if self._fixed and sensor == self._registrar.first else None
        if settled is not None and sensor not in frame_set.fused:
            return settled
        owner = frame_set.samples.get(sensor, self._seen if sensor != reference.sensor else None)
        if owner is not None:
            return Picture(sensor, owner.image.height, owner.image.width, owner.frame_id)
        if sensor != reference.sensor and (known := self._registrar.calibrated(sensor)):
            return Picture(sensor, known[0], known[1], known[2] or reference.frame_id)
        if reference.image.encoding == POINT_CLOUD:
            size = self._manifest.height, self._manifest.width
        else:
            size = reference.image.height, reference.image.width
        return Picture(sensor, *size, reference.frame_id)
