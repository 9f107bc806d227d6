"""Sensors are checked against each other: the least urgent work there is.

A few times a second the samples of a frame set that has its mask are compared, in small steps
between which anything more urgent is done: one step for each sensor, one for all their accords.
Whoever contradicts the others is doubted, and left out of the fusion while two others vouch for
each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import CountsConfig, RigConfig, seconds_to_ns
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import CheckResult, FrameSet, Image, Sample
from anymodal_seg_ros.inference.manifest import Manifest, ModalitySpec
from anymodal_seg_ros.inference.preprocess import MODELS_OWN, planes, sends_metres
from anymodal_seg_ros.pipeline.modalities import LIDAR_PLANES
from anymodal_seg_ros.pipeline.stages import Preparer
from anymodal_seg_ros.sensing.geometry.registration import Registrar
from anymodal_seg_ros.sensing.geometry.rig_geometry import UnknownGeometryError
from anymodal_seg_ros.sensing.health.accord.comparison import SensorComparison
from anymodal_seg_ros.sensing.health.accord.contradiction import Doubt, NormalAccord, Pair
from anymodal_seg_ros.sensing.health.accord.structure import CLEAR, ROWS, Structure, edge_structure


@dataclass(slots=True, eq=False)
class SensorLook:
    """One look at all living sensors, step by step.

    Attributes:
        time_ns: when its frame set was complete, on the caller's clock.
        picture: the sensor in whose picture they are compared.
        samples: of each sensor.
        todo: sensors whose structure is still to be found.
        size: rows and columns of the picture.
        structures: those found, of sensors with something to tell.
        accords: of each two of them, once all are compared.
        compared: whether that has been done.
    """

    time_ns: int
    picture: str
    samples: Mapping[str, Sample]
    todo: list[str]
    size: tuple[int, int]
    structures: dict[str, Structure] = field(default_factory=dict)
    accords: dict[Pair, float] = field(default_factory=dict)
    compared: bool = False


@dataclass(frozen=True, slots=True)
class CrossFinding:
    """What a look has found of one sensor.

    Attributes:
        doubt: why it is doubted, in words; empty if it is not.
        shifted: that it lies beside the others, in words; empty if it does not.
        checks: the figures behind both.
    """

    doubt: str
    shifted: str
    checks: tuple[CheckResult, ...]


class CrossCheck:
    """Compares the sensors of a rig. The pipeline holds its lock around all but :meth:`step`."""

    def __init__(
        self,
        rig: RigConfig,
        manifest: Manifest,
        normal: NormalAccord,
        registrar: Registrar,
        preparer: Preparer,
        *,
        thrifty: bool,
    ) -> None:
        """Begin without a look.

        Args:
            rig: its sensors, and how often they are compared.
            manifest: of the model, by which pictures are scaled.
            normal: what is normal for its kinds of sensors.
            registrar: of the rig.
            preparer: by which samples are registered.
            thrifty: whether ``cross_check_share`` of one core's time is not to be exceeded.
        """
        self._rig, self._manifest, self._preparer = rig, manifest, preparer
        self._registrar, self._thrifty = registrar, thrifty
        known = normal.kinds
        self._kinds = {
            name: sensor.modality
            for name, sensor in rig.sensors.items()
            if sensor.enabled and sensor.modality in known
        }
        self._normal = normal
        self._covers: dict[tuple[str, str, int, int, int], npt.NDArray[np.uint8] | None] = {}
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what belongs to another time."""
        self._comparison = SensorComparison(
            self._normal, self._kinds, self._rig.cross_check_evidence, self._rig.misaligned_above
        )
        self._aside: dict[str, Sample] = {}
        self._blamed: frozenset[str] = frozenset()
        self._reasons: dict[str, str] = {}
        self._next: SensorLook | None = None
        self._running: SensorLook | None = None
        self._begun = False
        self._due_ns: int | None = None
        self._spent_ns = 0

    def take_over(self, other: CrossCheck | None) -> bool:
        """Know what another one of the same sensors has found. Returns whether there is such."""
        if other is None or other._kinds != self._kinds:
            return False
        self._comparison, self._aside = other._comparison, other._aside
        self._blamed, self._reasons = other._blamed, other._reasons
        self._due_ns = other._due_ns
        return True

    def without_doubted(self, frame_set: FrameSet) -> FrameSet:
        """Leave out of a frame set who contradicts the others; somebody always remains."""
        usable = [name for name in frame_set.fused if name not in self._blamed]
        doubted = [name for name in frame_set.fused if name in self._blamed]
        if not doubted or not usable:
            return frame_set
        samples, missing = dict(frame_set.samples), dict(frame_set.missing)
        for name in doubted:
            missing[name] = self._reasons.get(name, "doubted")
            self._aside[name] = samples[name]
            if name != frame_set.reference:
                del samples[name]
        return replace(frame_set, samples=samples, missing=missing)

    def offer(self, frame_set: FrameSet, picture: str, size: tuple[int, int]) -> None:
        """Take a frame set that has its mask, if a look is due."""
        now_ns = frame_set.completed_ns
        if frame_set.clock_jump:
            self._due_ns = None
        if self._running is not None or (self._due_ns is not None and now_ns < self._due_ns):
            return
        samples = {name: frame_set.samples[name] for name in frame_set.fused}
        period_ns = self._rig.sensors[frame_set.reference].period_ns
        for name, sample in self._aside.items():
            if (
                abs(sample.received_ns - now_ns)
                <= 2 * period_ns + self._rig.sensors[name].period_ns
            ):
                samples[name] = sample
        samples = {name: samples[name] for name in self._kinds if name in samples}
        if len(samples) > 1:
            self._next = SensorLook(now_ns, picture, samples, list(samples), size)

    def take(self) -> SensorLook | None:
        """Return a look of which the next step is to be done; None if none is due."""
        if self._begun:
            return None
        if self._running is None:
            self._running, self._next, self._spent_ns = self._next, None, 0
        if self._running is None:
            return None
        self._begun = True
        return self._running

    def step(self, look: SensorLook) -> None:
        """Do the next step of a look, without the lock."""
        if look.todo:
            name = look.todo.pop()
            structure = self._structure(name, look)
            if structure is not None and structure.clarity >= CLEAR:
                look.structures[name] = structure
            return
        look.accords.update(self._comparison.compare(look.time_ns, look.structures))
        look.compared = True

    def abandon(self) -> None:
        """Give up a look of which a step has failed; the next one comes when it would have."""
        if (look := self._running) is not None:
            self._due_ns = look.time_ns + seconds_to_ns(self._rig.cross_check_s)
        self._begun, self._running = False, None

    def end(self, look: SensorLook, took_ns: int) -> Mapping[str, CrossFinding] | None:
        """Take note that a step is done. Returns what was found once all are."""
        self._begun = False
        self._spent_ns += took_ns
        if self._running is not look:
            return None  # another time has begun meanwhile
        if not look.compared:
            return None
        self._running = None
        wait_ns = seconds_to_ns(self._rig.cross_check_s)
        if self._thrifty:
            wait_ns = max(wait_ns, round(self._spent_ns / self._rig.cross_check_share))
        self._due_ns = look.time_ns + wait_ns
        return self._judge(look)

    def _structure(self, name: str, look: SensorLook) -> Structure | None:
        """Return the edges of a sensor's picture; None if there is no picture to look at."""
        sample, sensor = look.samples[name], self._rig.sensors[name]
        spec = self._manifest.modalities[sensor.modality]
        stages = self._preparer.prepare(sample, look.picture, look.samples)
        if stages.missing or spec.planes in LIDAR_PLANES:
            return None
        try:
            covered = self._cover(name, sample, look)
            return structure_of(stages.image, spec, sensor.counts, covered, look.size)
        except (DecodeError, UnknownGeometryError):
            return None

    def _cover(self, name: str, sample: Sample, look: SensorLook) -> npt.NDArray[np.uint8] | None:
        """Return which part of the picture is the sensor's; None for all of it.

        Where a warped picture ends is no edge: two that end at one place would seem to agree.
        """
        image = sample.image
        if self._rig.sensors[name].registration.method == "resize" or name == look.picture:
            return None
        key = (name, look.picture, image.height, image.width, self._registrar.generation)
        if key not in self._covers:
            white = Image(np.full((image.height, image.width), 255, np.uint8), "mono8")
            shown = self._registrar.bring(name, white, look.picture).image.pixels
            self._covers = {k: v for k, v in self._covers.items() if k[4] == key[4]}
            self._covers[key] = np.asarray(shown, np.uint8)
        return self._covers[key]

    def _judge(self, look: SensorLook) -> dict[str, CrossFinding]:
        """Let the test decide."""
        comparison = self._comparison
        held = comparison.judge(look.time_ns, look.samples, look.accords)
        findings = {}
        for name in look.samples:
            doubt = held.get(name)
            if doubt is not None:
                self._reasons[name] = self._words(name, doubt, look)
            findings[name] = CrossFinding(
                self._reasons.get(name, "") if name in comparison.doubted else "",
                comparison.misalignment.words(name, look.size),
                (*_figures(doubt), *comparison.misalignment.checks(name)),
            )
        self._blamed = comparison.blamed
        return findings

    def _words(self, name: str, doubt: Doubt, look: SensorLook) -> str:
        """Say what is held against a sensor."""
        others = ", ".join(other for other in look.structures if other != name)
        kept = "" if doubt.blamed else "; fused all the same: nobody knows which of them is right"
        return (
            f"shows another world than {others}: its edges agree with theirs by {doubt.accord:.1f} "
            f"deviations of chance, usually by {doubt.usual:.0f}{kept}"
        )


