"""Is this a picture of the world? Cheap checks of every image, by kind of sensor.

What one kind must never show is another's daily bread: an event camera in a still scene is black,
a depth camera before a wall is flat, and a thermal camera closes its eye for a second to calibrate.
So each kind has its own thresholds, and no threshold where a check makes no sense.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from anymodal_seg_ros.config import SHUTTER_S, ChecksConfig, seconds_to_ns
from anymodal_seg_ros.frames import CheckResult, Image, Pixels, SensorState
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.health import image_figures as figures
from anymodal_seg_ros.sensing.health.repetition import RepetitionWatch
from anymodal_seg_ros.sensing.health.sensor_health import Fault


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of an image, and on which side of a threshold it fails."""

    name: str
    measure: Callable[[figures.Grid], float]
    fails_above: bool
    figure: str
    """What is measured, in words."""

    @property
    def threshold_field(self) -> str:
        """Name of the threshold in the configuration."""
        return f"{self.name}_{'above' if self.fails_above else 'below'}"


BLACK = Check("black", figures.brightest, False, "99th percentile in counts")
BLOCKED = Check("blocked", figures.block_contrast, False, "contrast between blocks in counts")
SATURATED = Check("saturated", figures.saturated_share, True, "share of saturated pixels")
FLOODED = Check("saturated", figures.active_share, True, "share of active pixels")
STUCK_ROWS = Check("stuck_rows", figures.repeated_rows_share, True, "share of repeated rows")
NOISE = Check("noise", figures.noise_ratio, True, "neighbours' difference over any two pixels'")
DEPTH_NOISE = Check("noise", figures.depth_noise_ratio, True, NOISE.figure)
NO_DEPTH = Check("no_depth", figures.depth_share, False, "share of pixels with a depth")


@dataclass(frozen=True, slots=True)
class Kind:
    """What is checked in one kind of sensor.

    Attributes:
        checks: each with its threshold, the gravest first.
        frozen_after_s: how long a payload may repeat.
        shutter_s: how long an image may be black, flat or saturated before that is a failure.
        silence_is_healthy: an image without any activity may repeat for ever.
    """

    checks: tuple[tuple[Check, float], ...] = ()
    frozen_after_s: float = 0.5
    shutter_s: float = 0.0
    silence_is_healthy: bool = False


KINDS = {
    "rgb": Kind(
        ((BLACK, 10), (SATURATED, 0.9), (BLOCKED, 6), (STUCK_ROWS, 0.2), (NOISE, 0.6)),
    ),
    "thermal": Kind(
        ((BLACK, 1), (SATURATED, 0.9), (BLOCKED, 6), (STUCK_ROWS, 0.2), (NOISE, 0.6)),
        frozen_after_s=SHUTTER_S,
        shutter_s=SHUTTER_S,
    ),
    "depth": Kind(((NO_DEPTH, 0.01), (DEPTH_NOISE, 0.6))),
    "lidar": Kind(((NO_DEPTH, 1e-4),)),
    "event": Kind(((FLOODED, 0.98),), silence_is_healthy=True),
}
"""What is checked by modality; any other is only watched for freezing and for its format."""

_SHUTTER_CHECKS = ("black", "saturated", "blocked")
_MARGIN = 0.1
"""A failing check passes again only this share beyond its threshold, so that it does not flap."""


@dataclass(slots=True)
class _Running:
    """A check that is switched on, and since when it has been failing."""

    check: Check
    threshold: float
    patience_ns: int
    failing_since_ns: int | None = None

    def fails(self, figure: float, now_ns: int) -> bool:
        """Compare with the threshold, or with a stricter one while failing."""
        margin = 0.0 if self.failing_since_ns is None else _MARGIN
        if self.check.fails_above:
            failed = figure > self.threshold * (1 - margin)
        else:
            failed = figure < self.threshold * (1 + margin)
        if not failed:
            self.failing_since_ns = None
        elif self.failing_since_ns is None:
            self.failing_since_ns = now_ns
        return failed

    def fault(self, figure: float, now_ns: int) -> Fault:
        """Say what is wrong."""
        assert self.failing_since_ns is not None
        relation = "at most" if self.check.fails_above else "at least"
        return Fault(
            SensorState.INVALID,
            f"{self.check.name}: {self.check.figure} is {figure:.3g}, "
            f"expected {relation} {self.threshold:.3g}",
            lasting=now_ns - self.failing_since_ns >= self.patience_ns,
        )


