from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from fixtures.tiny_training import tiny_recipe

from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.inference.manifest import modality_spec
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.networks import build_network
from anymodal_seg_training.commands.import_published import _spec
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.folders import bundled_layout
from anymodal_seg_training.datasets.mixed import MixedDataset
from anymodal_seg_training.evaluation.member_view import check_modalities
from anymodal_seg_training.recipe import load_recipe, parse_recipe
from anymodal_seg_training.strategies import build_strategy, makes_masks
from anymodal_seg_training.strategies.base import Setting

# Those to copy (my_*.yaml) name data that nobody has; test_train_your_own.py reads them.
FOLDER = Path(__file__).parents[2] / "training" / "recipes"
RECIPES = sorted(FOLDER.glob("rig_*.yaml"))
FIVE = ("segrgbx_five", "segrgbx_five_clip")


def setting(
    modalities: tuple[str, ...] = ("rgb",), classes: int = 1, names: tuple[str, ...] = ()
) -> Setting:
    frequencies = np.full(classes, 1 / classes)
    return Setting(modalities, frequencies, torch.device("cpu"), classes=names)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses_and_names_things_that_exist(path: Path) -> None:
    pytest.importorskip("trimesh")
    recipe = load_recipe(path)
    dataset = open_dataset(recipe.data)
    classes = len(dataset.classes)
    build_network(recipe.architecture, classes, recipe.modality_names)
    names = tuple(spec.name for spec in dataset.classes)
    build_strategy(recipe.strategy, setting(recipe.modality_names, classes, names))
    assert recipe.name == path.stem.replace("_", "-")
    assert recipe.description.endswith(".")
    alone = path.stem.removeprefix("rig_only_")
    four = ("rgb", "thermal", "depth", "event")
    assert recipe.modality_names == (four if alone == path.stem else (alone,))


@pytest.mark.parametrize("name", ["rig-nano", "rig-lite", "rig-large", "rig-b0"])
def test_a_bundled_model_is_of_the_recipe_of_its_name(name: str) -> None:
    known = load_recipe(FOLDER / f"{name.replace('-', '_')}.yaml")
    assert parse_recipe(load_model(name).manifest.recipe) == known


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_what_a_recipe_goes_on_from_has_a_recipe(path: Path) -> None:
    begun = load_recipe(path).initial_weights.model
    if begun:
        before = begun.removeprefix("runs/").removeprefix("models/").removesuffix("/model")
        assert FOLDER / f"{before.replace('-', '_')}.yaml" in RECIPES


@pytest.mark.parametrize("name", FIVE)
def test_the_recipes_of_five_data_sets_name_things_that_exist(name: str, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    recipe = load_recipe(FOLDER / f"{name}.yaml")
    for member in recipe.data["sets"].values():
        member["data"]["root"] = str(tmp_path)
    dataset = open_dataset(recipe.data)
    check_modalities(recipe, dataset)
    assert isinstance(dataset, MixedDataset) and len(dataset.members) == 5
    assert len(dataset.classes) == 9 + 40 + 14 + 8 + 25 - 21  # what is known by several names
    small = {**recipe.architecture, "backbone": "mit_nano", "clip": "tiny-random"}
    network = build_network(small, len(dataset.classes), recipe.modality_names)
    known = dict(dataset.space.members)
    classes = np.full(len(dataset.classes), 1 / len(dataset.classes))
    mixed = Setting(recipe.modality_names, classes, torch.device("cpu"), known)
    strategy = build_strategy(recipe.strategy, mixed)
    with pytest.raises(AnymodalError, match=r"clip\.pt|runs/segrgbx-five-clip"):
        strategy.prepare(network)
    assert recipe.name == name.replace("_", "-") and recipe.description.endswith(".")


def test_both_recipes_of_five_data_sets_prepare_the_same_frames() -> None:
    first, second = (load_recipe(FOLDER / f"{name}.yaml") for name in FIVE)
    assert first.input == second.input and first.modalities == second.modalities
    assert first.data == second.data and first.architecture == second.architecture


def test_a_recipe_survives_being_written(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.plain()))
    assert load_recipe(path) == recipe


