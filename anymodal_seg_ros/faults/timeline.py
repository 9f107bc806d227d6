"""The timeline: a YAML file that says which sensor breaks when and how, read strictly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from anymodal_seg_ros.config import build, did_you_mean, read_yaml
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.kinds import EVERY_SENSOR, KINDS, Exchanged, InjectedFault, Off, Ok
from anymodal_seg_ros.foreign_text import quote

MAX_SEED = 2**32 - 1
"""Largest seed."""


@dataclass(frozen=True, slots=True)
class FaultTimeline:
    """Which sensor breaks when and how.

    Attributes:
        seed: of everything that is random in the faults, 0 to :data:`MAX_SEED`.
        faults: in the order of the file.
    """

    seed: int = 0
    faults: tuple[InjectedFault, ...] = ()

    def active(self, sensor: str, time_ns: int) -> tuple[InjectedFault, ...]:
        """Return the faults of a sensor at a time, in the order of the file.

        Args:
            sensor: its name.
            time_ns: since the start; before it, nothing is wrong.
        """
        return tuple(fault for _, fault in self.numbered(sensor, time_ns))

    def numbered(self, sensor: str, time_ns: int) -> tuple[tuple[int, InjectedFault], ...]:
        """As :meth:`active`, each with its place in :attr:`faults`."""
        found: list[tuple[int, InjectedFault]] = []
        for number, fault in enumerate(self.faults):
            if fault.concerns(sensor) and fault.lasts_at(time_ns):
                if isinstance(fault, Ok):
                    found.clear()
                else:
                    found.append((number, fault))
        return tuple(found)

    def of(self, sensor: str) -> tuple[InjectedFault, ...]:
        """Return all faults that a sensor ever has, in the order of the file."""
        return tuple(fault for fault in self.faults if fault.concerns(sensor))


def load_timeline(path: Path) -> FaultTimeline:
    """Read a timeline.

    Raises:
        ConfigError: the file cannot be read, or something in it is unknown or impossible; the
            message names the entry (counted from 1), the key, its value and the mend.
    """
    content = read_yaml(path, "fault timeline")
    try:
        return parse_timeline(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_timeline(content: Any) -> FaultTimeline:
    """Turn what a YAML file holds into a timeline.

    Raises:
        ConfigError: as :func:`load_timeline`.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"expected 'seed:' and 'faults:', not {content!r}")
    unknown = sorted(str(key) for key in content if key not in ("seed", "faults"))
    if unknown:
        raise ConfigError(f"unknown parameter {unknown[0]}: expected seed and faults")
    if "faults" not in content:
        raise ConfigError("faults is missing: give a list of entries, or an empty one: []")
    seed, entries = content.get("seed", 0), content["faults"]
    if entries is None:  # every entry is commented out
        entries = []
    if type(seed) is not int or not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"seed is {seed!r}: expected an integer from 0 to {MAX_SEED}")
    if not isinstance(entries, list):
        raise ConfigError(f"faults is {entries!r}: expected a list of entries")
    return FaultTimeline(seed, tuple(_entry(n, e) for n, e in enumerate(entries, start=1)))


def dump_timeline(timeline: FaultTimeline) -> str:
    """Return the YAML text that :func:`load_timeline` reads as this timeline."""
    plain = {"seed": timeline.seed, "faults": [_plain(fault) for fault in timeline.faults]}
    return yaml.safe_dump(plain, sort_keys=False, width=200, default_flow_style=None)


def check_sensors(timeline: FaultTimeline, sensors: Mapping[str, Any]) -> None:
    """Make sure that every fault is of a sensor that exists.

    Args:
        timeline: as read.
        sensors: by name.

    Raises:
        ConfigError: a fault names another one, as a misspelt one would be.
    """
    for number, fault in enumerate(timeline.faults, start=1):
        if fault.sensor != EVERY_SENSOR and fault.sensor not in sensors:
            raise ConfigError(
                f"entry {number} ({fault.kind}): sensor is {fault.sensor!r}: "
                f"{did_you_mean(fault.sensor, sensors)}expected one of {', '.join(sensors)}, or '*'"
            )
        if isinstance(fault, Exchanged) and fault.with_sensor not in sensors:
            raise ConfigError(
                f"entry {number} ({fault.kind}): with_sensor is {fault.with_sensor!r}: "
                f"{did_you_mean(fault.with_sensor, sensors)}expected one of {', '.join(sensors)}"
            )


def _entry(number: int, entry: Any) -> InjectedFault:
    """Read one fault; errors say which."""
    if not isinstance(entry, Mapping):
        raise ConfigError(f"entry {number} is {entry!r}: expected sensor, kind, start_s and end_s")
    values = {str(key): value for key, value in entry.items()}
    kind = values.pop("kind", None)
    if kind is False:
        kind = Off.kind  # YAML 1.1 takes a bare off for a boolean
    if kind is None:
        raise ConfigError(f"entry {number}: kind is missing: expected one of {', '.join(KINDS)}")
    if not isinstance(kind, str) or kind not in KINDS:
        near = did_you_mean(kind, KINDS) if isinstance(kind, str) else ""
        raise ConfigError(
            f"entry {number}: kind is {quote(repr(kind))}: {near}expected one of {', '.join(KINDS)}"
        )
    where = f"entry {number} ({kind})"
    if not values.get("sensor"):
        raise ConfigError(f"{where}: sensor is missing: give its name, or '*' for every sensor")
    try:
        fault = build(KINDS[kind], values, "")
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if isinstance(fault, Exchanged) and fault.with_sensor in ("", fault.sensor):
        raise ConfigError(
            f"{where}: with_sensor is {fault.with_sensor!r}: expected the name of another sensor"
        )
    if fault.end_s <= fault.start_s:
        raise ConfigError(
            f"{where}: end_s is {fault.end_s:g}: expected more than start_s, which is "
            f"{fault.start_s:g}"
        )
    return fault


def _plain(fault: InjectedFault) -> dict[str, Any]:
    """Turn a fault into an entry without the options that are as they would be anyway."""
    values = {
        f.name: getattr(fault, f.name)
        for f in dataclasses.fields(fault)
        if f.name in ("sensor", "start_s") or getattr(fault, f.name) != f.default
    }
    return {"sensor": values.pop("sensor"), "kind": fault.kind, **values}
