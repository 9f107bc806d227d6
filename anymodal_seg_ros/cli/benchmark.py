"""``anymodal-seg benchmark``: all engines that are at hand, one beside the other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.inference.engine_report import EngineReport, inspect_engine, machine
from anymodal_seg_ros.inference.engines import ENGINES, create_engine
from anymodal_seg_ros.inference.model import load_model


@click.command("benchmark")
@click.option("--model", default="", help="Model folder, or name of a bundled model.")
@click.option("--threads", type=click.IntRange(0, 256), default=1, show_default=True)
@click.option("--repeats", type=click.IntRange(1, 1000), default=15, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the figures as JSON, too.")
def command(model: str, threads: int, repeats: int, out: Path | None) -> None:
    """Time every engine that is installed, whole and in halves, and compare their masks.

    Medians of the time that passes and, in brackets, of processor time, which other processes
    disturb less. What runs on a GPU is not yet verified on hardware.
    """
    opened, console, reports = load_model(model), Console(), []
    for kind in ENGINES:
        if kind == "auto":
            continue
        try:
            reports.append(inspect_engine(create_engine(kind, opened, threads), opened, repeats))
        except AnymodalError as error:
            console.print(f"{kind} is left out: {error}", markup=False)
    console.print(timing_table(reports))
    if out is not None:
        found = [dataclasses.asdict(report) for report in reports]
        text = json.dumps({"machine": machine(), "threads": threads, "engines": found}, indent=2)
        out.write_text(text + "\n", encoding="utf-8")


def timing_table(reports: Sequence[EngineReport]) -> Table:
    """Lay the stages of engines beside each other: wall time and processor time in ms."""
    table = Table(title="ms a run (ms of processor time)")
    table.add_column("stage")
    table.add_column("sensors", justify="right")
    for report in reports:
        table.add_column(report.name, justify="right")
    cells: dict[tuple[str, int], dict[str, str]] = {}
    for report in reports:
        for timing in report.timings:
            text = f"{timing.wall_ms:.1f} ({timing.cpu_ms:.1f})"
            cells.setdefault((timing.stage, timing.sensors), {})[report.name] = text
    for (stage, sensors), found in cells.items():
        table.add_row(stage, str(sensors), *(found.get(report.name, "-") for report in reports))
    worst = [f"{100 * r.worst:.3f} %" if r.worst is not None else "-" for r in reports]
    table.add_row("right class, worst subset", "", *worst)
    return table
