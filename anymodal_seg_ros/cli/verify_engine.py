"""``anymodal-seg verify-engine``: is an engine right on this machine, and how fast is it?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from anymodal_seg_ros.cli.benchmark import timing_table
from anymodal_seg_ros.inference.engine_report import EngineReport, inspect_engine, machine
from anymodal_seg_ros.inference.engines import ENGINES, choose_engine, create_engine
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.inference.self_test import EXACT, HALF


@click.command("verify-engine")
@click.option("--model", default="", help="Model folder, or name of a bundled model.")
@click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(0, 256), default=0, help="0: as the node would.")
@click.option("--repeats", type=click.IntRange(1, 1000), default=15, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the report as JSON, to send.")
def command(model: str, engine: str, threads: int, repeats: int, out: Path | None) -> None:
    """Compare an engine with the masks that the model must give, for every subset of its sensors.

    Exit code 1 if it is wrong. The report says how long each stage takes, and on what machine.
    """
    opened, console = load_model(model), Console()
    if engine == "auto":
        chosen = choose_engine(opened, threads, "confidence" in opened.manifest.outputs)
        made, reason = chosen.engine, chosen.reason
        console.print(reason, markup=False)
    else:
        made, reason = create_engine(engine, opened, threads), "asked for"
    report = inspect_engine(made, opened, repeats)
    console.print(_parity_table(report), timing_table([report]))
    console.print(f"resident memory at most {report.resident_mb:.0f} MB", markup=False)
    if out is not None:
        about = {"model": opened.manifest.name, "reason": reason, "machine": machine()}
        text = json.dumps({**about, **dataclasses.asdict(report)}, indent=2)
        out.write_text(text + "\n", encoding="utf-8")
    if report.worst is None:
        raise click.ClickException("the model folder has no self-test: export the model again")
    needed = EXACT if report.name.endswith("cpu") else HALF
    if report.worst < needed:
        raise click.ClickException(
            f"{report.name} is wrong here: only {100 * report.worst:.2f} % of the pixels have the "
            f"right class, expected {100 * needed:.2f} %"
        )


def _parity_table(report: EngineReport) -> Table:
    table = Table(title=f"{report.name}: pixels with the right class")
    table.add_column("sensors")
    table.add_column("%", justify="right")
    for subset, share in report.agreement.items():
        table.add_row(subset, f"{100 * share:.3f}")
    return table
