from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from fixtures.scored_bags import made_run, mask_record

from anymodal_seg_ros.evaluation.scorecard.cases import FaultWindow
from anymodal_seg_ros.evaluation.scorecard.fault_figures import (
    false_alarms,
    fault_outcomes,
    masks_lost,
)
from anymodal_seg_ros.evaluation.scorecard.figures import measure
from anymodal_seg_ros.evaluation.scorecard.records import Transition
from anymodal_seg_ros.evaluation.scorecard.selection import Selection

OFF = FaultWindow("thermal", "off", 2.0, 4.0)
BOTH, RGB = ("rgb", "thermal"), ("rgb",)


def dies(back_s: float = 4.5, seen_s: float = 2.25) -> list:
    """Masks at 10 Hz: thermal is in them but for a part that begins at ``seen_s``."""
    times = [n / 10 + 0.05 for n in range(100)]
    return [mask_record(t, RGB if seen_s <= t < back_s else BOTH) for t in times]


def test_reaction_detection_and_recovery() -> None:
    states = [
        Transition("thermal", "LATE", 2.18),
        Transition("thermal", "STALE", 2.6),
        Transition("thermal", "OK", 4.48),
    ]
    (outcome,) = fault_outcomes(made_run(dies(), [OFF], states), None)
    assert outcome.reaction_s == pytest.approx(0.25)
    assert outcome.detection_s == pytest.approx(0.18)
    assert outcome.detected_as == ("LATE", "STALE")
    assert outcome.recovery_s == pytest.approx(0.55)
    assert outcome.masks == 20
    assert outcome.lost == 0
    assert outcome.miou is None, "no ground truth is not 0"


def test_messages_of_a_faulty_sensor_in_masks_are_counted() -> None:
    (outcome,) = fault_outcomes(made_run(dies(), [OFF]), None)
    assert outcome.tainted == 2, "at 2.05 and 2.15 s"


def test_what_is_never_noticed_is_never() -> None:
    run = made_run([mask_record(n / 10 + 0.05) for n in range(100)], [OFF])
    (outcome,) = fault_outcomes(run, None)
    assert outcome.reaction_s == math.inf
    assert outcome.detection_s == math.inf
    assert outcome.recovery_s is None, "what was never noticed cannot recover"


def test_a_sensor_that_never_comes_back_has_not_recovered() -> None:
    alarm = [Transition("thermal", "STALE", 2.3)]
    (outcome,) = fault_outcomes(made_run(dies(back_s=99.0), [OFF], alarm), None)
    assert outcome.recovery_s == math.inf


def test_a_run_that_ends_soon_cannot_tell_about_recovery() -> None:
    run = made_run(
        [r for r in dies(back_s=99.0) if r.time_s < 5.0],
        [OFF],
        [Transition("thermal", "STALE", 2.3)],
        length_s=5.0,
    )
    assert fault_outcomes(run, None)[0].recovery_s is None


def test_a_sensor_that_was_not_in_use_cannot_be_withheld() -> None:
    run = made_run(dies(seen_s=1.0), [OFF])
    assert fault_outcomes(run, None)[0].reaction_s is None


def counts(hits: int) -> np.ndarray:
    return np.array([[hits, 0], [10, 0], [10, 0]], np.int64)


def test_lost_miou_compares_the_same_time_with_and_without_the_fault() -> None:
    well = made_run([mask_record(n / 10, overlap=counts(10)) for n in range(100)])
    worse = [
        mask_record(n / 10, overlap=counts(5 if 20 <= n < 40 else 8 if n < 60 else 10))
        for n in range(100)
    ]
    (outcome,) = fault_outcomes(made_run(worse, [OFF], case="faults"), well)
    assert outcome.miou == pytest.approx(5 / 15)
    assert outcome.lost_during == pytest.approx(1.0 - 5 / 15)
    assert outcome.lost_after == pytest.approx(1.0 - 8 / 12)


def test_lost_masks_are_counted_from_the_stamps() -> None:
    steady = [mask_record(n / 10) for n in range(100)]
    assert masks_lost(made_run(steady), 0.0, 10.0) == 0
    holes = [r for n, r in enumerate(steady) if n not in (20, 21, 50)]
    assert masks_lost(made_run(holes), 0.0, 10.0) == 3
    assert masks_lost(made_run(holes), 4.0, 6.0) == 1, "only those in the span"


def test_jitter_loses_no_mask() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(100) / 10 + rng.uniform(-0.03, 0.03, 100)
    assert masks_lost(made_run([mask_record(float(t)) for t in times]), 0.0, 10.0) == 0


def test_masks_that_stop_are_lost_to_the_end() -> None:
    assert masks_lost(made_run([mask_record(n / 10) for n in range(50)]), 0.0, 10.0) == 50
    assert masks_lost(made_run([]), 0.0, 10.0) == 100


