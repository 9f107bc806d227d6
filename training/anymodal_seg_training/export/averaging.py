"""Weights between those of a run and those that it began with.

What a network knew before it was tuned to something else, it has not forgotten on the way there:
the mean of both weights is as good as the tuned ones in the new and nearly as good as the first in
the old, often better than both (WiSE-FT, arXiv 2109.01903, Section 3). It costs no step.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import torch
from torch import Tensor

from anymodal_seg_ros.cli.options.finite_range import FiniteRange
from anymodal_seg_training.checkpoint import load_weights
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.export.trained_network import open_trained
from anymodal_seg_training.recipe import Recipe
from anymodal_seg_training.runs.command_line import run_command

Weights = Mapping[str, Tensor]


def averaged(own: Weights, others: Weights, share: float) -> dict[str, Tensor]:
    """Return the weights that lie between two of the same network.

    Args:
        own: by name.
        others: by the same names, of the same shapes.
        share: of the others, 0 to 1.

    Returns:
        ``(1 - share) own + share others``; what is counted, not learned, is kept as it is.

    Raises:
        TrainingError: they are of different networks.
    """
    unlike = sorted(
        name
        for name in own.keys() | others.keys()
        if name not in own or name not in others or own[name].shape != others[name].shape
    )
    if unlike:
        raise TrainingError(
            f"{len(unlike)} of the weights are not of one network, such as {unlike[0]}: average a "
            "run with what it began with"
        )
    return {
        name: torch.lerp(value, others[name].to(value.dtype), share)
        if value.is_floating_point()
        else value
        for name, value in own.items()
    }


def check_modalities(own: Recipe, others: Recipe, path: Path) -> None:
    """Make sure that the parts that each kind of sensor has lie at the same places.

    Raises:
        TrainingError: the kinds are others, or stand in another order.
    """
    like = own.initial_weights.like  # a kind that began as one of another name is averaged with it
    if others.modality_names not in (
        own.modality_names,
        tuple(like.get(name, name) for name in own.modality_names),
    ):
        raise TrainingError(
            f"{path} has the modalities {', '.join(others.modality_names)}: expected "
            f"{', '.join(own.modality_names)} in this order; average a run with what it began with"
        )


@click.command("average")
@click.argument("path", metavar="RUN|MODEL", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--with",
    "other",
    required=True,
    metavar="RUN|MODEL",
    type=click.Path(file_okay=False, path_type=Path),
    help="Another of the same network: what the run began with.",
)
@click.option(
    "--share",
    type=FiniteRange(0.0, 1.0),
    default=0.5,
    show_default=True,
    help="Of the other's weights.",
)
def main(path: Path, other: Path, share: float) -> None:
    """Replace the best weights of a run by a mean with those that it began with.

    For a run that was begun with a trained model to learn something beside what that one knows.
    Measure the statistics of its heads anew afterwards: 'anymodal-train recalibrate'.
    """

    def command() -> None:
        trained = open_trained(path)
        classes = len(open_dataset(trained.recipe.data).classes)
        network = trained.network(classes, torch.device("cpu"))
        known = open_trained(other)
        check_modalities(trained.recipe, known.recipe, other)
        others = load_weights(known.weights_file)
        network.load_state_dict(averaged(network.state_dict(), others, share))
        trained.replace(network)
        click.echo(f"written: {trained.weights_file}, {100 * share:g} % of it from {other}")

    run_command(command)


if __name__ == "__main__":
    main()
