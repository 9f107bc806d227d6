from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from fixtures.scored_bags import made_run, mask_record

from anymodal_seg_ros.evaluation.scorecard.cases import FaultWindow
from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES, measure
from anymodal_seg_ros.evaluation.scorecard.figures.measures import (
    NO_GROUND_TRUTH,
    NO_MASKS,
    NOT_MEASURED,
)
from anymodal_seg_ros.evaluation.scorecard.figures.selection import Selection
from anymodal_seg_ros.evaluation.scorecard.runs.records import Transition, from_line, to_line


def counts(hits: int, of: int = 10) -> np.ndarray:
    return np.array([[hits, of], [of, of], [of, of]], np.int64)


def value(name: str, runs: list, **where: object) -> float | None:
    return measure(name, runs, Selection(**where)).value  # type: ignore[arg-type]


def test_pixels_are_pooled_before_the_ratio() -> None:
    run = made_run([mask_record(0.0, overlap=counts(10)), mask_record(0.1, overlap=counts(0))])
    assert value("miou", [run], class_name="ground") == pytest.approx(10 / 30)
    assert value("miou", [run]) == pytest.approx((10 / 30 + 1.0) / 2)


@pytest.mark.parametrize("name", ["miou", "boundary_iou", "calibration_error", "flicker"])
def test_without_ground_truth_a_figure_says_so(name: str) -> None:
    found = measure(name, [made_run([mask_record(0.0)])])
    assert found.value is None
    assert found.reason == NO_GROUND_TRUTH


def test_a_class_that_nowhere_occurs_is_not_said_to_lack_ground_truth() -> None:
    absent = np.array([[4, 0], [6, 0], [8, 0]], np.int64)
    run = made_run([mask_record(0.0, overlap=absent)])
    found = measure("miou", [run], Selection(class_name=run.classes[1]))
    assert (found.value, found.reason) == (None, "the class is in no label and in no mask")
    assert value("miou", [run]) == pytest.approx(0.4)


def test_labels_of_every_tenth_picture_are_ground_truth_but_tell_no_flicker() -> None:
    masks = [mask_record(0.0, overlap=counts(10)), mask_record(0.1)]
    run = made_run(masks, ground_truth="the topic /labels")
    assert value("miou", [run]) is not None
    assert measure("flicker", [run]).reason == "no two labels in a row"


def test_labels_that_fit_no_mask_are_no_ground_truth() -> None:
    run = made_run([mask_record(0.0), mask_record(0.1)], ground_truth="the topic /labels")
    assert measure("flicker", [run]).reason == NO_GROUND_TRUTH


def test_everything_else_is_told_without_ground_truth() -> None:
    run = made_run([mask_record(n / 10, kept=(3, 4)) for n in range(100)])
    assert value("temporal_consistency", [run]) == 0.75
    assert value("masks", [run]) == 100
    assert value("masks_lost", [run]) == 0
    assert value("rate_hz", [run]) == 10.0
    assert value("false_alarms_per_hour", [run]) == 0.0


def test_masks_are_chosen_by_subset_state_window_and_condition() -> None:
    states = {"rgb": "OK", "thermal": "FROZEN"}
    records = [
        mask_record(0.0, overlap=counts(10)),
        mask_record(0.1, ("rgb",), overlap=counts(4), states=states),
    ]
    runs = [made_run(records, condition="sun"), made_run([], bag="other", condition="night")]
    ground = {"class_name": "ground"}
    assert value("miou", runs, subset="thermal+rgb", **ground) == 1.0, "in any order"
    assert value("miou", runs, subset="rgb", **ground) == pytest.approx(4 / 16)
    assert value("miou", runs, sensor="thermal", state="FROZEN", **ground) == pytest.approx(4 / 16)
    assert value("miou", runs, sensor="thermal", state="down", **ground) == pytest.approx(4 / 16)
    assert value("miou", runs, window=(0.1, 5.0), **ground) == pytest.approx(4 / 16)
    assert value("miou", runs, condition="sun") is not None
    assert measure("miou", runs, Selection(condition="night")).reason == "no such masks"


