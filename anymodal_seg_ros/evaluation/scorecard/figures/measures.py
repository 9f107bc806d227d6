"""How figures follow from chosen masks: by pooling pixels, over masks, over runs, over faults."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from anymodal_seg_ros.evaluation.scorecard.cases import HEALTHY
from anymodal_seg_ros.evaluation.scorecard.figures.fault_figures import (
    FaultOutcome,
    false_alarms,
    fault_outcomes,
    masks_lost,
)
from anymodal_seg_ros.evaluation.scorecard.figures.selection import Selection, is_kind, is_state
from anymodal_seg_ros.evaluation.scorecard.runs.pixels import (
    Counts,
    expected_calibration_error,
    iou,
    mean_iou,
)
from anymodal_seg_ros.evaluation.scorecard.runs.records import MaskRecord, pooled
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run

NO_GROUND_TRUTH = "no ground truth"
NO_MASKS = "no such masks"
NOT_MEASURED = "not measured"
NO_SUCH_PIXELS = "the class is in no label and in no mask"
NO_SUCCESSION = "no two labels in a row"

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


Measure = Callable[["Figure", Sequence[Run], Selection, str], "Value"]
"""Makes a figure of all runs of a scorecard, a choice of masks, and the name of a statistic."""


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
        ignores: keys of a selection that change nothing of it.
        of_sensor: whether a sensor alone, without a state or a fault, chooses something.
    """

    name: str
    unit: str
    better: str
    doc: str
    measure: Measure = field(repr=False)
    statistic: str = ""
    deterministic: bool = True
    ignores: tuple[str, ...] = ("class_name",)
    of_sensor: bool = False


_BY_CLASS = ("overlap", "boundary")
"""Counts that have a column for every class of the model."""


def _by_name(counts: Counts | None, own: Sequence[str], classes: Sequence[str]) -> Counts | None:
    """Move the columns of a model's own classes to where several models' classes have them."""
    if counts is None or list(own) == list(classes):
        return counts
    moved = np.zeros((len(counts), len(classes)), np.int64)
    moved[:, [classes.index(name) for name in own]] = counts
    return moved


def of_counts(part: str, of: Callable[[Counts, Selection, Sequence[str]], float | None]) -> Measure:
    """A figure of pixels: counts of all chosen masks are pooled, then made into one value."""

    def figure(_: Figure, runs: Sequence[Run], selection: Selection, __: str) -> Value:
        chosen = selection.runs(runs)
        pools = [_pool(run, dataclasses.replace(selection, class_name=""), part) for run in chosen]
        if not any(pool.masks for pool in pools):
            return Value(None, NO_MASKS)
        classes = list(dict.fromkeys(name for run in chosen for name in run.classes))
        found = [pool.counts for pool in pools]
        if part in _BY_CLASS:
            found = [_by_name(c, r.classes, classes) for c, r in zip(found, chosen, strict=True)]
        counts = pooled(found)
        if counts is None:
            labelled = any(pool.labelled for pool in pools)
            return Value(None, NOT_MEASURED if labelled else NO_GROUND_TRUTH)
        value = of(counts, selection, classes)
        known = sum(pool.known for pool in pools)
        return Value(value, "" if value is not None else _why_none(counts, selection), known)

    return figure


def _why_none(counts: Counts, selection: Selection) -> str:
    """Say why counts of pixels make no figure."""
    labelled = mean_iou(counts) is not None
    return NO_SUCH_PIXELS if selection.class_name and labelled else NO_GROUND_TRUTH


@dataclass(frozen=True, slots=True)
class _Pool:
    """Counts of the chosen masks of a run, of how many, and of how many with labels."""

    counts: Counts | None
    masks: int
    known: int
    labelled: int


def _pool(run: Run, selection: Selection, part: str) -> _Pool:
    """Add up counts once for all classes: whoever asks for one asks for the others next."""
    key = (selection, part)
    if key not in run.pools:
        masks = known = labelled = 0
        counts: Counts | None = None
        for record in selection.records(run):
            own = getattr(record, part)
            masks += 1
            known += own is not None
            labelled += record.overlap is not None
            if own is not None:
                counts = own.astype(np.int64) if counts is None else counts + own
        run.pools[key] = _Pool(counts, masks, known, labelled)
    found: _Pool = run.pools[key]
    return found


def mean_or_class(counts: Counts, selection: Selection, classes: Sequence[str]) -> float | None:
    """Return the mean IoU, or that of the chosen class; None without ground truth."""
    if not selection.class_name:
        return mean_iou(counts)
    if selection.class_name not in classes or mean_iou(counts) is None:
        return None
    value = float(iou(counts)[list(classes).index(selection.class_name)])
    return None if math.isnan(value) else value


def of_masks(
    of: Callable[[MaskRecord, Selection], float | None],
) -> Measure:
    """A figure with one value for every mask."""

    def figure(_: Figure, runs: Sequence[Run], selection: Selection, statistic: str) -> Value:
        found = [of(r, selection) for run in selection.runs(runs) for r in selection.records(run)]
        if not found:
            return Value(None, NO_MASKS)
        values = [value for value in found if value is not None]
        if not values:
            return Value(None, NOT_MEASURED)
        return Value(STATISTICS[statistic](values), count=len(values))

    return figure


