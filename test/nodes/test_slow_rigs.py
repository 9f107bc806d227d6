"""A rig of slow sensors is as healthy as a fast one: what is told follows its own periods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from fixtures.event_messages import event_packet, evt3_words
from fixtures.messages import image_message
from fixtures.scenes import scene
from fixtures.virtual_machine import split_pipeline

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import FusedShare, SensorState, SensorStatus
from anymodal_seg_ros.messages import evidence
from anymodal_seg_ros.nodes import health as module
from anymodal_seg_ros.nodes.diagnostics import DiagnosticStatus
from anymodal_seg_ros.nodes.health import Health

S = 1_000_000_000
START = 1_700_000_000 * S


class Slow:
    """A node with one camera, and what it says of its pipeline twice a second."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, hz: float, clock_rate: float = 1.0, **rig: Any
    ) -> None:
        self.now_ns = S
        self.clock_rate = clock_rate
        monkeypatch.setattr(module.time, "monotonic_ns", lambda: self.now_ns)
        config = RigConfig({"rgb": SensorConfig("rgb", "rgb", expected_hz=hz)}, **rig)
        self.pipeline, _ = split_pipeline(config, in_time=False)
        self.health = Health("node", self.pipeline)
        self.period_ns = round(S / hz / clock_rate)

    @property
    def simulated_ns(self) -> int:
        return round(self.now_ns * self.clock_rate)

    def says(self, seconds: float, *, masks: bool = True) -> list[Any]:
        told, end_ns, report_ns = [], self.now_ns + round(seconds * S), self.now_ns
        while self.now_ns < end_ns:
            message = image_message(
                scene("rgb", self.now_ns // self.period_ns), "rgb8", START + self.simulated_ns
            )
            self.pipeline.push_message("rgb", message, self.simulated_ns)
            while masks and self.pipeline.poll(self.simulated_ns) is not None:
                pass
            next_ns = self.now_ns + self.period_ns
            while (report_ns := report_ns + S // 2) <= next_ns:
                self.now_ns = report_ns
                told.append(self.health.report(self.simulated_ns)[-1])
            report_ns -= S // 2
            self.now_ns = next_ns
        return told


@pytest.mark.parametrize(
    ("hz", "rig"),
    [
        (0.5, {}),
        (2.0, {"max_rate_hz": 0.5}),
        (2.0, {"trigger": "rate", "trigger_hz": 0.5}),
        (10.0, {"clock_rate": 0.05}),  # a simulator that takes 20 s for one
    ],
)
def test_the_time_between_two_masks_is_no_silence(
    hz: float, rig: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Slow(monkeypatch, hz, **rig).says(20.0)
    assert {status.level for status in told} == {DiagnosticStatus.OK}, told
    assert {status.message for status in told[-12:]} == {"0.5 masks per second"}


def test_but_three_periods_without_a_mask_are(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, 0.5)
    slow.says(4.0)
    told = slow.says(10.0, masks=False)
    silent = [status for status in told if status.level == DiagnosticStatus.ERROR]
    assert silent and silent[0].message.startswith("no mask for 6.")
    assert slow.says(6.0)[-1].level == DiagnosticStatus.OK


def test_a_simulator_that_is_paused_is_no_fault_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Slow(monkeypatch, 10.0)
    assert slow.says(4.0)[-1].level == DiagnosticStatus.OK
    stopped_ns, told = slow.simulated_ns, []
    for _ in range(20):
        slow.now_ns += S // 2
        told.append(slow.health.report(stopped_ns)[-1])
    assert DiagnosticStatus.ERROR not in {status.level for status in told}
    assert told[-1].message == "0.0 masks per second: /clock has stood still for 10.0 s"
    slow.now_ns += S // 10
    goes_on = slow.health.report(stopped_ns + S // 10)[-1]  # and a mask is still to come
    assert goes_on.level != DiagnosticStatus.ERROR, goes_on.message


def test_an_event_camera_that_sends_many_packets_is_well() -> None:
    events = SensorConfig("events", "event", type="event_packet", expected_hz=30.0)
    pipeline, _ = split_pipeline(RigConfig({"events": events}), in_time=False)
    health, place = Health("node", pipeline), np.arange(100)
    for number in range(350):
        now = S + number * S // 100
        words = evt3_words(10_000 * number + place, 6 * place, 4 * place, place % 2)
        packet = event_packet(words, seq=number + 1, stamp_ns=START + now)
        pipeline.push_message("events", packet, now)
        pipeline.poll(now)
    camera = health.report(now)[0]
    assert (camera.level, camera.message) == (DiagnosticStatus.OK, "OK")


@pytest.mark.parametrize("state", ["FAILED", "INVALID", "WAITING"])
def test_a_sensor_that_is_back_is_not_told_by_what_it_was(state: str) -> None:
    back = SensorStatus(
        "rgb", SensorState.OK, 0, 100, 1, None, fused=FusedShare(used=2, masks=60, reason=state)
    )
    assert evidence.left_out(back) == ""
