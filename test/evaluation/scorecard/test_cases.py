from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.scenes import scene
from fixtures.scored_bags import write_scored_bag

from anymodal_seg_ros.config import SegConfig, load_config
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.replay import make_injector, with_faults
from anymodal_seg_ros.evaluation.scorecard.cases import (
    NAME,
    Case,
    FaultWindow,
    Sweep,
    fault_windows,
    path_name,
    subset_cases,
    sweep_faults,
)
from anymodal_seg_ros.evaluation.scorecard.plan import names_of
from anymodal_seg_ros.evaluation.scorecard.replays.fleet import run_jobs
from anymodal_seg_ros.evaluation.scorecard.replays.job import Job, Subject, Truth, inputs_of
from anymodal_seg_ros.faults.kinds import KINDS, Drift, Exchanged, LidarJitter
from anymodal_seg_ros.faults.timeline import FaultTimeline, parse_timeline
from anymodal_seg_ros.messages import values
from anymodal_seg_ros.messages.rosbags import make
from anymodal_seg_ros.sensing.events.values import Events

RIG = SegConfig().rig


def test_a_sweep_tries_every_kind_on_every_sensor_that_it_fits() -> None:
    cases = list(Sweep().cases(RIG, 60.0))
    tried = {(f.kind, f.sensor) for case in cases for f in case.timeline.faults}
    for kind in ("off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent"):
        assert {(kind, sensor) for sensor in RIG.sensors} <= tried
    assert {kind for kind, _ in tried} == set(KINDS) - {"ok", "lidar_jitter", "broken_scan"}, (
        "no LiDAR here"
    )
    assert ("event_low_resolution", "events") in tried
    assert ("event_low_resolution", "rgb") not in tried
    assert sum(bool(case.sensors) for case in cases) == 2**4 - 2, "every proper subset"


def test_the_page_says_how_many_replays_a_sweep_takes(project_root: Path) -> None:
    """Of the simulated rig, whose event camera sends packets: these have no picture to break."""
    pictures = {
        "rgb": (scene("rgb", 0, 24, 32), "rgb8"),
        "thermal": (scene("thermal", 0, 24, 32), "mono16"),
        "depth": (np.full((24, 32), 3.0, np.float32), "32FC1"),
    }
    sent = []
    for time_ns in range(10**9, 2 * 10**9, 10**8):
        for name, (pixels, encoding) in pictures.items():
            message = values.image(pixels, encoding, time_ns, name)
            sent.append((name, time_ns, make(message)))
        packet = values.event_packet(Events.none(), (24, 32), 0, time_ns, 0, "events")
        sent.append(("events", time_ns, make(packet)))

    def can_be(case: Case) -> bool:
        faults = tuple(replace(f, start_s=0.25, end_s=9.0) for f in case.timeline.faults)
        injector = make_injector(FaultTimeline(0, faults), RIG)
        try:
            list(with_faults(sent, injector, 10**9))
        except ConfigError:
            return False
        return True

    cases = [case for case in Sweep().cases(RIG, 60.0) if can_be(case)]
    faults = sum(bool(case.timeline.faults) for case in cases)
    page = (project_root / "docs/how-to/evaluate.md").read_text()
    assert f"for every kind of fault on every sensor: {len(cases) + 1} replays." in page
    assert f"has {len(cases) + 1} cases with one moment" in page
    assert f"15 × 60 s + {faults} × 9 s" in page


def test_a_sweep_exchanges_each_sensor_with_another_one() -> None:
    tried = [f for case in Sweep(("exchanged",)).cases(RIG, 60.0) for f in case.timeline.faults]
    assert [f.sensor for f in tried] == list(RIG.sensors)
    for fault in tried:
        assert isinstance(fault, Exchanged)
        assert fault.with_sensor in RIG.sensors and fault.with_sensor != fault.sensor
    alone = Case("x", sensors=("rgb",)).rig(RIG)
    assert not list(Sweep(("exchanged",), subsets=False).cases(alone, 60.0)), "with nobody"


