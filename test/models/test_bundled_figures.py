"""What the pages say of the bundled models is what their manifests say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("rig-nano", "rig-lite", "rig-large", "rig-b0")
"""In the order of their columns in the results."""

RESULTS = (ROOT / "docs/reference/results.md").read_text(encoding="utf-8")


def measured(model: str) -> dict[str, str]:
    """The mIoU of every subset in %, as the pages round it, and what they come to."""
    metrics = yaml.safe_load((ROOT / "models" / model / "model.yaml").read_text())["metrics"]
    scores = {**metrics["miou"], "mean": metrics["mean_over_subsets"]}
    scores["worst"] = min(metrics["miou"].values())
    return {name: f"{100 * score:.1f}" for name, score in scores.items()}


def cells(row: str) -> list[str]:
    """The cells of a row, without what makes them bold."""
    return [cell.strip() for cell in row.replace("*", "").strip("|").split("|")]


@pytest.mark.parametrize("model", MODELS)
def test_the_results_of_a_bundled_model_are_those_of_its_manifest(model: str) -> None:
    found, column = measured(model), 1 + MODELS.index(model)
    head, *rows = RESULTS.partition("## The bundled models\n")[2].strip().splitlines()
    assert model in cells(head)[column]
    by_name = {cells(row)[0].strip("… "): cells(row)[column] for row in rows[:8]}
    alone = next(value for name, value in by_name.items() if name.startswith("RigBench"))
    assert alone.split(" / ") == [found[name] for name in ("rgb", "thermal", "depth", "event")]
    assert by_name["all four"] == found["rgb+thermal+depth+event"]
    assert by_name["worst of the 15 subsets"] == found["worst"]
    assert by_name["mean over all 15 subsets"] == found["mean"]


@pytest.mark.parametrize("model", MODELS)
def test_the_card_of_a_bundled_model_says_what_its_manifest_says(model: str) -> None:
    card = (ROOT / "models" / model / "MODEL_CARD.md").read_text(encoding="utf-8")
    table = re.search(r"^\| sensors alive \|.*?\n\n", card, re.DOTALL | re.MULTILINE)
    assert table is not None
    rows = {cells(row)[0]: cells(row)[1] for row in table[0].strip().splitlines()[2:]}
    found = measured(model)
    assert rows.pop("mean over subsets") == found.pop("mean")
    found.pop("worst")
    assert rows == found
