"""A sensor that is well but comes later than the reference is waited for: a learned deadline."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
from fixtures.messages import sample

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import FrameSet, SensorState
from anymodal_seg_ros.sensing.intake import Intake
from anymodal_seg_ros.sensing.sync.lags import ArrivalLags

MS = 1_000_000
PERIOD = 33_333_333
RIG = RigConfig(
    {"rgb": SensorConfig("a", "rgb"), "depth": SensorConfig("b", "depth")}, content_checks=False
)


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
    intake = Intake(replace(RIG, deadline_max_s=0.0))
    for k in range(30):
        intake.push(sample("rgb", k * PERIOD, k * PERIOD + 5 * MS))
        intake.push(sample("depth", k * PERIOD, k * PERIOD + 23 * MS))
    assert intake.too_late_by("depth") == "", "18 of 20 ms"


def drive(rig: RigConfig, lags_ms: dict[str, int]) -> tuple[list[FrameSet], Intake]:
    """Play five seconds of sensors at 30 Hz, whose messages come so long after their stamps."""
    intake, sets, end_ns = Intake(rig), [], 150 * PERIOD
    coming = [
        sample(name, k * PERIOD, k * PERIOD + lag * MS)
        for name, lag in lags_ms.items()
        for k in range(150)
    ]
    for arrival in sorted(coming, key=lambda s: s.received_ns):
        if arrival.received_ns <= end_ns:
            while (due := intake.next_wakeup_ns()) is not None and due < arrival.received_ns:
                sets += intake.poll(due)
            intake.push(arrival)
            sets += intake.poll(arrival.received_ns)
    return [s for s in sets if s.completed_ns > 2 * end_ns // 3], intake


def depth_is_fused(sets: list[FrameSet]) -> bool:
    """Whether the depth of the same moment is in every frame set."""
    return all(
        "depth" in s.samples and s.samples["depth"].time_ns == s.reference_sample.time_ns
        for s in sets
    )


@pytest.mark.parametrize("late_ms", [150, 300, 600])
@pytest.mark.parametrize("allowed_s", [0.0, 0.05])
def test_a_camera_that_sends_late_is_fused_once_the_mend_that_is_told_is_done(
    late_ms: int, allowed_s: float
) -> None:
    """Its stamps are right, but nothing tells them from those of a wrong clock."""
    depth = SensorConfig("b", "depth", clock_offset_s=allowed_s)
    sensors = {**RIG.sensors, "depth": depth, "event": SensorConfig("c", "event")}
    lags_ms = {"rgb": 10, "event": 10, "depth": late_ms}
    sets, intake = drive(replace(RIG, sensors=sensors), lags_ms)
    assert not any("depth" in frame_set.samples for frame_set in sets)
    told = re.search(
        r"raise (its clock_offset_s and )?rig\.deadline_max_s to ([0-9.]+);", said(intake)
    )
    assert told is not None
    assert bool(told[1]) == bool(allowed_s), "a limit of its own does not follow the deadline"
    sensors["depth"] = replace(depth, clock_offset_s=float(told[2]) if told[1] else 0.0)
    sets, intake = drive(replace(RIG, sensors=sensors, deadline_max_s=float(told[2])), lags_ms)
    assert intake.status(150 * PERIOD)[1].state is not SensorState.CLOCK
    assert depth_is_fused(sets)


def test_a_deadline_that_is_long_enough_is_not_asked_for_again() -> None:
    depth = SensorConfig("b", "depth", clock_offset_s=0.05)
    sensors = {**RIG.sensors, "depth": depth}
    _, intake = drive(replace(RIG, sensors=sensors, deadline_max_s=0.5), {"rgb": 10, "depth": 150})
    assert "it sends late: raise its clock_offset_s to 0.18; if not" in said(intake)


@pytest.mark.parametrize("trigger", ["rate", "any"])
def test_where_any_sensor_opens_the_sets_the_first_one_is_waited_for_too(trigger: str) -> None:
    """Where the first of the rig is the late one, its messages come after the set is open."""
    rig = RigConfig(
        {"depth": SensorConfig("b", "depth"), "rgb": SensorConfig("a", "rgb")},
        content_checks=False,
        trigger=trigger,
    )
    sets, _ = drive(rig, {"depth": 90, "rgb": 10})
    assert sets
    assert depth_is_fused(sets)
    _, intake = drive(replace(rig, deadline_max_s=0.05), {"depth": 90, "rgb": 10})
    (told,) = re.findall(r"of rgb: raise rig\.deadline_max_s to ([0-9.]+)", said(intake))
    sets, _ = drive(replace(rig, deadline_max_s=float(told)), {"depth": 90, "rgb": 10})
    assert depth_is_fused(sets)


@pytest.mark.parametrize(("hz", "most"), [(30.0, "2.1"), (1.0, "10")])
def test_nobody_is_told_to_wait_longer_than_frame_sets_can(hz: float, most: str) -> None:
    """So many are not kept, or the parameter does not go that far."""
    sensors = {
        "rgb": SensorConfig("a", "rgb", expected_hz=hz),
        "depth": SensorConfig("b", "depth", expected_hz=hz, clock_offset_s=60.0),
    }
    intake, period = Intake(RigConfig(sensors, content_checks=False)), round(1e9 / hz)
    coming = [sample("rgb", k * period, k * period) for k in range(400)]
    coming += [sample("depth", k * period, k * period + 12_000 * MS) for k in range(400)]
    for arrival in sorted(coming, key=lambda s: s.received_ns):
        if arrival.received_ns < 400 * period:
            intake.push(arrival)
    assert intake.too_late_by("depth") == (
        "its messages come 12000 ms after those of rgb, and no frame set can wait for more than "
        f"{most} s: send them sooner"
    )


def said(intake: Intake) -> str:
    """What is told of the depth camera."""
    status = {s.sensor: s.fault for s in intake.status(150 * PERIOD)}
    return status["depth"] or intake.too_late_by("depth")


def test_one_message_that_was_held_up_teaches_nothing() -> None:
    lags = ArrivalLags(["a", "b"])
    for k in range(15):
        lags.observe(sample("a", k, k + 10 * MS))
        lags.observe(sample("b", k, k + (500 if k == 7 else 30) * MS))
    assert lags.behind_ns("b", "a") == 20 * MS
    lags.forget("b")
    assert lags.behind_ns("b", "a") is None