def test_the_usual_case_is_the_one_with_faults_if_there_is_one() -> None:
    well = made_run([mask_record(0.0, overlap=counts(10))])
    window = FaultWindow("rgb", "garbage-noise", 0.0, 1.0)
    ill = made_run([mask_record(0.0, overlap=counts(0))], [window], case="faults")
    swept = made_run([mask_record(0.0, overlap=counts(5))], case="subset-rgb.thermal")
    assert value("miou", [well, swept], class_name="ground") == 1.0
    assert value("miou", [well, ill], class_name="ground") == 0.0
    assert value("miou", [well, ill], class_name="ground", case="healthy") == 1.0
    assert value("miou", [well, ill], class_name="ground", fault="garbage") == 0.0
    assert value("miou", [well, ill], class_name="ground", fault="off") is None
    both = value("miou", [well, swept], class_name="ground", subset="rgb+thermal")
    assert both == pytest.approx(15 / 25), "masks of all sensors, and of the case of this subset"


def test_time_in_state_is_time_and_not_masks() -> None:
    states = [Transition("thermal", "OK", 1.0), Transition("thermal", "STALE", 4.0)]
    run = made_run([mask_record(0.0)], transitions=states)
    assert value("time_in_state", [run], sensor="thermal", state="STALE") == pytest.approx(0.6)
    assert value("time_in_state", [run], sensor="thermal", state="WAITING") == pytest.approx(0.1)
    in_window = value("time_in_state", [run], sensor="thermal", state="down", window=(3.0, 5.0))
    assert in_window == pytest.approx(0.5)


def test_what_lasts_is_measured_while_a_chosen_fault_lasts() -> None:
    """Not over the whole bag: what is asked for is how it was meanwhile."""
    windows = [FaultWindow("thermal", "off", 2.0, 4.0), FaultWindow("thermal", "off", 3.0, 6.0)]
    states = [Transition("thermal", "OK", 0.0), Transition("thermal", "FAILED", 3.0)]
    states += [Transition("rgb", "SLOW", 4.0), Transition("rgb", "SLOW", 9.0)]
    kept = [n / 10 + 0.05 for n in range(100) if n not in (30, 31, 90)]
    records = [mask_record(t, process_ms=20.0) for t in kept]
    run = made_run(records, windows, states, case="faults")
    off: dict[str, Any] = {"fault": "off"}
    assert value("time_in_state", [run], sensor="thermal", state="down", **off) == 0.75
    assert value("rate_hz", [run], **off) == pytest.approx(38 / 4)
    assert value("load", [run], **off) == pytest.approx(38 * 0.02 / 4)
    assert value("masks_lost", [run], **off) == 2.0
    assert value("masks_lost", [run]) == 3.0
    assert value("false_alarms_per_hour", [run], **off) == pytest.approx(900.0)
    in_both = value("time_in_state", [run], sensor="thermal", state="down", window=(2, 4), **off)
    assert in_both == 0.5
    assert measure("rate_hz", [run], Selection(fault="off", window=(7, 8))).reason == NO_MASKS


def test_time_has_no_subset_but_that_of_the_run() -> None:
    whole = made_run([mask_record(n / 10) for n in range(100)])
    rgb = made_run([mask_record(n / 10, ("rgb",)) for n in range(90)], case="subset-rgb")
    rgb = dataclasses.replace(rgb, sensors=("rgb",))
    rgb.__dict__["records"] = [mask_record(n / 10, ("rgb",)) for n in range(90)]
    assert value("rate_hz", [whole, rgb], subset="rgb") == 9.0
    assert value("rate_hz", [whole, rgb], subset="thermal+rgb") == 10.0
    assert value("masks_lost", [whole, rgb], subset="rgb") == 10.0
    assert value("masks", [whole, rgb], subset="rgb") == 90.0
    assert measure("rate_hz", [whole], Selection(subset="rgb")).reason == NO_MASKS


def test_masks_without_labels_are_of_no_subset_but_that_of_the_run() -> None:
    """No sensor made them: of the masks that these sensors made, none would ever be."""
    whole = made_run([mask_record(n / 10) for n in range(10)])
    blank = [mask_record(n / 10, ("rgb",) if n % 2 else ()) for n in range(10)]
    rgb = dataclasses.replace(made_run(blank, case="subset-rgb"), sensors=("rgb",))
    rgb.__dict__["records"] = blank
    assert value("unlabeled_masks", [whole, rgb], subset="rgb") == 5.0
    assert measure("unlabeled_masks", [whole], Selection(subset="rgb")).reason == NO_MASKS