@pytest.mark.parametrize("seconds", [1.0, 8.0])
def test_a_sweep_drifts_as_far_in_a_short_fault_as_in_a_long_one(seconds: float) -> None:
    sweep = Sweep(("drift",), seconds=seconds)
    grown = {
        f.what: abs(f.per_s) * seconds
        for case in sweep.cases(RIG, 60.0)
        for f in case.timeline.faults
        if isinstance(f, Drift)
    }
    assert grown["turn"] > 5.0, "degrees"
    assert grown["shift"] >= 0.1 and grown["delay"] >= 0.1
    assert grown["offset"] > 0.3 and grown["gain"] > 0.3


def test_every_case_has_a_name_of_its_own_that_fits_a_path() -> None:
    names = [case.name for case in Sweep(moments=(0.2, 0.6)).cases(RIG, 60.0)]
    assert len(set(names)) == len(names)
    assert all(NAME.fullmatch(name) for name in names)


def test_a_long_bag_is_replayed_only_around_a_fault() -> None:
    (case,) = Sweep(("off",), (0.5,), subsets=False).cases(
        Case("x", sensors=("rgb",)).rig(RIG), 600.0
    )
    assert case.timeline.faults[0].start_s == 300.0
    assert case.span_s == (297.0, 306.0)


def test_kinds_can_be_chosen() -> None:
    assert [f.kind for f in sweep_faults(("off", "garbage-noise"))] == ["off", "garbage"]
    assert len(list(sweep_faults(("garbage",)))) == 3
    with pytest.raises(ConfigError, match="no kind of fault is called 'of'"):
        list(sweep_faults(("of",)))


def test_windows_say_what_really_applies() -> None:
    timeline = parse_timeline(
        {
            "faults": [
                {"sensor": "*", "kind": "garbage", "start_s": 1.0, "end_s": 6.0},
                {"sensor": "rgb", "kind": "ok", "start_s": 2.0, "end_s": 3.0},
                {"sensor": "thermal", "kind": "off", "start_s": 5.0},
            ]
        }
    )
    assert fault_windows(timeline, ["rgb", "thermal"], 10.0) == (
        FaultWindow("rgb", "garbage-noise", 1.0, 2.0),
        FaultWindow("thermal", "garbage-noise", 1.0, 6.0),
        FaultWindow("rgb", "garbage-noise", 3.0, 6.0),
        FaultWindow("thermal", "off", 5.0, 10.0),
    )


def test_a_subset_switches_the_others_off() -> None:
    case = next(c for c in subset_cases(RIG) if c.name == "subset-rgb.thermal")
    enabled = [name for name, sensor in case.rig(RIG).sensors.items() if sensor.enabled]
    assert enabled == ["rgb", "thermal"]


def test_a_case_that_nobody_asked_for_is_left_out_if_it_does_not_fit(
    tiny_model: Path, tmp_path: Path
) -> None:
    bag = write_scored_bag(tmp_path, tiny_model, 6)
    subject = Subject(bag, "drive", load_config(bag / "rig.yaml"))
    jitter = FaultTimeline(0, (LidarJitter("rgb"),))
    for tentative, failures in ((True, 0), (False, 1)):
        case = Case("fault-lidar_jitter-rgb-0", jitter, tentative=tentative)
        job = Job(subject, case, tmp_path / "run", inputs_of(subject))
        assert len(run_jobs([job])) == failures
        assert not list(tmp_path.glob("run*")), "nothing is left of what failed"


def test_a_run_depends_on_what_its_labels_hold(tiny_model: Path, tmp_path: Path) -> None:
    bag = write_scored_bag(tmp_path, tiny_model, 2)
    (tmp_path / "labels").mkdir()
    subject = Subject(bag, "drive", SegConfig(), truth=Truth(str(tmp_path / "labels")))
    before = Job(subject, Case("healthy"), tmp_path, inputs_of(subject)).key
    (tmp_path / "labels" / "1.png").write_bytes(b"a label")
    assert Job(subject, Case("healthy"), tmp_path, inputs_of(subject)).key != before


@pytest.mark.parametrize("text", ["../etc/passwd", "", "...", "ä b", "-rf", "con<script>"])
def test_any_text_becomes_a_name(text: str) -> None:
    assert NAME.fullmatch(path_name(text))


def test_bags_of_one_name_are_told_apart() -> None:
    assert names_of([Path("a/drive"), Path("b/drive"), Path("c/x y")]) == [
        "drive",
        "drive-2",
        "x_y",
    ]
