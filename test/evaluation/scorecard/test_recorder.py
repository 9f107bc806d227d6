"""When sensors changed their states, although masks alone bring the news."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fixtures.scored_bags import write_scored_bag

from anymodal_seg_ros.config import SegConfig, SensorConfig, load_config
from anymodal_seg_ros.evaluation.scorecard.cases import FAULTS, Case
from anymodal_seg_ros.evaluation.scorecard.figures.fault_figures import fault_outcomes
from anymodal_seg_ros.evaluation.scorecard.figures.figures import measure
from anymodal_seg_ros.evaluation.scorecard.figures.selection import Selection
from anymodal_seg_ros.evaluation.scorecard.replays.job import Job, Subject, run_job
from anymodal_seg_ros.evaluation.scorecard.runs.recorder import Recorder
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run, load_run
from anymodal_seg_ros.faults.kinds import InjectedFault, Off
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import SensorState, SensorStatus
from anymodal_seg_ros.sensing.health.sensor_health import Fault, SensorHealth

S = 1_000_000_000
BAD = Fault(SensorState.INVALID, "black: too dark")


def health(fault_frames: int = 1, recover_frames: int = 1) -> SensorHealth:
    config = SensorConfig(
        "x", "rgb", expected_hz=10.0, fault_frames=fault_frames, recover_frames=recover_frames
    )
    sensor = SensorHealth(config)
    sensor.start(0, S)
    return sensor


def told(recorder: Recorder, status: SensorStatus) -> list[tuple[str, float]]:
    return [(t.state, t.time_s) for t in recorder.transitions([status])]


def test_each_state_has_the_time_at_which_it_began() -> None:
    sensor, recorder = health(), Recorder(2, 0)
    sensor.arrive(0)
    sensor.judge(0, None)
    assert told(recorder, sensor.status("x", 0)) == [("OK", 0.0)]
    sensor.update(9 * S)  # nine seconds without a message, and so without a mask
    sensor.arrive(9 * S)
    sensor.judge(9 * S, None)
    found = told(recorder, sensor.status("x", 9 * S))
    config = sensor.config
    dues = [config.late_after_ns, config.stale_after_ns, config.failed_after_ns, 9 * S]
    assert found == [
        (state, due / S) for state, due in zip(["LATE", "STALE", "FAILED", "OK"], dues, strict=True)
    ]
    assert told(recorder, sensor.status("x", 9 * S)) == [], "each is told once"


def test_of_very_many_changes_the_first_ones_have_no_time_of_their_own() -> None:
    sensor, recorder = health(), Recorder(2, 0)
    for number in range(60):
        sensor.arrive(number * S // 10)
        sensor.judge(number * S // 10, BAD if number % 2 else None)
    found = told(recorder, sensor.status("x", 6 * S))
    assert sorted(state for state, _ in found) == ["INVALID"] * 30 + ["OK"] * 30
    times = [time_s for _, time_s in found]
    assert times == sorted(times)
    assert times[-3:] == [5.7, 5.8, 5.9]


def replayed(folder: Path, model: Path, *faults: InjectedFault) -> Run:
    """Replay forty frames of a camera that is alone, at 10 Hz."""
    bag = write_scored_bag(folder, model)
    config = load_config(bag / "rig.yaml")
    sensors = {"rgb": config.rig.sensors["rgb"]}
    rig = dataclasses.replace(config.rig, sensors=sensors)
    alone: SegConfig = dataclasses.replace(config, rig=rig)
    case = Case(FAULTS, FaultTimeline(0, faults))
    return load_run(run_job(Job(Subject(bag, "drive", alone), case, folder / "run", ())))


@pytest.mark.parametrize("end_s", [3.0, 9.0])
def test_the_only_camera_dies(tiny_model: Path, tmp_path: Path, end_s: float) -> None:
    """There is no mask that could tell it before it is back, or none at all."""
    run = replayed(tmp_path, tiny_model, Off("rgb", 1.0, end_s))
    (outcome,) = fault_outcomes(run, None)
    assert outcome.reaction_s is None, "there was nothing to leave out of any mask"
    assert outcome.detection_s is not None
    assert 0.0 < outcome.detection_s < 0.2, "LATE, of a camera whose period is 0.1 s"
    where = Selection(sensor="rgb", state="down", window=(1.5, 3.0))
    assert measure("time_in_state", [run], where).value == 1.0
