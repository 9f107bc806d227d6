"""A scorecard: the folder with all runs of an evaluation, and the figures that it is read for.

For teams that write checks of their own::

    from anymodal_seg_ros.evaluation.scorecard.scorecard import load_scorecard

    card = load_scorecard(Path("scorecard"))
    assert card.value("miou", condition="night") > 0.4
    assert card.value("reaction_s", sensor="thermal", fault="off") < 0.2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import build
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.scorecard.cases import HEALTHY, SUBSET
from anymodal_seg_ros.evaluation.scorecard.contents import (
    RUNS,
    Contents,
    name_of,
    read_contents,
)
from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES, measure
from anymodal_seg_ros.evaluation.scorecard.figures.measures import STATISTICS, Value
from anymodal_seg_ros.evaluation.scorecard.figures.selection import Selection
from anymodal_seg_ros.evaluation.scorecard.runs.records import RunError
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import RUN, Run, load_run
from anymodal_seg_ros.evaluation.scorecard.verdict.gate import Check, refuse_idle_keys
from anymodal_seg_ros.evaluation.scorecard.verdict.verdict import Verdict, judge
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.json_files import json_bytes, read_json
from anymodal_seg_ros.written_files import write_file

FAILURES = "unreadable.json"
"""Name in the folder: what could not be evaluated, and why."""


@dataclass(frozen=True)
class Scorecard:
    """All runs of an evaluation.

    Attributes:
        folder: where it is kept.
        runs: by bag and case, in the order of their names, the healthy ones first.
        unreadable: bags that could not be evaluated, with the reason.
        others: runs in the folder that are of other commands, and of which no figure is made.
        unfinished: whether the command was stopped before its end.
    """

    folder: Path
    runs: tuple[Run, ...]
    unreadable: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    unfinished: bool = False

    def measure(self, figure: str, statistic: str = "", **where: Any) -> Value:
        """Return a figure, with the reason where it cannot be told.

        Args:
            figure: its name, see docs/reference/figures.md.
            statistic: how several values become one; empty for the figure's own.
            where: which masks; the keys of a gate, ``class_name`` for a class.

        Raises:
            ConfigError: there is no such figure, statistic or key, or a key changes nothing of it.
        """
        if figure not in FIGURES or statistic not in ("", *STATISTICS):
            raise ConfigError(
                f"no figure {figure!r} with the statistic {statistic!r}: expected one of "
                f"{', '.join(FIGURES)}, and of {', '.join(STATISTICS)}"
            )
        selection = build(Selection, where, "")
        refuse_idle_keys(figure, selection)
        return measure(figure, self.runs, selection, statistic)

    def value(self, figure: str, statistic: str = "", **where: Any) -> float:
        """Return a figure; arguments as for :meth:`measure`.

        Raises:
            ConfigError: as :meth:`measure`.
            RunError: it cannot be told, e.g. for want of ground truth.
        """
        found = self.measure(figure, statistic, **where)
        if found.value is None:
            raise RunError(f"{figure} cannot be told: {found.reason}")
        return found.value

    def judge(self, checks: Sequence[Check], baseline: Scorecard | None = None) -> Verdict:
        """Judge it by the checks of a gate."""
        before = baseline.runs if baseline else None
        return judge(checks, self.runs, before, self.unreadable, unfinished=self.unfinished)


def load_scorecard(folder: Path) -> Scorecard:
    """Read a scorecard: the runs that its last command asked for.

    Args:
        folder: of an evaluation, or a file in it, or a run of it.

    Raises:
        RunError: there is no run in it, or one is of another version.
    """
    if folder.is_file():
        folder = folder.parent
    above = folder.resolve().parents
    if (folder / RUN).is_file() and len(above) > 2:  # runs/BAG/CASE
        folder = above[2]
    found = sorted((folder / RUNS).glob(f"*/*/{RUN}"), key=_order)
    unreadable = _unreadable(folder)
    if not found and not unreadable:
        raise RunError(f"{folder} is no scorecard: it has no {RUNS}/BAG/CASE/{RUN}")
    runs = [load_run(path.parent) for path in found]
    if (contents := read_contents(folder)) is None:
        return Scorecard(folder, tuple(runs), unreadable)
    own: list[Run] = []
    others: list[str] = []
    for run in runs:
        name = name_of(run.folder)
        if contents.keys.get(name) == run.key:
            own.append(run)
        else:
            others.append(name)
    lacking = (*unreadable, *_lacking(contents, len(own)))
    return Scorecard(folder, tuple(own), lacking, tuple(others), not contents.complete)


def _lacking(contents: Contents, there: int) -> tuple[str, ...]:
    """Say what nobody can judge, because it was not done to its end or is gone."""
    asked = len(contents.keys)
    if there == asked and contents.complete:
        return ()
    why = "removed or changed since" if contents.complete else "not done, it was stopped"
    mend = "the same command as before goes on from there"
    return (f"{asked - there} of {asked} runs: {why}; {mend}",)


def write_failures(folder: Path, failures: Mapping[str, str]) -> None:
    """Remember which bags could not be evaluated, by their names."""
    path = folder / FAILURES
    if failures:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(path, json_bytes(dict(failures)))
    elif path.exists():
        path.unlink()


def _unreadable(folder: Path) -> tuple[str, ...]:
    path = folder / FAILURES
    if not path.is_file():
        return ()
    try:
        return tuple(one_line(f"{bag}: {why}") for bag, why in read_json(path).items())
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error


def _order(path: Path) -> tuple[str, bool, bool, str]:
    case = path.parent.name
    return path.parents[1].name, case != HEALTHY, not case.startswith(SUBSET), case
