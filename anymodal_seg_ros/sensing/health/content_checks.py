"""Is this a picture of the world? Cheap checks of every image, by kind of sensor."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from anymodal_seg_ros.config import ChecksConfig, CountsConfig, seconds_to_ns
from anymodal_seg_ros.frames import CheckResult, Image, Pixels, SensorState
from anymodal_seg_ros.sensing.decoding.encodings import COLORS, METRES
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.health.damage.focus import SOFT_BELOW, FocusWatch
from anymodal_seg_ros.sensing.health.damage.parts import COVERED_ABOVE, PartsWatch
from anymodal_seg_ros.sensing.health.figures import image_figures as figures
from anymodal_seg_ros.sensing.health.figures.blocks import Flags
from anymodal_seg_ros.sensing.health.kinds import (
    BLOCKY,
    REPEATS_FRESH_S,
    TWICE,
    FigureCheck,
    Kind,
    kind_of,
)
from anymodal_seg_ros.sensing.health.kinds import KINDS as KINDS
from anymodal_seg_ros.sensing.health.motion import MotionWatch
from anymodal_seg_ros.sensing.health.repetition import RepetitionWatch
from anymodal_seg_ros.sensing.health.running_checks import Checks, RunningCheck
from anymodal_seg_ros.sensing.health.scans import ScanWatch
from anymodal_seg_ros.sensing.health.sensor_health import Fault

_USUAL_COUNTS = CountsConfig()
_ZERO_COUNTS = 30_000
"""Room for degrees below zero; there is as much above for kelvin."""

_SHUTTER_CHECKS = ("black", "saturated", "blocked")
_GARBLED = (BLOCKY.name, TWICE.name)
_FORMAT_KEPT = CheckResult("format", 0, 0, True)


@dataclass(slots=True)
class _Format:
    """The size and encoding that a sensor has settled on.

    A camera that was given another profile, or a region of interest, goes on like that: what came
    ``needed`` times in a row is the new normal.
    """

    needed: int
    known: str = ""
    looks: object = None
    """Shape, type and encoding of the image that was described last."""
    settled: bool = False
    changes: int = 0
    """Of formats, before one came twice in a row."""
    other: str = ""
    others: int = 0

    def inspect(self, image: Image) -> tuple[CheckResult, Fault | None]:
        """Hold an image against the first format that came twice in a row."""
        looks = image.pixels.shape, image.pixels.dtype, image.encoding
        if self.settled and looks == self.looks and not self.other:
            return _FORMAT_KEPT, None
        self.looks = looks
        found = _describe(image)
        if self.settled and found != self.known:
            self.others = self.others + 1 if found == self.other else 1
            self.other = found
            if self.others < self.needed:
                reason = (
                    f"format: {found}, expected {self.known} as before; "
                    f"accepted when it has come {self.needed} times in a row, now {self.others}"
                )
                return CheckResult("format", 1, 0, False), Fault(SensorState.INVALID, reason)
        before, self.known, self.other, self.others = self.known, found, "", 0
        self.settled = self.settled or found == before
        self.changes = 0 if self.settled or not before else self.changes + 1
        if self.changes >= self.needed:
            reason = f"format: {found}, {before} before it; none of them comes twice in a row"
            return CheckResult("format", self.changes, 0, False), Fault(SensorState.INVALID, reason)
        return _FORMAT_KEPT, None


@dataclass(slots=True)
class _Findings:
    """What was found in one image."""

    results: list[CheckResult] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add(self, result: CheckResult, fault: Fault | None) -> None:
        """Add what one check found."""
        self.results.append(result)
        if fault is not None:
            self.faults.append(fault)


class ContentChecker:
    """Checks the images of one sensor, one after the other."""

    def __init__(
        self,
        modality: str,
        config: ChecksConfig,
        *,
        planes: str | None = None,
        recover_frames: int = 5,
        counts: CountsConfig = _USUAL_COUNTS,
        motion: bool = False,
    ) -> None:
        """Choose the checks of a kind of sensor.

        Args:
            modality: e.g. ``rgb``, ``thermal``, ``depth``, ``event``, ``lidar``.
            config: which checks to run, and thresholds that differ from the kind's own.
            planes: what the model makes of its images, as its manifest says: ``color``,
                ``thermal``, ``depth``, ``hha`` or ``lidar``. It decides over the checks of a
                modality of one's own; without it, its name does.
            recover_frames: equal images in a row that make another size or encoding the normal.
            counts: what the camera's numbers mean. Where it says what a count of depth is,
                distances are not judged as if they were millimetres.
            motion: whether :attr:`motion` is wanted, if this is a camera.
        """
        kind = kind_of(modality, planes)
        frozen_ns = seconds_to_ns(config.frozen_after_s or kind.frozen_after_s)
        self._config = config
        self._counts = counts
        self._shows_heat, self._measures_depth = kind.parts == "heat", kind.parts == "depth"
        self._checks = Checks(
            RunningCheck(
                check,
                getattr(config, check.threshold_field) or threshold,
                seconds_to_ns(
                    kind.shutter_s if check.name in _SHUTTER_CHECKS else check.patience_s
                ),
            )
            for check, threshold in _switched_on(kind, config)
            if not (counts.per_count and check.name == "units")
        )
        self._repetition = RepetitionWatch(
            frozen_ns,
            seconds_to_ns(config.frozen_after_s or REPEATS_FRESH_S),
            silence_is_healthy=kind.silence_is_healthy,
        )
        self._parts = (
            PartsWatch(kind.parts, config.covered_above or COVERED_ABOVE, frozen_ns)
            if kind.parts and config.covered
            else None
        )
        self._focus = (
            FocusWatch(config.soft_below or SOFT_BELOW)
            if kind.parts in ("pictures", "heat") and config.soft
            else None
        )
        self._scans = ScanWatch() if config.scan else None
        self.motion = MotionWatch() if motion and kind.parts in ("pictures", "heat") else None
        """What sound pictures tell of whether the world goes by; None of what is no camera."""
        self._format = _Format(recover_frames)
        self.results: tuple[CheckResult, ...] = ()
        """What was found in the newest image."""

    @property
    def bad_region(self) -> Flags | None:
        """Damaged blocks of the newest image, bool ``[12, 16]``; None if none are known."""
        return None if self._parts is None else self._parts.bad

    def forget(self) -> None:
        """Begin anew after an outage: a driver that was restarted may have other settings."""
        self._format = _Format(self._format.needed)
        self._forget_pictures()

    # Random bytes may stand for NaNs that signal, or numbers without measure: no news for a log.
    @np.errstate(invalid="ignore", over="ignore")
    def inspect(self, image: Image, received_ns: int) -> Fault | None:
        """Check one image.

        Args:
            image: with its pixels at hand; nothing of it is converted.
            received_ns: when it arrived.

        Returns:
            The gravest fault; None if there is none. An image with a fault that says ``withhold``
            must not be fused, even where it does not count as a failure of the sensor yet.

        Raises:
            DecodeError: the pixels were still to be decoded, and cannot be.
        """
        found = _Findings()
        if self._config.format:
            known = self._format.known
            found.add(*self._format.inspect(image))
            if known and known != self._format.known:
                self._forget_pictures()
        sampled = figures.grid(self._looked_at(image), self._full_scale(image))
        for verdict in self._checks.inspect(sampled, received_ns):
            found.add(*verdict)
        repeated = None
        if self._config.frozen and not self._sees_nothing(image, sampled):
            sound = not any(fault.withhold for fault in found.faults)
            result, repeated = self._repetition.inspect(sampled, received_ns, sound=sound)
            found.add(result, repeated)
        if self.motion is not None and repeated is None and not found.faults:
            self.motion.look(sampled, received_ns)
        self._look_closely(image, sampled, received_ns, found, repeated=repeated is not None)
        self.results = tuple(found.results)
        return max(found.faults, key=_gravity, default=None)

    def _look_closely(
        self,
        image: Image,
        sampled: figures.Grid,
        now_ns: int,
        found: _Findings,
        *,
        repeated: bool,
    ) -> None:
        """Look at the points of a scan, or at the parts of a picture that is not bad as a whole."""
        if self._scans is not None and image.encoding == POINT_CLOUD and not repeated:
            for verdict in self._scans.inspect(image.pixels, now_ns):
                found.add(*verdict)
        bad = any(fault.withhold for fault in found.faults)
        # What parts of a garbled picture show is not missed when it is whole again.
        garbled = any(fault.kind in _GARBLED for fault in found.faults)
        look = not (bad or garbled or repeated)
        if self._focus is not None:
            plane = figures.one_channel(sampled.pixels)
            result, fault = self._focus.found
            if look:
                result, fault = self._focus.inspect(plane, sampled.block_means, now_ns)
            found.add(result, None if bad else fault)
        if self._parts is None:
            return
        for result, fault in self._parts.inspect(sampled, now_ns) if look else self._parts.found:
            found.add(result, None if bad else fault)

    def _looked_at(self, image: Image) -> Pixels:
        """Return what figures are taken of: pixels as usual, or how far ahead points are."""
        if image.encoding == POINT_CLOUD:
            return _ahead(image.pixels)
        if image.encoding not in METRES:
            return image.pixels
        per_count = self._counts.per_count
        if self._shows_heat:
            return _heat_counts(image.pixels, per_count)
        return image.pixels * np.float32(per_count) if per_count else image.pixels

    def _sees_nothing(self, image: Image, sampled: figures.Grid) -> bool:
        """Whether there is no distance in it at all, which may well be like the one before."""
        if image.encoding == POINT_CLOUD:
            return not (np.isfinite(sampled.values) & (sampled.values > 0)).any()
        return self._measures_depth and not np.isfinite(sampled.metres[0]).any()

    def _full_scale(self, image: Image) -> float | None:
        """Return the largest count of 16-bit colours, if the configuration says it."""
        color = image.encoding in COLORS and image.pixels.dtype.itemsize == 2
        return self._counts.full_scale or None if color else None

    def _forget_pictures(self) -> None:
        self._repetition.forget()
        self._checks.forget()
        if self._focus is not None:
            self._focus.forget()
        if self._parts is not None:
            self._parts.forget()
        if self._scans is not None:
            self._scans.forget()
        if self.motion is not None:
            self.motion.forget()


def _switched_on(kind: Kind, config: ChecksConfig) -> list[tuple[FigureCheck, float]]:
    return [(check, threshold) for check, threshold in kind.checks if getattr(config, check.name)]


def _gravity(fault: Fault) -> tuple[bool, bool, bool]:
    """Order faults: failures first, then what must not be fused; else the first found counts."""
    return fault.lasting and fault.withhold, fault.withhold, fault.lasting


def _describe(image: Image) -> str:
    """Say what must not change in mid-stream; a scan may have any number of points."""
    if image.encoding == POINT_CLOUD:
        return f"points with {', '.join(image.pixels.dtype.names or ())}"
    return f"{image.width}x{image.height} {image.encoding}"


def _ahead(points: Pixels) -> Pixels:
    """Return how far ahead or behind points are, ``[H, W]``, not empty."""
    if not points.size:
        return np.zeros((1, 1), np.float32)
    with np.errstate(over="ignore"):
        return np.abs(points["x"].astype(np.float32))


def _heat_counts(temperatures: Pixels, per_count: float) -> Pixels:
    """Return counts of 10 mK as a radiometric camera sends them, of kelvin or of degrees C.

    Only differences are judged, so where zero lies does not matter.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        counts = temperatures * (100.0 * (per_count or 1.0)) + _ZERO_COUNTS
        return np.clip(np.nan_to_num(counts, nan=0.0), 0, 65534).astype(np.uint16)
