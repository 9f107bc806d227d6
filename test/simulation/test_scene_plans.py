"""What a data set is to hold: everything in every split, and no scene twice."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.dataset.plan import (
    CASES,
    CLEAN,
    SPLITS,
    ScenePlan,
    check_disjoint,
    plan_scenes,
)
from anymodal_seg_ros.simulation.dataset.rigbench import DEFINITION, load_rigbench, rigbench
from anymodal_seg_ros.simulation.world.street import KINDS
from anymodal_seg_ros.simulation.world.weather import WEATHERS

EVERYTHING = set(itertools.product(KINDS, WEATHERS, (CLEAN, *CASES)))


@pytest.mark.parametrize("split", SPLITS)
def test_rigbench_has_every_kind_in_every_weather_with_every_failure(split: str) -> None:
    plans = rigbench().plans(split)
    assert {(p.kind, p.weather, p.case) for p in plans} == EVERYTHING
    assert {p.split for p in plans} == {split}


def test_no_scene_of_rigbench_is_in_two_splits() -> None:
    seeds = Counter(plan.seed for plan in rigbench().dataset().plans)
    assert max(seeds.values()) == 1
    firsts = {split: rigbench().plans(split)[0].seed for split in SPLITS}
    assert firsts == {"train": 0, "validation": 1_000_000, "test": 2_000_000}


def test_names_of_scenes_are_unique_and_tell_the_failure_as_delivers_do() -> None:
    plans = rigbench().dataset().plans
    assert len({plan.name for plan in plans}) == len(plans)
    for plan in plans:
        assert [case for case in CASES if case in plan.name] == (
            [] if plan.case == CLEAN else [plan.case]
        )


@given(st.integers(0, 2**30), st.integers(1, 400), st.sampled_from(SPLITS))
def test_any_number_of_scenes_is_an_even_mixture(seed: int, scenes: int, split: str) -> None:
    plans = list(plan_scenes(split, seed, scenes, 3))
    assert [plan.seed for plan in plans] == list(range(seed, seed + scenes))
    mixture = Counter((p.kind, p.weather, p.case) for p in plans)
    assert max(mixture.values()) - (min(mixture.values()) if len(mixture) == 120 else 0) <= 1 + (
        scenes // 120
    )


@given(st.integers(0, 2**31), st.integers(1, 50))
def test_instants_are_spread_over_the_loop(seed: int, frames: int) -> None:
    plan = ScenePlan("train", seed, "urban", "fog", frames=frames)
    instants = plan.instants_ns(8.0)
    assert [int(t * frames / 8e9) for t in instants] == list(range(frames))
    assert instants == plan.instants_ns(8.0)
    assert 0.4 <= plan.severity <= 1.0


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"split": "dev"}, "'dev'"),
        ({"kind": "moon"}, "'moon'"),
        ({"weather": "snow"}, "'snow'"),
        ({"case": "fire"}, "'fire'"),
        ({"seed": -1}, "-1"),
        ({"frames": 0}, "0 frames"),
    ],
)
def test_an_impossible_plan_is_refused(given_: dict[str, object], expected: str) -> None:
    values = {"split": "train", "seed": 1, "kind": "urban", "weather": "sun"} | given_
    with pytest.raises(ConfigError, match=expected):
        ScenePlan(**values)  # type: ignore[arg-type]


def test_a_seed_in_two_splits_is_refused_by_name() -> None:
    plans = [ScenePlan(split, 7, "urban", "sun") for split in ("train", "test")]
    with pytest.raises(ConfigError, match="seed 7 occurs in train and in test"):
        check_disjoint(plans)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("version: 1", "edition: 1", "version"),
        ("first_seed: 1000000", "first_seed: 10", "seed 10 occurs in train and in validation"),
        ("[urban,", "[lunar,", "'lunar'"),
        ("validation:", "dev:", "splits"),
        ("clean_scenes: 2", "clean_scenes: many", "splits.validation.clean_scenes"),
        ("version: 1", "version: [", "cannot read"),
    ],
)
def test_a_wrong_definition_is_refused_with_the_reason(
    tmp_path: Path, before: str, after: str, expected: str
) -> None:
    text = DEFINITION.read_text()
    assert before in text
    path = tmp_path / "bench.yaml"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigError, match=expected):
        load_rigbench(path)
