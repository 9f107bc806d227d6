"""Puts a run together from what the command line says; shared by the three commands."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import torch

from anymodal_seg_ros.cli.console.os_errors import told
from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_training.datasets.base import Dataset
from anymodal_seg_training.datasets.frame_cache import FrameCache, PlaneFormat, open_cache
from anymodal_seg_training.datasets.frame_source import FrameSource
from anymodal_seg_training.datasets.mixed import MixedDataset
from anymodal_seg_training.datasets.mixed_frames import MixedFrames, Share
from anymodal_seg_training.datasets.reading import Reading
from anymodal_seg_training.datasets.streaming import StreamedFrames
from anymodal_seg_training.evaluation.member_view import check_modalities, member_recipe
from anymodal_seg_training.fabric import processes_of
from anymodal_seg_training.recipe import Recipe
from anymodal_seg_training.runs.display import Display

F = TypeVar("F", bound=Callable[..., Any])

CACHE_VARIABLE = "ANYMODAL_CACHE"


def machine_options(command: F) -> F:
    """Add the options that say where to compute and where to keep frames."""
    for option in (
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda …"),
        click.option(
            "--threads",
            type=click.IntRange(0),
            default=0,
            help="CPU threads of PyTorch; 0 means all cores.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(0),
            default=0,
            help="Processes that make frames; 0 means one per core.",
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
        torch.zeros(1, device=device).item()  # the device meta has no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"--device is {name!r}, which cannot be used: {error}; expected cpu, cuda, or auto for "
            "the best that there is"
        ) from error
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32: what is not in bf16 need not be slow
    return device


def open_split(
    dataset: Dataset,
    name: str,
    recipe: Recipe,
    cache_dir: Path,
    workers: int,
    display: Display,
    reading: Reading | None = None,
) -> FrameCache:
    """Return the frames of a split; they are made if they are not there yet."""
    form = PlaneFormat(recipe.modalities, recipe.input.height, recipe.input.width)
    return open_cache(
        dataset.split(name),
        form,
        cache_dir,
        workers or os.cpu_count() or 1,
        lambda done, total: display.advance(f"preparing {name} frames", done, total),
        reading,
    )


def open_source(
    dataset: Dataset,
    name: str,
    recipe: Recipe,
    cache_dir: Path,
    workers: int,
    display: Display,
    for_gpu: bool = False,
    learning: bool = False,
) -> FrameSource:
    """Return the frames of a split from where the recipe says: a cache, or the data set itself.

    Args:
        dataset: which has the split.
        name: of the split.
        recipe: of the run.
        cache_dir: where prepared frames are kept.
        workers: processes that make frames for this one; 0 means that the cores of this machine
            are shared out among the run's processes on it.
        display: shows how far the preparation is.
        for_gpu: whether a GPU fetches the frames, which must not wait while they are varied. On a
            CPU the cores have enough to do, and frames of a cache are varied when they are needed.
        learning: whether they are learned from; others may stand in for damaged ones only then.

    Raises:
        ConfigError: the data set lacks the split, or does not fit the recipe.
        TrainingError: the frames cannot be prepared.
    """
    if isinstance(dataset, MixedDataset):
        return _open_mixed(dataset, name, recipe, cache_dir, workers, display, for_gpu, learning)
    options = recipe.input
    beside = processes_of("LOCAL_WORLD_SIZE", 1)
    reading = Reading(
        workers or max(1, (os.cpu_count() or 1) // beside),
        options.prefetch,
        # A score over fewer frames is another score.
        replaces=options.on_damage == "replace" and learning,
        pinned=for_gpu,
    )
    if options.store == "cache":
        ahead = reading if for_gpu else None
        return open_split(dataset, name, recipe, cache_dir, workers, display, ahead)
    form = PlaneFormat(recipe.modalities, options.height, options.width)
    return StreamedFrames(dataset.split(name), form, reading)


def _open_mixed(
    dataset: MixedDataset,
    name: str,
    recipe: Recipe,
    cache_dir: Path,
    workers: int,
    display: Display,
    for_gpu: bool,
    learning: bool,
) -> MixedFrames:
    check_modalities(recipe, dataset)
    shares, first = [], 0
    for member in dataset.members.values():
        own = member_recipe(recipe, member.modalities)
        source = open_source(
            member.dataset, name, own, cache_dir, workers, display, for_gpu, learning
        )
        classes = dataset.space.members[member.name]
        shares.append(Share(source, own.modality_names, member.name, classes, 0.0, first))
        first += len(source)
    chances = dataset.chances({share.name: len(share.source) for share in shares})
    drawn = [dataclasses.replace(share, chance=chances[share.name]) for share in shares]
    return MixedFrames(drawn, dataset.space)


def run_command(
    command: Callable[[], None], interrupted: str = "what was not finished is to be started again"
) -> None:
    """Run a command; its errors become one line and exit code 1, Ctrl-C exit code 130.

    Args:
        command: to run.
        interrupted: what is left after Ctrl-C, and how to go on.
    """
    try:
        command()
    except (AnymodalError, OSError) as error:  # such as a disk that is full
        click.echo(f"error: {told(error)}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo(f"interrupted; {interrupted}", err=True)
        sys.exit(130)
