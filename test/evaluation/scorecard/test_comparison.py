"""What is said where scorecards side by side are of different things."""

from __future__ import annotations

import dataclasses

from fixtures.scored_bags import made_run, mask_record

from anymodal_seg_ros.evaluation.scorecard.cases import FaultWindow
from anymodal_seg_ros.evaluation.scorecard.report.comparison import unlike


def test_scorecards_of_different_things_say_so() -> None:
    one = made_run([mask_record(0.0)])
    assert unlike({"before": [one], "now": [one, one]}) == []
    other = dataclasses.replace(one, bag="night", sensors=("rgb",), classes=("ground", "tree"))
    assert unlike({"before": [one], "now": [other]}) == [
        "not of the same bags: before: drive; now: night",
        "not of the same sensors: before: rgb, thermal; now: rgb",
        "not of the same classes: before: ground, sky; now: ground, tree",
    ]


def test_figures_of_broken_sensors_are_not_set_beside_those_of_healthy_ones_in_silence() -> None:
    well = made_run([mask_record(0.0)])
    window = FaultWindow("rgb", "off", 0.0, 1.0)
    ill = made_run([mask_record(0.0)], [window], case="faults")
    swept = made_run([mask_record(0.0)], [window], case="fault-off-rgb-0")
    assert unlike({"before": [well], "now": [well, ill]}) == [
        "not of the same cases (of what is not asked of a fault): before: healthy; now: faults"
    ]
    assert unlike({"before": [well], "now": [well, swept]}) == []


def test_other_labels_and_another_version_are_told() -> None:
    one = dataclasses.replace(made_run([]), ground_truth="files in truth")
    new = dataclasses.replace(one, ground_truth="", settings={"anymodal_seg_ros": "9.9"})
    assert unlike({"a": [one], "b": [new]}) == [
        "not of the same labels: a: files in truth; b: none",
        "not of the same version of this package: a: unknown; b: 9.9",
    ]
