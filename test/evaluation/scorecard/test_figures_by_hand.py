"""Every figure of one bag that was counted with paper and pencil."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from fixtures.scored_bags import made_run, mask_record

from anymodal_seg_ros.evaluation.scorecard.cases import FaultWindow
from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES, measure
from anymodal_seg_ros.evaluation.scorecard.figures.selection import Selection
from anymodal_seg_ros.evaluation.scorecard.report.tables import by_class
from anymodal_seg_ros.evaluation.scorecard.runs.records import Transition
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run

FAULT = FaultWindow("thermal", "off", 2.0, 4.0)
STATES = (
    Transition("thermal", "OK", 0.0),
    Transition("thermal", "STALE", 2.15),
    Transition("rgb", "SLOW", 3.0),
    Transition("rgb", "OK", 3.5),
    Transition("thermal", "OK", 4.5),
)


def counts(hits: int) -> np.ndarray:
    """Two classes of ten pixels; of the first so many are hit, of the second all."""
    return np.array([[hits, 10], [10, 10], [10, 10]], np.int64)


def records(ill: bool) -> list[Any]:
    """A hundred masks in ten seconds; in the ill run two are lost and the last has no label."""
    sure = np.zeros((3, 15), np.int64)
    sure[:, 13] = 10, 8, round(10 * 0.9 * 255)  # 80 % are right, and it is sure of 90 %
    found = []
    for number in range(100):
        if ill and number in (30, 31):
            continue
        time_s = number / 10
        hits = 10 if not ill else 5 if 2.0 <= time_s < 4.0 else 8 if 4.0 <= time_s < 6.0 else 10
        alone = ill and 22 <= number <= 44
        nobody = ill and number == 99
        found.append(
            mask_record(
                time_s,
                () if nobody else ("rgb",) if alone else ("rgb", "thermal"),
                votes={"rgb": 1.0} if alone else {"rgb": 0.6, "thermal": 0.4},
                overlap=None if nobody else counts(hits),
                boundary=None if nobody else counts(5),
                calibration=None if nobody else sure,
                kept=(3, 4),
                stable=(9, 10),
                wait_ms=20.0,
                network_ms=5.0,
                process_ms=8.0,
            )
        )
    return found


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    well = made_run(records(False))
    ill = made_run(records(True), [FAULT], STATES, case="faults")
    refused = dataclasses.replace(ill, superseded=4, rejected={"rgb": 1, "thermal": 2})
    refused.__dict__["records"] = ill.records
    return [well, refused]


HITS = 18 * 5 + 20 * 8 + 59 * 10
THERMAL = {"sensor": "thermal"}
BY_HAND: dict[str, tuple[float, dict[str, Any]]] = {
    "miou": ((HITS / (2 * 970 - HITS) + 1.0) / 2, {}),
    "boundary_iou": ((5 / 15 + 1.0) / 2, {}),
    "calibration_error": (0.1, {}),
    "temporal_consistency": (0.75, {}),
    "flicker": (0.1, {}),
    "masks": (98, {}),
    "masks_lost": (3, {}),  # 3.0 and 3.1 s, and the last, which has no label
    "unlabeled_masks": (1, {}),
    "superseded": (4, {}),
    "rejected": (3, {}),
    "false_alarms_per_hour": (360.0, {}),  # rgb at 3.0 s, in 10 s
    "rate_hz": (9.8, {}),
    "time_in_state": (0.235, {**THERMAL, "state": "STALE"}),
    "used": (76 / 98, THERMAL),
    "vote": (0.4, THERMAL),
    "wait_ms": (20.0, {}),
    "network_ms": (5.0, {}),
    "latency_ms": (28.0, {}),
    "load": (98 * 0.008 / 10, {}),
    "reaction_s": (0.2, {}),
    "detection_s": (0.15, {}),
    "recovery_s": (0.5, {}),
    "tainted_masks": (2, {}),  # 2.0 and 2.1 s
    "masks_lost_in_faults": (2, {}),
    "blamed": (1, {}),
    "miou_in_faults": ((5 / 15 + 1.0) / 2, {}),
    "miou_lost_during": (1.0 - (5 / 15 + 1.0) / 2, {}),
    "miou_lost_after": (1.0 - (8 / 12 + 1.0) / 2, {}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure(name: str, runs: list[Run]) -> None:
    expected, where = BY_HAND[name]
    assert measure(name, runs, Selection(**where)).value == pytest.approx(expected)


def test_damage_that_is_seen_is_detected_and_without_a_fault_it_is_a_false_alarm() -> None:
    masks = [mask_record(n / 10) for n in range(100)]
    states = [Transition("thermal", "DEGRADED", 2.5)]
    blurred = made_run(masks, [FAULT], states, case="faults")
    assert measure("detection_s", [blurred]).value == pytest.approx(0.5)
    assert measure("false_alarms_per_hour", [blurred]).value == 0.0
    assert measure("false_alarms_per_hour", [made_run(masks, (), states)]).value == 360.0
    where = Selection(sensor="thermal", state="alive")
    assert measure("time_in_state", [blurred], where).value == pytest.approx(0.75)


def test_models_with_other_classes_are_pooled_by_the_names_of_their_classes() -> None:
    def made(classes: tuple[str, ...], hits: list[int], seen: list[int], true: list[int]) -> Run:
        run = made_run([mask_record(0.0, overlap=np.array([hits, seen, true], np.int64))])
        changed = dataclasses.replace(run, classes=classes)
        changed.__dict__["records"] = run.records
        return changed

    runs = [
        made(("ground", "sky"), [4, 9], [10, 10], [10, 10]),
        made(("sky", "tree", "ground"), [1, 3, 2], [10, 5, 10], [10, 4, 10]),
    ]
    assert by_name(runs, "ground") == pytest.approx((4 + 2) / (20 + 20 - 6))
    assert by_name(runs, "sky") == pytest.approx((9 + 1) / (20 + 20 - 10))
    assert by_name(runs, "tree") == pytest.approx(3 / (5 + 4 - 3))
    assert by_name(runs, "") == pytest.approx((6 / 34 + 10 / 30 + 3 / 6) / 3)
    assert [row.where.class_name for row in by_class(runs)][:3] == ["ground", "sky", "tree"]


def by_name(runs: list[Run], name: str) -> float | None:
    return measure("miou", runs, Selection(class_name=name)).value
