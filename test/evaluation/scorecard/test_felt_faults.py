"""Faults of a timeline that are none: they reached no message, or fit none."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from fixtures.scored_bags import write_scored_bag

from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.evaluation.scorecard.cases import FAULTS, HEALTHY, Case, FaultWindow
from anymodal_seg_ros.evaluation.scorecard.figures.figures import measure
from anymodal_seg_ros.evaluation.scorecard.replays.job import Job, Subject, run_job
from anymodal_seg_ros.evaluation.scorecard.report.tables import comparable
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run, load_run
from anymodal_seg_ros.faults.kinds import InjectedFault, Off, Ok, OverExposure, Stuck
from anymodal_seg_ros.faults.timeline import FaultTimeline


@pytest.fixture(scope="module")
def bag(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames of two cameras at 10 Hz, rgb 2 and thermal 5 ms after each tenth of a second."""
    return write_scored_bag(tmp_path_factory.mktemp("bags"), tiny_model)


def replayed(
    bag: Path,
    folder: Path,
    *faults: InjectedFault,
    recorded: tuple[InjectedFault, ...] = (),
    thermal: str = "thermal",
) -> Run:
    config = load_config(bag / "rig.yaml")
    sensors = dict(config.rig.sensors)
    sensors["thermal"] = dataclasses.replace(sensors["thermal"], modality=thermal)
    config = dataclasses.replace(config, rig=dataclasses.replace(config.rig, sensors=sensors))
    subject = Subject(bag, "drive", config, recorded_faults=FaultTimeline(0, recorded))
    case = Case(FAULTS if faults else HEALTHY, FaultTimeline(0, faults))
    return load_run(run_job(Job(subject, case, folder / "run", ())))


def test_an_image_fault_for_all_is_none_of_a_sensor_that_it_does_not_fit(
    bag: Path, tmp_path: Path
) -> None:
    run = replayed(bag, tmp_path, OverExposure("*", 1.0, 2.0, severity=1.0), thermal="depth")
    assert run.windows == (FaultWindow("rgb", "over_exposure", 1.0, 2.0),)
    assert not [note for note in run.notes if "changed nothing" in note]


def test_nor_is_one_that_was_recorded(bag: Path, tmp_path: Path) -> None:
    faults = (OverExposure("*", 1.0, 2.0, severity=1.0),)
    run = replayed(bag, tmp_path, recorded=faults, thermal="depth")
    assert run.windows == (FaultWindow("rgb", "over_exposure", 1.0, 2.0),)


def test_a_fault_between_two_frames_is_no_fault_that_nobody_noticed(
    bag: Path, tmp_path: Path
) -> None:
    run = replayed(bag, tmp_path, Off("rgb", 1.03, 1.05), Off("rgb", 2.05, 2.15))
    assert run.windows == (FaultWindow("rgb", "off", 2.05, 2.15),)
    assert [note.split(":")[0] for note in run.notes] == [
        "the fault off of rgb at 1.03 s changed nothing"
    ]
    assert measure("detection_s", [run]).value != math.inf


def test_one_fault_behind_another_is_none(bag: Path, tmp_path: Path) -> None:
    run = replayed(bag, tmp_path, Off("rgb", 1.0, 3.0), Stuck("rgb", 1.5, 2.5))
    assert run.windows == (FaultWindow("rgb", "off", 1.0, 3.0),)


def test_what_was_recorded_broken_is_not_mended_by_an_ok(bag: Path, tmp_path: Path) -> None:
    """All off but one is two entries, whatever was wrong with that one before."""
    faults = Off("*", 1.0, 2.0), Ok("rgb", 1.0, 2.0)
    run = replayed(bag, tmp_path, *faults, recorded=(Stuck("rgb", 0.5, 3.0),))
    assert run.windows == (
        FaultWindow("rgb", "stuck", 0.5, 3.0),
        FaultWindow("thermal", "off", 1.0, 2.0),
    )


def test_a_timeline_that_changed_nothing_makes_no_masks_without_faults(
    bag: Path, tmp_path: Path
) -> None:
    run = replayed(bag, tmp_path, Off("rgb", 1.03, 1.05))
    assert not run.windows
    assert comparable([run]) == [], "the healthy replay has the same masks: each would count twice"
