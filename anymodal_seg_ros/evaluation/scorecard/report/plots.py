"""The figures of the report as SVG, drawn without a display."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Canvas

from anymodal_seg_ros.evaluation.scorecard.figures.fault_figures import FaultOutcome
from anymodal_seg_ros.evaluation.scorecard.figures.figures import measure
from anymodal_seg_ros.evaluation.scorecard.figures.selection import Selection
from anymodal_seg_ros.evaluation.scorecard.runs.pixels import mean_iou
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run
from anymodal_seg_ros.foreign_text import quote

STATE_COLORS = {
    "OK": "#4c9f70",
    "DOUBTFUL": "#2a9d8f",
    "DEGRADED": "#c9b458",
    "SLOW": "#a3b18a",
    "LATE": "#f2c14e",
    "STALE": "#f78154",
    "FAILED": "#b4436c",
    "FROZEN": "#5c80bc",
    "INVALID": "#7a5195",
    "CLOCK": "#8d6e63",
    "WAITING": "#d9d9d9",
    "DISABLED": "#9e9e9e",
}
"""Of the bands in a timeline."""

_MOST_POINTS = 3000
_FEW_MASKS = 20
_LABEL_SHARE = 0.15
"""Of the length of a run: faults that begin so soon after another are named a line lower."""
_OTHER_STATE = "#303030"
_FAULT, _SCORE = "#c1121f", "#264653"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: smaller, and it can be searched
    "svg.hashsalt": "anymodal_seg_ros",  # the same run gives the same file
    "font.size": 9.0,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a sensor may have a dollar in its name
}


def _svg(canvas: Canvas) -> str:
    """Return a drawing as an SVG element, without what stands before it."""
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _label(name: str) -> str:
    """Return a name that fits beside an axis; matplotlib hides labels that begin with ``_``."""
    return quote(name, 24).lstrip("_") or "?"


def subset_heat_map(runs: Sequence[Run], subsets: Sequence[str]) -> str:
    """Draw the IoU of every class for every subset, with the mean in front.

    In brackets is of how many masks a row is made: of some subsets there are only those of a
    drive's first instants.
    """
    classes = dict.fromkeys(name for run in runs for name in run.classes)
    counts = [measure("miou", runs, Selection(subset=subset)).count for subset in subsets]
    cells = np.full((len(subsets), len(classes) + 1), np.nan)
    for row, subset in enumerate(subsets):
        for column, name in enumerate(("", *classes)):
            value = measure("miou", runs, Selection(subset=subset, class_name=name)).value
            cells[row, column] = np.nan if value is None else value
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(2.5 + 0.5 * cells.shape[1], 1.4 + 0.3 * len(subsets)))
        axes = canvas.subplots()
        axes.imshow(cells, cmap="YlGn", vmin=0.0, vmax=1.0, aspect="auto")
        axes.set_xticks(
            range(cells.shape[1]), ("mean", *map(_label, classes)), rotation=40, ha="right"
        )
        named = [f"{quote(s)} ({count})" for s, count in zip(subsets, counts, strict=True)]
        axes.set_yticks(range(len(subsets)), named)
        for row, column in np.ndindex(cells.shape):
            value = cells[row, column]
            if not math.isnan(value):
                color = "white" if value > 0.7 else "black"
                axes.text(
                    column,
                    row,
                    f"{value:.2f}",
                    ha="center",
                    va="center",
                    color=color,
                    fontsize=7,
                    weight="bold" if column == 0 else "normal",
                )
        axes.axvline(0.5, color="white", linewidth=3)
        canvas.tight_layout()
        return _svg(canvas)


def run_timeline(run: Run) -> str:
    """Draw the mIoU over time, the states of the sensors and their votes under it."""
    times = [record.time_s for record in run.records]
    voted = any(record.votes for record in run.records)
    heights = [2.0, 0.32 * len(run.sensors) + 0.2, *([1.3] if voted else [])]
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(10.0, 0.9 + sum(heights)))
        rows = canvas.subplots(
            len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights}, squeeze=False
        )[:, 0]
        _draw_scores(rows[0], run, times)
        _draw_states(rows[1], run)
        if voted:
            _draw_votes(rows[2], run, times)
        rows[-1].set_xlabel("s after the start of the bag")
        if run.seconds:  # one instant has no axis
            rows[-1].set_xlim(*run.span_s)
        canvas.tight_layout()
        return _svg(canvas)


def score_of(run: Run) -> str:
    """Return what a timeline draws of every mask, in words."""
    labelled = any(r.overlap is not None and mean_iou(r.overlap) is not None for r in run.records)
    return "mIoU" if labelled else "share of pixels kept"


def masks_drawn(run: Run) -> str:
    """Return of which masks a timeline draws a score, in words."""
    labelled = [record.overlap is not None for record in run.records]
    return "every mask" if all(labelled) or not any(labelled) else "every mask with a label"


def _draw_scores(axes: Any, run: Run, times: Sequence[float]) -> None:
    known = [None if r.overlap is None else mean_iou(r.overlap) for r in run.records]
    scores = [np.nan if score is None else score for score in known]
    label = f"{score_of(run)} of a mask"
    if all(math.isnan(score) for score in scores):
        label = f"{score_of(run)}\n(no ground truth)"
        scores = [r.kept[0] / r.kept[1] if r.kept and r.kept[1] else np.nan for r in run.records]
    shown, drawn = thinned(times, scores)
    axes.plot(shown, drawn, color=_SCORE, linewidth=1.0)
    alone = _alone(drawn) if len(drawn) >= _FEW_MASKS else np.isfinite(drawn)
    axes.plot(np.asarray(shown)[alone], np.asarray(drawn)[alone], ".", color=_SCORE)
    if not np.isfinite(drawn).any():  # a single mask has no other to be compared with
        axes.set_ylim(0.0, 1.0)
    axes.set_ylabel(label)
    starts: list[float] = []
    for window in run.windows:
        near = [start for start in starts if window.start_s - start < _LABEL_SHARE * run.seconds]
        starts.append(window.start_s)
        axes.axvspan(window.start_s, window.end_s, color=_FAULT, alpha=0.10)
        late = window.start_s - run.span_s[0] > 0.75 * run.seconds
        axes.text(
            min(window.end_s, run.span_s[1]) if late else window.start_s,
            1.0 - 0.09 * (len(near) % 8),
            f" {_label(window.sensor)}: {window.label} ",
            color=_FAULT,
            ha="right" if late else "left",
            transform=axes.get_xaxis_transform(),
            va="top",
            fontsize=8,
        )


def _alone(scores: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Mark the scores that no line leads to: labels of some pictures leave gaps around each."""
    known = np.isfinite(np.pad(np.asarray(scores, float), 1, constant_values=np.nan))
    return np.asarray(known[1:-1] & ~known[:-2] & ~known[2:], np.bool_)


