"""Scenes: a function of seed and time, with a seamless loop, and geometry that is right."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.cameras.thermal import surface_kelvin
from anymodal_seg_ros.simulation.census import SMALL_CAMERA, take_census
from anymodal_seg_ros.simulation.rig import Rig, RigFrame
from anymodal_seg_ros.simulation.world.camera import DEFAULT_CAMERA, rotation
from anymodal_seg_ros.simulation.world.classes import (
    BARRIER,
    CLASSES,
    OBSTACLE,
    PERSON,
    ROAD,
    ROAD_MARKING,
    SIDEWALK,
    TRAFFIC_SIGN,
    TWO_WHEELER,
)
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig
from anymodal_seg_ros.simulation.world.street import KINDS
from anymodal_seg_ros.simulation.world.textures import MARKING_PAINT
from anymodal_seg_ros.simulation.world.view import look

PACKAGE_ROOT = Path(__file__).parents[2]
SEEDS = st.integers(0, 2**31 - 1)
few = settings(max_examples=8, deadline=None, derandomize=True)


def same(a: RigFrame, b: RigFrame) -> bool:
    return all(
        np.array_equal(a.images[n].pixels, b.images[n].pixels, equal_nan=n == "depth")
        and np.array_equal(a.labels[n], b.labels[n])
        for n in a.images
    )


def test_equal_seeds_give_equal_frames_whatever_was_captured_before():
    first = Rig().capture(Scene(SceneConfig(3)), 1_234_000_000)
    rig, scene = Rig(), Scene(SceneConfig(3))
    rig.capture(scene, 5_000_000_000)
    rig.capture(Scene(SceneConfig(4)), 0)
    assert same(first, rig.capture(scene, 1_234_000_000))


def test_another_process_draws_the_same_frame():
    code = (
        "import hashlib; from anymodal_seg_ros.simulation.rig import Rig;"
        "from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig;"
        "f = Rig().capture(Scene(SceneConfig(11)), 2_000_000_000);"
        "print(hashlib.sha256(b''.join(i.pixels.tobytes() for i in f.images.values())).hexdigest())"
    )

    def run(hash_seed: str) -> str:
        environment = {"PYTHONPATH": str(PACKAGE_ROOT), "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("1") == run("2")


@pytest.mark.slow
@few
@given(st.sets(SEEDS, min_size=2, max_size=2), st.sampled_from(KINDS))
def test_no_two_seeds_draw_the_same_place(seeds: set[int], kind: str):
    first, second = (Scene(SceneConfig(seed, kind=kind)) for seed in sorted(seeds))
    assert first.street != second.street
    labels = [look(scene, SMALL_CAMERA, 0.0).labels() for scene in (first, second)]
    assert (labels[0] != labels[1]).mean() > 0.03


@pytest.mark.slow
@few
@given(SEEDS, st.sampled_from(KINDS), st.floats(0.0, 8.0))
def test_a_scene_is_a_function_of_its_config_and_repeats_after_its_period(
    seed: int, kind: str, time_s: float
):
    config = SceneConfig(seed, kind=kind)
    now = look(Scene(config), SMALL_CAMERA, time_s)
    again = look(Scene(config), SMALL_CAMERA, time_s)
    assert np.array_equal(now.labels(), again.labels())
    assert np.array_equal(now.z, again.z)
    later = look(Scene(config), SMALL_CAMERA, time_s + config.loop_s)
    assert (now.labels() != later.labels()).mean() < 0.002


@pytest.mark.parametrize("seed", [0, 5])
def test_the_loop_closes_without_a_seam(seed: int):
    """One period later the ego vehicle is a street length further on and sees the same."""
    scene = Scene(SceneConfig(seed, ego="driving", loop_s=8.0))
    before, at, after = (look(scene, DEFAULT_CAMERA, t).labels() for t in (7.9999, 0.0, 0.0001))
    assert (before != after).mean() < 0.01
    assert same(Rig().capture(scene, 0), Rig().capture(scene, 8_000_000_000))
    halfway = look(scene, DEFAULT_CAMERA, 4.0).labels()
    assert (halfway != at).mean() > 0.05


def test_the_road_lies_where_a_pinhole_sees_a_plane():
    """Depth of the pixel straight below the horizon, from the camera's height and pitch."""
    scene = Scene(SceneConfig(7, ego="standing", people_and_traffic=False))
    view = look(scene, DEFAULT_CAMERA, 0.0)
    k, mount, ego = DEFAULT_CAMERA.intrinsics, DEFAULT_CAMERA.mount, view.world.ego
    row = 220
    down = (row - k.cy) / k.fy
    pitch = mount.pitch + ego.pitch
    expected = mount.z / (np.sin(pitch) + down * np.cos(pitch))
    z = view.image(view.z, np.inf)
    assert view.labels()[row, 160] == ROAD
    assert z[row, 160] == pytest.approx(expected, rel=0.01)


@pytest.mark.slow
def test_every_class_occurs_often_enough_to_be_learned():
    census = take_census(SceneConfig(seed) for seed in range(24))
    assert census.share.shape == (len(CLASSES),)
    assert census.share.sum() == pytest.approx(1.0)
    assert census.share.min() > 0.0012
    for often in (TRAFFIC_SIGN, PERSON, TWO_WHEELER, OBSTACLE, BARRIER):
        assert census.seen[often] > 1 / 3


