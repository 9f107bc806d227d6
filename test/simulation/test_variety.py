"""What is added to scenes that are learned from, and that nothing is where it is not asked for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.simulation.dataset.frames import scene_frames, sized_sensors
from anymodal_seg_ros.simulation.dataset.plan import ScenePlan
from anymodal_seg_ros.simulation.world.camera import Intrinsics, MountedCamera
from anymodal_seg_ros.simulation.world.classes import BUILDING, VEGETATION
from anymodal_seg_ros.simulation.world.materials import Texture
from anymodal_seg_ros.simulation.world.placement.facades import on_front
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig
from anymodal_seg_ros.simulation.world.street import KINDS
from anymodal_seg_ros.simulation.world.things.buildings import block
from anymodal_seg_ros.simulation.world.things.greenery import bare_tree
from anymodal_seg_ros.simulation.world.view import look

SMALL = MountedCamera(Intrinsics(80, 60, 65.0, 65.0, 39.5, 29.5))
few = settings(max_examples=8, deadline=None, derandomize=True)


@few
@given(st.floats(4.0, 16.0), st.integers(0, 2**31 - 1))
def test_a_bare_tree_stands_on_the_ground_and_lets_light_through(height: float, seed: int) -> None:
    parts = bare_tree(height, np.random.default_rng(seed))
    assert {surface.class_id for _, surface in parts} == {VEGETATION}
    points = np.concatenate([triangles for triangles, _ in parts]).reshape(-1, 3)
    assert abs(float(points[:, 2].min())) < 0.3 * height
    assert 0.8 * height < float(points[:, 2].max()) < 1.4 * height
    twigs = parts[-1][0].astype(np.float64)
    sides = np.cross(twigs[:, 1] - twigs[:, 0], twigs[:, 2] - twigs[:, 0])
    area = float(np.linalg.norm(sides, axis=1).sum()) / 2
    crown = np.ptp(twigs.reshape(-1, 3)[:, 0]) * np.ptp(twigs.reshape(-1, 3)[:, 2])
    assert area < 1.5 * crown, "seen from aside it does not close the view"


@pytest.mark.parametrize("kind", KINDS)
def test_a_varied_scene_is_the_same_street_in_the_same_light_with_more_plants(kind: str) -> None:
    plain, varied = 0, 0
    for seed in range(6):
        config = SceneConfig(seed, weather="cloud", kind=kind)
        one, other = Scene(config), Scene(dataclasses.replace(config, varied=True))
        assert one.street == other.street and one.illumination == other.illumination
        assert one.ego(1.5) == other.ego(1.5)
        plain += int((look(one, SMALL, 1.5).labels() == VEGETATION).sum())
        varied += int((look(other, SMALL, 1.5).labels() == VEGETATION).sum())
    assert varied > 1.1 * plain


def test_what_hangs_on_a_front_is_part_of_the_building_and_stays_on_it() -> None:
    rng, seen = np.random.default_rng(0), 0
    for seed in range(12):
        ((walls, surface), *_) = block(12.0, 8.0, 4, rng)
        corners = walls.reshape(-1, 3)
        low, high = corners.min(axis=0), corners.max(axis=0)
        for triangles, hung in on_front(low, high, surface, np.random.default_rng(seed)):
            assert hung.class_id == BUILDING and hung.texture == Texture.PLAIN
            points, seen = triangles.reshape(-1, 3), seen + 1
            assert (points[:, (0, 2)] >= low[[0, 2]] - 0.2).all()
            assert (points[:, (0, 2)] <= high[[0, 2]] + 0.4).all()
            assert low[1] - 0.35 < points[:, 1].min() < low[1], "before the wall, and near it"
    assert seen > 12


def test_frames_are_varied_only_where_it_is_asked_for() -> None:
    plan, sensors = ScenePlan("train", 3, "urban", "cloud"), sized_sensors(64, 48)
    (plain,), (as_ever,), (varied,), (again,) = (
        tuple(scene_frames([plan], sensors, *asked)) for asked in ((), (False,), (True,), (True,))
    )
    np.testing.assert_array_equal(plain.pixels["rgb"], as_ever.pixels["rgb"])
    np.testing.assert_array_equal(varied.pixels["rgb"], again.pixels["rgb"])
    assert (plain.labels != varied.labels).any()
