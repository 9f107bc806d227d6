"""The report: one HTML file that holds everything and asks nobody for anything."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from anymodal_seg_ros.evaluation.scorecard.cases import HEALTHY
from anymodal_seg_ros.evaluation.scorecard.figures.fault_figures import FaultOutcome
from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES
from anymodal_seg_ros.evaluation.scorecard.figures.measures import outcomes
from anymodal_seg_ros.evaluation.scorecard.figures.selection import ALL, Selection, is_timeline
from anymodal_seg_ros.evaluation.scorecard.report import plots
from anymodal_seg_ros.evaluation.scorecard.report.tables import (
    Row,
    by_class,
    by_condition,
    by_fault,
    by_sensor,
    by_subset,
    comparable,
    headline,
    notes,
    usual_case,
)
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import WORST, Run
from anymodal_seg_ros.evaluation.scorecard.scorecard import Scorecard
from anymodal_seg_ros.evaluation.scorecard.verdict.verdict import Outcome, Verdict, said
from anymodal_seg_ros.written_files import write_file

HTML = "report.html"
"""Name of the file."""

TOLERABLE = 0.02
"""A fault that costs less mIoU than this while it lasts is no harm, noticed or not."""

_SCORES = {"miou": "mIoU", "kept": "share of pixels kept"}
_MOST_IN_TITLE = 5
_LARGEST_PICTURE = 1 << 20
_MOST_TIMELINES, _MOST_WORST = 6, 6
_CSS = {Outcome.PASSED: "passed", Outcome.FAILED: "failed", Outcome.UNKNOWN: "unknown"}
_CELL = {Outcome.PASSED: "good", Outcome.FAILED: "bad", Outcome.UNKNOWN: "so"}


@dataclass(frozen=True, slots=True)
class _Cell:
    """What one fault of one sensor did, for the table."""

    text: str
    css: str


def write_report(card: Scorecard, verdict: Verdict | None, command: str) -> Path:
    """Write ``report.html`` into the folder of a scorecard, and return its path.

    Args:
        card: with at least one run.
        verdict: None if nothing was required.
        command: that made the scorecard.
    """
    environment = Environment(
        loader=PackageLoader("anymodal_seg_ros.evaluation.scorecard.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    path = card.folder / HTML
    write_file(path, template.render(_content(card, verdict, command)))
    return path


def _content(card: Scorecard, verdict: Verdict | None, command: str) -> dict[str, Any]:
    runs = card.runs
    found = [outcome for _, outcome in outcomes(runs, Selection(case=ALL))]
    sensors = list(dict.fromkeys(name for run in runs for name in run.sensors))
    files = {file.path: file for run in runs for file in run.inputs}
    faults = by_fault(runs)
    rows = [*by_condition(runs), *by_sensor(runs)]
    return {
        "usual_case": usual_case(runs),
        "title": _title(list(dict.fromkeys(run.bag for run in runs))),
        "bags": {run.bag for run in runs},
        "runs": runs,
        "settings": _settings(runs),
        "ground_truth": sorted({run.ground_truth for run in runs} - {""}),
        "unreadable": card.unreadable,
        "notes": _notes(runs),
        "verdict": None if verdict is None else _verdict(verdict),
        "cards": [_card(row) for row in headline(runs) if row.value.reason != "no such fault"],
        "matrix": _matrix(found, sensors),
        "tolerable": TOLERABLE,
        "sensors": sensors,
        "fault_columns": list(faults[0]) if faults else [],
        "fault_rows": [[_text(v) for v in fault.values()] for fault in faults],
        "charts": _charts(runs, found),
        "worst": _worst(runs),
        "classes": _classes(runs),
        "rows": [_row(row) for row in rows if not row.value.reason],
        "command": command,
        "inputs": list(files.values()),
    }


def _title(bags: Sequence[str]) -> str:
    """Name the bags, but not thousands of them."""
    more = len(bags) - _MOST_IN_TITLE
    return ", ".join(bags[:_MOST_IN_TITLE]) + (f" and {more} more" if more > 0 else "")


def _notes(runs: Sequence[Run]) -> list[str]:
    """Return what was wrong with bags, each once; with its name if there are several."""
    several = len({run.bag for run in runs}) > 1
    return list(dict.fromkeys(f"{bag}: {note}" if several else note for bag, note in notes(runs)))


def _charts(runs: Sequence[Run], found: Sequence[FaultOutcome]) -> dict[str, Any]:
    well = comparable(runs)
    subsets = [row.where.subset for row in by_subset(runs) if row.value.value is not None]
    shown = [run for run in runs if is_timeline(run.case)] or [r for r in runs if r.case == HEALTHY]
    shown = [run for run in shown if run.records][:_MOST_TIMELINES]
    compared = dict.fromkeys(run.bag for run in well)
    some = len(compared) < len({run.bag for run in runs if not run.windows})
    return {
        "subsets": Markup(plots.subset_heat_map(well, subsets)) if subsets else "",
        "subsets_of": _title(list(compared)) if some else "",
        "timelines": [
            {
                "svg": Markup(plots.run_timeline(run)),
                "caption": f"{run.bag}, {run.case}: {plots.score_of(run)} of "
                f"{plots.masks_drawn(run)}, states, votes.",
            }
            for run in shown
        ],
        "latency": Markup(plots.latency_histogram(shown)) if shown else "",
        "delays": Markup(plots.detection_delays(found)) if found else "",
    }


def _card(row: Row) -> dict[str, str]:
    figure = FIGURES[row.figure]
    text = row.value.reason or said(row.value.value, figure.unit)
    css = "why" if row.value.reason else ""
    return {"name": row.figure.replace("_", " "), "text": text, "doc": figure.doc, "css": css}


def _settings(runs: Sequence[Run]) -> dict[str, str]:
    """Return what the runs were made with; where they differ, everything that occurs."""
    found: dict[str, dict[str, None]] = {"model": {}, "engine": {}}
    for run in runs:
        for key, value in run.settings.items():
            found.setdefault(key, {})[value] = None
    return {key: ", ".join(values) for key, values in found.items()}


def _classes(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return the figures of every class that occurs, a row for each."""
    found: dict[str, dict[str, str]] = {}
    for row in by_class(runs):
        if not row.value.reason:
            own = found.setdefault(row.where.class_name, {"miou": "–", "boundary_iou": "–"})
            own[row.figure] = said(row.value.value)
    return [{"name": name, **values} for name, values in found.items()]


