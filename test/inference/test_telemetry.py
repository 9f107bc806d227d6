"""What a machine tells of itself: a Jetson by a tree of files like its own, and this one."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest
from fixtures.jetson_tree import FILES, write_jetson

from anymodal_seg_ros.inference.hardware.jetson_stats import jetson_stats
from anymodal_seg_ros.inference.hardware.machine import fingerprint, machine
from anymodal_seg_ros.inference.hardware.telemetry import Telemetry, TelemetryReader


def test_a_jetson_tells_mode_temperatures_load_clock_and_power(tmp_path: Path) -> None:
    told = TelemetryReader(write_jetson(tmp_path)).read()
    assert told.power_mode == "2 (15W)"
    assert told.temperatures_c == {"cpu-thermal": 48.25, "gpu-thermal": 46.0}, "one is switched off"
    assert (told.gpu_load, told.gpu_mhz, told.gpu_most_mhz) == (0.734, 612.0, 918.0)
    assert told.power_w == {"VDD_IN": 12.0, "VDD_CPU_GPU_CV": 4.5}
    assert told.throttled == () and told.over_current["soctherm_oc/oc3"] == 4
    pairs = told.pairs()
    assert pairs["gpu_load"] == "0.73" and pairs["power_w: VDD_IN"] == "12.00"
    assert pairs["temperature_c: gpu-thermal"] == "46.0" and "throttled" not in pairs


def test_a_fan_is_no_throttling_and_a_slowed_clock_is(tmp_path: Path) -> None:
    hot = {"sys/class/thermal/cooling_device1/cur_state": "1\n"}
    assert TelemetryReader(write_jetson(tmp_path, **hot)).read().throttled == (
        "cpu-throttle-alert",
    )


def test_figures_are_read_anew_each_time(tmp_path: Path) -> None:
    reader = TelemetryReader(write_jetson(tmp_path))
    reader.read()
    write_jetson(tmp_path, **{"sys/devices/platform/bus@0/17000000.gpu/load": "1000\n"})
    assert reader.read().gpu_load == 1.0


@pytest.mark.parametrize("content", ["", "\0", "nonsense", "9" * 5000, None])
def test_a_file_that_is_missing_or_damaged_is_left_out(tmp_path: Path, content: str | None) -> None:
    TelemetryReader(tmp_path).read()
    reader = TelemetryReader(write_jetson(tmp_path))
    write_jetson(tmp_path, **dict.fromkeys(FILES, content))
    told = reader.read()
    assert told.temperatures_c == {} and told.power_mode == "" and told.throttled == ()
    assert told.gpu_load in (None, 1.0)
    assert machine(tmp_path)["processors"] >= 1


def test_a_machine_that_tells_nothing_has_nothing_to_tell(tmp_path: Path) -> None:
    assert TelemetryReader(tmp_path).read() == Telemetry()
    assert Telemetry().pairs() == {}


def test_zones_of_one_name_are_told_apart(tmp_path: Path) -> None:
    twice = {"sys/class/thermal/thermal_zone1/type": "cpu-thermal\n"}
    told = TelemetryReader(write_jetson(tmp_path, **twice)).read()
    assert told.temperatures_c == {"cpu-thermal": 48.25, "cpu-thermal'": 46.0}


def test_nothing_is_ever_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks, fans and power modes belong to the owner of the robot."""
    root, modes = write_jetson(tmp_path), []
    real = Path.open

    def opened(self: Path, mode: str = "r", *rest: object, **named: object) -> object:
        modes.append(mode)
        return real(self, mode, *rest, **named)  # type: ignore[arg-type, call-overload]

    monkeypatch.setattr(Path, "open", opened)
    TelemetryReader(root).read()
    machine(root)
    assert modes and set(modes) <= {"r", "rb"}


def test_the_machine_is_described_as_far_as_speed_depends_on_it(tmp_path: Path) -> None:
    about = machine(write_jetson(tmp_path))
    assert about["board"] == "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"
    assert about["l4t"] == "R36 (release), REVISION: 4.3" and about["power_mode"] == "2 (15W)"
    assert "onnxruntime" in about["libraries"] and about["memory_mb"] == 7_620
    assert fingerprint(about) == fingerprint({**about, "load": 99.0})
    assert fingerprint(about) != fingerprint({**about, "power_mode": "0 (MAXN)"})
    assert "board" not in machine(tmp_path / "elsewhere")


def test_this_machine_can_be_read() -> None:
    told = TelemetryReader().read()
    assert all(-60 < value < 200 for value in told.temperatures_c.values())
    assert machine()["processors"] <= (os.cpu_count() or 1)


def test_jtop_is_asked_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jtop", None)
    assert jetson_stats() == {}

    class Stats:
        stats = {"GPU": 73, "nvp model": "15W", "uptime": object}  # noqa: RUF012
        running = True

        def __enter__(self) -> Stats:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def ok(self) -> bool:
            if not self.running:
                raise ConnectionError("jtop.service is not active")
            return True

    module = types.ModuleType("jtop")
    module.jtop = Stats  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jtop", module)
    found = jetson_stats()
    assert found["GPU"] == 73 and found["nvp model"] == "15W" and isinstance(found["uptime"], str)
    Stats.running = False
    assert jetson_stats() == {"error": "ConnectionError: jtop.service is not active"}
