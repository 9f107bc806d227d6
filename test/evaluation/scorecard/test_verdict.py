from __future__ import annotations

import math
import xml.etree.ElementTree as Xml
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.scored_bags import made_run, mask_record

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.scorecard.verdict.gate import load_gate, parse_gate
from anymodal_seg_ros.evaluation.scorecard.verdict.junit import junit_xml
from anymodal_seg_ros.evaluation.scorecard.verdict.verdict import Outcome, judge, said


def run(hits: int) -> Any:
    counts = np.array([[hits, 0], [10, 0], [10, 0]], np.int64)
    return made_run([mask_record(n / 10, overlap=counts) for n in range(100)])


def gate(*checks: dict[str, Any]) -> Any:
    return parse_gate({"version": 1, "checks": list(checks)})


@pytest.mark.parametrize(
    ("check", "code"),
    [
        ({"figure": "miou", "min": 0.9}, 0),
        ({"figure": "miou", "min": 1.1}, 1),
        ({"figure": "miou", "max": 0.5}, 1),
        ({"figure": "miou", "max": 0.5, "level": "watched"}, 0),
        ({"figure": "miou", "min": 0.9, "class": "sky"}, 2),
        ({"figure": "miou", "min": 0.9, "condition": "night"}, 2),
        ({"figure": "calibration_error", "max": 0.1}, 2),
        ({"figure": "calibration_error", "max": 0.1, "level": "watched"}, 0),
        ({"figure": "reaction_s", "max": 0.1, "fault": False}, 2),
        ({"figure": "miou", "max_drop": 0.1}, 2),
    ],
)
def test_exit_codes(check: dict[str, Any], code: int) -> None:
    assert judge(gate(check), [run(10)]).exit_code == code


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"figure": "time_in_state", "sensor": "therm", "state": "down"}, "did you mean thermal?"),
        ({"figure": "false_alarms_per_hour", "sensor": "RGB"}, "did you mean rgb?"),
        (
            {"figure": "used", "sensor": "lidar"},
            "no sensor lidar: there are rgb, thermal",
        ),
        ({"figure": "masks_lost", "subset": "rgb+termal"}, "did you mean thermal?"),
        ({"figure": "miou", "class": "grond"}, "no class grond: did you mean ground?"),
        ({"figure": "miou", "bag": "drvie"}, "no bag drvie: did you mean drive? there are drive"),
    ],
)
def test_nobody_passes_because_a_name_was_misspelt(choice: dict[str, Any], words: str) -> None:
    verdict = judge(gate({**choice, "max": 1.0}), [run(10)])
    assert verdict.exit_code == 2
    assert words in verdict.judgements[0].reason


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"figure": "masks_lost", "class": "sky"}, "class is 'sky', which changes nothing of"),
        ({"figure": "reaction_s", "window": [1, 2]}, "window is [1.0, 2.0], which changes nothing"),
        ({"figure": "superseded", "window": [1, 2]}, "nothing of superseded: leave it out"),
        (
            {"figure": "masks_lost", "sensor": "rgb", "state": "OK"},
            "state is 'OK', which changes nothing of masks_lost",
        ),
        ({"figure": "miou", "sensor": "rgb"}, "nothing of miou without a state or a fault"),
    ],
)
def test_a_key_that_changes_nothing_is_refused(choice: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        gate({**choice, "max": 1.0})
    assert words in str(refused.value)


@pytest.mark.parametrize("figure", ["masks", "masks_lost", "rate_hz", "false_alarms_per_hour"])
def test_a_window_beyond_the_bag_cannot_be_judged(figure: str) -> None:
    checks = gate({"figure": figure, "window": [20, 30], "max": 1000})
    assert judge(checks, [run(10)]).exit_code == 2
    checks = gate({"figure": figure, "window": [9, 30], "max": 1000})
    assert judge(checks, [run(10)]).exit_code == 0


def test_a_failure_outweighs_what_could_not_be_judged() -> None:
    checks = gate({"figure": "calibration_error", "max": 1}, {"figure": "miou", "min": 2})
    assert judge(checks, [run(10)]).exit_code == 1


def test_changes_against_a_baseline() -> None:
    drop = gate({"figure": "miou", "max_drop": 0.1})
    assert judge(drop, [run(10)], [run(5)]).exit_code == 0
    verdict = judge(drop, [run(5)], [run(10)])
    assert verdict.exit_code == 1
    assert "0.3333, 1 in the baseline: dropped by more than 0.1" in verdict.judgements[0].reason
    assert judge(gate({"figure": "miou", "max_rise": 0.1}), [run(10)], [run(5)]).exit_code == 1


def test_a_bag_that_could_not_be_read_is_no_pass() -> None:
    checks = gate({"figure": "miou", "min": 0.5})
    assert judge(checks, [run(10)], unreadable=["b: damaged"]).outcome is Outcome.UNKNOWN


def test_junit_names_what_failed() -> None:
    checks = gate(
        {"figure": "miou", "min": 2},
        {"figure": "miou", "min": 0},
        {"figure": "calibration_error", "max": 1},
        {"figure": "miou", "min": 2, "level": "watched"},
    )
    text = junit_xml(judge(checks, [run(10)], unreadable=["bag\x00<&>: damaged"]))
    suite = Xml.fromstring(text.split("\n", 1)[1]).find("testsuite")
    assert suite is not None
    counts = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "5", "failures": "1", "errors": "2", "skipped": "1"}
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "1, below 2"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "expected 'version: 1' and 'checks:'"),
        ({"version": 2, "checks": [{}]}, "version is 2"),
        ({"version": 1, "checks": []}, "checks is empty"),
        ({"version": 1, "checks": [7]}, "check 1 is 7"),
        ({"version": 1, "checks": [{"figure": "moiu", "min": 0}]}, "figure is 'moiu'"),
        ({"version": 1, "checks": [{"figure": "miou"}]}, "no limit"),
        ({"version": 1, "checks": [{"figure": "miou", "minimum": 0}]}, "unknown key minimum"),
        ({"version": 1, "checks": [{"figure": "miou", "sensors": "rgb"}]}, "did you mean sensor"),
        ({"version": 1, "checks": [{"figure": "miou", "min": float("nan")}]}, "min is nan"),
        ({"version": 1, "checks": [{"figure": "reaction_s", "max": math.inf}]}, "a finite number"),
        ({"version": 1, "checks": [{"figure": "miou", "min": 2, "max": 1}]}, "above max"),
        (
            {"version": 1, "checks": [{"figure": "miou", "min": 0, "window": [5]}]},
            "window is [5.0]",
        ),
        (
            {"version": 1, "checks": [{"figure": "miou", "min": 0, "state": "OK"}]},
            "of which sensor",
        ),
        (
            {"version": 1, "checks": [{"figure": "miou", "min": 0, "state": "ok", "sensor": "a"}]},
            "state is 'ok': did you mean OK? expected one of down, alive,",
        ),
        ({"version": 1, "checks": [{"figure": "vote", "min": 0}]}, "vote needs sensor"),
        (
            {"version": 1, "checks": [{"figure": "miou", "min": 0, "statistic": "max"}]},
            "miou is one value",
        ),
        (
            {"version": 1, "checks": [{"figure": "wait_ms", "min": 0, "statistic": "p42"}]},
            "statistic is 'p42'",
        ),
    ],
)
def test_a_gate_is_read_strictly(content: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_gate(content)
    assert words in str(caught.value)


def test_a_gate_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load_gate(tmp_path / "gate.yaml")
    assert str(refused.value).count("gate.yaml") == 1


def test_counts_keep_their_digits() -> None:
    assert said(17_982.0) == "17982"
    assert said(864_000.0, "Hz") == "864000 Hz"
    assert said(12_345.6) == "12346"
    assert (said(0.123456), said(3.857e-06), said(2.0)) == ("0.1235", "3.857e-06", "2")
    assert (said(math.inf), said(None)) == ("never", "–")


def test_what_breaks_a_limit_looks_different_from_it() -> None:
    (judgement,) = judge(gate({"figure": "miou", "min": 1.00001}), [run(10)]).judgements
    assert judgement.reason == "1, below 1.00001"
    checks = gate({"figure": "masks", "max": 99.99})
    assert judge(checks, [run(10)]).judgements[0].reason == "100, above 99.99"