def _row(row: Row) -> dict[str, str]:
    text = said(row.value.value, FIGURES[row.figure].unit)
    return {"figure": row.figure, "where": row.where.describe(), "text": text}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "text": verdict.outcome.value,
        "css": _CSS[verdict.outcome],
        "rows": [
            {
                "check": judgement.check.name,
                "level": judgement.check.limits.level,
                "outcome": judgement.outcome.value,
                "css": _CELL[judgement.outcome],
                "reason": judgement.words,
            }
            for judgement in verdict.judgements
        ],
    }


def _matrix(found: Sequence[FaultOutcome], sensors: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for every kind of fault, with a cell for every sensor."""
    labels = dict.fromkeys(outcome.window.label for outcome in found)
    return [
        {
            "fault": label,
            "cells": [
                cell([o for o in found if (o.window.label, o.window.sensor) == (label, sensor)])
                for sensor in sensors
            ],
        }
        for label in labels
    ]


def cell(found: Sequence[FaultOutcome]) -> _Cell:
    """Sum up the faults of one kind and sensor: the worst of them counts."""
    if not found:
        return _Cell("–", "none")
    reactions = [o.reaction_s for o in found if o.reaction_s is not None]
    reaction = max(reactions, default=None)
    costs = [o.lost_during for o in found if o.lost_during is not None]
    cost = max(costs, default=None)
    lost = sum(o.lost for o in found)
    states = " ".join(dict.fromkeys(state for o in found for state in o.detected_as))
    untold = reaction is None and any(o.tainted for o in found)
    if untold:
        parts = ["too short to tell"]
    elif reaction is None:
        parts = ["nothing of it was in the masks"]
    else:
        parts = ["not withheld" if math.isinf(reaction) else f"{reaction:.2f} s"]
    parts += [states] if states else []
    parts += (
        [f"−{cost:.3f} mIoU" if cost >= 0 else f"+{-cost:.3f} mIoU"] if cost is not None else []
    )
    parts += [f"{lost} masks lost"] if lost else []
    withheld = not untold and (reaction is None or math.isfinite(reaction))
    css = "good" if withheld else "so" if cost is not None and cost < TOLERABLE else "bad"
    return _Cell(" · ".join(parts), "bad" if lost else css)


def _worst(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the worst masks of the usual cases with their pictures, the worst first."""
    frames = [(frame, run) for run in Selection().runs(runs) for frame in run.worst]
    frames.sort(key=lambda pair: (pair[0].of != "miou", pair[0].score))  # no scores to compare
    return [
        {
            "caption": f"{run.bag}, {frame.time_s:.2f} s: {_SCORES.get(frame.of, frame.of)} "
            f"{frame.score:.3f}, made from {frame.subset}; "
            + ", ".join(f"{name} {state}" for name, state in frame.states.items()),
            "pictures": [
                {"what": what, "data": _data(run.folder / WORST / name)}
                for what, name in frame.pictures.items()
            ],
        }
        for frame, run in frames[:_MOST_WORST]
    ]


def _data(path: Path) -> str:
    """Return a file in base64; empty if it is gone, or no picture but a link to something else."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_PICTURE:
        return ""
    return base64.b64encode(path.read_bytes()).decode()


def _text(value: Any) -> str:
    return said(value) if isinstance(value, float) or value is None else str(value)
