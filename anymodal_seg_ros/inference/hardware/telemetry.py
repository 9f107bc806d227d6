"""How a machine fares: temperatures, load and clock of its GPU, power, throttling. Only read.

From sysfs, where a Jetson's kernel shows them, so that no library and no rights are needed; parts
of it exist on every Linux machine. Which files there are differs between boards and releases, so
what is not there is left out. Not yet verified on hardware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from anymodal_seg_ros.inference.hardware.machine import ROOT, power_mode, read_text

_GPU_LOADS = (
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/devices/platform/bus@0/*.gpu/load",
    "sys/devices/platform/*.gpu/load",
    "sys/devices/platform/*.ga10b/load",
)
"""Where the driver of the integrated GPU tells its load, in thousandths."""

_GPU = re.compile(r"gpu|gv11b|ga10b|gb10b|gp10b")
_OVER_CURRENT = re.compile(r"oc(\d+)_event_cnt")
_THROTTLES = re.compile(r"throttl|cpufreq|devfreq|tegra", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What was read at one moment.

    Attributes:
        power_mode: of a Jetson, e.g. ``0 (MAXN)``; empty elsewhere.
        temperatures_c: by thermal zone, in °C.
        gpu_load: 0 to 1; None where it is not told.
        gpu_mhz: clock of the GPU; None where it is not told.
        gpu_most_mhz: its largest clock in this power mode; None where it is not told.
        power_w: by rail, in W.
        throttled: what slows the machine down at this moment, in words.
        over_current: events of too high a current since the machine was started, by alarm.
    """

    power_mode: str = ""
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    gpu_load: float | None = None
    gpu_mhz: float | None = None
    gpu_most_mhz: float | None = None
    power_w: Mapping[str, float] = field(default_factory=dict)
    throttled: tuple[str, ...] = ()
    over_current: Mapping[str, int] = field(default_factory=dict)

    def pairs(self) -> dict[str, str]:
        """Return what is known as text by name, as diagnostics tell it."""
        told = {
            "power_mode": self.power_mode,
            "gpu_load": "" if self.gpu_load is None else f"{self.gpu_load:.2f}",
            "gpu_mhz": "" if self.gpu_mhz is None else f"{self.gpu_mhz:.0f}",
            "gpu_most_mhz": "" if self.gpu_most_mhz is None else f"{self.gpu_most_mhz:.0f}",
            "throttled": ", ".join(self.throttled),
            **{f"temperature_c: {name}": f"{c:.1f}" for name, c in self.temperatures_c.items()},
            **{f"power_w: {name}": f"{watt:.2f}" for name, watt in self.power_w.items()},
            **{f"over_current: {name}": str(n) for name, n in self.over_current.items()},
        }
        return {name: text for name, text in told.items() if text}


class TelemetryReader:
    """Knows where this machine tells what, and reads it; some tens of small files.

    Args:
        root: of the file system; another one in tests.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._zones = _named(root, "sys/class/thermal/thermal_zone*", "type")
        self._cooling = [
            (name, folder)
            for name, folder in _named(root, "sys/class/thermal/cooling_device*", "type")
            if _THROTTLES.search(name)
        ]
        self._gpu_load = next(
            (path for pattern in _GPU_LOADS for path in sorted(root.glob(pattern))), None
        )
        clocks = sorted(root.glob("sys/class/devfreq/*"))
        self._gpu_clock = next((path for path in clocks if _GPU.search(path.name)), None)
        monitors = sorted(root.glob("sys/class/hwmon/hwmon*"))
        self._rails = [rail for folder in monitors for rail in _rails(folder)]
        self._alarms = [
            (f"{read_text(folder / 'name')}/oc{found[1]}", path)
            for folder in monitors
            for path in sorted(folder.glob("oc*_event_cnt"))
            if (found := _OVER_CURRENT.fullmatch(path.name))
        ]

    def read(self) -> Telemetry:
        """Read everything once."""
        load = _number(self._gpu_load)
        clock = self._gpu_clock
        milli = {name: _number(folder / "temp") for name, folder in self._zones}
        slowed = {name: _number(folder / "cur_state") for name, folder in self._cooling}
        events = {name: _number(path) for name, path in self._alarms}
        return Telemetry(
            power_mode=power_mode(self._root),
            # A zone whose sensor is switched off tells nothing, or something absurd.
            temperatures_c={
                name: value / 1e3
                for name, value in milli.items()
                if value is not None and -60e3 < value < 200e3
            },
            gpu_load=None if load is None else min(load / 1e3, 1.0),
            gpu_mhz=_mega(None if clock is None else _number(clock / "cur_freq")),
            gpu_most_mhz=_mega(None if clock is None else _number(clock / "max_freq")),
            power_w={name: watt for rail in self._rails for name, watt in _power(rail)},
            throttled=tuple(name for name, state in slowed.items() if state),
            over_current={name: int(count) for name, count in events.items() if count is not None},
        )


def _named(root: Path, pattern: str, name: str) -> list[tuple[str, Path]]:
    """Return folders with the names that a file in them gives; a name that repeats is numbered."""
    found: dict[str, Path] = {}
    for folder in sorted(root.glob(pattern)):
        words = read_text(folder / name) or folder.name
        while words in found:
            words += "'"
        found[words] = folder
    return list(found.items())


def _rails(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield the rails of a power monitor (INA3221): label, folder, and number of the channel."""
    for label in sorted(folder.glob("in*_label")):
        number = label.name.removeprefix("in").removesuffix("_label")
        if (folder / f"curr{number}_input").exists():
            yield read_text(label) or f"{folder.name}/{number}", folder, number


def _power(rail: tuple[str, Path, str]) -> Iterator[tuple[str, float]]:
    name, folder, number = rail
    milli_volts = _number(folder / f"in{number}_input")
    milli_amperes = _number(folder / f"curr{number}_input")
    if milli_volts is not None and milli_amperes is not None:
        yield name, milli_volts * milli_amperes / 1e6


def _mega(hertz: float | None) -> float | None:
    return None if hertz is None else hertz / 1e6


def _number(path: Path | None) -> float | None:
    """Return the number in a file; None if there is no such file, or no number in it."""
    if path is None:
        return None
    try:
        value = float(read_text(path, 64))
    except ValueError:
        return None
    return value if abs(value) < 1e15 else None