@dataclass(slots=True)
class _Format:
    """The size and encoding that a sensor has settled on."""

    known: str = ""
    settled: bool = False

    def inspect(self, image: Image) -> tuple[CheckResult, Fault | None]:
        """Hold an image against the first format that came twice in a row."""
        found = _describe(image)
        if self.known and self.settled and found != self.known:
            reason = f"format: {found}, expected {self.known} as before"
            return CheckResult("format", 1, 0, False), Fault(SensorState.INVALID, reason)
        self.settled = found == self.known
        self.known = found
        return CheckResult("format", 0, 0, True), None


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

    def __init__(self, modality: str, config: ChecksConfig) -> None:
        """Choose the checks of a kind of sensor.

        Args:
            modality: e.g. ``rgb``, ``thermal``, ``depth``, ``event``, ``lidar``.
            config: which checks to run, and thresholds that differ from the kind's own.
        """
        kind = KINDS.get(modality, Kind())
        self._config = config
        self._checks = [
            _Running(
                check,
                getattr(config, check.threshold_field) or threshold,
                seconds_to_ns(kind.shutter_s) if check.name in _SHUTTER_CHECKS else 0,
            )
            for check, threshold in kind.checks
            if getattr(config, check.name)
        ]
        self._repetition = RepetitionWatch(
            seconds_to_ns(config.frozen_after_s or kind.frozen_after_s),
            silence_is_healthy=kind.silence_is_healthy,
        )
        self._format = _Format()
        self.results: tuple[CheckResult, ...] = ()
        """What was found in the newest image."""

    def forget(self) -> None:
        """Begin anew after an outage: a driver that was restarted may have other settings."""
        self._format = _Format()
        self._repetition.forget()
        for running in self._checks:
            running.failing_since_ns = None

    def inspect(self, image: Image, received_ns: int) -> Fault | None:
        """Check one image.

        Args:
            image: with its pixels at hand; nothing of it is converted.
            received_ns: when it arrived.

        Returns:
            The gravest fault; None if there is none. An image with a fault must not be fused, even
            where the fault does not count as a failure of the sensor yet.

        Raises:
            DecodeError: the pixels were still to be decoded, and cannot be.
        """
        found = _Findings()
        if self._config.format:
            found.add(*self._format.inspect(image))
        sampled = figures.grid(_looked_at(image))
        for running in self._checks:
            figure = running.check.measure(sampled)
            failed = running.fails(figure, received_ns)
            found.add(
                CheckResult(running.check.name, figure, running.threshold, not failed),
                running.fault(figure, received_ns) if failed else None,
            )
        if self._config.frozen:
            found.add(*self._repetition.inspect(sampled, received_ns))
        self.results = tuple(found.results)
        lasting = (fault for fault in found.faults if fault.lasting)
        return next(lasting, found.faults[0] if found.faults else None)


def _describe(image: Image) -> str:
    """Say what must not change in mid-stream; a scan may have any number of points."""
    if image.encoding == POINT_CLOUD:
        return f"points with {', '.join(image.pixels.dtype.names or ())}"
    return f"{image.width}x{image.height} {image.encoding}"


def _looked_at(image: Image) -> Pixels:
    """Return what the figures are taken of: the pixels, or how far ahead or behind points are."""
    if image.encoding != POINT_CLOUD:
        return image.pixels
    if not image.pixels.size:
        return np.zeros((1, 1), np.float32)
    with np.errstate(over="ignore"):
        return np.abs(image.pixels["x"].astype(np.float32))