@pytest.mark.parametrize(
    ("section", "values", "complaint"),
    [
        ("training", {"stepz": 3}, r"unknown parameter training.stepz"),
        ("training", {"steps": -1}, r"training.steps is -1: expected a value from 0"),
        ("training", {"learning_rate": "fast"}, r"training.learning_rate is 'fast'"),
        ("training", {"precision": "fp8"}, r"training.precision is 'fp8': expected one of fp32"),
        ("augmentation", {"crop_height": 64}, r"crops 64x192 from an input of 32x64"),
        ("modalities", {}, r"modalities is \{\}"),
        ("modalities", {"rgb": {"id": 0}}, r"modalities\.rgb\.planes is missing"),
        ("architecture", None, r"architecture is None: expected named entries"),
        ("name", "", r"name is missing"),
        ("extra", 1, r"unknown parameter extra"),
    ],
)
def test_a_wrong_entry_is_named(section: str, values: object, complaint: str) -> None:
    content = {**tiny_recipe().plain(), section: values}
    with pytest.raises(ConfigError, match=complaint):
        parse_recipe(content)


def test_planes_that_a_recording_does_not_give_are_refused() -> None:
    content = tiny_recipe().plain()
    content["modalities"]["event"]["planes"] = "muses_event"
    parse_recipe(content)
    content["data"] = {"dataset": "bag"}
    with pytest.raises(ConfigError, match=r"event\.planes is 'muses_event'.*dataset: folders"):
        parse_recipe(content)


def test_equal_modality_ids_are_refused() -> None:
    content = tiny_recipe().plain()
    content["modalities"]["event"]["id"] = 0
    with pytest.raises(ConfigError, match=r"ids \[0, 0, 1, 2\]"):
        parse_recipe(content)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*nosuch\.yaml"):
        load_recipe(tmp_path / "nosuch.yaml")


def test_splits_that_share_a_scene_are_refused() -> None:
    pytest.importorskip("trimesh")
    with pytest.raises(ConfigError, match=r"train \(0 to 49\) overlap: move test_seed"):
        open_dataset({"dataset": "rig", "train_scenes": 50, "test_seed": 49})


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(ConfigError, match=r"strategy.name is 'nosuch'"):
        build_strategy({"name": "nosuch"}, setting())
    assert makes_masks(["charm"])
    with pytest.raises(ConfigError, match=r"strategy.name is \['charm'\]: expected one of"):
        build_strategy({"name": ["charm"]}, setting())
    with pytest.raises(ConfigError, match=r"strategy.modality_dropout is 'some'"):
        build_strategy({"name": "supervised", "modality_dropout": "some"}, setting())


PUBLISHED = sorted(
    path for path in FOLDER.glob("*_b[0-5].yaml") if not path.stem.startswith("rig_")
)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_recipes_of_published_results_name_things_that_exist(path: Path) -> None:
    recipe = load_recipe(path)
    layout = bundled_layout(recipe.data["layout"])
    assert set(recipe.modality_names) <= set(layout.images)
    with torch.device("meta"):
        build_network(recipe.architecture, len(layout.classes), recipe.modality_names)
    assert recipe.name == path.stem.replace("_", "-") and recipe.description.endswith(".")
    assert recipe.training.epochs > 0 and recipe.training.gradient_clip == 0.0
    teacher = recipe.strategy.get("teacher")
    if teacher:
        assert (FOLDER / f"{teacher.removeprefix('runs/').replace('-', '_')}.yaml") in PUBLISHED
    else:
        build_strategy(recipe.strategy, setting(recipe.modality_names, len(layout.classes)))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_network_is_trained_with_the_planes_that_an_imported_one_sees(path: Path) -> None:
    recipe = load_recipe(path)
    layout = bundled_layout(recipe.data["layout"])
    for name, spec in recipe.modalities.items():
        seen = modality_spec(name, _spec(spec.id, name, layout.images[name], layout.raw))
        np.testing.assert_allclose((spec.mean, spec.std), (seen.mean, seen.std), rtol=1e-6)
    if layout.raw:  # their loader varies nothing, either
        made = recipe.augmentation
        assert (made.flip, made.min_zoom, made.max_zoom, made.jitter) == (0.0, 1.0, 1.0, 0.0)
        assert made.color_jitter == made.blur == 0.0


def test_there_is_a_recipe_for_each_of_the_data_sets_of_the_papers() -> None:
    named = {load_recipe(path).data["layout"] for path in PUBLISHED}
    assert named >= {
        "deliver",
        "muses-anyseg",
        "mcubes",
        "nyu",
        "mfnet-cmnext",
        "fmb",
        "pst900-8bit",
    }
