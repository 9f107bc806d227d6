"""``anymodal-train evaluate RUN|MODEL``: mIoU of the best weights under both protocols."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.inference.model import sha256
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import SPLITS
from anymodal_seg_training.datasets.frame_cache import FrameCache
from anymodal_seg_training.evaluation.cases import DROPS
from anymodal_seg_training.evaluation.corruption import MISSING_RATIOS, SCORED_RATIO
from anymodal_seg_training.evaluation.member_view import views_of
from anymodal_seg_training.evaluation.report import set_table, write_report
from anymodal_seg_training.evaluation.split_evaluation import ABSENT_CLASSES, Evaluation, over_sets
from anymodal_seg_training.export.trained_network import open_trained
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.command_line import (
    choose_device,
    machine_options,
    open_source,
    run_command,
)
from anymodal_seg_training.runs.display import Display

NATIVE = ("no", "whole", "sliding")
"""Whether there is a measurement at the size of the labels, too, and of what."""


@click.command("evaluate")
@click.argument("run", metavar="RUN|MODEL", type=click.Path(file_okay=False, path_type=Path))
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True)
@click.option(
    "--drop",
    type=click.Choice(DROPS),
    default="skip",
    show_default=True,
    help="Absent modalities are not passed, or passed as zeros.",
)
@click.option(
    "--absent-classes",
    type=click.Choice(ABSENT_CLASSES),
    default="skip",
    show_default=True,
    help="Classes that never occur are left out of the mean, or count as 0 (DELIVER's loader).",
)
@click.option(
    "--native",
    type=click.Choice(NATIVE),
    default="no",
    show_default=True,
    help="Also at the size of the labels: of whole pictures scaled to the network's input, or of "
    "windows of that size.",
)
@click.option("--benchmark", is_flag=True, help="Also EMM, RMM and NM; some ten times as long.")
@click.option(
    "--batch",
    type=click.IntRange(0),
    default=0,
    help="Frames at a time; the recipe's training.evaluation_batch by default. The published "
    "benchmark draws its noise in batches of 4.",
)
@click.option(
    "--rmm-half-only", is_flag=True, help="Of RMM the ratio 0.5 alone, that of the score."
)
@machine_options
def main(
    run: Path,
    split: str,
    drop: str,
    absent_classes: str,
    native: str,
    benchmark: bool,
    batch: int,
    rmm_half_only: bool,
    device: str,
    threads: int,
    workers: int,
    cache_dir: Path,
) -> None:
    """Measure the best weights of a run, or a model, with every subset of sensors alive.

    Prints tables and writes evaluation-SPLIT.json, .csv and .png into its folder; where the
    data set knows weather, failures and the like, -conditions.csv too. Of mixed data sets each is
    measured with its own sensors and classes.
    """

    def command() -> None:
        folder, trained = RunFolder(run), open_trained(run)
        recipe = trained.recipe
        dataset = open_dataset(recipe.data)
        chosen = choose_device(device, threads)
        network = trained.network(len(dataset.classes), chosen)
        measured = {"weights": sha256(trained.weights_file)}  # they may be replaced later
        path, console, results = folder.result_file(split), PlainConsole(), {}
        for view in views_of(recipe, dataset, network):
            with Display() as display:
                frames = open_source(view.dataset, split, view.recipe, cache_dir, workers, display)
                evaluation = Evaluation(
                    view.recipe,
                    view.network,
                    frames,
                    chosen,
                    absent_classes,
                    partial(display.advance, f"evaluating {view.name}".rstrip()),
                    batch,
                )
                result = evaluation.combinations(view.dataset, split, drop)
                if native != "no":
                    own = view.dataset.split(split)
                    result["native"] = evaluation.native(own, native == "sliding")
                if benchmark:
                    ratios = (SCORED_RATIO,) if rmm_half_only else MISSING_RATIOS
                    result["benchmark"] = evaluation.benchmark(split, ratios)
            results[view.name] = result
            if "native" in result:
                mean = 100 * result["native"]["mean_over_subsets"]
                console.print(f"{result['native']['protocol']}: mean over subsets {mean:.1f}")
            classes = [entry.name for entry in view.dataset.classes]
            if view.name:
                console.print(f"data set {view.name}", style="bold")
            stem, title = f"{path.stem}-{view.name}", f"{recipe.name} {view.name}"
            write_report(path.with_name(stem.rstrip("-")), result, classes, title.rstrip(), console)
            if isinstance(frames, FrameCache) and frames.conditions() is None:
                console.print(
                    f"no scores by condition: {frames.folder} is from before conditions were "
                    "stored; delete it to have its frames made anew",
                    soft_wrap=True,
                )
        if "" in results:
            folder.write_json(path, results[""] | measured)
        else:
            together = over_sets(results)
            folder.write_json(path, together | measured)
            console.print(set_table(together))
        click.echo(f"written: {path}, and .csv and .png beside it")

    run_command(command)


if __name__ == "__main__":
    main()
