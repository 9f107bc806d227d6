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
STUCK_ROWS = Check(
    "stuck_rows", figures.stuck_lines_share, True, "share of repeated rows or columns"
)
NOISE = Check("noise", figures.noise_ratio, True, "neighbours' difference over any two pixels'")
THERMAL_NOISE = Check("noise", figures.thermal_noise_ratio, True, NOISE.figure)
DEPTH_NOISE = Check("noise", figures.depth_noise_ratio, True, NOISE.figure)
NO_DEPTH = Check("no_depth", figures.depth_share, False, "share of pixels with a depth")


@dataclass(frozen=True, slots=True)
class Kind:
    """What is checked in one kind of sensor.

    Attributes:
        checks: each with its threshold, the gravest first.
        frozen_after_s: how long a payload may repeat before that is a failure.
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
        ((BLACK, 1), (SATURATED, 0.9), (BLOCKED, 6), (STUCK_ROWS, 0.2), (THERMAL_NOISE, 0.6)),
        frozen_after_s=SHUTTER_S,
        shutter_s=SHUTTER_S,
    ),
    "depth": Kind(((NO_DEPTH, 0.01), (DEPTH_NOISE, 0.6))),
    "lidar": Kind(((NO_DEPTH, 1e-4),)),
    "event": Kind(((FLOODED, 0.98),), silence_is_healthy=True),
}
"""What is checked by modality; any other is judged by the planes that are made of it."""

_BY_PLANES = {"color": "rgb", "thermal": "thermal", "depth": "depth", "lidar": "lidar"}

REPEATS_FRESH_S = 0.5
"""How long an image may repeat and be fused, where the configuration does not say."""


def kind_of(modality: str, planes: str | None = None) -> Kind:
    """Choose what is checked in a sensor.

    Args:
        modality: its name. Event cameras, whose frames models take for colour, are told by it.
        planes: what a model makes of its images, as the manifest says; None if unknown, and then
            the name tells.

    Returns:
        What is checked; of a modality of one's own without known planes, format and freezing only.
    """
    if modality != "event" and planes in _BY_PLANES:
        return KINDS[_BY_PLANES[planes]]
    return KINDS.get(modality, Kind())


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
        """Say what is wrong, and what would be right: of a check that has failed, a tenth more."""
        assert self.failing_since_ns is not None
        above = self.check.fails_above
        limit = self.threshold
        if not (figure > limit if above else figure < limit):
            limit *= 1 - _MARGIN if above else 1 + _MARGIN
        return Fault(
            SensorState.INVALID,
            f"{self.check.name}: {self.check.figure} is {figure:.3g}, "
            f"expected {'at most' if above else 'at least'} {limit:.3g}",
            lasting=now_ns - self.failing_since_ns >= self.patience_ns,
        )


@dataclass(slots=True)
class _Format:
    """The size and encoding that a sensor has settled on.

    A camera that was given another profile, or a region of interest, goes on like that: what came
    ``needed`` times in a row is the new normal.
    """

    needed: int
    known: str = ""
    settled: bool = False
    other: str = ""
    others: int = 0

    def inspect(self, image: Image) -> tuple[CheckResult, Fault | None]:
        """Hold an image against the first format that came twice in a row."""
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
        self.settled = self.settled or found == self.known
        self.known, self.other, self.others = found, "", 0
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

    def __init__(
        self,
        modality: str,
        config: ChecksConfig,
        *,
        planes: str | None = None,
        recover_frames: int = 5,
    ) -> None:
        """Choose the checks of a kind of sensor.

        Args:
            modality: e.g. ``rgb``, ``thermal``, ``depth``, ``event``, ``lidar``.
            config: which checks to run, and thresholds that differ from the kind's own.
            planes: what the model makes of its images, as its manifest says: ``color``,
                ``thermal``, ``depth`` or ``lidar``. It decides over the checks of a modality of
                one's own; without it, its name does.
            recover_frames: equal images in a row that make another size or encoding the normal.
        """
        kind = kind_of(modality, planes)
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
            seconds_to_ns(config.frozen_after_s or REPEATS_FRESH_S),
            silence_is_healthy=kind.silence_is_healthy,
        )
        self._format = _Format(recover_frames)
        self.results: tuple[CheckResult, ...] = ()
        """What was found in the newest image."""

    def forget(self) -> None:
        """Begin anew after an outage: a driver that was restarted may have other settings."""
        self._format = _Format(self._format.needed)
        self._repetition.forget()
        for running in self._checks:
            running.failing_since_ns = None

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
        return max(found.faults, key=_gravity, default=None)


def _gravity(fault: Fault) -> tuple[bool, bool, bool]:
    """Order faults: failures first, then what must not be fused; else the first found counts."""
    return fault.lasting and fault.withhold, fault.withhold, fault.lasting


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
