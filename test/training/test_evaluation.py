from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fixtures.tiny_training import TinyDataset, UnlabelledDataset, tiny_format, tiny_recipe
from torch import Tensor

from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_ros.networks import AnyModalNetwork, Decoded, build_network
from anymodal_seg_training.checkpoint import save_weights
from anymodal_seg_training.datasets.frame_cache import open_cache
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.evaluation.case_evaluation import case_confusions
from anymodal_seg_training.evaluation.cases import combinations
from anymodal_seg_training.evaluation.report import (
    benchmark_table,
    class_table,
    combination_table,
    save_heat_map,
    write_csv,
)
from anymodal_seg_training.evaluation.split_evaluation import Evaluation
from anymodal_seg_training.export.trained_network import load_best
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.loop import Frames

NAMES = ["left", "right", "spot"]
CPU = torch.device("cpu")


class Oracle(AnyModalNetwork):
    """Reads the class off the brightness; it has nothing to learn."""

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        return [images[:, :, :, ::4, ::4]]

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        level = features[0].mean(dim=(1, 2))
        centres = (-0.6, 0.0, 0.8, 99.0)[: self.num_classes]
        return Decoded(torch.stack([-(level - centre).abs() for centre in centres], dim=1))


def test_one_confusion_matrix_for_each_subset(frames: Frames) -> None:
    recipe = tiny_recipe()
    network = Oracle(3, recipe.modality_names).train()
    cases = combinations(recipe.modality_names)
    indices = np.arange(len(frames.validation))
    found = case_confusions(network, frames.validation, indices, cases, recipe, CPU, 4)
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
    result = Evaluation(recipe, network, frames.validation, CPU).combinations(
        TinyDataset(), "validation"
    )
    assert len(result["miou"]) == 15 and result["frames"] == len(frames.validation)
    assert result["mean_over_subsets"] == pytest.approx(
        np.mean(list(result["miou"].values())), abs=1e-4
    )
    for key, miou in result["miou"].items():
        assert miou == pytest.approx(np.mean(list(result["class_iou"][key].values())), abs=2e-4)
    assert "left out of the mean" in result["protocol"]
    assert json.loads(json.dumps(result)) == result
    assert combination_table(result).row_count == 18
    assert class_table(result, NAMES).row_count == 3


def test_files_hold_what_the_table_says(frames: Frames, tmp_path: Path) -> None:
    recipe = tiny_recipe()
    network = Oracle(3, recipe.modality_names)
    result = Evaluation(recipe, network, frames.validation, CPU).combinations(
        TinyDataset(), "validation"
    )
    write_csv(tmp_path / "e.csv", result, NAMES)
    with (tmp_path / "e.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["sensors"]: float(row["miou"]) for row in rows} == result["miou"]
    assert float(rows[0]["spot"]) == result["class_iou"]["rgb"]["spot"]
    save_heat_map(tmp_path / "e.png", result, NAMES, "tiny")
    picture = cv2.imread(str(tmp_path / "e.png"))
    assert picture is not None and min(picture.shape[:2]) > 200


def test_a_picture_is_drawn_whatever_classes_are_called(tmp_path: Path) -> None:
    names = [r"$\frac$", "a$b$c", "_", "<b>", "long" * 20]
    subsets = ["rgb", "thermal" * 12, "rgb+" + "thermal" * 12]
    scores = {name: 0.5 for name in names[:-1]}  # the last one never occurred
    result = {"miou": dict.fromkeys(subsets, 0.5), "class_iou": dict.fromkeys(subsets, scores)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as that nothing fits
        save_heat_map(tmp_path / "e.png", result, names, "cents")
    assert cv2.imread(str(tmp_path / "e.png")) is not None


def test_the_benchmark_zeroes_and_the_combinations_skip(frames: Frames) -> None:
    """The oracle takes the mean over its sensors: zeros pull it to the middle, absence does not."""
    recipe = tiny_recipe()
    network = Oracle(3, recipe.modality_names)
    evaluation = Evaluation(recipe, network, frames.validation, CPU)
    skipped = evaluation.combinations(TinyDataset(), "validation")
    zeroed = evaluation.combinations(TinyDataset(), "validation", drop="zero")
    whole = "rgb+thermal+depth+event"
    assert skipped["miou"][whole] == zeroed["miou"][whole]
    assert skipped["miou"]["rgb"] > zeroed["miou"]["rgb"] + 0.1
    assert "skipped" in skipped["protocol"] and "zeros" in zeroed["protocol"]
    result = evaluation.benchmark("validation")
    assert result["clean"] == skipped["miou"][whole]
    assert result["emm"]["average"] == zeroed["mean_over_subsets"]
    assert result["emm"]["average"] <= result["rmm"]["0.5"]["average"] <= result["clean"]
    assert result["rmm"]["0.75"]["average"] <= result["rmm"]["0.25"]["average"]
    assert result["nm"]["high"] <= result["nm"]["mid"] <= result["nm"]["low"]
    parts = [result["clean"], result["emm"]["average"], result["emm"]["E(0.1)"]]
    parts += [result["rmm"]["0.5"]["average"], result["rmm"]["0.5"]["E(0.1)"]]
    parts += [result["nm"]["low"], result["nm"]["mid"]]
    assert result["robustness_score"] == pytest.approx(np.mean(parts), abs=2e-4)
    assert benchmark_table(result).row_count == 9
    assert evaluation.benchmark("validation") == result, "the noise is not repeatable"


def test_a_class_that_never_occurs_is_left_out_or_counts_as_nothing(frames: Frames) -> None:
    recipe = tiny_recipe()
    network = Oracle(4, recipe.modality_names)  # it knows of three classes only

    class Four(TinyDataset):
        classes = (*TinyDataset.classes, ClassSpec("never", (1, 2, 3)))

    found = {
        absent: Evaluation(recipe, network, frames.validation, CPU, absent).combinations(
            Four(), "validation"
        )["miou"]["rgb"]
        for absent in ("skip", "zero")
    }
    assert found["zero"] == pytest.approx(0.75 * found["skip"], abs=2e-4)


def test_a_split_that_nobody_labelled_has_no_score(tmp_path: Path) -> None:
    recipe, dataset = tiny_recipe(), UnlabelledDataset()
    frames = open_cache(dataset.split("test"), tiny_format(), tmp_path, workers=1)
    evaluation = Evaluation(recipe, Oracle(3, recipe.modality_names), frames, CPU)
    with pytest.raises(TrainingError, match=r"no pixel of the 6 frames has a label.*--split"):
        evaluation.combinations(dataset, "test")


def test_a_run_without_weights_is_named(tmp_path: Path) -> None:
    files = RunFolder(tmp_path / "run")
    files.create(tiny_recipe())
    with pytest.raises(TrainingError, match="has no best weights yet"):
        load_best(files, 3, CPU)
    save_weights(files.best_file, {"stray": torch.ones(1)})
    with pytest.raises(TrainingError, match="does not fit the recipe"):
        load_best(files, 3, CPU)
