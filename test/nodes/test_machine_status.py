"""The machine in ``/diagnostics``: told where there is something to tell, WARN while it is slow."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.jetson_tree import write_jetson

from anymodal_seg_ros.inference.hardware.telemetry import Telemetry, TelemetryReader

pytest.importorskip("diagnostic_msgs", reason="the message packages of ROS are not installed")

from diagnostic_msgs.msg import DiagnosticStatus

from anymodal_seg_ros.nodes.machine_status import MachineWatch, machine_status


@pytest.fixture
def told(tmp_path: Path) -> Telemetry:
    return TelemetryReader(write_jetson(tmp_path)).read()


def test_a_machine_that_is_well_is_ok_and_tells_its_mode(told: Telemetry) -> None:
    status = machine_status("robot", told, told)
    assert status.level == DiagnosticStatus.OK and status.name == "robot: machine"
    assert status.message == "power mode 2 (15W)"
    assert {pair.key: pair.value for pair in status.values}["gpu_load"] == "0.73"


def test_throttling_and_new_over_currents_are_warnings(told: Telemetry) -> None:
    hot = replace(told, throttled=("gpu-throttle-alert",))
    status = machine_status("robot", told, hot)
    assert status.level == DiagnosticStatus.WARN and "gpu-throttle-alert" in status.message
    weak = replace(told, over_current={"soctherm_oc/oc3": 5})
    assert "too high a current" in machine_status("robot", told, weak).message
    assert machine_status("robot", weak, weak).level == DiagnosticStatus.OK, "that was before"


def test_the_watch_reads_beside_and_says_nothing_where_nothing_is_told(tmp_path: Path) -> None:
    class Reader(TelemetryReader):
        def __init__(self, root: Path) -> None:
            super().__init__(root)
            self.threads: list[int] = []
            self.told = threading.Event()

        def read(self) -> Telemetry:
            if len(self.threads) == 2:  # what it has read twice is told before it reads again
                self.told.set()
            self.threads.append(threading.get_ident())
            return super().read()

    reader = Reader(write_jetson(tmp_path))
    watch = MachineWatch("robot", reader, period_s=0.01)
    assert watch.statuses() == []
    watch.start()
    assert reader.told.wait(60.0)
    watch.stop()
    assert watch.statuses()[0].name == "robot: machine"
    assert threading.get_ident() not in reader.threads
    silent = MachineWatch("robot", Reader(tmp_path / "nothing"), period_s=0.01)
    silent.start()
    silent.stop()
    assert silent.statuses() == []
