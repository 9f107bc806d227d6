"""``anymodal-seg verify-engine``: is an engine right on this machine, and how fast is it?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.engines.benchmark import repeats_option, timing_table
from anymodal_seg_ros.cli.options.one_of import OneOf
from anymodal_seg_ros.cli.options.output_places import make_place
from anymodal_seg_ros.config import ENGINES
from anymodal_seg_ros.inference.benchmark.engine_report import EngineReport, inspect_engine
from anymodal_seg_ros.inference.engine_protocol import NOT_VERIFIED, Engine, described, is_verified
from anymodal_seg_ros.inference.engines import choose_engine, create_engine
from anymodal_seg_ros.inference.hardware.jetson_stats import jetson_stats
from anymodal_seg_ros.inference.hardware.machine import machine
from anymodal_seg_ros.inference.hardware.telemetry import TelemetryReader
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.verification.self_test import EXACT, HALF

PLEASE = f"{NOT_VERIFIED} by the developers: please send them the report, they lack this proof"


@click.command("verify-engine")
@click.option("--model", default="", help="Model folder, or name of a bundled model.")
@click.option(
    "--engine",
    type=OneOf(ENGINES),
    default="auto",
    show_default=True,
    help="What is to run the model; auto: what the node would choose here.",
)
@click.option(
    "--providers",
    default="auto",
    show_default=True,
    help="Of ONNX Runtime: auto, or names by preference, such as cuda,cpu.",
)
@click.option(
    "--threads",
    type=click.IntRange(0, 256),
    default=0,
    show_default=True,
    help="That compute; 0: as many as the node would take.",
)
@repeats_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report as JSON, to send.",
)
def command(
    model: str, engine: str, providers: str, threads: int, repeats: int, out: Path | None
) -> None:
    """Compare an engine with the masks that the model must give, for every subset of its sensors.

    Exit code 1 if it is wrong. The report says how long each stage takes for each number of
    sensors, what memory it needs, and on what machine, in which power mode and with which
    libraries. Nothing of the machine is changed.
    """
    make_place(out)
    opened, console = load_model(model), PlainConsole()
    reader, made = TelemetryReader(), list[Engine]()
    idle = reader.read()
    report = inspect_engine(
        lambda: _make(engine, opened, threads, providers, made), opened, repeats
    )
    busy = reader.read()
    console.print(described(made[0]), soft_wrap=True)
    console.print(_parity_table(report), timing_table([report]))
    console.print(f"resident memory at most {report.resident_mb:.0f} MB")
    about = machine()
    versions = ", ".join(f"{name} {version}" for name, version in about["libraries"].items())
    for name, value in {**about, "libraries": versions, **busy.pairs()}.items():
        console.print(f"{name}: {value}", soft_wrap=True)
    on_gpu = not is_verified(report.name)
    if on_gpu:
        console.print(PLEASE)
    if out is not None:
        content = {
            "model": f"{opened.manifest.name} {opened.manifest.version}",
            "files": {role: spec.sha256 for role, spec in opened.manifest.files.items()},
            "engine": described(made[0]),
            "machine": about,
            "telemetry": {"before": idle.pairs(), "after": busy.pairs()},
            "jetson_stats": jetson_stats(),
            "threads": threads,
            "repeats": repeats,
            **dataclasses.asdict(report),
            "masks_per_cpu_s": report.masks_per_cpu_s,
        }
        _write(out, content)
        console.print(f"report: {out}", soft_wrap=True)
    if report.worst is None:
        raise click.ClickException("the model folder has no self-test: export the model again")
    needed = HALF if on_gpu else EXACT
    if report.worst < needed:
        raise click.ClickException(
            f"{report.name} is wrong here: only {100 * report.worst:.2f} % of the pixels have the "
            f"right class, expected {100 * needed:.2f} %"
        )


def _make(kind: str, model: Model, threads: int, providers: str, made: list[Engine]) -> Engine:
    """Create the engine as the node would, and let it be found in ``made``."""
    if kind == "auto":
        confidence = "confidence" in model.manifest.outputs
        made.append(choose_engine(model, threads, confidence, providers).engine)
    else:
        made.append(create_engine(kind, model, threads, providers=providers))
    return made[0]


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from error


def _parity_table(report: EngineReport) -> Table:
    table = Table(title=f"{report.name}: % of the pixels with the right class")
    table.add_column("sensors")
    table.add_column("in halves" if report.agreement_whole else "whole", justify="right")
    if report.agreement_whole:
        table.add_column("whole", justify="right")
    for subset, share in report.agreement.items():
        whole = report.agreement_whole.get(subset)
        cells = [] if whole is None else [f"{100 * whole:.3f}"]
        table.add_row(subset, f"{100 * share:.3f}", *cells)
    return table