def thinned(*columns: Sequence[float] | npt.NDArray[np.float64]) -> list[Any]:
    """Return means over equal stretches, so that a page can show hours; a gap stays a gap.

    A stretch has the mean of what is known in it: of most masks there may be no label.
    """
    stretch = -(-len(columns[0]) // _MOST_POINTS)
    if stretch <= 1:
        return list(columns)
    starts = np.arange(0, len(columns[0]), stretch)
    return [_mean_of_known(np.asarray(column, float), starts) for column in columns]


def _mean_of_known(values: npt.NDArray[np.float64], starts: Any) -> npt.NDArray[np.float64]:
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts)
    counts = np.add.reduceat(known.astype(float), starts)
    found = np.full(len(starts), np.nan)
    np.divide(sums, counts, out=found, where=counts > 0)
    return found


def _table(rows: Iterable[tuple[float, ...]], width: int) -> npt.NDArray[np.float64]:
    """Return rows as float64 ``[N, width]``; never as objects, of which an hour has a million."""
    return np.fromiter(rows, np.dtype((np.float64, width)))


def _draw_states(axes: Any, run: Run) -> None:
    drawn: set[str] = set()
    for place, sensor in enumerate(run.sensors):
        own = [t for t in run.every_transition() if t.sensor == sensor]
        times = [run.span_s[0], *(t.time_s for t in own), run.span_s[1]]
        states = ["WAITING", *(t.state for t in own)]
        for (begin, end), state in zip(itertools.pairwise(times), states, strict=True):
            if end > begin:
                color = STATE_COLORS.get(state, _OTHER_STATE)
                axes.broken_barh(
                    [(begin, end - begin)],
                    (place - 0.4, 0.8),
                    color=color,
                    label="_" if state in drawn else state,
                )
                drawn.add(state)
    axes.set_yticks(range(len(run.sensors)), [_label(name) for name in run.sensors])
    axes.invert_yaxis()
    if drawn:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.1), frameon=False, fontsize=8)


