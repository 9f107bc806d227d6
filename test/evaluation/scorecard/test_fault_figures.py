from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from fixtures.scored_bags import made_run, mask_record

from anymodal_seg_ros.evaluation.scorecard.cases import FaultWindow
from anymodal_seg_ros.evaluation.scorecard.figures.fault_figures import (
    false_alarms,
    fault_outcomes,
    masks_lost,
)
from anymodal_seg_ros.evaluation.scorecard.figures.figures import measure
from anymodal_seg_ros.evaluation.scorecard.figures.selection import Selection
from anymodal_seg_ros.evaluation.scorecard.runs.records import Transition

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
    fine = [Transition("thermal", "OK", 0.0)]
    run = made_run([mask_record(n / 10 + 0.05) for n in range(100)], [OFF], fine)
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


WELL = Transition("thermal", "OK", 0.0), Transition("rgb", "OK", 0.0)


def always_fused(length_s: float = 10.0) -> list:
    return [mask_record(n / 10 + 0.05) for n in range(round(length_s * 10))]


@pytest.mark.parametrize(("start_s", "said"), [(9.8, None), (7.2, None), (6.9, math.inf)])
def test_a_fault_at_the_end_of_a_bag_is_not_said_to_be_missed(
    start_s: float, said: float | None
) -> None:
    """Whoever has less than 3 s to notice something has not failed to."""
    run = made_run(always_fused(), [FaultWindow("thermal", "drift-shift", start_s, 10.0)], WELL)
    (outcome,) = fault_outcomes(run, None)
    assert (outcome.reaction_s, outcome.detection_s) == (said, said)


def test_a_fault_at_the_end_of_a_bag_that_is_noticed_counts() -> None:
    masks = [r for r in dies(back_s=99.0, seen_s=9.45) if r.time_s < 10.0]
    window = FaultWindow("thermal", "off", 9.4, 10.0)
    alarm = [Transition("thermal", "LATE", 9.44)]
    (outcome,) = fault_outcomes(made_run(masks, [window], alarm), None)
    assert outcome.reaction_s == pytest.approx(0.05)
    assert outcome.detection_s == pytest.approx(0.04)


def test_silence_after_the_end_of_a_bag_detects_nothing() -> None:
    window = FaultWindow("thermal", "drift-gain", 9.8, 10.0)
    after = [Transition("thermal", "STALE", 10.2)]
    (outcome,) = fault_outcomes(made_run(always_fused(), [window], after), None)
    assert (outcome.detection_s, outcome.detected_as) == (None, ())


def test_two_faults_in_turn_on_one_sensor_are_told_apart() -> None:
    """The alarm of the second one is not the first one's, though it comes within 3 s of it."""
    first, second = (FaultWindow("thermal", k, *t) for k, t in (("moved", (1, 5)), ("off", (6, 8))))
    masks = [r for r in dies(back_s=8.45, seen_s=6.25)]
    alarms = [*WELL, Transition("thermal", "STALE", 6.2), Transition("thermal", "OK", 8.4)]
    missed, seen = fault_outcomes(made_run(masks, [first, second], alarms, length_s=12.0), None)
    assert (missed.reaction_s, missed.detection_s) == (math.inf, math.inf)
    assert (missed.recovery_s, missed.detected_as) == (None, ())
    assert seen.reaction_s == pytest.approx(0.25)
    assert seen.detection_s == pytest.approx(0.2)
    assert seen.recovery_s == pytest.approx(0.45)


def test_a_fault_that_the_next_one_follows_at_once_cannot_have_been_missed() -> None:
    windows = [FaultWindow("thermal", "moved", 1.0, 2.0), OFF]
    missed, _ = fault_outcomes(made_run(always_fused(), windows), None)
    assert (missed.reaction_s, missed.detection_s) == (None, None), "it had one second"


@pytest.mark.parametrize("next_begins_s", [3.0, 4.0, 4.2])
def test_a_sensor_that_breaks_again_has_not_failed_to_recover(next_begins_s: float) -> None:
    windows = [OFF, FaultWindow("thermal", "stuck", next_begins_s, 8.0)]
    alarm = [Transition("thermal", "STALE", 2.2)]
    masks = dies(back_s=8.25)
    first, second = fault_outcomes(made_run(masks, windows, alarm, length_s=12.0), None)
    assert first.recovery_s is None, "it had no second in which to come back"
    assert second.reaction_s is None, "it was withheld before"


def test_overlapping_faults_of_one_sensor_recover_with_the_last_one() -> None:
    windows = [OFF, FaultWindow("thermal", "covered-mud", 3.0, 6.0)]
    alarms = [Transition("thermal", state, t) for state, t in (("STALE", 2.2), ("INVALID", 4.1))]
    first, second = fault_outcomes(made_run(dies(back_s=6.25), windows, alarms), None)
    assert (first.detection_s, first.detected_as) == (pytest.approx(0.2), ("STALE",))
    assert first.recovery_s is None
    assert second.detection_s == pytest.approx(1.1)
    assert second.recovery_s == pytest.approx(0.25)


