"""What is said of a scorecard in the end: its verdict, tables, report, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES
from anymodal_seg_ros.evaluation.scorecard.report.tables import (
    CSV,
    by_fault,
    headline,
    notes,
    usual_case,
    write_tables,
)
from anymodal_seg_ros.evaluation.scorecard.scorecard import Scorecard
from anymodal_seg_ros.evaluation.scorecard.verdict.gate import Check
from anymodal_seg_ros.evaluation.scorecard.verdict.junit import junit_xml
from anymodal_seg_ros.evaluation.scorecard.verdict.verdict import Outcome, Verdict, said
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.written_files import naming

COMMAND = "command.txt"
"""Name in the folder: the command that made it."""

_LONGEST_COMMAND = 4096

_MOST_TRUTHS = 3
"""Places where labels come from; a fleet has one for each bag."""

_MOST_FAULTS = 200
"""In the terminal: a full sweep of one bag has some 160."""

EXIT_UNKNOWN = 2
"""Nobody can say whether it passed: nothing could be evaluated."""


def conclude(
    card: Scorecard,
    checks: Sequence[Check] | None,
    baseline: Scorecard | None,
    junit: Path | None,
    console: PlainConsole,
) -> int:
    """Judge a scorecard, write its tables and its report, and say what came of it.

    Returns:
        The exit code: 0 passed, 1 failed, 2 could not judge.
    """
    verdict = None if checks is None else card.judge(checks, baseline)
    if card.runs:
        write_tables(card.folder, card.runs, verdict)
        _tell_figures(card, console)
        _report(card, verdict, console)
    for line in dict.fromkeys(f"{bag}: {note}" for bag, note in notes(card.runs)):
        console.say(line)
    for reason in card.unreadable:
        console.say(f"could not be evaluated: {reason}")
    if card.others:
        console.say(
            f"not counted, for other commands made them: {len(card.others)} of the runs in "
            f"{card.folder} ({', '.join(card.others[:3])}{', …' if len(card.others) > 3 else ''})"
        )
    if verdict is None:
        return EXIT_UNKNOWN if card.unreadable else 0
    if junit is not None:
        with naming(junit):
            junit.write_text(junit_xml(verdict), encoding="utf-8")
    _tell_verdict(verdict, console)
    return verdict.exit_code


def _report(card: Scorecard, verdict: Verdict | None, console: PlainConsole) -> None:
    try:
        from anymodal_seg_ros.evaluation.scorecard.report.report import write_report
    except ImportError as error:
        text = f"no report.html ({error}): install anymodal_seg_ros[report] for it"
        console.say(text)
        return
    path = write_report(card, verdict, _made_by(card.folder / COMMAND))
    console.say(f"report: {path}")


def _made_by(command_file: Path) -> str:
    """Return what a folder says of the command that made it, whoever wrote it."""
    try:
        if not command_file.is_file():
            return ""
        with command_file.open(encoding="utf-8", errors="replace") as file:
            return quote(file.read(_LONGEST_COMMAND), _LONGEST_COMMAND).strip()
    except OSError:
        return ""


def _tell_figures(card: Scorecard, console: PlainConsole) -> None:
    number = len(card.runs)
    title = f"{number} run{'' if number == 1 else 's'} in {card.folder}"
    table = Table(title=f"{title}; {about}" if (about := usual_case(card.runs)) else title)
    for title in ("figure", "value", "what it is"):
        table.add_column(title, justify="right" if title == "value" else "left", overflow="fold")
    for row in headline(card.runs):
        figure = FIGURES[row.figure]
        if row.value.reason != "no such fault":
            text = said(row.value.value, figure.unit) if not row.value.reason else row.value.reason
            table.add_row(row.figure, text, figure.doc)
    console.print(table)
    truths = list(dict.fromkeys(run.ground_truth for run in card.runs if run.ground_truth))
    if truths:
        rest = f" and {len(truths) - _MOST_TRUTHS} more" if len(truths) > _MOST_TRUTHS else ""
        console.say(f"ground truth: {'; '.join(truths[:_MOST_TRUTHS])}{rest}")
    else:
        console.say(
            "no ground truth: --labels names it, --agree-with MODEL compares with another model"
        )
    faults = by_fault(card.runs)
    if not faults:
        return
    table = Table(title="faults: times in s, masks and mIoU lost while they last")
    columns = {
        **({"bag": "bag"} if len({fault["bag"] for fault in faults}) > 1 else {}),
        "fault": "fault",
        "sensor": "sensor",
        "reaction_s": "reaction",
        "detection_s": "detection",
        "recovery_s": "recovery",
        "lost": "masks",
        "lost_during": "mIoU",
    }
    for key, title in columns.items():
        words = key in ("bag", "fault", "sensor")
        table.add_column(title, justify="left" if words else "right", overflow="fold")
    for fault in faults[:_MOST_FAULTS]:
        table.add_row(*(v if isinstance(v, str) else _short(v) for v in map(fault.get, columns)))
    console.print(table)
    if (more := len(faults) - _MOST_FAULTS) > 0:
        console.say(
            f"{more} more {'faults are' if more > 1 else 'fault is'} in {card.folder / CSV}"
        )


def _short(value: float | None) -> str:
    text = said(value)
    return f"{value:.3f}" if isinstance(value, float) and text[-1].isdigit() else text


def _tell_verdict(verdict: Verdict, console: PlainConsole) -> None:
    for judgement in verdict.judgements:
        word = judgement.outcome.value.upper()
        if judgement.outcome is not Outcome.PASSED and not judgement.required:
            word += " (watched)"
        text = f"{word}: {judgement.check.name}: {judgement.words}"
        console.say(text)
    console.say(f"verdict: {verdict.outcome.value}")
