"""The tutorial from one's own data to the node: what it tells people to paste must not rot."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import click
import numpy as np
import pytest
import torch
import yaml

from anymodal_seg_ros.cli.main import main as seg
from anymodal_seg_ros.config import build, load_config
from anymodal_seg_ros.networks import build_network
from anymodal_seg_training.cli import main as train
from anymodal_seg_training.datasets.bag_options import BagOptions
from anymodal_seg_training.datasets.layout import Layout, load_layout
from anymodal_seg_training.recipe import Recipe, load_recipe
from anymodal_seg_training.strategies import build_strategy
from anymodal_seg_training.strategies.base import Setting

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorials" / "train-your-own.md").read_text(encoding="utf-8")
LAYOUT, LABEL, STREET_RIG, RIG = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
RECIPES = ROOT / "training" / "recipes"


def layout(tmp_path: Path) -> Layout:
    """The layout after the step that mends its labels."""
    path = tmp_path / "my_layout.yaml"
    path.write_text(LAYOUT)
    assert load_layout(path).name == "my-streets"
    path.write_text(yaml.safe_dump({**yaml.safe_load(LAYOUT), **yaml.safe_load(LABEL)}))
    return load_layout(path)


def rig_modalities(parameters: str, tmp_path: Path) -> set[str]:
    path = tmp_path / "rig.yaml"
    path.write_text(parameters)
    return {sensor.modality for sensor in load_config(path).rig.sensors.values()}


def check_recipe(recipe: Recipe, classes: int) -> None:
    names = recipe.modality_names
    build_network(recipe.architecture, classes, names)
    shares = np.full(classes, 1 / classes)
    build_strategy(recipe.strategy, Setting(names, shares, torch.device("cpu")))


def test_the_folders_fit_their_recipe(tmp_path: Path) -> None:
    found, recipe = layout(tmp_path), load_recipe(RECIPES / "my_folders.yaml")
    assert set(found.label.renumber.values()) == set(range(len(found.classes)))
    assert set(recipe.modalities) == set(found.images) == rig_modalities(STREET_RIG, tmp_path)
    assert recipe.data == {"dataset": "folders", "layout": "my_layout.yaml", "root": "my_data"}
    assert "`my_layout.yaml`" in PAGE and "simulate dataset my_data " in PAGE
    assert f"runs/{recipe.name} " in PAGE
    check_recipe(recipe, len(found.classes))


def test_the_bags_fit_their_recipe(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    recipe = load_recipe(RECIPES / "my_bag.yaml")
    options = {key: value for key, value in recipe.data.items() if key != "dataset"}
    bags = build(BagOptions, options, "data")
    assert set(recipe.modalities) == rig_modalities(RIG, tmp_path)
    assert bags.parameters == "my_rig.yaml" and "`my_rig.yaml`" in PAGE
    for name in re.findall(r"[a-z_]+(?=@|,|$)", f"{bags.train}, {bags.validation}, {bags.test}"):
        assert f"simulate bag {name} " in PAGE
    check_recipe(recipe, 16)


def test_the_program_that_looks_at_the_node_compiles() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    compile(program, "look.py", "exec")


def commands() -> list[list[str]]:
    """The commands of the page, continued lines joined."""
    text = "\n".join(line for line in PAGE.splitlines() if line.startswith("    "))
    joined = re.sub(r"\\\n\s*", "", textwrap.dedent(text))
    return [shlex.split(line) for line in joined.splitlines() if line.startswith("anymodal-")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_exists_with_its_options(words: list[str]) -> None:
    command: click.Command = {"anymodal-seg": seg, "anymodal-train": train}[words[0]]
    rest = words[1:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"there is no {rest[0]}"
        command, rest = found, rest[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {option for parameter in command.params for option in parameter.secondary_opts}
    assert {word for word in rest if word.startswith("--")} <= known
