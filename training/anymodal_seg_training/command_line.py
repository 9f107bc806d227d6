"""Puts a run together from what the command line says; shared by the three commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import torch

from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_training.datasets.base import Dataset
from anymodal_seg_training.datasets.frame_cache import FrameCache, PlaneFormat, open_cache
from anymodal_seg_training.display import Display
from anymodal_seg_training.recipe import Recipe

F = TypeVar("F", bound=Callable[..., Any])

CACHE_VARIABLE = "ANYMODAL_CACHE"


def machine_options(command: F) -> F:
    """Add the options that say where to compute and where to keep frames."""
    for option in (
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda …"),
        click.option("--threads", default=0, help="CPU threads of PyTorch; 0 means all cores."),
        click.option(
            "--workers", default=0, help="Processes that make frames; 0 means one per core."
        ),
        click.option(
            "--cache-dir",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path(".cache/frames"),
            envvar=CACHE_VARIABLE,
            show_default=True,
            show_envvar=True,
            help="Where prepared frames are kept.",
        ),
    ):
        command = option(command)
    return command


def choose_device(name: str, threads: int) -> torch.device:
    """Return the device that an option means, and set the number of threads.

    Raises:
        ConfigError: there is no such device.
    """
    if threads > 0:
        torch.set_num_threads(threads)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"--device is {name!r}, which cannot be used: {error}") from error
    return device


def open_split(
    dataset: Dataset, name: str, recipe: Recipe, cache_dir: Path, workers: int, display: Display
) -> FrameCache:
    """Return the frames of a split; they are made if they are not there yet."""
    form = PlaneFormat(recipe.modalities, recipe.input.height, recipe.input.width)
    return open_cache(
        dataset.split(name),
        form,
        cache_dir,
        workers or os.cpu_count() or 1,
        lambda done, total: display.advance(f"preparing {name} frames", done, total),
    )


def run_command(command: Callable[[], None]) -> None:
    """Run a command; its errors become one line and exit code 1, Ctrl-C exit code 130."""
    try:
        command()
    except AnymodalError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("interrupted; the last checkpoint is kept, go on with --resume", err=True)
        sys.exit(130)
