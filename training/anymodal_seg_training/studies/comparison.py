"""What the runs of a study come to: one row for each method, for people and for the documentation.

Scores are in percent. Of several seeds a row has the mean and, behind ±, the standard deviation
(of a sample, n - 1). RMM is that with half of the elements missing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from anymodal_seg_ros.json_files import read_json
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.markdown import cell
from anymodal_seg_training.studies.study import PlannedRun, Study

Result = Mapping[str, Any]
"""The evaluation of a run, as :class:`.Evaluation` gives it, benchmark included."""

MEASURES: Mapping[str, Callable[[Result], float]] = {
    "mean": lambda found: found["mean_over_subsets"],
    "Top-1": lambda found: found["top_1"],
    "Last-1": lambda found: found["last_1"],
    "all sensors": lambda found: list(found["miou"].values())[-1],
    "EMM-Avg": lambda found: found["benchmark"]["emm"]["average"],
    "EMM-E(.1)": lambda found: found["benchmark"]["emm"]["E(0.1)"],
    "RMM-Avg": lambda found: found["benchmark"]["rmm"]["0.5"]["average"],
    "RMM-E(.1)": lambda found: found["benchmark"]["rmm"]["0.5"]["E(0.1)"],
    "NM low": lambda found: found["benchmark"]["nm"]["low"],
    "NM mid": lambda found: found["benchmark"]["nm"]["mid"],
    "NM high": lambda found: found["benchmark"]["nm"]["high"],
    "robustness": lambda found: found["benchmark"]["robustness_score"],
}
"""Columns of the table. Up to "all sensors" absent modalities are skipped, then they are zeros."""


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method.

    Attributes:
        title: of the method.
        seeds: of its finished runs.
        scores: by measure, one number for each seed, in percent.
    """

    title: str
    seeds: tuple[int, ...]
    scores: Mapping[str, tuple[float, ...]]

    def shown(self, measure: str) -> float:
        """Return the mean of a measure over the seeds as tables have it: what they show decides."""
        return round(statistics.mean(self.scores[measure]), 1)

    def cell(self, measure: str) -> str:
        """Write the mean of a measure over the seeds, and its deviation if there are several."""
        values = self.scores[measure]
        if len(values) < 2:
            return f"{values[0]:.1f}" if values else "–"
        return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def compare(study: Study, out: Path) -> list[MethodRow]:
    """Read what the finished runs of a study came to.

    Raises:
        TrainingError: an evaluation cannot be read.
    """
    runs = [run for run in study.runs(out) if run.finished]
    return [
        _row(method.title, [run for run in runs if run.method == method])
        for method in study.methods
    ]


def _row(title: str, runs: Sequence[PlannedRun]) -> MethodRow:
    results = [_result(run) for run in runs]
    scores = {
        name: tuple(100.0 * measure(found) for found in results)
        for name, measure in MEASURES.items()
    }
    return MethodRow(title, tuple(run.seed for run in runs), scores)


def _result(run: PlannedRun) -> Result:
    path = run.folder.result_file("test")
    try:
        found: Result = read_json(path)
        for name, measure in MEASURES.items():
            if type(value := measure(found)) not in (int, float):
                raise ValueError(f"{name} is {value!r:.60}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise TrainingError(
            f"cannot use {path}: {error!r}; evaluate the run again, with --benchmark"
        ) from error
    return found


def comparison_tables(rows: Sequence[MethodRow]) -> list[Table]:
    """Draw the rows for a terminal: absent modalities skipped, then the benchmark."""
    tables = []
    for title, names in (
        ("mIoU on the test split, %, absent modalities skipped", list(MEASURES)[:4]),
        (
            "mIoU on the test split, %, absent modalities zero (arXiv 2503.18445)",
            list(MEASURES)[4:],
        ),
    ):
        table = Table(title=title)
        table.add_column("method", min_width=16)
        for name in names:
            table.add_column(name, justify="right")
        for row in rows:
            table.add_row(row.title, *map(row.cell, names))
        tables.append(table)
    return tables


def markdown_table(rows: Sequence[MethodRow]) -> str:
    """Write the rows for a page; the best mean of each column is bold, equal ones alike."""
    best = {
        name: max((row.shown(name) for row in rows if row.seeds), default=0.0) for name in MEASURES
    }
    lines = ["| method | " + " | ".join(MEASURES) + " | seeds |"]
    lines.append("|---|" + "---:|" * len(MEASURES) + "---|")
    for row in rows:
        cells = [row.cell(name) for name in MEASURES]
        for place, name in enumerate(MEASURES):
            if row.seeds and row.shown(name) == best[name]:
                cells[place] = f"**{cells[place]}**"
        seeds = ", ".join(map(str, row.seeds)) or "none yet"
        lines.append(f"| {cell(row.title)} | " + " | ".join(cells) + f" | {seeds} |")
    return "\n".join(lines) + "\n"
