"""Scenes: a function of seed and time, with a seamless loop, and geometry that is right."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.camera import DEFAULT_CAMERA
from anymodal_seg_ros.simulation.classes import CLASSES, PERSON, ROAD, SKY
from anymodal_seg_ros.simulation.rig import Rig, RigFrame
from anymodal_seg_ros.simulation.scene import Scene, SceneConfig
from anymodal_seg_ros.simulation.view import look

PACKAGE_ROOT = Path(__file__).parents[2]


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
        "from anymodal_seg_ros.simulation.scene import Scene, SceneConfig;"
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


def test_seeds_differ_in_geometry():
    labels = [look(Scene(SceneConfig(s)), DEFAULT_CAMERA, 0.0).labels() for s in (1, 2)]
    assert (labels[0] != labels[1]).mean() > 0.1


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


def test_every_class_occurs_in_a_few_scenes():
    counts = np.zeros(256, np.int64)
    for seed in range(6):
        labels = look(Scene(SceneConfig(seed)), DEFAULT_CAMERA, 1.0).labels()
        counts += np.bincount(labels.ravel(), minlength=256)
    assert np.all(counts[: len(CLASSES)] > 100)
    assert counts[len(CLASSES) :].sum() == 0
    assert counts[[ROAD, SKY]].min() > counts[PERSON]


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
