"""A sensor that is well but comes later than the reference is waited for: a learned deadline."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
from fixtures.messages import sample

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import FrameSet, SensorState, SensorStatus
from anymodal_seg_ros.sensing.intake import Intake
from anymodal_seg_ros.sensing.sync.lags import ArrivalLags

MS = 1_000_000
PERIOD = 33_333_333


def fused(latency_ms: float, apart_ms: float = 0.0, **rig: float) -> list[FrameSet]:
    """Camera and depth at 30 Hz; depth comes so much later, and is taken so much later."""
    config = RigConfig(
        {"rgb": SensorConfig("a", "rgb"), "depth": SensorConfig("b", "depth")},
        content_checks=False,
        **rig,  # type: ignore[arg-type]
    )
    intake, sets, shake = Intake(config), [], random.Random(0)
    coming = []
    for k in range(150):
        jitter = round(shake.uniform(-1, 1) * MS)
        coming.append(sample("rgb", k * PERIOD, k * PERIOD + 10 * MS + jitter))
        taken = k * PERIOD + round(apart_ms * MS)
        coming.append(sample("depth", taken, taken + round(latency_ms * MS) - jitter))
    for arrival in sorted(coming, key=lambda s: s.received_ns):
        while (wakeup := intake.next_wakeup_ns()) is not None and wakeup < arrival.received_ns:
            sets += intake.poll(wakeup)
        intake.push(arrival)
        sets += intake.poll(arrival.received_ns)
    return [s for s in sets if s.reference == "rgb"][20:-5]


@pytest.mark.parametrize("latency_ms", [12, 31, 45, 60, 75, 90, 100])
def test_a_latency_within_the_bound_costs_no_mask_its_sensor(latency_ms: float) -> None:
    sets = fused(latency_ms)
    assert sum("depth" in s.samples for s in sets) >= 0.98 * len(sets)
    aligned = [s for s in sets if s.samples["depth"].time_ns == s.samples["rgb"].time_ns]
    assert len(aligned) >= 0.95 * len(sets), "the image of the same instant, not the one before"


def test_nobody_waits_for_a_sensor_that_needs_longer_than_allowed() -> None:
    for frame_set in fused(90, deadline_max_s=0.05):
        waited = frame_set.completed_ns - frame_set.reference_sample.received_ns
        assert waited <= 20 * MS, "the deadline of the file, not the bound in vain"


def test_a_sensor_in_time_costs_no_waiting() -> None:
    for frame_set in fused(11):
        assert frame_set.completed_ns - frame_set.reference_sample.received_ns <= 4 * MS


@pytest.mark.parametrize(("latency_ms", "behind_ms"), [(90, 80), (82, 72)])
def test_the_mend_is_told_with_figures(latency_ms: int, behind_ms: int) -> None:
    config = RigConfig(
        {"rgb": SensorConfig("a", "rgb"), "depth": SensorConfig("b", "depth")},
        content_checks=False,
        deadline_max_s=0.05,
    )
    intake = Intake(config)
    coming = [sample("rgb", k * PERIOD, k * PERIOD + 10 * MS) for k in range(30)]
    coming += [sample("depth", k * PERIOD, k * PERIOD + latency_ms * MS) for k in range(30)]
    for arrival in sorted(coming, key=lambda s: s.received_ns):
        intake.push(arrival)
    if latency_ms == 90:
        assert intake.status(coming[-1].received_ns)[0].state is SensorState.LATE, "it has ended"
    assert intake.too_late_by("depth") == (
        f"its messages come {behind_ms} ms after those of rgb: raise rig.deadline_max_s to 0.09"
    )
    assert intake.too_late_by("rgb") == ""


def test_within_the_deadline_of_the_file_nobody_is_too_late() -> None:
    sensors = {"rgb": SensorConfig("a", "rgb"), "depth": SensorConfig("b", "depth")}
    intake = Intake(RigConfig(sensors, content_checks=False, deadline_max_s=0.0))
    for k in range(30):
        intake.push(sample("rgb", k * PERIOD, k * PERIOD + 5 * MS))
        intake.push(sample("depth", k * PERIOD, k * PERIOD + 23 * MS))
    assert intake.too_late_by("depth") == "", "18 of 20 ms"


@pytest.mark.parametrize("late_ms", [150, 300, 600])
def test_a_camera_that_sends_late_is_fused_once_the_mend_that_is_told_is_done(late_ms: int) -> None:
    """Its stamps are right, but nothing tells them from those of a wrong clock."""
    rgb, depth = SensorConfig("a", "rgb"), SensorConfig("b", "depth")
    config = RigConfig({"rgb": rgb, "depth": depth, "event": SensorConfig("c", "event")})
    config = replace(config, content_checks=False)

    def drive(rig: RigConfig) -> tuple[list[FrameSet], SensorStatus]:
        intake, sets = Intake(rig), []
        lags = {"rgb": 10, "event": 10, "depth": late_ms}
        coming = [
            sample(name, k * PERIOD, k * PERIOD + lag * MS)
            for name, lag in lags.items()
            for k in range(150)
        ]
        for arrival in sorted(coming, key=lambda s: s.received_ns):
            if arrival.received_ns <= 150 * PERIOD:
                intake.push(arrival)
                sets += intake.poll(arrival.received_ns)
        return sets, intake.status(150 * PERIOD)[1]

    sets, status = drive(config)
    assert not any("depth" in frame_set.samples for frame_set in sets[30:120])
    (told,) = re.findall(r"raise rig\.deadline_max_s to ([0-9.]+);", status.fault)
    sets, status = drive(replace(config, deadline_max_s=float(told)))
    assert status.state is not SensorState.CLOCK
    assert all("depth" in frame_set.samples for frame_set in sets[60:120])


def test_one_message_that_was_held_up_teaches_nothing() -> None:
    lags = ArrivalLags(["a", "b"])
    for k in range(15):
        lags.observe(sample("a", k, k + 10 * MS))
        lags.observe(sample("b", k, k + (500 if k == 7 else 30) * MS))
    assert lags.behind_ns("b", "a") == 20 * MS
    lags.forget("b")
    assert lags.behind_ns("b", "a") is None
