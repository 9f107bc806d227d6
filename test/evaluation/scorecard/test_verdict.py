from __future__ import annotations

import xml.etree.ElementTree as Xml
from typing import Any

import numpy as np
import pytest
from fixtures.scored_bags import made_run, mask_record

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.scorecard.gate import parse_gate
from anymodal_seg_ros.evaluation.scorecard.junit import junit_xml
from anymodal_seg_ros.evaluation.scorecard.verdict import Outcome, judge


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
        ({"version": 1, "checks": [{"figure": "miou", "minimum": 0}]}, "unknown parameter minimum"),
        ({"version": 1, "checks": [{"figure": "miou", "min": float("nan")}]}, "min is nan"),
        ({"version": 1, "checks": [{"figure": "miou", "min": 2, "max": 1}]}, "above max"),
        (
            {"version": 1, "checks": [{"figure": "miou", "min": 0, "window": [5]}]},
            "window is [5.0]",
        ),
        (
            {"version": 1, "checks": [{"figure": "miou", "min": 0, "state": "OK"}]},
            "of which sensor",
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