def of_pairs(part: str, rest: bool) -> Measure:
    """A share of pixels: the first of two counts, or what is left to the second."""

    def figure(_: Figure, runs: Sequence[Run], selection: Selection, __: str) -> Value:
        chosen = selection.runs(runs)
        found = [getattr(record, part) for run in chosen for record in selection.records(run)]
        if not found:
            return Value(None, NO_MASKS)
        pairs = [pair for pair in found if pair is not None]
        total = sum(pair[1] for pair in pairs)
        if not total and part == "stable":
            records = (record for run in chosen for record in selection.records(run))
            labelled = any(record.overlap is not None for record in records)
            return Value(None, NO_SUCCESSION if labelled else NO_GROUND_TRUTH)
        if not total:
            return Value(None, NOT_MEASURED)
        share = sum(pair[0] for pair in pairs) / total
        return Value(1.0 - share if rest else share, count=len(pairs))

    return figure


def of_runs(
    of: Callable[[Run, Selection], float], per: str = "sum", *, alone: bool = True
) -> Measure:
    """A figure with one value for every run.

    Args:
        of: makes it of what is chosen of a run, see :func:`spans_of`.
        per: how runs are put together: ``sum``, or per ``second`` or ``hour`` of what is chosen.
        alone: whether a subset chooses the runs in which only these sensors took part: time has no
            subset, only masks have.
    """

    def figure(_: Figure, runs: Sequence[Run], selection: Selection, __: str) -> Value:
        chosen = [run for run in selection.runs(runs) if _reaches(run, selection)]
        if alone and selection.subset:
            chosen = [run for run in chosen if set(run.sensors) == selection.sensors]
        if not chosen:
            return Value(None, NO_MASKS)
        total = sum(of(run, selection) for run in chosen)
        if per == "sum":
            return Value(total, count=len(chosen))
        seconds = sum(end - start for run in chosen for start, end in spans_of(run, selection))
        if seconds <= 0.0:
            return Value(None, NO_MASKS)
        return Value(total / seconds * (3600.0 if per == "hour" else 1.0), count=len(chosen))

    return figure


def spans_of(run: Run, selection: Selection) -> list[tuple[float, float]]:
    """Return what is looked at of a run: from when to when, in seconds after the start of the bag.

    That is all of it, or what of it lies in the window, or in one of the chosen faults.
    """
    start, end = run.span_s
    if selection.window:
        start, end = max(start, selection.window[0]), min(end, selection.window[1])
    if not selection.fault:
        return [(start, max(start, end))]
    spans: list[tuple[float, float]] = []
    for window in filter(selection.is_fault, run.windows):  # in the order of their beginnings
        begin, stop = max(start, window.start_s), min(end, window.end_s)
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], stop))
        elif begin < stop:
            spans.append((begin, stop))
    return spans


def _reaches(run: Run, selection: Selection) -> bool:
    """Whether anything of a run lies in the chosen window, and in the chosen faults."""
    start, end = run.span_s
    if selection.fault:
        return bool(spans_of(run, selection))
    return not selection.window or (selection.window[0] <= end and start < selection.window[1])


def lost(run: Run, selection: Selection) -> float:
    """Masks that were lost."""
    return float(sum(masks_lost(run, *span) for span in spans_of(run, selection)))


def unlabeled(run: Run, selection: Selection) -> float:
    """Masks without any label; no sensor made them, so a subset chooses none of them, but runs."""
    everyone = dataclasses.replace(selection, subset="")
    return float(sum(not record.sensors for record in everyone.records(run)))


def alarms(run: Run, selection: Selection) -> float:
    """False alarms; while a fault lasts, of all sensors, for the chosen one is the faulty one."""
    if not selection.fault:
        return float(false_alarms(run, selection.sensor, selection.window))
    return float(sum(false_alarms(run, "", span) for span in spans_of(run, selection)))


def time_in_state(run: Run, selection: Selection) -> float:
    """Seconds that the chosen sensor spent in the chosen state."""
    own = [t for t in run.every_transition() if t.sensor == selection.sensor]
    times = [0.0, *(t.time_s for t in own), math.inf]
    states = ["WAITING", *(t.state for t in own)]
    return sum(
        max(0.0, min(stop, end) - max(begin, start))
        for (begin, stop), state in zip(itertools.pairwise(times), states, strict=True)
        if is_state(state, selection.state)
        for start, end in spans_of(run, selection)
    )


def used(record: MaskRecord, selection: Selection) -> float:
    """Return 1 if the chosen sensor was fused, else 0."""
    return float(selection.sensor in record.sensors)


def vote(record: MaskRecord, selection: Selection) -> float | None:
    """Return the share of the chosen sensor; None if it has none."""
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


def of_faults(part: str) -> Measure:
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


def ece(counts: Counts, _: Selection, __: Sequence[str]) -> float | None:
    """Return the expected calibration error; the choice has been made before."""
    return expected_calibration_error(counts)
