from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.tiny_training import TinyDataset, tiny_recipe
from torch import Tensor

from anymodal_seg_ros.networks import AnyModalNetwork, Decoded, build_network
from anymodal_seg_training.checkpoint import save_weights
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.evaluate import evaluate, result_table
from anymodal_seg_training.loop import Frames
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.sampling import all_subsets
from anymodal_seg_training.subset_evaluation import subset_confusions
from anymodal_seg_training.trained_network import load_best

CPU = torch.device("cpu")


class Oracle(AnyModalNetwork):
    """Reads the class off the brightness; it has nothing to learn."""

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        return [images[:, :, :, ::4, ::4]]

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        level = features[0].mean(dim=(1, 2))
        centres = (-0.6, 0.0, 0.8)
        return Decoded(torch.stack([-(level - centre).abs() for centre in centres], dim=1))


def test_one_confusion_matrix_for_each_subset(frames: Frames) -> None:
    recipe = tiny_recipe()
    network = Oracle(3, recipe.modality_names).train()
    subsets = all_subsets(recipe.modality_names)
    indices = np.arange(len(frames.validation))
    found = subset_confusions(network, frames.validation, indices, subsets, recipe, CPU, 4)
    assert len(found) == 15 and network.training
    _, labels = frames.validation.read(indices, ("rgb",))
    labelled = int((labels != 255).sum())
    assert {int(matrix.sum()) for matrix in found.values()} == {labelled}
    assert all(
        (matrix.sum(axis=1) == np.bincount(labels.ravel())[:3]).all() for matrix in found.values()
    )
    assert np.trace(found["rgb"]) > 0.8 * labelled


def test_the_result_holds_all_subsets_and_says_how_it_was_measured(frames: Frames) -> None:
    recipe = tiny_recipe()
    network = build_network(recipe.architecture, 3, recipe.modality_names).eval()
    result = evaluate(recipe, network, frames.validation, TinyDataset(), "validation", CPU)
    assert len(result["miou"]) == 15 and result["frames"] == len(frames.validation)
    assert result["mean_over_subsets"] == pytest.approx(
        np.mean(list(result["miou"].values())), abs=1e-4
    )
    for key, miou in result["miou"].items():
        assert miou == pytest.approx(np.mean(list(result["class_iou"][key].values())), abs=2e-4)
    assert "left out of the mean" in result["protocol"]
    assert json.loads(json.dumps(result)) == result
    assert result_table(result, ["left", "right", "spot"]).row_count == 16


def test_a_run_without_weights_is_named(tmp_path: Path) -> None:
    files = RunFolder(tmp_path / "run")
    files.create(tiny_recipe())
    with pytest.raises(TrainingError, match="has no best weights yet"):
        load_best(files, 3, CPU)
    save_weights(files.best_file, {"stray": torch.ones(1)})
    with pytest.raises(TrainingError, match="does not fit the recipe"):
        load_best(files, 3, CPU)