def test_votes_and_use() -> None:
    records = [
        mask_record(0.0, votes={"rgb": 0.7, "thermal": 0.3}),
        mask_record(0.1, ("rgb",), votes={"rgb": 1.0}),
    ]
    run = made_run(records)
    assert value("vote", [run], sensor="thermal") == pytest.approx(0.3)
    assert value("used", [run], sensor="thermal") == 0.5


def test_percentiles_are_values_that_occurred() -> None:
    run = made_run([mask_record(n / 10, wait_ms=float(n)) for n in range(100)])
    assert measure("wait_ms", [run]).value == 95.0
    assert measure("wait_ms", [run], statistic="max").value == 99.0
    assert measure("wait_ms", [run], statistic="median").value == 50.0


def test_what_never_happened_is_worse_than_any_limit() -> None:
    window = FaultWindow("thermal", "wrong-mirrored", 2.0, 4.0)
    run = made_run([mask_record(n / 10) for n in range(100)], [window], case="faults")
    assert measure("reaction_s", [run]).value == math.inf


def test_false_alarms_are_per_hour() -> None:
    run = made_run([mask_record(0.0)], transitions=[Transition("rgb", "FROZEN", 1.0)])
    assert value("false_alarms_per_hour", [run]) == pytest.approx(360.0)


def test_every_figure_can_be_made_of_any_run() -> None:
    for runs in ([], [made_run([])], [made_run([mask_record(0.0, ())])]):
        for name in FIGURES:
            found = measure(name, runs, Selection(sensor="rgb", state="OK"))
            assert (found.value is None) == bool(found.reason)


def test_a_record_survives_its_line() -> None:
    record = mask_record(
        1.5,
        overlap=counts(3),
        kept=(1, 2),
        votes={"rgb": 1.0},
        transitions=(Transition("rgb", "OK", 0.25),),
    )
    again = from_line(to_line(record))
    assert to_line(again) == to_line(record)
    np.testing.assert_array_equal(again.overlap, record.overlap)  # type: ignore[arg-type]
    assert again.transitions == record.transitions
    assert from_line(to_line(mask_record(0.0, ()))).subset == "unlabeled"


def test_every_figure_tells_of_how_much_it_is_made() -> None:
    """Of how many masks with labels, with a value, of how many runs and faults."""
    records = [
        mask_record(0.0, overlap=counts(10), kept=(3, 4), votes={"rgb": 1.0}),
        mask_record(0.1, overlap=counts(5)),
        mask_record(0.2),
    ]
    runs = [made_run(records), made_run([mask_record(0.0)], bag="other")]
    for name, where, count in (
        ("miou", {}, 2),
        ("temporal_consistency", {}, 1),
        ("vote", {"sensor": "rgb"}, 1),
        ("masks", {}, 2),
        ("rate_hz", {}, 2),
        ("false_alarms_per_hour", {}, 2),
    ):
        found = measure(name, runs, Selection(**where))
        assert found.value is not None and found.reason == "" and found.count == count, name


def test_why_a_fault_has_no_figure() -> None:
    window = FaultWindow("thermal", "off", 2.0, 4.0)
    times = [n / 10 + 0.05 for n in range(100)]
    plain = made_run([mask_record(t) for t in times], [window], case="faults")
    judged = made_run([mask_record(t, overlap=counts(10)) for t in times], [window], case="faults")
    assert measure("miou_in_faults", [plain]).reason == NO_GROUND_TRUTH
    assert measure("miou_lost_during", [plain]).reason == NO_GROUND_TRUTH
    assert measure("miou_in_faults", [judged]).value == 1.0
    assert measure("miou_lost_during", [judged]).reason == NOT_MEASURED, "there is no healthy run"
    assert measure("recovery_s", [plain]).reason == NOT_MEASURED, (
        "labels have nothing to do with it"
    )
    assert measure("recovery_s", [judged], Selection(fault="stuck")).reason == "no such fault"


def test_a_fault_is_found_behind_others_and_in_later_runs() -> None:
    windows = [FaultWindow("rgb", "stuck", 1.0, 2.0), FaultWindow("thermal", "off", 4.0, 5.0)]
    times = [n / 10 + 0.05 for n in range(100)]
    first = made_run([mask_record(t) for t in times], [windows[0]], case="faults")
    both = made_run([mask_record(t) for t in times], windows, case="faults", bag="other")
    for where in ({"fault": "off"}, {"sensor": "thermal"}, {"bag": "other", "fault": "off"}):
        assert measure("reaction_s", [first, both], Selection(**where)).count == 1
    assert measure("reaction_s", [first, both]).count == 3
