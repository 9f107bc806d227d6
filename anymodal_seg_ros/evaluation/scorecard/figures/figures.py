"""Every figure by name, with what it means.

The formulas stand in docs/reference/figures.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from anymodal_seg_ros.evaluation.scorecard.figures.measures import (
    Figure,
    Value,
    alarms,
    ece,
    lost,
    mean_or_class,
    of_counts,
    of_faults,
    of_masks,
    of_pairs,
    of_runs,
    time_in_state,
    unlabeled,
    used,
    vote,
)
from anymodal_seg_ros.evaluation.scorecard.figures.selection import Selection
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run


def _of_faults(
    name: str, part: str, doc: str, statistic: str, *, unit: str = "", better: str = "lower"
) -> Figure:
    ignores = ("class_name", "state", "subset", "window")
    measure = of_faults(part)
    return Figure(name, unit, better, doc, measure, statistic, ignores=ignores, of_sensor=True)


_ALL = (
    Figure(
        "miou",
        "",
        "higher",
        "Mean IoU over classes, pixels of all masks pooled",
        of_counts("overlap", mean_or_class),
        ignores=(),
    ),
    Figure(
        "boundary_iou",
        "",
        "higher",
        "The same over the pixels along boundaries",
        of_counts("boundary", mean_or_class),
        ignores=(),
    ),
    Figure(
        "calibration_error",
        "",
        "lower",
        "Expected calibration error, 15 bins",
        of_counts("calibration", ece),
    ),
    Figure(
        "temporal_consistency",
        "",
        "higher",
        "Share of pixels with the class of the mask before",
        of_pairs("kept", False),
    ),
    Figure(
        "flicker",
        "",
        "lower",
        "Share of changed pixels among those whose label stayed",
        of_pairs("stable", True),
    ),
    Figure(
        "masks",
        "",
        "higher",
        "Masks",
        of_runs(lambda run, chosen: float(sum(1 for _ in chosen.records(run))), alone=False),
    ),
    Figure(
        "masks_lost",
        "",
        "lower",
        "Masks that a steady reference would have had",
        of_runs(lost),
        ignores=("class_name", "state"),
    ),
    Figure(
        "unlabeled_masks",
        "",
        "lower",
        "Masks without any label, for want of sensors",
        of_runs(unlabeled),
    ),
    Figure(
        "superseded",
        "",
        "lower",
        "Frame sets dropped for newer ones",
        of_runs(lambda run, _: float(run.superseded)),
        ignores=("class_name", "state", "window", "fault"),
    ),
    Figure(
        "rejected",
        "",
        "lower",
        "Messages that were rejected",
        of_runs(
            lambda run, chosen: float(
                sum(n for s, n in run.rejected.items() if chosen.sensor in ("", s))
            )
        ),
        ignores=("class_name", "state", "window", "fault"),
        of_sensor=True,
    ),
    Figure(
        "false_alarms_per_hour",
        "1/h",
        "lower",
        "Alarms of sensors that had no fault",
        of_runs(alarms, "hour"),
        ignores=("class_name", "state"),
        of_sensor=True,
    ),
    Figure(
        "rate_hz",
        "Hz",
        "higher",
        "Masks per second of the bag",
        of_runs(lambda run, chosen: float(sum(1 for _ in chosen.records(run))), "second"),
        ignores=("class_name", "state"),
    ),
    Figure(
        "time_in_state",
        "",
        "higher",
        "Share of the time that a sensor spent in a state",
        of_runs(time_in_state, "second"),
        of_sensor=True,
    ),
    Figure(
        "used",
        "",
        "higher",
        "Share of the masks in which a sensor was fused",
        of_masks(used),
        "mean",
        of_sensor=True,
    ),
    Figure(
        "vote",
        "",
        "higher",
        "Share of a sensor in the masks in which it was fused",
        of_masks(vote),
        "mean",
        of_sensor=True,
    ),
    Figure(
        "wait_ms",
        "ms",
        "lower",
        "From the reference's arrival until its mask is due",
        of_masks(lambda record, _: record.wait_ms),
        "p95",
    ),
    Figure(
        "network_ms",
        "ms",
        "lower",
        "In the engine, measured",
        of_masks(lambda record, _: record.network_ms),
        "median",
        False,
    ),
    Figure(
        "latency_ms",
        "ms",
        "lower",
        "From the reference's arrival to the mask, measured",
        of_masks(lambda record, _: record.latency_ms),
        "p95",
        False,
    ),
    Figure(
        "load",
        "",
        "lower",
        "Processing time per second of the bag, measured",
        of_runs(lambda run, chosen: sum(r.process_ms for r in chosen.records(run)) / 1e3, "second"),
        deterministic=False,
        ignores=("class_name", "state"),
    ),
    _of_faults(
        "reaction_s",
        "reaction_s",
        "From a fault to the first mask without its sensor",
        "max",
        unit="s",
    ),
    _of_faults(
        "detection_s",
        "detection_s",
        "From a fault to the first alarm of its sensor",
        "max",
        unit="s",
    ),
    _of_faults(
        "recovery_s",
        "recovery_s",
        "From the end of a fault to the first mask with its sensor",
        "max",
        unit="s",
    ),
    _of_faults("tainted_masks", "tainted", "Masks made with what a faulty sensor sent", "max"),
    _of_faults("masks_lost_in_faults", "lost", "Masks lost while faults last", "sum"),
    _of_faults("blamed", "blamed", "Alarms of others while a sensor has a fault", "sum"),
    _of_faults("miou_in_faults", "miou", "mIoU while a fault lasts", "min", better="higher"),
    _of_faults("miou_lost_during", "lost_during", "mIoU that a fault costs while it lasts", "max"),
    _of_faults(
        "miou_lost_after", "lost_after", "mIoU that a fault costs in the 2 s after it", "max"
    ),
)

FIGURES = {figure.name: figure for figure in _ALL}
"""Every figure by name."""


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
    where = selection or Selection()
    if unknown := where.unheard_of(runs):
        return Value(None, unknown)
    return figure.measure(figure, runs, where, statistic or figure.statistic)
