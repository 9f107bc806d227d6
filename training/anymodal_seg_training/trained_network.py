"""The network of a finished run."""

from __future__ import annotations

import torch

from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_training.checkpoint import load_weights
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.strategies import makes_masks


def load_best(run: RunFolder, num_classes: int, device: torch.device) -> AnyModalNetwork:
    """Build the network of a run with its best weights, in evaluation mode.

    Raises:
        TrainingError: the run has no weights yet, they do not fit its recipe, or make no masks.
    """
    strategy = run.recipe.strategy.get("name", "")
    if not makes_masks(strategy):
        raise TrainingError(
            f"{run.path} was trained with the strategy {strategy}, after which a network makes no "
            "masks yet: name the run of the next phase"
        )
    if not run.best_file.exists():
        raise TrainingError(f"{run.path} has no best weights yet: train past a validation first")
    network = build_network(run.recipe.architecture, num_classes, run.recipe.modality_names)
    try:
        network.load_state_dict(load_weights(run.best_file))
    except RuntimeError as error:
        raise TrainingError(f"{run.best_file} does not fit the recipe: {error}") from error
    return network.to(device).eval()
