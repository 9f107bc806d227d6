"""Every figure by name: what it means, and how it follows from chosen masks.

The formulas stand in docs/reference/figures.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from anymodal_seg_ros.evaluation.scorecard.cases import HEALTHY
from anymodal_seg_ros.evaluation.scorecard.fault_figures import (
    FaultOutcome,
    false_alarms,
    fault_outcomes,
    masks_lost,
)
from anymodal_seg_ros.evaluation.scorecard.pixels import (
    Counts,
    expected_calibration_error,
    iou,
    mean_iou,
)
from anymodal_seg_ros.evaluation.scorecard.records import MaskRecord, pooled
from anymodal_seg_ros.evaluation.scorecard.run_folder import Run
from anymodal_seg_ros.evaluation.scorecard.selection import Selection, is_kind, is_state

NO_GROUND_TRUTH = "no ground truth"
NO_MASKS = "no such masks"
NOT_MEASURED = "not measured"

STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda values: float(np.mean(values)),
    "median": lambda values: float(np.percentile(values, 50, method="higher")),
    "p95": lambda values: float(np.percentile(values, 95, method="higher")),
    "p99": lambda values: float(np.percentile(values, 99, method="higher")),
    "max": max,
    "min": min,
    "sum": lambda values: float(sum(values)),
}
"""How many values become one. Percentiles are values that occurred."""


@dataclass(frozen=True, slots=True)
class Value:
    """A figure.

    Attributes:
        value: None if it cannot be told; infinite if something never happened.
        reason: why it cannot be told; empty otherwise.
        count: how many values or masks it is made of.
    """

    value: float | None
    reason: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Figure:
    """A kind of figure.

    Attributes:
        name: as a gate calls it.
        unit: empty for shares and counts.
        better: ``higher`` or ``lower``.
        doc: what it is, in one line.
        measure: makes it of chosen runs.
        statistic: how several values become one, unless a gate says otherwise; empty where there
            is only one.
        deterministic: whether it is the same on every machine.
    """

    name: str
    unit: str
    better: str
    doc: str
    measure: Callable[[Figure, Sequence[Run], Selection, str], Value] = field(repr=False)
    statistic: str = ""
    deterministic: bool = True


def measure(
    name: str, runs: Sequence[Run], selection: Selection | None = None, statistic: str = ""
) -> Value:
    """Return a figure of the masks that are chosen of some runs.

    Args:
        name: a key of :data:`FIGURES`.
        runs: all runs of a scorecard.
        selection: which masks; None for all of the usual case.
        statistic: a key of :data:`STATISTICS`; empty for the figure's own.
    """
    figure = FIGURES[name]
    return figure.measure(figure, runs, selection or Selection(), statistic or figure.statistic)


def _of_counts(
    part: str, of: Callable[[Counts, Selection, Sequence[str]], float | None]
) -> Callable[[Figure, Sequence[Run], Selection, str], Value]:
    def figure(_: Figure, runs: Sequence[Run], selection: Selection, __: str) -> Value:
        chosen = selection.runs(runs)
        records = [record for run in chosen for record in selection.records(run)]
        if not records:
            return Value(None, NO_MASKS)
        counts = pooled(getattr(record, part) for record in records)
        if counts is None:
            labelled = any(record.overlap is not None for record in records)
            return Value(None, NOT_MEASURED if labelled else NO_GROUND_TRUTH)
        value = of(counts, selection, chosen[0].classes)
        known = sum(getattr(record, part) is not None for record in records)
        return Value(value, "" if value is not None else NO_GROUND_TRUTH, known)

    return figure


def _mean_or_class(counts: Counts, selection: Selection, classes: Sequence[str]) -> float | None:
    if not selection.class_name:
        return mean_iou(counts)
    if selection.class_name not in classes or mean_iou(counts) is None:
        return None
    value = float(iou(counts)[list(classes).index(selection.class_name)])
    return None if math.isnan(value) else value


def _of_masks(
    of: Callable[[MaskRecord, Selection], float | None],
) -> Callable[[Figure, Sequence[Run], Selection, str], Value]:
    """A figure with one value for every mask."""

    def figure(_: Figure, runs: Sequence[Run], selection: Selection, statistic: str) -> Value:
        records = [r for run in selection.runs(runs) for r in selection.records(run)]
        if not records:
            return Value(None, NO_MASKS)
        values = [value for r in records if (value := of(r, selection)) is not None]
        if not values:
            return Value(None, NOT_MEASURED)
        return Value(STATISTICS[statistic](values), count=len(values))

    return figure


def _of_pairs(part: str, rest: bool) -> Callable[[Figure, Sequence[Run], Selection, str], Value]:
    """A share of pixels: the first of two counts, or what is left to the second."""

    def figure(_: Figure, runs: Sequence[Run], selection: Selection, __: str) -> Value:
        records = [r for run in selection.runs(runs) for r in selection.records(run)]
        if not records:
            return Value(None, NO_MASKS)
        pairs = [pair for record in records if (pair := getattr(record, part)) is not None]
        total = sum(pair[1] for pair in pairs)
        if not total:
            return Value(None, NO_GROUND_TRUTH if part == "stable" else NOT_MEASURED)
        share = sum(pair[0] for pair in pairs) / total
        return Value(1.0 - share if rest else share, count=len(pairs))

    return figure


def _of_runs(
    of: Callable[[Run, Selection], float], per: str = "sum"
) -> Callable[[Figure, Sequence[Run], Selection, str], Value]:
    """A figure with one value for every run; ``per`` says how runs are put together."""

    def figure(_: Figure, runs: Sequence[Run], selection: Selection, __: str) -> Value:
        chosen = selection.runs(runs)
        if not chosen:
            return Value(None, NO_MASKS)
        total = sum(of(run, selection) for run in chosen)
        if per == "sum":
            return Value(total, count=len(chosen))
        seconds = sum(_seconds(run, selection) for run in chosen)
        if seconds <= 0.0:
            return Value(None, NO_MASKS)
        return Value(total / seconds * (3600.0 if per == "hour" else 1.0), count=len(chosen))

    return figure


def _span(run: Run, selection: Selection) -> tuple[float, float]:
    start, end = run.span_s
    if selection.window:
        start, end = max(start, selection.window[0]), min(end, selection.window[1])
    return start, max(start, end)


def _seconds(run: Run, selection: Selection) -> float:
    start, end = _span(run, selection)
    return end - start


def _time_in_state(run: Run, selection: Selection) -> float:
    """Seconds that the chosen sensor spent in the chosen state."""
    start, end = _span(run, selection)
    own = [t for t in run.every_transition() if t.sensor == selection.sensor]
    times = [0.0, *(t.time_s for t in own), max(end, run.span_s[1])]
    states = ["WAITING", *(t.state for t in own)]
    total = 0.0
    for (begin, stop), state in zip(itertools.pairwise(times), states, strict=True):
        if is_state(state, selection.state):
            total += max(0.0, min(stop, end) - max(begin, start))
    return total


def _used(record: MaskRecord, selection: Selection) -> float:
    return float(selection.sensor in record.sensors)


def _vote(record: MaskRecord, selection: Selection) -> float | None:
    return record.votes.get(selection.sensor)


def outcomes(runs: Sequence[Run], selection: Selection) -> Iterator[tuple[Run, FaultOutcome]]:
    """Yield what the chosen faults did, of all cases that have any."""
    for run in runs:
        if (
            selection.bag not in ("", run.bag)
            or selection.condition not in ("", run.condition)
            or selection.case not in ("", "all", run.case)
        ):
            continue
        well = next((r for r in runs if r.bag == run.bag and r.case == HEALTHY), None)
        for outcome in fault_outcomes(run, None if well is run else well):
            window = outcome.window
            if selection.fault and not is_kind(window.label, selection.fault):
                continue
            if selection.sensor in ("", window.sensor):
                yield run, outcome


def _of_faults(part: str) -> Callable[[Figure, Sequence[Run], Selection, str], Value]:
    """A figure with one value for every fault of one sensor."""

    def figure(_: Figure, runs: Sequence[Run], selection: Selection, statistic: str) -> Value:
        found = [outcome for _, outcome in outcomes(runs, selection)]
        if not found:
            return Value(None, "no such fault")
        values = [value for o in found if (value := getattr(o, part)) is not None]
        if not values:
            labelled = any(o.miou is not None for o in found)
            needs = part.startswith(("miou", "lost_")) and not labelled
            return Value(None, NO_GROUND_TRUTH if needs else NOT_MEASURED)
        return Value(STATISTICS[statistic](values), count=len(values))

    return figure


def _ece(counts: Counts, _: Selection, __: Sequence[str]) -> float | None:
    return expected_calibration_error(counts)


_ALL = (
    Figure(
        "miou",
        "",
        "higher",
        "Mean IoU over classes, pixels of all masks pooled",
        _of_counts("overlap", _mean_or_class),
    ),
    Figure(
        "boundary_iou",
        "",
        "higher",
        "The same over the pixels along boundaries",
        _of_counts("boundary", _mean_or_class),
    ),
    Figure(
        "calibration_error",
        "",
        "lower",
        "Expected calibration error, 15 bins",
        _of_counts("calibration", _ece),
    ),
    Figure(
        "temporal_consistency",
        "",
        "higher",
        "Share of pixels with the class of the mask before",
        _of_pairs("kept", False),
    ),
    Figure(
        "flicker",
        "",
        "lower",
        "Share of changed pixels among those whose label stayed",
        _of_pairs("stable", True),
    ),
    Figure(
        "masks",
        "",
        "higher",
        "Masks",
        _of_runs(lambda run, chosen: float(sum(1 for _ in chosen.records(run)))),
    ),
    Figure(
        "masks_lost",
        "",
        "lower",
        "Masks that a steady reference would have had",
        _of_runs(lambda run, chosen: float(masks_lost(run, *_span(run, chosen)))),
    ),
    Figure(
        "unlabeled_masks",
        "",
        "lower",
        "Masks without any label, for want of sensors",
        _of_runs(lambda run, chosen: float(sum(not r.sensors for r in chosen.records(run)))),
    ),
    Figure(
        "superseded",
        "",
        "lower",
        "Frame sets dropped for newer ones",
        _of_runs(lambda run, _: float(run.superseded)),
    ),
    Figure(
        "rejected",
        "",
        "lower",
        "Messages that were rejected",
        _of_runs(
            lambda run, chosen: float(
                sum(n for s, n in run.rejected.items() if chosen.sensor in ("", s))
            )
        ),
    ),
    Figure(
        "false_alarms_per_hour",
        "1/h",
        "lower",
        "Alarms of sensors that had no fault",
        _of_runs(lambda run, chosen: float(false_alarms(run, chosen.sensor)), "hour"),
    ),
    Figure(
        "rate_hz",
        "Hz",
        "higher",
        "Masks per second of the bag",
        _of_runs(lambda run, chosen: float(sum(1 for _ in chosen.records(run))), "second"),
    ),
    Figure(
        "time_in_state",
        "",
        "higher",
        "Share of the time that a sensor spent in a state",
        _of_runs(_time_in_state, "second"),
    ),
    Figure(
        "used",
        "",
        "higher",
        "Share of the masks in which a sensor was fused",
        _of_masks(_used),
        "mean",
    ),
    Figure(
        "vote",
        "",
        "higher",
        "Share of a sensor in the masks in which it was fused",
        _of_masks(_vote),
        "mean",
    ),
    Figure(
        "wait_ms",
        "ms",
        "lower",
        "From the reference's arrival until its mask is due",
        _of_masks(lambda record, _: record.wait_ms),
        "p95",
    ),
    Figure(
        "network_ms",
        "ms",
        "lower",
        "In the engine, measured",
        _of_masks(lambda record, _: record.network_ms),
        "median",
        False,
    ),
    Figure(
        "latency_ms",
        "ms",
        "lower",
        "From the reference's arrival to the mask, measured",
        _of_masks(lambda record, _: record.latency_ms),
        "p95",
        False,
    ),
    Figure(
        "load",
        "",
        "lower",
        "Processing time per second of the bag, measured",
        _of_runs(
            lambda run, chosen: sum(r.process_ms for r in chosen.records(run)) / 1e3, "second"
        ),
        deterministic=False,
    ),
    Figure(
        "reaction_s",
        "s",
        "lower",
        "From a fault to the first mask without its sensor",
        _of_faults("reaction_s"),
        "max",
    ),
    Figure(
        "detection_s",
        "s",
        "lower",
        "From a fault to the first alarm of its sensor",
        _of_faults("detection_s"),
        "max",
    ),
    Figure(
        "recovery_s",
        "s",
        "lower",
        "From the end of a fault to the first mask with its sensor",
        _of_faults("recovery_s"),
        "max",
    ),
    Figure(
        "tainted_masks",
        "",
        "lower",
        "Masks made with what a faulty sensor sent",
        _of_faults("tainted"),
        "max",
    ),
    Figure(
        "masks_lost_in_faults",
        "",
        "lower",
        "Masks lost while faults last",
        _of_faults("lost"),
        "sum",
    ),
    Figure(
        "blamed",
        "",
        "lower",
        "Alarms of others while a sensor has a fault",
        _of_faults("blamed"),
        "sum",
    ),
    Figure("miou_in_faults", "", "higher", "mIoU while a fault lasts", _of_faults("miou"), "min"),
    Figure(
        "miou_lost_during",
        "",
        "lower",
        "mIoU that a fault costs while it lasts",
        _of_faults("lost_during"),
        "max",
    ),
    Figure(
        "miou_lost_after",
        "",
        "lower",
        "mIoU that a fault costs in the 2 s after it",
        _of_faults("lost_after"),
        "max",
    ),
)

FIGURES = {figure.name: figure for figure in _ALL}
"""Every figure by name."""
