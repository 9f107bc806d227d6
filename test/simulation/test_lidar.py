"""The LiDAR: points where the world is, rings, losses that grow as in life."""

import dataclasses

import numpy as np
import pytest
from fixtures.small_rig import SECOND, SMALL

from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.simulation.cameras.lidar import POINT, Lidar
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.rig import Rig
from anymodal_seg_ros.simulation.world.classes import CLASSES, ROAD
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig

SENSOR = Lidar(camera=SMALL, rings=16, steps=512)


def cloud(seed: int, weather: str, **changes: float) -> np.ndarray:
    sensor = dataclasses.replace(SENSOR, **changes)
    return sensor.scan(Observer(Scene(SceneConfig(seed, weather))), SECOND)


def ranges(points: np.ndarray) -> np.ndarray:
    return np.sqrt(points["x"] ** 2 + points["y"] ** 2 + points["z"] ** 2)


def test_a_scan_is_a_table_of_points_all_around():
    points = cloud(1, "sun")
    assert points.dtype == POINT
    assert 1000 < len(points) <= 16 * 512
    assert set(np.unique(points["ring"])) <= set(range(16))
    assert np.isin(points["label"], range(len(CLASSES))).mean() > 0.98  # the rest is haze
    quarter = np.floor(np.arctan2(points["y"], points["x"]) / (np.pi / 2))
    assert np.bincount(quarter.astype(int) + 2, minlength=4).min() > 100
    assert ranges(points).min() >= 0.8 and ranges(points).max() < 101
    assert np.all((points["intensity"] >= 0) & (points["intensity"] <= 255))


def test_the_road_lies_under_the_sensor():
    points = cloud(7, "sun", noise_m=0.0)
    near = points[(points["label"] == ROAD) & (ranges(points) < 12)]
    assert len(near) > 50
    assert np.median(near["z"]) == pytest.approx(-SENSOR.mount.z, abs=0.1)


def test_rings_have_their_elevation():
    points = cloud(3, "cloud")
    elevation = np.arcsin(points["z"] / ranges(points))
    expected = np.linspace(SENSOR.lowest, SENSOR.highest, SENSOR.rings)[points["ring"]]
    assert np.abs(elevation - expected).max() < 1e-4


def test_range_noise_is_that_of_the_sensor():
    quiet = cloud(2, "sun", noise_m=0.0, dropout=0.0, sensitivity=0.0)
    noisy = cloud(2, "sun", noise_m=0.05, dropout=0.0, sensitivity=0.0)
    assert len(quiet) == len(noisy)
    assert (ranges(noisy) - ranges(quiet)).std() == pytest.approx(0.05, rel=0.1)


def test_far_returns_get_lost_before_near_ones():
    every = cloud(4, "sun", dropout=0.0, sensitivity=0.0)
    some = cloud(4, "sun", dropout=0.0)
    share = [np.sum((ranges(some) > a) & (ranges(some) <= b))
             / np.sum((ranges(every) > a) & (ranges(every) <= b))
             for a, b in ((0, 10), (50, 100))]  # fmt: skip
    assert share[0] > 0.85
    assert share[1] < share[0] - 0.2


def test_fog_shortens_the_view_and_sends_back_a_little_itself():
    clear, fog = cloud(5, "sun"), cloud(5, "fog")
    assert np.percentile(ranges(fog), 95) < 0.8 * np.percentile(ranges(clear), 95)
    air = fog["label"] == UNLABELED
    assert 0.0 < air.mean() < 0.5
    assert np.median(ranges(fog)[air]) < 6.0
    assert (clear["label"] == UNLABELED).mean() < 0.2 * air.mean()


def test_a_scan_depends_on_scene_and_time_alone():
    first = cloud(6, "rain")
    observer = Observer(Scene(SceneConfig(6, "rain")))
    SENSOR.scan(observer, 3 * SECOND)
    assert np.array_equal(first, SENSOR.scan(observer, SECOND))
    assert not np.array_equal(first, SENSOR.scan(observer, SECOND + 100_000_000))


def test_the_picture_of_the_cloud_agrees_with_the_camera():
    """Painted ranges and the camera's depth: the LiDAR sits elsewhere, so edges may differ."""
    frame = Rig((SENSOR,)).capture(Scene(SceneConfig(8, "sun")), SECOND)
    image = frame.images["lidar"]
    assert image.encoding == "32FC3"
    assert image.pixels.shape == (120, 160, 3)
    painted = np.isfinite(image.pixels[..., 0]) & np.isfinite(frame.depths["lidar"])
    assert painted.sum() > 300
    k = SMALL.intrinsics
    v, u = np.indices(painted.shape)
    slope = np.sqrt(1 + ((u - k.cx) / k.fx) ** 2 + ((v - k.cy) / k.fy) ** 2)
    distance = (frame.depths["lidar"] * slope)[painted]
    error = np.abs(image.pixels[..., 0][painted] - distance)
    assert np.median(error / distance) < 0.06
