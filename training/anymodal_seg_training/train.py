"""``python -m anymodal_seg_training.train RECIPE``: train a network as a recipe says."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import Dataset
from anymodal_seg_training.datasets.mixed import MixedDataset
from anymodal_seg_training.datasets.packed import PackedSplit
from anymodal_seg_training.fabric import open_fabric
from anymodal_seg_training.recipe import Recipe, load_recipe
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.command_line import (
    choose_device,
    machine_options,
    open_source,
    run_command,
)
from anymodal_seg_training.runs.display import Display
from anymodal_seg_training.runs.loop import Frames, Trainer
from anymodal_seg_training.runs.named_options import check_named_options

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def train(
    recipe: Recipe,
    dataset: Dataset,
    run: RunFolder,
    resume: bool,
    cache_dir: Path,
    fabric: Fabric,
    workers: int,
    display: Display,
) -> None:
    """Train from the start, or go on with a run that was stopped.

    Raises:
        AnymodalError: the run cannot start or go on.
    """
    with run.held() if fabric.is_global_zero else nullcontext():
        if fabric.is_global_zero:
            if resume and run.begun:
                run.check_same(recipe)
            else:
                run.create(recipe)
        with fabric.rank_zero_first(local=True):  # the other processes find the frames prepared
            frames = _frames(recipe, dataset, cache_dir, fabric, workers, display)
        trainer = Trainer(recipe, frames, run, fabric)
        if resume:
            trainer.resume()
        trainer.fit(display)


def _frames(
    recipe: Recipe,
    dataset: Dataset,
    cache_dir: Path,
    fabric: Fabric,
    workers: int,
    display: Display,
) -> Frames:
    blocks = _blocks(dataset, recipe.input.mix_shards)  # refused before frames are prepared
    for_gpu = fabric.device.type == "cuda"
    # Without a step nothing is learned, and the frames to learn from are not prepared.
    names = ("train", "validation") if recipe.learns else ("validation",)
    opened = [
        open_source(dataset, name, recipe, cache_dir, workers, display, for_gpu, name == "train")
        for name in names
    ]
    learned, validation = opened[0], opened[-1]
    classes = tuple(spec.name for spec in dataset.classes)
    return Frames(learned, validation, classes, blocks)


def _blocks(dataset: Dataset, mixed: int) -> tuple[int, ...]:
    """Return how many training frames lie in each group of shards that are mixed."""
    if not mixed:
        return ()
    if isinstance(dataset, MixedDataset):
        raise ConfigError(f"input.mix_shards is {mixed}: mixed data sets have no order: leave it 0")
    split = dataset.split("train")
    if not isinstance(split, PackedSplit):
        raise ConfigError(
            f"input.mix_shards is {mixed}, but {split.name} has no shards: leave it 0, or pack the "
            "data set with 'anymodal-train pack'"
        )
    shards = split.shards
    return tuple(sum(shards[first : first + mixed]) for first in range(0, len(shards), mixed))


@click.command()
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--run-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run; runs/NAME by default.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in that folder, if there is one.")
@machine_options
def main(
    recipe: Path,
    run_dir: Path | None,
    resume: bool,
    device: str,
    threads: int,
    workers: int,
    cache_dir: Path,
) -> None:
    """Train the network that RECIPE describes.

    The frames are prepared once and kept. The run can be killed at any moment and goes on with
    --resume as if it had not been.
    """

    def command() -> None:
        chosen = load_recipe(recipe)
        check_named_options(chosen)
        run = RunFolder(run_dir or Path("runs") / chosen.name)
        fabric = open_fabric(choose_device(device, threads), chosen.training.precision)
        with Display() as display:
            train(
                chosen,
                open_dataset(chosen.data),
                run,
                resume,
                cache_dir,
                fabric,
                workers,
                display,
            )
        click.echo(f"done: {run.path}; next: {run.evaluation_command}")

    run_command(command, "the last checkpoint is kept, go on with --resume")


if __name__ == "__main__":
    main()
