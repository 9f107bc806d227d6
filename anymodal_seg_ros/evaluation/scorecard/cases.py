"""What is tried on a bag: all sensors well, a timeline, every subset, every kind of fault."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from anymodal_seg_ros.config import RigConfig, did_you_mean, given, seconds_to_ns
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.scorecard.runs.records import LONGEST_S
from anymodal_seg_ros.faults.content import check_modalities
from anymodal_seg_ros.faults.kinds import KINDS, Drift, Exchanged, ImageFault, InjectedFault, Ok
from anymodal_seg_ros.faults.timeline import FaultTimeline

HEALTHY, FAULTS = "healthy", "faults"
"""Names of the cases without any fault, and with the faults of a given timeline."""

SUBSET = "subset-"
"""What the names of cases begin with in which only some of the sensors take part."""

NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
"""What a name that becomes part of a path looks like."""

_DRIFTED = {
    "offset": 0.5,
    "gain": -0.8,
    "delay": 0.3,
    "shift": 0.15,
    "turn": 15.0,
    "roll": 0.5,
    "condensation": 0.8,
}
"""What has become of a drift when a fault of a sweep ends: as much as a person would notice."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to replay a bag.

    Attributes:
        name: of its folder.
        timeline: how sensors break.
        sensors: that take part; empty for all.
        span_s: the part of the bag that is replayed, in seconds after its start; None for all.
        tentative: nobody asked for this very case: it is left out if its fault does not fit the
            messages, such as ``mirrored`` single events.
    """

    name: str
    timeline: FaultTimeline = field(default_factory=FaultTimeline)
    sensors: tuple[str, ...] = ()
    span_s: tuple[float, float] | None = None
    tentative: bool = False

    def rig(self, rig: RigConfig) -> RigConfig:
        """Return a rig with the other sensors switched off."""
        if not self.sensors:
            return rig
        sensors = {
            name: dataclasses.replace(sensor, enabled=sensor.enabled and name in self.sensors)
            for name, sensor in rig.sensors.items()
        }
        return dataclasses.replace(rig, sensors=sensors)


@dataclass(frozen=True, slots=True)
class FaultWindow:
    """A stretch of time in which one sensor has a fault.

    Attributes:
        sensor: which.
        label: kind of the fault, with what it does where there is a choice: ``garbage-noise``.
        start_s: when it begins, in seconds after the start of the bag.
        end_s: when it is over.
    """

    sensor: str = given("which")
    label: str = given("kind of the fault")
    start_s: float = given("in seconds after the start of the bag", -LONGEST_S, LONGEST_S)
    end_s: float = given("in seconds after the start of the bag", -LONGEST_S, LONGEST_S)


def path_name(text: str) -> str:
    """Turn any text into a name that fits :data:`NAME`."""
    kept = re.sub(r"[^A-Za-z0-9_.-]+", "_", text).lstrip("_.-")
    return kept or "unnamed"


def fault_label(fault: InjectedFault) -> str:
    """Name a fault by its kind, and by what it does where that is a choice."""
    how = getattr(fault, "how", "") or getattr(fault, "what", "")
    return f"{fault.kind}-{how}" if how else fault.kind


def fault_windows(
    timeline: FaultTimeline,
    sensors: Sequence[str],
    end_s: float,
    felt: Collection[tuple[int, str]] | None = None,
) -> tuple[FaultWindow, ...]:
    """List when which sensor has which fault, as the timeline really applies.

    Args:
        timeline: ``*`` is every sensor, and ``ok`` takes back what stands before it.
        sensors: of the rig.
        end_s: of the bag, in seconds after its start.
        felt: which entries, by their places, did something to which sensor: an image kind for
            ``*`` leaves those alone that have no such images. None: all did.
    """
    times = {0.0, end_s}
    for fault in timeline.faults:
        times |= {min(fault.start_s, end_s), min(fault.end_s, end_s)}
    edges = sorted(times)
    found = [
        FaultWindow(sensor, fault_label(fault), *span)
        for sensor in sensors
        for number, fault in enumerate(timeline.faults)
        if felt is None or (number, sensor) in felt
        for span in _spans(timeline, sensor, number, edges)
    ]
    return in_order(found)


def fitting(timeline: FaultTimeline, modalities: Mapping[str, str]) -> frozenset[tuple[int, str]]:
    """Return which entries of a timeline, by their places, can happen to which sensors.

    For faults that others injected, which left the sensors alone that an image kind does not fit.

    Args:
        timeline: as read for these sensors.
        modalities: kind of each sensor by name.
    """
    return frozenset(
        (number, sensor)
        for number, fault in enumerate(timeline.faults)
        for sensor in filter(fault.concerns, modalities)
        if _fits(FaultTimeline(0, (dataclasses.replace(fault, sensor=sensor),)), modalities)
    )


def in_order(windows: Iterable[FaultWindow]) -> tuple[FaultWindow, ...]:
    """Return stretches of time as they begin."""
    return tuple(sorted(windows, key=lambda w: (w.start_s, w.sensor, w.label)))


def _spans(
    timeline: FaultTimeline, sensor: str, number: int, edges: Sequence[float]
) -> list[tuple[float, float]]:
    """Return from when to when an entry of a timeline holds for a sensor, in s.

    Args:
        timeline: that it is in.
        sensor: its name.
        number: of the entry.
        edges: between two of which nothing changes, ascending.
    """
    spans: list[tuple[float, float]] = []
    for start, end in itertools.pairwise(edges):
        if all(n != number for n, _ in timeline.numbered(sensor, seconds_to_ns(start))):
            continue
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def subset_cases(rig: RigConfig) -> Iterator[Case]:
    """Yield every proper subset of the sensors that are enabled, the largest first."""
    enabled = [name for name, sensor in rig.sensors.items() if sensor.enabled]
    for size in range(len(enabled) - 1, 0, -1):
        for chosen in itertools.combinations(enabled, size):
            yield Case(path_name(SUBSET + ".".join(chosen)), sensors=chosen)


def sweep_faults(kinds: Sequence[str] = ()) -> Iterator[InjectedFault]:
    """Yield one fault of every kind, and of every way in which it can happen, for no sensor yet.

    Image faults come with full severity; how fast something drifts, and what is exchanged with
    what, follows when they are placed. What shows a recorded past is left out: it needs a bag that
    is longer than its age.

    Args:
        kinds: labels or kinds to choose; empty for all.

    Raises:
        ConfigError: one of the kinds is unknown.
    """
    found: list[InjectedFault] = []
    for cls in KINDS.values():
        if cls is Ok:
            continue
        options = {f.name: f for f in dataclasses.fields(cls)}
        choice = next((name for name in ("how", "what") if name in options), "")
        ways = options[choice].metadata["choices"] if choice else (None,)
        for way in ways:
            extra = {} if way is None else {choice: way}
            if issubclass(cls, ImageFault):
                extra["severity"] = 1.0
            if way != "past":
                found.append(cls(**extra))
    known = {name for fault in found for name in (fault.kind, fault_label(fault))}
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        raise ConfigError(
            f"no kind of fault is called {unknown[0]!r}: "
            f"{did_you_mean(unknown[0], known)}expected some of "
            f"{', '.join(sorted(known))}"
        )
    for fault in found:
        if not kinds or fault.kind in kinds or fault_label(fault) in kinds:
            yield fault


@dataclass(frozen=True, slots=True)
class Sweep:
    """Which faults are tried, when and for how long.

    Attributes:
        kinds: of faults; empty for all.
        moments: when they begin, as shares of the bag's length, 0..1.
        seconds: how long they last.
        before_s: how much of the bag is replayed before a fault.
        after_s: and after it.
        subsets: whether every subset of the sensors is tried, too.
        seed: of the faults' dice.
    """

    kinds: tuple[str, ...] = ()
    moments: tuple[float, ...] = (0.4,)
    seconds: float = 2.0
    before_s: float = 3.0
    after_s: float = 4.0
    subsets: bool = True
    seed: int = 0

    def cases(self, rig: RigConfig, length_s: float) -> Iterator[Case]:
        """Yield the cases of a bag.

        Args:
            rig: every enabled sensor gets every fault that its modality can have.
            length_s: of the bag.
        """
        if self.subsets:
            yield from subset_cases(rig)
        modalities = {n: s.modality for n, s in rig.sensors.items() if s.enabled}
        for number, moment in enumerate(self.moments):
            start_s = round(moment * length_s, 3)
            end_s = min(round(start_s + self.seconds, 3), length_s)
            for fault in sweep_faults(self.kinds):
                if isinstance(fault, Exchanged) and len(modalities) < 2:
                    continue
                for sensor in modalities:
                    placed = dataclasses.replace(fault, sensor=sensor, start_s=start_s, end_s=end_s)
                    timeline = FaultTimeline(self.seed, (_in_earnest(placed, list(modalities)),))
                    if not _fits(timeline, modalities):
                        continue
                    name = f"fault-{fault_label(fault)}-{sensor}-{number}"
                    span = (max(0.0, start_s - self.before_s), end_s + self.after_s)
                    whole = span[0] == 0.0 and span[1] >= length_s
                    yield Case(
                        path_name(name), timeline, span_s=None if whole else span, tentative=True
                    )


def _in_earnest(fault: InjectedFault, sensors: Sequence[str]) -> InjectedFault:
    """Return a fault of a sweep with what depends on where and how long it happens."""
    if isinstance(fault, Drift):
        grown = _DRIFTED[fault.what] / max(fault.end_s - fault.start_s, 1e-3)
        return dataclasses.replace(fault, per_s=grown)
    if isinstance(fault, Exchanged):
        following = (sensors.index(fault.sensor) + 1) % len(sensors)
        return dataclasses.replace(fault, with_sensor=sensors[following])
    return fault


def _fits(timeline: FaultTimeline, modalities: Mapping[str, str]) -> bool:
    try:
        check_modalities(timeline, modalities)
    except ConfigError:
        return False
    return True
