"""A trained network and its recipe: of a finished run, or of a model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.runtimes.torch_engine import load_network
from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_training.checkpoint import load_weights, save_weights
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.export.graphs import rewrite_graphs
from anymodal_seg_training.recipe import Recipe, parse_recipe
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.strategies import makes_masks


@dataclass(frozen=True, slots=True)
class Trained:
    """Where a trained network is.

    Attributes:
        recipe: by which it was trained.
        run: its folder; None if it is a model.
        model: its folder; None if it is a run.
    """

    recipe: Recipe
    run: RunFolder | None = None
    model: Model | None = None

    @property
    def weights_file(self) -> Path:
        """Where its weights are."""
        if self.run is not None:
            return self.run.best_file
        assert self.model is not None
        return self.model.file("weights")

    def network(self, num_classes: int, device: torch.device) -> AnyModalNetwork:
        """Build the network with its weights, in evaluation mode.

        Raises:
            AnymodalError: the weights are missing, do not fit, or make no masks of so many classes.
        """
        if self.run is not None:
            return load_best(self.run, num_classes, device)
        assert self.model is not None
        network = load_network(self.model)
        if network.num_classes != num_classes:
            raise TrainingError(
                f"{self.model.folder} tells {network.num_classes} classes, its data set has "
                f"{num_classes}: name the data set that it was trained on"
            )
        return network.to(device).eval()

    def replace(self, network: AnyModalNetwork) -> None:
        """Write other weights in the place of its own; of a model the ONNX graphs with them.

        Raises:
            TrainingError: they cannot be written; of a model, all is as it was.
        """
        if self.model is None:
            save_weights(self.weights_file, network.state_dict())
        else:
            rewrite_graphs(self.model.folder, network=network)


def open_trained(path: Path) -> Trained:
    """Open a run folder or a model folder.

    Raises:
        ConfigError: it is neither, or a model that says nothing of its training.
        ModelError: a file of the model was altered.
    """
    if not (path / "model.yaml").is_file():
        run = RunFolder(path)
        if not run.recipe_file.is_file():
            raise ConfigError(
                f"{path} is no run folder and no model folder: it holds neither recipe.yaml nor "
                "model.yaml"
            )
        return Trained(run.recipe, run=run)
    model = load_model(str(path))
    if not model.manifest.recipe:
        raise ConfigError(f"{path} holds no recipe: only a model that was trained here has one")
    try:
        return Trained(parse_recipe(model.manifest.recipe), model=model)
    except ConfigError as error:
        raise ConfigError(f"the recipe in {path / 'model.yaml'}: {error}") from error


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
