"""``anymodal-seg build-engine``: build the plans of TensorRT now, before a robot needs them."""

from __future__ import annotations

import time

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from anymodal_seg_ros.cli.options.finite_range import FiniteRange
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.inference.tensorrt.background import (
    CANCELLED,
    DONE,
    TIMEOUT_S,
    BackgroundBuild,
    BuildLimits,
    BuildStatus,
)
from anymodal_seg_ros.inference.tensorrt.build_process import Request
from anymodal_seg_ros.inference.tensorrt.engine import UNVERIFIED
from anymodal_seg_ros.inference.tensorrt.kept_files import cache_dir
from anymodal_seg_ros.inference.tensorrt.libraries import lack

_POLL_S = 0.2


@click.command("build-engine")
@click.option("--model", default="", help="Model folder, or name of a bundled model.")
@click.option("--confidence", is_flag=True, help="For a node with the parameter 'confidence'.")
@click.option(
    "--timeout",
    type=FiniteRange(1),
    default=TIMEOUT_S,
    show_default=True,
    help="Seconds after which a build is given up.",
)
@click.option(
    "--memory-mb",
    type=click.IntRange(0),
    default=0,
    help="Memory that the build may take; 0: three quarters of what is free.",
)
@click.option("--rebuild", is_flag=True, help="Build also what was built before.")
def command(model: str, confidence: bool, timeout: float, memory_mb: int, rebuild: bool) -> None:
    """Build the plans with which TensorRT runs a model on this GPU, and prove them right.

    They belong to this GPU, driver and TensorRT, and to this model: build them on the robot. A node
    with the same model, and engine auto or tensorrt, then starts with them. Ctrl-C gives up; what
    was timed so far is kept.
    """
    opened, console = load_model(model), Console(stderr=True)
    console.print(UNVERIFIED, style="yellow")
    if reason := lack():
        raise click.ClickException(reason)
    request = Request(str(opened.folder), confidence, str(cache_dir()), rebuild)
    build = BackgroundBuild(request, BuildLimits(timeout, memory_mb))
    build.start()
    try:
        status = _followed(build, console)
    except KeyboardInterrupt:
        build.cancel()
        status = build.wait()
    for note in status.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    if status.state == CANCELLED:
        raise click.ClickException("cancelled; what was timed so far is kept for the next build")
    if status.state != DONE:
        raise click.ClickException(status.reason)
    console.print(f"done in {status.seconds:.0f} s: {request.cache}", markup=False, soft_wrap=True)


def _followed(build: BackgroundBuild, console: Console) -> BuildStatus:
    """Show how far a build is until it ends."""
    columns = (
        TextColumn("{task.percentage:>3.0f} %"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        shown = progress.add_task("", total=100)
        while not (status := build.status).ended:
            words = f"{status.state}: {status.phase}" if status.phase else status.state
            progress.update(shown, completed=status.percent, description=words)
            time.sleep(_POLL_S)
    return build.wait()
