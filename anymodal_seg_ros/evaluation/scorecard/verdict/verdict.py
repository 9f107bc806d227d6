"""The verdict: every check of a gate against the figures, and what a process should exit with."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES, measure
from anymodal_seg_ros.evaluation.scorecard.figures.measures import Value
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run
from anymodal_seg_ros.evaluation.scorecard.verdict.gate import Check

_ROUNDING = 1e-9


class Outcome(enum.Enum):
    """What came of one check."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "could not judge"


@dataclass(frozen=True, slots=True)
class Judgement:
    """One check, judged.

    Attributes:
        check: what was asked.
        outcome: what came of it.
        value: the figure.
        baseline: the same of the baseline; None if none was needed.
        reason: what is wrong, in words; empty if it passed.
    """

    check: Check
    outcome: Outcome
    value: Value
    baseline: Value | None
    reason: str

    @property
    def words(self) -> str:
        """What is wrong, or what was found."""
        unit = FIGURES[self.check.limits.figure].unit
        return self.reason or said(self.value.value, unit)

    @property
    def required(self) -> bool:
        """Whether the verdict depends on it."""
        return self.check.limits.level == "required"


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of a gate.

    Attributes:
        judgements: in the order of the gate.
        unreadable: bags that could not be evaluated, with the reason: nobody can say that they
            would have passed.
        unfinished: whether the evaluation was stopped: nobody can say what its figures would be.
    """

    judgements: tuple[Judgement, ...]
    unreadable: tuple[str, ...] = ()
    unfinished: bool = False

    @property
    def outcome(self) -> Outcome:
        """FAILED if a required check did; else UNKNOWN if one could not be judged."""
        if self.unfinished:
            return Outcome.UNKNOWN
        found = {j.outcome for j in self.judgements if j.required}
        if Outcome.FAILED in found:
            return Outcome.FAILED
        if Outcome.UNKNOWN in found or self.unreadable:
            return Outcome.UNKNOWN
        return Outcome.PASSED

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 2 could not judge."""
        return (Outcome.PASSED, Outcome.FAILED, Outcome.UNKNOWN).index(self.outcome)


def judge(
    checks: Sequence[Check],
    runs: Sequence[Run],
    baseline: Sequence[Run] | None = None,
    unreadable: Sequence[str] = (),
    *,
    unfinished: bool = False,
) -> Verdict:
    """Judge runs by a gate.

    Args:
        checks: of the gate.
        runs: of the scorecard.
        baseline: runs of an earlier one; None if there is none.
        unreadable: bags that could not be evaluated, with the reason.
        unfinished: whether the evaluation was stopped.
    """
    found = tuple(_judge(check, runs, baseline) for check in checks)
    return Verdict(found, tuple(unreadable), unfinished)


def _judge(check: Check, runs: Sequence[Run], baseline: Sequence[Run] | None) -> Judgement:
    limits = check.limits
    value = measure(limits.figure, runs, check.selection, limits.statistic)
    before: Value | None = None
    if value.value is None:
        return Judgement(check, Outcome.UNKNOWN, value, before, value.reason)
    if limits.compares:
        if baseline is None:
            return Judgement(check, Outcome.UNKNOWN, value, before, "no baseline was given")
        before = measure(limits.figure, baseline, check.selection, limits.statistic)
        if before.value is None:
            reason = f"the baseline has {before.reason}"
            return Judgement(check, Outcome.UNKNOWN, value, before, reason)
    reason = _reason(check, value.value, before.value if before else None)
    outcome = Outcome.FAILED if reason else Outcome.PASSED
    return Judgement(check, outcome, value, before, reason)


def _reason(check: Check, value: float, before: float | None) -> str:
    """Say which limit a value breaks; empty if none."""
    limits = check.limits
    unit = FIGURES[limits.figure].unit
    if value < limits.min - _ROUNDING:
        return ", below ".join(_told_apart(value, limits.min, unit))
    if value > limits.max + _ROUNDING:
        return ", above ".join(_told_apart(value, limits.max, unit))
    if before is None or value == before:
        return ""
    change = ", ".join(_told_apart(value, before, unit)) + " in the baseline"
    if before - value > limits.max_drop + _ROUNDING:
        return f"{change}: dropped by more than {said(limits.max_drop, unit)}"
    if value - before > limits.max_rise + _ROUNDING:
        return f"{change}: rose by more than {said(limits.max_rise, unit)}"
    return ""


def said(value: float | None, unit: str = "") -> str:
    """Return a value for people."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "never"
    whole = float(value).is_integer() or abs(value) >= 1e4  # a count keeps all its digits
    return f"{value:{'.0f' if whole else '.4g'}} {unit}".rstrip()


def _told_apart(value: float, other: float, unit: str) -> tuple[str, str]:
    """Return two values that differ for people, with as many digits as it takes to see it."""
    texts = said(value, unit), said(other, unit)
    if texts[0] != texts[1]:
        return texts
    return f"{value:.10g} {unit}".rstrip(), f"{other:.10g} {unit}".rstrip()