def test_a_mask_without_labels_is_no_mask() -> None:
    records = [mask_record(n / 10, () if n == 50 else BOTH) for n in range(100)]
    assert masks_lost(made_run(records), 0.0, 10.0) == 1


def test_masks_are_due_from_the_first_frame_of_the_reference_on() -> None:
    late = made_run([mask_record(n / 10) for n in range(12, 100)])
    from_half_a_second = dataclasses.replace(late, reference="rgb", begins_s=0.5)
    from_half_a_second.__dict__["records"] = late.records
    assert masks_lost(from_half_a_second, 0.0, 10.0) == 7, "0.5 to 1.1 s"
    assert masks_lost(from_half_a_second, 0.0, 0.7) == 2
    assert masks_lost(late, 0.0, 10.0) == 0, "of an older run nobody knows when it began"


def test_masks_that_begin_without_labels_are_lost() -> None:
    records = [mask_record(n / 10, BOTH if n >= 15 else ()) for n in range(5, 100)]
    assert masks_lost(made_run(records), 0.0, 10.0) == 10, "0.5 to 1.4 s"


def test_the_first_mask_of_another_sensor_is_late_by_whole_periods_of_the_slower_one() -> None:
    stand_in = [mask_record(n / 10 + 0.03, ("thermal",), wait_ms=20.0) for n in range(4, 100)]
    run = made_run(stand_in)
    run = dataclasses.replace(run, period_s={"rgb": 1 / 30, "thermal": 0.1}, reference="rgb")
    run.__dict__["records"] = tuple(stand_in)
    assert masks_lost(run, 0.0, 10.0) == 4, "its frames at 0.01, 0.11, 0.21 and 0.31 s"


def test_the_late_mask_of_a_stand_in_is_not_lost() -> None:
    before = [mask_record(n / 10, ("rgb",)) for n in range(50)]
    after = [mask_record(n / 10, ("thermal",)) for n in range(51, 100)]
    late = mask_record(5.08, ("thermal",), wait_ms=80.0, stamp_ns=5_000_000_000)
    assert masks_lost(made_run([*before, late, *after]), 0.0, 10.0) == 0
    assert masks_lost(made_run([*before, *after]), 0.0, 10.0) == 1


def test_a_run_without_any_mask_lost_those_since_its_first_frame() -> None:
    run = dataclasses.replace(made_run([]), reference="rgb", begins_s=4.0)
    run.__dict__["records"] = ()
    assert masks_lost(run, 0.0, 10.0) == 60


def test_alarms_are_false_only_while_the_sensor_is_well() -> None:
    states = [
        Transition("rgb", "INVALID", 1.0),
        Transition("rgb", "LATE", 1.5),
        Transition("rgb", "OK", 2.0),
        Transition("thermal", "STALE", 2.3),
        Transition("thermal", "FROZEN", 6.9),
        Transition("thermal", "FROZEN", 7.1),
    ]
    run = made_run(dies(), [OFF], states)
    assert false_alarms(run) == 2, "rgb's at 1 s; thermal's more than 3 s after its fault"
    assert false_alarms(run, "rgb") == 1
    assert fault_outcomes(run, None)[0].blamed == 0


def test_alarms_of_a_window_are_counted_in_it_alone() -> None:
    states = [
        Transition("rgb", "STALE", 1.0),
        Transition("rgb", "SLOW", 2.5),
        Transition("rgb", "STALE", 8.0),
    ]
    run = made_run([mask_record(n / 10) for n in range(100)], (), states)
    per_hour = [
        measure("false_alarms_per_hour", [run], Selection(window=window)).value
        for window in ((0.0, 2.5), (2.5, 8.0), (3.0, 7.0))
    ]
    assert per_hour == pytest.approx([3600 / 2.5, 3600 / 5.5, 0.0])


def test_what_was_alarmed_before_the_fault_needs_no_other_alarm() -> None:
    masks = [mask_record(n / 10, RGB if n > 15 else BOTH) for n in range(100)]
    before = [Transition("thermal", "STALE", 1.5)]
    (outcome,) = fault_outcomes(made_run(masks, [OFF], before), None)
    assert (outcome.detection_s, outcome.reaction_s) == (None, None)
    (outcome,) = fault_outcomes(
        made_run(masks, [OFF], [*before, Transition("thermal", "FAILED", 2.5)]), None
    )
    assert outcome.detection_s == pytest.approx(0.5)
    well_again = [*before, Transition("thermal", "OK", 1.8)]
    (outcome,) = fault_outcomes(made_run(masks, [OFF], well_again), None)
    assert outcome.detection_s == math.inf
