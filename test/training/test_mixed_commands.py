"""The commands on a recipe with mixed data sets, from the training to the model folder."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from fixtures.mixed_training import DATASETS, SETS, UNION, mixed_recipe
from fixtures.unopened_graphs import leave_graphs_unwritten

from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_training import datasets, train
from anymodal_seg_training.commands import check_data, evaluate, export, pack

SUBSETS = {"heat": 3, "range": 7}


@dataclass(frozen=True)
class NoOptions:
    """The tiny data sets have none."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, dataset in DATASETS.items():
        entry = datasets._DatasetEntry(NoOptions, lambda options, dataset=dataset: dataset())
        monkeypatch.setitem(datasets._DATASETS, name, lambda entry=entry: entry)


def write_recipe(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({**mixed_recipe(steps=2).plain(), **changes}))
    return path


def call(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_train_evaluate_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_graphs_unwritten(monkeypatch)
    recipe = write_recipe(tmp_path / "recipe.yaml")
    run, out = tmp_path / "run", tmp_path / "model"
    where = ["--cache-dir", tmp_path / "cache", "--threads", 1, "--workers", 1]
    done = call(train.main, recipe, "--run-dir", run, *where)
    assert done.exit_code == 0, done.output

    measured = call(evaluate.main, run, "--benchmark", *where)
    assert measured.exit_code == 0, measured.output
    for text in ("data set heat", "data set range", "of 2 sets", "hole", "robustness score"):
        assert text in measured.output
    result = json.loads((run / "evaluation-test.json").read_text())
    assert list(result["sets"]) == list(SETS) and result["frames"] == 18
    for name, found in result["sets"].items():
        assert len(found["miou"]) == SUBSETS[name] and "benchmark" in found
        own = {entry.name for entry in DATASETS[name]().classes}
        assert all(set(ious) <= own for ious in found["class_iou"].values())
        with (run / f"evaluation-test-{name}.csv").open() as file:
            assert len(list(csv.reader(file))) == 1 + SUBSETS[name]
        assert (run / f"evaluation-test-{name}.png").exists()
        assert (run / f"evaluation-test-{name}-conditions.csv").exists()
    means = [found["mean_over_subsets"] for found in result["sets"].values()]
    assert result["mean_over_subsets"] == pytest.approx(np.mean(means), abs=1e-4)

    written = call(export.main, run, out, "--compare", run, *where)
    assert written.exit_code == 0, written.output
    assert written.output.count("agree on") == 3 + 7 and "range/rgb+depth+event" in written.output
    manifest = load_model(str(out)).manifest
    assert tuple(entry.name for entry in manifest.classes) == UNION
    assert list(manifest.modalities) == ["rgb", "thermal", "depth", "event"]
    assert set(manifest.metrics["miou"]) == set(SETS)
    card = (out / "MODEL_CARD.md").read_text()
    assert "frames of heat (test split)" in card and "## IoU of the classes of range" in card

    other = tmp_path / "other"
    other.mkdir()
    (other / "recipe.yaml").write_text((run / "recipe.yaml").read_text())
    alone = {key: value for key, value in result["sets"]["heat"].items() if key != "benchmark"}
    (other / "evaluation-test.json").write_text(json.dumps(alone))
    refused = call(export.main, run, tmp_path / "second", "--compare", other, *where)
    assert refused.exit_code == 1 and "its data sets are one alone, here heat, range" in (
        refused.output
    )


def test_each_data_set_is_checked(tmp_path: Path) -> None:
    checked = call(check_data.main, write_recipe(tmp_path / "recipe.yaml"), "--workers", 1)
    assert checked.exit_code == 0, checked.output
    assert "heat of" in checked.output and "range of" in checked.output
    assert "Right" in checked.output and "spot" in checked.output


def test_what_cannot_be_done_with_a_mixture_says_so(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml")
    packed = call(pack.main, recipe, tmp_path / "packed")
    assert packed.exit_code == 1 and "a mixed data set has no frames of its own" in packed.output
    plain = mixed_recipe().plain()["input"]
    shards = write_recipe(tmp_path / "shards.yaml", input={**plain, "mix_shards": 2})
    where = ["--cache-dir", tmp_path / "cache", "--threads", 1, "--workers", 1]
    refused = call(train.main, shards, "--run-dir", tmp_path / "run", *where)
    assert refused.exit_code == 1 and "input.mix_shards is 2: mixed" in refused.output
