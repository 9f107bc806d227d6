"""What the console hears of sensors: once per change, and also of those that nobody fuses."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from diagnostic_msgs.msg import DiagnosticStatus

from anymodal_seg_ros.frames import FusedShare, SensorState, SensorStatus
from anymodal_seg_ros.nodes import health as module
from anymodal_seg_ros.nodes.diagnostics import sensor_health
from anymodal_seg_ros.nodes.health import Health
from anymodal_seg_ros.pipeline.activity import Busy

S = 1_000_000_000


class Told:
    """A node's health over sensors whose states are set by hand, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = S
        self.status = self.of(SensorState.WAITING)
        monkeypatch.setattr(module.time, "monotonic_ns", lambda: self.now_ns)
        pipeline: Any = SimpleNamespace(
            rig=SimpleNamespace(sensors={"rgb": SimpleNamespace(topic="rgb")}),
            record=SimpleNamespace(masks=0, blank=0, went_back=0, went_back_by_ns=0),
            superseded=0,
            worked_ns=0,
            status=lambda now_ns: (self.status,),
            mask_period_ns=lambda: 0,
        )
        self.health = Health("node", pipeline)

    @staticmethod
    def of(state: SensorState, used: int = 60, reason: str = "") -> SensorStatus:
        return SensorStatus("rgb", state, 0, 100, 1, None, fused=FusedShare(used, 60, reason))

    def says(self, seconds: float = 20.0) -> list[tuple[str, bool]]:
        """Ask twice a second."""
        lines: list[tuple[str, bool]] = []
        for _ in range(round(2 * seconds)):
            self.now_ns += S // 2
            lines += [(line.text, line.bad) for line in self.health.news(self.now_ns)]
        return lines


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(monkeypatch)


def test_each_state_is_told_once_and_a_bad_one_as_such(told: Told) -> None:
    assert told.says() == []
    told.status = told.of(SensorState.OK)
    assert told.says() == [("sensor rgb is OK (was WAITING)", False)]
    told.status = told.of(SensorState.FAILED)
    assert told.says() == [("sensor rgb is FAILED (was OK)", True)]


def test_both_ends_of_a_short_outage_are_told_and_right_after_the_start(told: Told) -> None:
    assert told.says(0.5) == []
    told.status = told.of(SensorState.OK)
    assert told.says(0.5) == [("sensor rgb is OK (was WAITING)", False)]
    told.status = told.of(SensorState.STALE)
    assert told.says(1) == [("sensor rgb is STALE (was OK)", True)]
    told.status = told.of(SensorState.OK)
    assert told.says(1) == [("sensor rgb is OK (was STALE)", False)]


def test_a_sensor_that_flaps_does_not_flood_the_console_and_its_last_state_is_told(
    told: Told,
) -> None:
    lines = []
    for _ in range(60):
        for state in (SensorState.OK, SensorState.STALE):
            told.status = told.of(state)
            lines += told.says(0.5)
    assert len(lines) <= 4 * 60 / 8 + 4
    told.status = told.of(SensorState.FROZEN)
    ((words, _),) = told.says()
    assert words.startswith("sensor rgb is FROZEN")


@pytest.mark.parametrize("state", [SensorState.SLOW, SensorState.DEGRADED, SensorState.DOUBTFUL])
def test_what_is_wrong_with_a_living_sensor_is_told_with_its_state(
    told: Told, state: SensorState
) -> None:
    told.status = told.of(SensorState.OK)
    told.says()
    told.status = replace(told.of(state), fault="with figure and cause")
    assert told.says() == [(f"sensor rgb is {state.value} (was OK): with figure and cause", False)]
    told.status = replace(told.of(SensorState.OK), fault="lies beside the first sensor")
    assert told.says() == [(f"sensor rgb is OK (was {state.value})", False)]


def test_a_living_sensor_that_is_not_fused_is_told_with_the_mend_and_so_is_the_end(
    told: Told,
) -> None:
    told.status = told.of(SensorState.OK)
    told.says()
    told.status = told.of(SensorState.OK, 3, "covers 0% of the picture: check extrinsics")
    words = "fused in 3 of the last 60 masks: covers 0% of the picture: check extrinsics"
    assert told.says() == [(f"sensor rgb is OK, but {words}", True)]
    told.status = told.of(SensorState.OK, 40, "covers 0% of the picture: check extrinsics")
    assert told.says() == [], "not yet in most of them"
    told.status = told.of(SensorState.OK)
    assert told.says() == [("sensor rgb is in the masks again", False)]


def test_a_sensor_at_the_edge_does_not_flood_the_console(told: Told) -> None:
    lines: Counter[str] = Counter()
    for number in range(200):
        told.status = told.of(SensorState.OK, 29 + number % 2, "nearest message 60 ms away")
        lines.update(text for text, _ in told.says(0.5))
    assert sum(lines.values()) <= 2


def test_stamps_of_masks_that_go_back_are_told_once(told: Told) -> None:
    record: Any = told.health._pipeline.record
    assert told.says() == []
    record.went_back, record.went_back_by_ns = 1, 10 * S
    ((words, bad),) = told.says()
    assert bad and words.startswith("the stamps of the masks went back by 10.00 s: a clock was set")


def test_diagnostics_tell_of_a_driver_that_stamps_several_images_alike() -> None:
    before = SensorStatus("rgb", SensorState.OK, 0, 100, arrived=100)
    now = replace(before, arrived=130, dropped={"duplicate stamp": 20})
    report = sensor_health("node", now, "/rgb/image", before)
    assert report.level == DiagnosticStatus.WARN
    assert "20 of the last 30 messages had the stamp of one before" in report.message
    clock = replace(now, state=SensorState.CLOCK, fault="the stamp 1.000 s came 20 times in a row")
    assert "of one before" not in sensor_health("node", clock, "/rgb/image", before).message


def test_masks_without_labels_are_no_sign_that_the_engine_answers(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder that does nothing but fail leaves a mask without labels for every frame."""
    watch = told.health.supervisor
    monkeypatch.setattr(watch, "_timeout_s", 0.01)
    for blank in (True, False):
        for _ in range(3):
            told.health.inference_failed(RuntimeError("the GPU is gone"))
            told.health.mask_published(1, blank=blank)
        threading.Event().wait(0.02)
        watch._pipeline.longest_work = Busy  # type: ignore[method-assign]
        assert bool(watch.hopeless()) is blank
    for _ in range(3):
        told.health.inference_failed(RuntimeError("for a moment"))
    for _ in range(2):
        told.health.mask_published(1, blank=True)
    threading.Event().wait(0.02)
    assert watch.hopeless() == "", "nothing fails while nobody sees anything"


def test_what_an_engine_raises_is_a_line_on_diagnostics(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    told.health.inference_failed(RuntimeError("no kernel\n" * 100_000))
    assert told.health._last_failure.startswith("RuntimeError: no kernel no kernel")
    assert len(told.health._last_failure) < 500
