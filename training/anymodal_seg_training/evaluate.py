"""``python -m anymodal_seg_training.evaluate RUN``: mIoU of a run for every subset of sensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from anymodal_seg_ros.evaluation.metrics import class_iou, mean_iou
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.command_line import (
    choose_device,
    machine_options,
    open_split,
    run_command,
)
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import SPLITS, Dataset
from anymodal_seg_training.datasets.frame_cache import FrameCache
from anymodal_seg_training.display import Display
from anymodal_seg_training.recipe import Recipe
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.sampling import all_subsets
from anymodal_seg_training.subset_evaluation import subset_confusions
from anymodal_seg_training.trained_network import load_best

PROTOCOL = (
    "absent modalities skipped; one confusion matrix per subset over all frames, at the network's "
    "input size; classes absent from labels and predictions left out of the mean"
)


def evaluate(
    recipe: Recipe,
    network: AnyModalNetwork,
    frames: FrameCache,
    dataset: Dataset,
    split: str,
    device: torch.device,
) -> dict[str, Any]:
    """Measure all subsets on all frames of a split; return what goes into JSON and manifest."""
    subsets = all_subsets(recipe.modality_names)
    indices = np.arange(len(frames))
    confusions = subset_confusions(network, frames, indices, subsets, recipe, device)
    miou = {key: round(mean_iou(confusion), 4) for key, confusion in confusions.items()}
    names = [entry.name for entry in dataset.classes]
    return {
        "split": split,
        "frames": len(frames),
        "protocol": PROTOCOL,
        "mean_over_subsets": round(float(np.mean(list(miou.values()))), 4),
        "miou": miou,
        "class_iou": {
            key: {
                name: round(float(iou), 4)
                for name, iou in zip(names, class_iou(confusion), strict=True)
                if np.isfinite(iou)
            }
            for key, confusion in confusions.items()
        },
    }


def result_table(result: dict[str, Any], classes: list[str]) -> Table:
    """Draw an evaluation: a row for each subset, a column for each class."""
    title = f"mIoU on {result['frames']} {result['split']} frames"
    table = Table(title=title, caption=result["protocol"])
    table.add_column("sensors alive")
    table.add_column("mIoU", justify="right", style="bold")
    for name in classes:
        table.add_column(name, justify="right")
    for key, miou in result["miou"].items():
        ious = result["class_iou"][key]
        cells = [f"{100 * ious[name]:.1f}" if name in ious else "–" for name in classes]
        table.add_row(key, f"{100 * miou:.2f}", *cells)
    table.add_section()
    table.add_row("mean over subsets", f"{100 * result['mean_over_subsets']:.2f}")
    return table


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True)
@machine_options
def main(run: Path, split: str, device: str, threads: int, workers: int, cache_dir: Path) -> None:
    """Measure the best weights of the run folder RUN with every subset of sensors alive.

    Prints a table and writes evaluation-SPLIT.json into the run folder.
    """

    def command() -> None:
        folder = RunFolder(run)
        recipe = folder.recipe
        dataset = open_dataset(recipe.data)
        chosen = choose_device(device, threads)
        network = load_best(folder, len(dataset.classes), chosen)
        with Display() as display:
            frames = open_split(dataset, split, recipe, cache_dir, workers, display)
        result = evaluate(recipe, network, frames, dataset, split, chosen)
        folder.write_json(folder.result_file(split), result)
        Console().print(result_table(result, [entry.name for entry in dataset.classes]))
        click.echo(f"written: {folder.result_file(split)}")

    run_command(command)


if __name__ == "__main__":
    main()
