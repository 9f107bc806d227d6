"""``anymodal-seg benchmark``: all engines that are at hand, one beside the other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.options.one_of import OneOf
from anymodal_seg_ros.cli.options.output_places import make_place
from anymodal_seg_ros.inference.benchmark.engine_benchmark import (
    MEASURED,
    EngineBenchmark,
    benchmark_engines,
    parity_markdown,
    speed_markdown,
)
from anymodal_seg_ros.inference.benchmark.engine_report import EngineReport
from anymodal_seg_ros.inference.engine_protocol import NOT_VERIFIED, is_verified
from anymodal_seg_ros.inference.hardware.machine import machine
from anymodal_seg_ros.inference.hardware.processors import engine_threads
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.written_files import naming

BEGIN = "<!-- written by anymodal-seg benchmark --into -->"
END = "<!-- end of what anymodal-seg benchmark has written -->"

_PICTURES = (".png", ".svg")

repeats_option = click.option(
    "--repeats",
    type=click.IntRange(1, 1000),
    default=15,
    show_default=True,
    help="Runs of each stage that are timed.",
)


@click.command("benchmark")
@click.option("--model", "models", multiple=True, help="Model folder or bundled name; repeatable.")
@click.option(
    "--engine",
    "kinds",
    multiple=True,
    type=OneOf(MEASURED),
    help="Only this one; repeatable. All that are installed, if none is named.",
)
@click.option(
    "--threads",
    type=click.IntRange(0, 256),
    default=1,
    show_default=True,
    help="Of each engine; 0: as many as the node would take.",
)
@repeats_option
@click.option(
    "--switches",
    type=click.IntRange(0, 10**7),
    default=0,
    help="Also make so many masks of changing subsets, and see whether anything grows.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the figures as JSON, too.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Draw them: a {' or '.join(_PICTURES)} file.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Replace the tables between the marks in this Markdown file.",
)
def command(
    models: tuple[str, ...],
    kinds: tuple[str, ...],
    threads: int,
    repeats: int,
    switches: int,
    out: Path | None,
    picture: Path | None,
    into: Path | None,
) -> None:
    """Time every engine that is installed, whole and in halves, and compare their masks.

    Medians of the time that passes and, in brackets, of processor time, which other processes
    disturb less. What runs on a GPU is not yet verified on hardware. Exit code 1 if no engine can
    be measured.
    """
    if into is not None:
        _parts_of(into)
    if picture is not None and picture.suffix.lower() not in _PICTURES:
        raise click.BadParameter(
            f"'{picture}' does not end with {' or '.join(_PICTURES)}", param_hint="--picture"
        )
    make_place(out, picture)
    console, results = PlainConsole(), []
    tell = console.print
    for name in models or ("",):
        opened = load_model(name)
        count = engine_threads(threads)
        found = benchmark_engines(opened, count, repeats, switches, kinds or MEASURED, tell)
        if not found.engines:
            raise click.ClickException(
                f"no engine can run the model {found.model} here: see why each was left out"
            )
        results.append(found)
        console.print(timing_table(found.engines, f"{found.model}, {found.size}"))
        for line in conclusions(found):
            tell(line)
    if out is not None:
        content = {"machine": machine(), "models": [_plain(found) for found in results]}
        try:
            out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"cannot write {out}: {error.strerror}") from error
    if picture is not None:
        _draw(results, picture)
    if into is not None:
        _replace_tables(into, results)


def timing_table(reports: Sequence[EngineReport], title: str = "") -> Table:
    """Lay the stages of engines beside each other: wall time and processor time in ms."""
    table = Table(title=f"{title}: ms a run (ms of processor time)".lstrip(": "))
    table.add_column("stage")
    table.add_column("sensors", justify="right")
    for report in reports:
        table.add_column(report.name, justify="right")
    for stage, sensors in dict.fromkeys((t.stage, t.sensors) for r in reports for t in r.timings):
        timings = [report.find(stage, sensors) for report in reports]
        cells = [f"{t.wall_ms:.1f} ({t.cpu_ms:.1f})" if t else "-" for t in timings]
        table.add_row(stage, str(sensors), *cells)
    worst = [f"{100 * r.worst:.3f} %" if r.worst is not None else "-" for r in reports]
    table.add_row("right class, worst subset", "", *worst)
    rates = [f"{report.masks_per_cpu_s:.1f}" for report in reports]
    table.add_row("masks per CPU second", "", *rates)
    ready = [f"{report.ready_s:.1f} s ({report.ready_cpu_s:.1f} s)" for report in reports]
    table.add_row("ready after", "", *ready)
    table.add_row("memory", "", *(f"{report.loaded_mb:.0f} MB" for report in reports))
    return table


def conclusions(found: EngineBenchmark) -> list[str]:
    """Say how the engines compare, in ratios of this run."""
    lines = []
    if found.floor_ms:
        lines.append(
            f"floor: {found.gflop:.2f} GFLOP at {found.gemm_gflop_s:.0f} GFLOP/s of products, "
            f"{found.floor_ms:.1f} ms"
        )
    for name, ratios in found.ratios().items():
        words = []
        if "against_torch" in ratios and not name.startswith("torch"):
            words.append(f"{ratios['against_torch']:.2f} times as fast as torch")
        if "of_floor" in ratios:
            words.append(f"{ratios['of_floor']:.2f} times the floor")
        if "against_whole" in ratios:
            words.append(
                f"{ratios['against_whole']:.2f} times the masks per CPU second of the whole graph "
                "in ONNX Runtime"
            )
        if words:
            lines.append(f"{name}: {', '.join(words)}")
    lines += [f"{e.name}: {NOT_VERIFIED}" for e in found.engines if not is_verified(e.name)]
    for name, grown in found.grown_mb.items():
        lines.append(
            f"{name}: {found.switches} switches of subset, {found.longest_ms[name]:.1f} ms the "
            f"longest, {grown:.1f} MB more"
        )
    return lines


def _plain(found: EngineBenchmark) -> dict[str, object]:
    derived = {"floor_ms": found.floor_ms, "ratios": found.ratios()}
    rates = {report.name: report.masks_per_cpu_s for report in found.engines}
    return {**dataclasses.asdict(found), **derived, "masks_per_cpu_s": rates}


def _draw(results: Sequence[EngineBenchmark], path: Path) -> None:
    try:
        from anymodal_seg_ros.evaluation.engine_picture import write_engine_picture
    except ImportError as error:
        raise click.ClickException(
            f"--picture needs matplotlib ({error}): pip install 'anymodal_seg_ros[report]'"
        ) from error
    try:
        write_engine_picture(results, path)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"cannot write {path}: {error}") from error


def _replace_tables(page: Path, results: Sequence[EngineBenchmark]) -> None:
    before, after = _parts_of(page)
    parity = [parity_markdown(found) for found in results]
    speed = [speed_markdown(found) for found in results]
    tables = "\n\n".join(
        [
            "Per cent of the pixels with the class of eager PyTorch:",
            *parity,
            f"Milliseconds of processor time, {results[0].threads} thread(s), medians:",
            *speed,
        ]
    )
    with naming(page):
        page.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")


def _parts_of(page: Path) -> tuple[str, str]:
    """Return what stands before and after the tables of a page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise click.ClickException(f"{page} lacks the lines\n{BEGIN}\n{END}")
    return before, after
