"""``anymodal-train pack``: write the frames of a recipe's data set into tar shards."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import click

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.checkpoint import write_text_atomically
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import SPLITS, Dataset
from anymodal_seg_training.datasets.packed import FORMAT, MANIFEST
from anymodal_seg_training.datasets.packing import Packing, pack_split
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.recipe import load_recipe
from anymodal_seg_training.runs.command_line import run_command
from anymodal_seg_training.runs.display import Display


def pack(
    dataset: Dataset,
    folder: Path,
    splits: tuple[str, ...],
    frames_per_shard: int,
    skips: bool,
    workers: int,
    display: Display,
) -> dict[str, Any]:
    """Pack some splits of a data set; what a stopped packing has finished is kept.

    Returns:
        The manifest.

    Raises:
        ConfigError: the folder holds another data set, or one that is finished.
        TrainingError: a frame is damaged, or a file cannot be written.
    """
    packings = {}
    for name in splits:
        split = dataset.split(name)
        units = max(1, frames_per_shard // split.frames_per_unit)
        packings[name] = Packing(split, name, folder, units, skips)
    _claim(folder, {n: [p.split.key, p.units, skips] for n, p in packings.items()})
    manifest = {
        "format": FORMAT,
        "description": dataset.description,
        "classes": [[entry.name, list(entry.color)] for entry in dataset.classes],
        "splits": {
            name: pack_split(packing, workers, partial(display.advance, f"packing {name}"))
            for name, packing in packings.items()
        },
    }
    _write(folder / MANIFEST, manifest)
    for packing in packings.values():
        for number in range(packing.shards):
            packing.note_file(number).unlink()
    (folder / ".source.json").unlink()
    return manifest


def _claim(folder: Path, source: dict[str, Any]) -> None:
    """Make the folder, or make sure that it holds the beginning of the same thing."""
    if (folder / MANIFEST).exists():
        raise ConfigError(f"{folder} holds a finished data set already: name another folder")
    path = folder / ".source.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else source
    except (OSError, ValueError) as error:
        raise TrainingError(f"cannot pack into {folder}: {error}") from error
    if before != source:
        raise ConfigError(
            f"{folder} holds the beginning of another data set, or the files or options have "
            "changed since: name another folder"
        )
    _write(path, source)


def _write(path: Path, content: dict[str, Any]) -> None:
    write_text_atomically(path, json.dumps(content) + "\n")


@click.command("pack")
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=click.Choice(SPLITS),
    default=("train", "validation"),
    show_default=True,
    help="To pack; may be given several times.",
)
@click.option("--frames-per-shard", default=1000, show_default=True, type=click.IntRange(1, 10**6))
@click.option("--skip-damaged", is_flag=True, help="Leave damaged frames out, and name them.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=0,
    help="Processes that pack; 0 means one per core.",
)
def main(
    recipe: Path,
    folder: Path,
    splits: tuple[str, ...],
    frames_per_shard: int,
    skip_damaged: bool,
    workers: int,
) -> None:
    """Write the data set that RECIPE names into tar shards in FOLDER.

    Can be stopped at any moment and started again. A recipe then reads them with
    'data: {dataset: packed, folder: FOLDER}'.
    """

    def command() -> None:
        with Display() as display:
            manifest = pack(
                open_dataset(load_recipe(recipe).data),
                folder,
                splits,
                frames_per_shard,
                skip_damaged,
                workers or os.cpu_count() or 1,
                display,
            )
        for name, entry in manifest["splits"].items():
            for sentence in entry["left_out"]:
                click.echo(f"left out: {sentence}", err=True)
            frames, shards = sum(entry["shards"]), len(entry["shards"])
            click.echo(f"{name}: {frames} frames in {shards} shards, {folder}")

    run_command(command, "the finished shards are kept, start again to go on")


if __name__ == "__main__":
    main()