def structure_of(
    image: Image,
    spec: ModalitySpec,
    counts: CountsConfig = MODELS_OWN,
    covered: npt.NDArray[np.uint8] | None = None,
    size: tuple[int, int] | None = None,
) -> Structure:
    """Return the edges of a sensor's picture.

    Args:
        image: in the picture in which it is to be compared.
        spec: of its modality.
        counts: what its numbers mean.
        covered: which part of the picture is the sensor's; None: all of it.
        size: rows and columns of that picture, whose shape an image has that is only resized to it;
            None: the image's own.

    Raises:
        DecodeError: the image cannot serve as the modality, or is damaged.
    """
    if spec.planes == "hha" and sends_metres(image):  # its registered image is what was measured
        spec = replace(spec, planes="depth")
    rows, columns = size or (image.height, image.width)
    width = max(4, 4 * round(2 * ROWS * columns / rows / 4))
    scaled = planes(image, spec, 2 * ROWS, width, counts=counts)
    distances = spec.planes == "depth"
    if distances:
        # Nearness: its noise is about the same everywhere, and holes are as far as the sky.
        nearness = np.ascontiguousarray(scaled[1]) * np.float32(spec.std[1])
        grey = np.asarray(cv2.medianBlur(nearness + np.float32(spec.mean[1]), 5))
    else:
        grey = np.tensordot(np.asarray(spec.std, np.float32) / 3, scaled, 1)
    return edge_structure(grey.astype(np.float32), covered, slopes=not distances)


def _figures(doubt: Doubt | None) -> tuple[CheckResult, ...]:
    if doubt is None:
        return ()
    return (CheckResult("accord", doubt.accord, doubt.usual, not doubt.doubted),)