def test_a_fault_from_the_first_frame_on_is_timed_from_there() -> None:
    window = FaultWindow("thermal", "garbage-noise", 0.0, 2.0)
    alarm = [Transition("thermal", "INVALID", 0.1)]
    masks = [mask_record(n / 10 + 0.05, RGB if n < 23 else BOTH) for n in range(100)]
    (outcome,) = fault_outcomes(made_run(masks, [window], alarm), None)
    assert outcome.reaction_s == pytest.approx(0.05)
    assert outcome.detection_s == pytest.approx(0.1)
    assert outcome.recovery_s == pytest.approx(0.35)


def test_faults_outside_of_the_part_that_was_replayed_are_not_judged() -> None:
    windows = [
        FaultWindow("thermal", "off", 1.0, 3.0),
        FaultWindow("thermal", "moved", 4.0, 7.0),
        FaultWindow("rgb", "moved", 7.0, 9.0),
    ]
    masks = tuple(r for r in always_fused(20.0) if r.time_s > 5.0)
    run = dataclasses.replace(made_run(masks, windows, WELL), span_s=(5.0, 20.0))
    run.__dict__["records"] = masks
    begun_before, within = fault_outcomes(run, None)
    assert (begun_before.reaction_s, begun_before.detection_s) == (None, None)
    assert begun_before.masks == 20, "5.0 to 7.0 s"
    assert (within.reaction_s, within.detection_s) == (math.inf, math.inf)


def test_a_bag_without_masks_has_none_that_should_be_without_the_sensor() -> None:
    alone = [mask_record(n / 10 + 0.05, ("thermal",)) for n in range(20)]
    (outcome,) = fault_outcomes(made_run(alone, [FaultWindow("thermal", "off", 2, 10)]), None)
    assert outcome.reaction_s is None
    assert outcome.lost >= 79


def test_what_another_fault_costs_is_not_the_cost_after_this_one() -> None:
    well = made_run([mask_record(n / 10, overlap=counts(10)) for n in range(100)])
    worse = [mask_record(n / 10, overlap=counts(5)) for n in range(100)]
    windows = [OFF, FaultWindow("rgb", "off", 5.0, 7.0)]
    first, second = fault_outcomes(made_run(worse, windows, case="faults"), well)
    assert first.lost_after is None, "half of those 2 s are of rgb's fault"
    assert second.lost_after == pytest.approx(1.0 - 5 / 15)


def test_a_sensor_is_to_blame_for_a_false_alarm_though_it_fails_much_later() -> None:
    windows = [OFF, FaultWindow("rgb", "off", 8.0, 9.0)]
    states = [Transition("rgb", "INVALID", 3.0)]
    run = made_run(dies(), windows, states)
    assert fault_outcomes(run, None)[0].blamed == 1
    assert false_alarms(run) == 1


@pytest.mark.parametrize(
    ("heard", "said"), [([], None), ([Transition("thermal", "OK", 0.5)], math.inf)]
)
def test_a_sensor_of_which_nothing_was_heard_is_waited_for(
    heard: list[Transition], said: float | None
) -> None:
    """WAITING is no alarm, and all that can be said of a sensor that has not begun."""
    window = FaultWindow("thermal", "off" if not heard else "stuck", 0.0, 2.0)
    states = [*heard, Transition("thermal", "OK", 2.1)]
    (outcome,) = fault_outcomes(made_run(always_fused(), [window], states), None)
    assert outcome.detection_s == said


def test_silence_after_the_end_of_a_bag_is_no_false_alarm() -> None:
    run = made_run(always_fused(), (), [Transition("rgb", "STALE", 10.25)])
    assert false_alarms(run) == 0


def test_nothing_reacts_to_what_never_came() -> None:
    """One frame of the reference is kept back: its mask is lost, and no other one has to change."""
    window = FaultWindow("rgb", "off", 2.0, 2.1)
    records = [mask_record(n / 10 + 0.05) for n in range(100) if n != 20]
    (outcome,) = fault_outcomes(made_run(records, [window], case="faults"), None)
    assert (outcome.reaction_s, outcome.tainted) == (None, 0)


@pytest.mark.parametrize(
    ("start_s", "end_s", "lost"), [(2.0, 2.1, 1), (2.0, 2.3, 3), (0.0, 0.2, 2)]
)
def test_a_short_fault_has_lost_what_was_due_meanwhile(
    start_s: float, end_s: float, lost: int
) -> None:
    """The gap is a period longer than the fault in it: of one mask half was counted, so none."""
    window = FaultWindow("rgb", "off", start_s, end_s)
    times = [n / 10 + 0.05 for n in range(100)]
    records = [mask_record(t) for t in times if not start_s <= t < end_s]
    run = dataclasses.replace(made_run([], [window]), masks=len(records), reference="rgb")
    run = dataclasses.replace(run, begins_s=0.05)
    run.__dict__["records"] = records
    (outcome,) = fault_outcomes(run, None)
    assert outcome.lost == lost == masks_lost(run, 0.0, 10.0)
    assert masks_lost(run, end_s, 10.0) == masks_lost(run, 0.0, start_s) == 0
