"""``anymodal-seg compare``: scorecards side by side."""

from __future__ import annotations

import csv
from pathlib import Path

import click
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.options.output_places import make_place
from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES
from anymodal_seg_ros.evaluation.scorecard.plan import names_of
from anymodal_seg_ros.evaluation.scorecard.report.comparison import Line, compare, unlike
from anymodal_seg_ros.evaluation.scorecard.report.tables import jsonable
from anymodal_seg_ros.evaluation.scorecard.scorecard import load_scorecard
from anymodal_seg_ros.evaluation.scorecard.verdict.verdict import said
from anymodal_seg_ros.written_files import naming


@click.command("compare")
@click.argument("scorecards", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write the table here.")
@click.option("--faults/--no-faults", default=True, help="Each kind of fault too.  [default: yes]")
def command(scorecards: tuple[Path, ...], csv_path: Path | None, faults: bool) -> None:
    """Compare SCORECARDS, folders that ``evaluate`` wrote, with the first of them."""
    if len(scorecards) < 2:
        raise click.UsageError("give at least two scorecards")
    make_place(csv_path)
    cards = [load_scorecard(path) for path in scorecards]
    names = names_of(scorecards)
    lines = compare([card.runs for card in cards], faults)
    if csv_path is not None:
        with naming(csv_path), csv_path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("figure", "where", *names))
            for line in lines:
                values = (jsonable(value) for value in line.values)
                writer.writerow((line.figure, line.where, *values))
    table = Table()
    for title in ("figure", "where", *names):
        side: JustifyMethod = "left" if title in ("figure", "where") else "right"
        table.add_column(title, justify=side, overflow="fold")
    for line in lines:
        table.add_row(line.figure, line.where, *_cells(line))
    console = PlainConsole()
    console.print(table)
    runs = {name: card.runs for name, card in zip(names, cards, strict=True)}
    for difference in unlike(runs):
        console.say(difference)
    for name, card in zip(names, cards, strict=True):
        for reason in card.unreadable:
            console.say(f"{name} lacks {reason}")


def _cells(line: Line) -> list[Text]:
    """Return the values; those that are clearly worse or better than the first are coloured."""
    figure = FIGURES[line.figure]
    cells = []
    for place, value in enumerate(line.values):
        text = said(value, figure.unit)
        first, style = line.values[0], ""
        if place and value is not None and first is not None and value != first:
            better = (value > first) == (figure.better == "higher")
            style = "green" if better else "red"
        cells.append(Text(text, style))
    return cells
