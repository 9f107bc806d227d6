"""Scorecards side by side: the same figures of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from anymodal_seg_ros.evaluation.scorecard.figures.figures import measure
from anymodal_seg_ros.evaluation.scorecard.figures.selection import Selection
from anymodal_seg_ros.evaluation.scorecard.report.tables import PLAIN, by_fault
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run

_PER_FAULT = ("reaction_s", "detection_s", "recovery_s", "masks_lost_in_faults", "miou_lost_during")


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of every scorecard.

    Attributes:
        figure: its name.
        where: which masks, in words.
        values: in the order of the scorecards; None where it cannot be told.
    """

    figure: str
    where: str
    values: tuple[float | None, ...]


def compare(cards: Sequence[Sequence[Run]], faults: bool = True) -> list[Line]:
    """Return the figures that at least one scorecard has.

    Args:
        cards: the runs of each.
        faults: whether to go into every kind of fault, too.
    """
    chosen = [(name, Selection()) for name in PLAIN]
    conditions = sorted({run.condition for runs in cards for run in runs} - {""})
    chosen += [("miou", Selection(condition=condition)) for condition in conditions]
    if faults:
        labels = dict.fromkeys(row["fault"] for runs in cards for row in by_fault(runs))
        chosen += [(name, Selection(fault=label)) for label in labels for name in _PER_FAULT]
    lines = [
        Line(
            name,
            where.describe(),
            tuple(measure(name, runs, where).value for runs in cards),
        )
        for name, where in chosen
    ]
    return [line for line in lines if any(value is not None for value in line.values)]


def unlike(cards: Mapping[str, Sequence[Run]]) -> list[str]:
    """Say in what scorecards differ that makes their figures hard to compare, a line each.

    Args:
        cards: the runs of each, by its name.
    """
    lines = []
    usual = {name: Selection().runs(runs) for name, runs in cards.items()}
    for what, of in _SAME.items():
        of_cards = usual if what == CASES else cards
        found = {
            name: dict.fromkeys(v for r in runs for v in of(r)) for name, runs in of_cards.items()
        }
        if len({frozenset(values) for values in found.values()}) > 1:
            each = "; ".join(f"{name}: {', '.join(v) or 'none'}" for name, v in found.items())
            lines.append(f"not of the same {what}: {each}")
    return lines


CASES = "cases (of what is not asked of a fault)"
"""Where one has a timeline of faults, its figures are of the broken sensors."""

_SAME: Mapping[str, Callable[[Run], Iterable[str]]] = {
    "bags": lambda run: (run.bag,),
    CASES: lambda run: (run.case,),
    "sensors": lambda run: run.sensors,
    "classes": lambda run: run.classes,
    "labels": lambda run: (run.ground_truth,) if run.ground_truth else (),
    "version of this package": lambda run: (run.settings.get("anymodal_seg_ros", "unknown"),),
}
"""What two scorecards should have in common."""