def _draw_votes(axes: Any, run: Run, times: Sequence[float]) -> None:
    rows = (tuple(record.votes.get(name, 0.0) for name in run.sensors) for record in run.records)
    shown, *shares = thinned(times, *_table(rows, len(run.sensors)).T)
    if len(shown) == 1:  # an area begins with the second point
        shown = [*shown, max(run.span_s[1], shown[0] + 1e-3)]
        shares = [[*share, *share] for share in shares]
    axes.stackplot(shown, shares, labels=[_label(name) for name in run.sensors], alpha=0.85)
    axes.set_ylim(0.0, 1.0)
    axes.set_ylabel("votes")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.1), frameon=False, fontsize=8)


def latency_histogram(runs: Sequence[Run]) -> str:
    """Draw how long masks took: waiting on the bag's clock, processing as measured here."""
    records = (record for run in runs for record in run.records)
    latencies = _table(((r.wait_ms, r.process_ms, r.latency_ms) for r in records), 3)
    waiting, processing, both = latencies.T
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(7.0, 2.4))
        axes = canvas.subplots()
        edges = np.linspace(0.0, max(1.0, both.max(initial=1.0)), 41)
        for label, values in (
            ("waiting for the other sensors", waiting),
            ("processing, measured on this machine", processing),
            ("both", both),
        ):
            axes.hist(values, bins=edges.tolist(), histtype="step", linewidth=1.3, label=label)
        axes.set_xlabel("ms")
        axes.set_ylabel("masks")
        axes.legend(frameon=False, fontsize=8)
        canvas.tight_layout()
        return _svg(canvas)


def detection_delays(outcomes: Sequence[FaultOutcome]) -> str:
    """Draw the distribution of detection delays, one row for each kind of fault."""
    labels = list(dict.fromkeys(outcome.window.label for outcome in outcomes))
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(7.0, 1.0 + 0.26 * len(labels)))
        axes = canvas.subplots()
        known = [o.detection_s for o in outcomes if o.detection_s is not None]
        right = 1.15 * max((v for v in known if math.isfinite(v)), default=1.0)
        for row, label in enumerate(labels):
            own = [o.detection_s for o in outcomes if o.window.label == label]
            seen = [v for v in own if v is not None and math.isfinite(v)]
            never = sum(v is not None and math.isinf(v) for v in own)
            axes.plot(seen, [row] * len(seen), "o", color="#2a9d8f", markersize=4, alpha=0.7)
            if never:
                axes.text(
                    right, row, f"{never} never", va="center", ha="right", color=_FAULT, fontsize=8
                )
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlim(0.0, right)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel("s from the beginning of a fault to the first alarm of its sensor")
        axes.grid(axis="x", alpha=0.3)
        canvas.tight_layout()
        return _svg(canvas)