@pytest.mark.slow
@few
@given(SEEDS, st.sampled_from(KINDS), st.sampled_from(["driving", "standing"]))
def test_nothing_is_ever_inside_the_ego_vehicle(seed: int, kind: str, ego: str):
    scene = Scene(SceneConfig(seed, kind=kind, ego=ego))
    y, z = np.meshgrid(np.linspace(-0.95, 0.95, 7), np.linspace(0.3, 2.0, 8))
    start = np.stack([np.full(y.size, -1.0), y.ravel(), z.ravel()], 1)
    for time_s in np.arange(0.0, 8.0, 0.5):
        world = scene.at(time_s)
        axes = rotation(world.ego.yaw, 0.0)
        origins = (start @ axes + (world.ego.x, world.ego.y, 0.0)).astype(np.float32)
        through = np.broadcast_to(axes[0] * 5.0, origins.shape).astype(np.float32).copy()
        assert not world.static.caster.occluded(origins, through).any()
        assert not world.moving.caster.occluded(origins, through).any()


@few
@given(SEEDS, st.sampled_from(KINDS))
def test_a_road_marking_is_road_with_paint_on_it(seed: int, kind: str):
    view = look(Scene(SceneConfig(seed, kind=kind)), SMALL_CAMERA, 1.0)
    labels = view.labels().ravel()[view.hit]
    on_road = view.scene.surfaces.class_id[view.seen.at.surface] == ROAD
    paint = view.seen.detail.paint
    assert np.array_equal(labels == ROAD_MARKING, on_road & (paint > MARKING_PAINT))
    assert not (on_road & (paint > 0) & (paint < MARKING_PAINT)).any()
    if kind == "offroad":
        assert not (labels == ROAD_MARKING).any()
        assert not (labels == SIDEWALK).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_surroundings_are_complete_behind_and_beside(kind: str):
    """A LiDAR's rays, a little downwards, end somewhere all round, and some on things."""
    world = (scene := Scene(SceneConfig(5, kind=kind))).at(2.0)
    angle = np.radians(np.arange(0.0, 360.0, 1.0))
    level = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], 1).astype(np.float32)
    origin = np.array((world.ego.x, world.ego.y, 1.8), np.float32)
    down = level - np.array((0, 0, 0.05), np.float32)
    assert (world.static.caster.nearest(np.tile(origin, (360, 1)), down).distance < 60.0).all()
    seen = world.static.caster.nearest(np.tile(origin, (360, 1)), level)
    things = (seen.triangle >= 0) & (seen.distance < 90.0)
    for quarter in np.array_split(np.roll(things, 45), 4):
        assert quarter.any()
    tail = origin - (60.0, 0.0, 0.0)
    at = scene.street.on_road(float(tail[0]), scene.street.ego_lateral)
    below = np.array([[at[0], at[1], 1.0]], np.float32)
    assert world.static.caster.occluded(below, np.array([[0, 0, -1.5]], np.float32)).all()


def test_barriers_never_rest():
    met = 0
    for seed in range(12):
        scene = Scene(SceneConfig(seed, ego="standing"))
        first, then = (look(scene, SMALL_CAMERA, t).labels() == BARRIER for t in (1.0, 1.1))
        if first.sum() > 25:
            met += 1
            assert (first != then).sum() > 0.2 * first.sum()
    assert met >= 4


def test_obstacles_are_as_warm_as_the_ground_but_stand_out_of_it():
    gaps = []
    for seed in range(16):
        view = look(Scene(SceneConfig(seed, "night", kind="urban")), SMALL_CAMERA, 1.0)
        labels = view.labels().ravel()[view.hit]
        near = view.z < 20
        block = near & (labels == OBSTACLE)
        if block.sum() > 30:
            ground = near & np.isin(labels, (ROAD, SIDEWALK))
            kelvin = surface_kelvin(view)
            gaps.append(abs(np.median(kelvin[block]) - np.median(kelvin[ground])))
            assert view.seen.at.point[block, 2].max() > 0.2
    assert len(gaps) >= 3
    assert np.median(gaps) < 1.0


def test_without_people_and_traffic_nobody_is_there():
    labels = look(Scene(SceneConfig(2, people_and_traffic=False)), DEFAULT_CAMERA, 0.0).labels()
    assert not (labels == PERSON).any()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"weather": "noon"}, "'noon'"),
        ({"hour": 25.0}, "hour is 25.0"),
        ({"kind": "city"}, "'city'"),
        ({"ego": "flying"}, "'flying'"),
        ({"loop_s": 0.0}, "loop_s is 0.0"),
    ],
)
def test_bad_parameters_are_named(change: dict, word: str):
    with pytest.raises(ConfigError, match=word):
        Scene(SceneConfig(**{"seed": 0, **change}))


def test_the_colours_of_the_classes_are_far_apart():
    colors = np.array([entry.color for entry in CLASSES])
    gaps = np.abs(colors[:, None] - colors[None]).sum(-1)
    assert gaps[~np.eye(len(CLASSES), dtype=bool)].min() > 80
