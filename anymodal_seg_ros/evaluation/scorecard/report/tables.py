"""The figures of a scorecard as rows: for the report, JSON, CSV and a terminal."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anymodal_seg_ros.evaluation.scorecard.cases import HEALTHY, SUBSET
from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES, measure
from anymodal_seg_ros.evaluation.scorecard.figures.measures import Value, outcomes
from anymodal_seg_ros.evaluation.scorecard.figures.selection import ALL, Selection, is_timeline
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run
from anymodal_seg_ros.evaluation.scorecard.verdict.verdict import Verdict
from anymodal_seg_ros.json_files import json_bytes
from anymodal_seg_ros.written_files import write_file

JSON, CSV = "scorecard.json", "scorecard.csv"
"""Names of the files."""

PLAIN = tuple(name for name in FIGURES if name not in ("time_in_state", "used", "vote"))
"""Figures that need no sensor to be named."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one choice of masks."""

    figure: str
    where: Selection
    value: Value


def headline(runs: Sequence[Run]) -> list[Row]:
    """Every figure that needs no further choice."""
    return [Row(name, Selection(), measure(name, runs)) for name in PLAIN]


def by_class(runs: Sequence[Run]) -> list[Row]:
    """IoU and boundary IoU of every class."""
    classes = dict.fromkeys(name for run in runs for name in run.classes)
    chosen = [Selection(class_name=name) for name in classes]
    return [
        Row(figure, where, measure(figure, runs, where))
        for figure in ("miou", "boundary_iou")
        for where in chosen
    ]


def comparable(runs: Sequence[Run]) -> list[Run]:
    """Return the runs whose subsets can be set beside each other: without faults, of the same bags.

    Where a sweep tried the subsets of some bags, the others would be in the row of all sensors
    alone.
    """
    well = [run for run in runs if not run.windows and _without_faults(run.case)]
    swept = {run.bag for run in well if run.case.startswith(SUBSET)}
    return [run for run in well if not swept or run.bag in swept]


def _without_faults(case: str) -> bool:
    """Whether a case has no faults by its nature: those of another may have changed nothing."""
    return case == HEALTHY or case.startswith(SUBSET)


def by_subset(runs: Sequence[Run]) -> list[Row]:
    """The mIoU of every subset of which there are masks without faults."""
    well = comparable(runs)
    found = {"+".join(record.sensors) for run in well for record in run.records if record.sensors}
    chosen = [Selection(subset=s) for s in sorted(found, key=lambda s: (-s.count("+"), s))]
    return [Row("miou", where, measure("miou", well, where)) for where in chosen]


def by_condition(runs: Sequence[Run]) -> list[Row]:
    """Figures of every condition that somebody named."""
    found = sorted({run.condition for run in runs} - {""})
    return [
        Row(figure, Selection(condition=name), measure(figure, runs, Selection(condition=name)))
        for name in found
        for figure in ("miou", "false_alarms_per_hour", "masks_lost")
    ]


def by_sensor(runs: Sequence[Run]) -> list[Row]:
    """How much every sensor was used, and what the masks were like in each of its states."""
    rows: list[Row] = []
    for sensor in dict.fromkeys(name for run in runs for name in run.sensors):
        for figure in ("used", "vote", "false_alarms_per_hour", "rejected"):
            where = Selection(sensor=sensor)
            rows.append(Row(figure, where, measure(figure, runs, where)))
        states = {r.states.get(sensor, "") for run in Selection().runs(runs) for r in run.records}
        for state in sorted(states - {""}):
            where = Selection(sensor=sensor, state=state)
            rows += [Row(f, where, measure(f, runs, where)) for f in ("time_in_state", "miou")]
    return rows


def by_fault(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What every fault did, one flat row for each."""
    rows = []
    for run, outcome in outcomes(runs, Selection(case=ALL)):
        plain = asdict(outcome)
        window = plain.pop("window")
        plain["detected_as"] = " ".join(outcome.detected_as)
        place = {"bag": run.bag, "condition": run.condition, "case": run.case}
        rows.append({**place, "fault": window.pop("label"), **window, **plain})
    return rows


def usual_case(runs: Sequence[Run]) -> str:
    """Say which masks figures are of that ask for no case; empty if there is no other case."""
    chosen = {run.case for run in Selection().runs(runs)}
    if len({run.case for run in runs}) == len(chosen) == 1:
        return ""
    faulty, well = any(map(is_timeline, chosen)), HEALTHY in chosen
    if faulty and well:
        return "figures of the masks with the given faults, and of bags without any"
    if faulty:
        return "figures of the masks with the given faults"
    return "figures of the masks without faults" if well else ""


def notes(runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    """Yield what was wrong with bags, each with the bag's name.

    Of a sweep's cases nothing is said: what lacks in one of them is what it was to be without.
    """
    for run in runs:
        if run.case == HEALTHY or is_timeline(run.case):
            yield from ((run.bag, note) for note in run.notes)


def rows_of(runs: Sequence[Run]) -> Iterator[Row]:
    """Yield every row but those of faults."""
    for part in (headline, by_class, by_subset, by_condition, by_sensor):
        yield from part(runs)


def write_tables(folder: Path, runs: Sequence[Run], verdict: Verdict | None) -> None:
    """Write ``scorecard.json`` and ``scorecard.csv``."""
    rows, faults = list(rows_of(runs)), by_fault(runs)
    write_file(folder / CSV, _csv(rows, faults))
    content = {
        "runs": [_described(run) for run in runs],
        "figures": [
            {
                "figure": row.figure,
                **{k: v for k, v in asdict(row.where).items() if v},
                "value": jsonable(row.value.value),
                "reason": row.value.reason,
            }
            for row in rows
        ],
        "faults": [{k: jsonable(v) for k, v in fault.items()} for fault in faults],
        "verdict": None if verdict is None else _verdict(verdict),
    }
    write_file(folder / JSON, json_bytes(content))


def _csv(rows: Sequence[Row], faults: Sequence[Mapping[str, Any]]) -> str:
    lines = io.StringIO(newline="")
    writer = csv.writer(lines)
    writer.writerow(("figure", "where", "value", "unit", "reason", "count"))
    for row in rows:
        value, unit = row.value, FIGURES[row.figure].unit
        where = row.where.describe()
        shown = jsonable(value.value)
        writer.writerow((row.figure, where, shown, unit, value.reason, value.count))
    for fault in faults:
        where = ", ".join(f"{key} {fault[key]}" for key in ("bag", "case", "fault", "sensor"))
        for key, number in fault.items():
            if isinstance(number, (int, float)) and key not in ("start_s", "end_s"):
                unit = FIGURES[key].unit if key in FIGURES else ""
                writer.writerow((f"fault.{key}", where, jsonable(number), unit, "", 1))
    return lines.getvalue()


def jsonable(value: Any) -> Any:
    """Return a value as JSON can hold it: what never happened is the word ``never``."""
    if isinstance(value, float):
        return "never" if math.isinf(value) else round(value, 9)
    return value


def _described(run: Run) -> dict[str, Any]:
    plain = asdict(run)
    keys = ("bag", "case", "condition", "key", "masks", "messages", "ground_truth", "settings")
    return {k: plain[k] for k in (*keys, "inputs", "wall_s")}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome.value,
        "unreadable": list(verdict.unreadable),
        "checks": [
            {
                "check": j.check.name,
                "level": j.check.limits.level,
                "outcome": j.outcome.value,
                "value": jsonable(j.value.value),
                "baseline": None if j.baseline is None else jsonable(j.baseline.value),
                "reason": j.reason,
            }
            for j in verdict.judgements
        ],
    }
