"""Scores by weather, failure and the like: where conditions come from, and what is made of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.tiny_training import TinyDataset, TinySplit, tiny_format, tiny_recipe

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import build_network
from anymodal_seg_training.datasets.condition_layout import ConditionLayout
from anymodal_seg_training.datasets.folders import bundled_layout
from anymodal_seg_training.datasets.frame_cache import open_cache
from anymodal_seg_training.evaluation.case_evaluation import case_confusions
from anymodal_seg_training.evaluation.cases import combinations
from anymodal_seg_training.evaluation.conditions import ConditionTally
from anymodal_seg_training.evaluation.report import condition_table, write_condition_csv
from anymodal_seg_training.evaluation.split_evaluation import Evaluation
from anymodal_seg_training.runs.loop import Frames

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("layout", "fields", "expected"),
    [
        (
            "deliver",
            {"weather": "fog", "scene": "MAP_1_point2", "frame": "000010"},
            {"weather": "fog", "case": "clean"},
        ),
        (
            "deliver",
            {"weather": "sun", "scene": "MAP_1_point2_motionblur", "frame": "000010"},
            {"weather": "sun", "case": "motionblur"},
        ),
        (
            "deliver",
            {"weather": "sun", "scene": "MAP_3_point4", "frame": "000010_eventlowres"},
            {"weather": "sun", "case": "eventlowres"},
        ),
        ("muses", {"weather": "snow", "time": "night"}, {"weather": "snow", "time": "night"}),
        ("mfnet", {"name": "00001D"}, {"time": "day"}),
        ("mfnet-cmnext", {"name": "01569N_flip"}, {"time": "night"}),
        ("mfnet", {"name": "00001"}, {"time": "unknown"}),
    ],
)
def test_paths_of_the_published_data_sets_tell_conditions(
    layout: str, fields: dict[str, str], expected: dict[str, str]
) -> None:
    conditions = bundled_layout(layout).conditions
    assert {name: entry.value(fields, name) for name, entry in conditions.items()} == expected


def test_the_rig_tells_what_was_drawn_where_the_recipe_leaves_it_to_chance() -> None:
    pytest.importorskip("trimesh", reason="the simulation is not installed: pip install '.[sim]'")
    from anymodal_seg_ros.simulation.world.street import KINDS
    from anymodal_seg_ros.simulation.world.weather import WEATHERS
    from anymodal_seg_training.datasets.rig import RigSplit

    (frame,) = RigSplit("train", range(3, 4), 1, "random", "").frames(0)
    assert set(frame.conditions) == {"weather", "kind"}
    assert frame.conditions["weather"] in WEATHERS and frame.conditions["kind"] in KINDS


def test_a_name_that_no_pattern_fits_is_named() -> None:
    entry = ConditionLayout("{name}", values={"*D": "day"})
    with pytest.raises(ConfigError, match=r"conditions.time: '7N' fits none of \*D"):
        entry.value({"name": "7N"}, "conditions.time")


def test_the_cache_keeps_them_and_says_when_it_is_too_old_to(tmp_path: Path) -> None:
    cache = open_cache(TinySplit("tiny-train", units=2), tiny_format(), tmp_path, workers=1)
    day, night = {"light": "day"}, {"light": "night"}
    assert cache.conditions() == [day, day, night, night]
    (cache.folder / "done" / "1").write_text("")
    assert cache.conditions() is None


def test_the_matrices_by_condition_add_up_to_the_whole(frames: Frames) -> None:
    recipe = tiny_recipe()
    network = build_network(recipe.architecture, 3, recipe.modality_names).eval()
    cases = combinations(recipe.modality_names)[:3]
    noted = frames.validation.conditions()
    assert noted is not None
    tally = ConditionTally(noted, 3)
    indices = np.arange(len(frames.validation))
    plain = case_confusions(network, frames.validation, indices, cases, recipe, CPU, 4)
    found = case_confusions(network, frames.validation, indices, cases, recipe, CPU, 4, tally=tally)
    values = {frame["light"] for frame in noted}
    assert values == {"day", "night"}
    for case in cases:
        np.testing.assert_array_equal(found[case.key], plain[case.key])
        parts = [tally.confusion(("light", value), case.key) for value in values]
        np.testing.assert_array_equal(sum(parts), plain[case.key])
        assert all(part.any() for part in parts)


def test_an_evaluation_has_a_table_for_every_condition(frames: Frames, tmp_path: Path) -> None:
    recipe = tiny_recipe()
    network = build_network(recipe.architecture, 3, recipe.modality_names).eval()
    result = Evaluation(recipe, network, frames.validation, CPU).combinations(
        TinyDataset(), "validation"
    )
    lights = result["conditions"]["light"]
    assert set(lights) == {"day", "night"}
    assert sum(found["frames"] for found in lights.values()) == result["frames"]
    for found in lights.values():
        assert len(found["miou"]) == 15
        assert found["all_sensors"] == found["miou"]["rgb+thermal+depth+event"]
        assert found["mean_over_subsets"] == pytest.approx(
            np.mean(list(found["miou"].values())), abs=1e-4
        )
    assert condition_table(result).row_count == 2
    write_condition_csv(tmp_path / "c.csv", result)
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert {row["sensors"]: float(row["miou"]) for row in rows if row["value"] == "day"} == (
        lights["day"]["miou"]
    )
