"""The calibration that is given out is that with which the pictures were made."""

from __future__ import annotations

import numpy as np
import pytest

from anymodal_seg_ros.sensing.geometry.extrinsics import move, pose_from_quaternion
from anymodal_seg_ros.simulation.cameras.lidar import Lidar
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.placements import (
    first_from,
    placement,
    sensor_placements,
    vehicle_placement,
)
from anymodal_seg_ros.simulation.rig import mounted_sensors
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig

SENSORS = {sensor.name: sensor for sensor in mounted_sensors()}
NOW_NS = 1_234_000_000


@pytest.fixture(scope="module")
def observer() -> Observer:
    return Observer(Scene(SceneConfig(3, weather="cloud", kind="urban")))


def seen_by_rgb(points: np.ndarray, observer: Observer) -> tuple[np.ndarray, np.ndarray]:
    """Depths and labels that the colour camera has where points of its frame are projected."""
    view = observer.view(SENSORS["rgb"].camera, NOW_NS)
    u, v, w = (points @ SENSORS["rgb"].camera.intrinsics.matrix.T).T
    column, row = np.round(u / w).astype(int), np.round(v / w).astype(int)
    inside = (w > 0.5) & (column >= 0) & (column < 640) & (row >= 0) & (row < 480)
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    depth = np.where(inside, view.depth()[row, column], np.nan)
    return depth, np.where(inside, view.labels()[row, column], 255)


def check_agreement(points: np.ndarray, labels: np.ndarray, observer: Observer) -> None:
    """Points of the scene lie where the colour camera sees the same surface and class."""
    depth, seen = seen_by_rgb(points, observer)
    known = np.isfinite(depth)
    assert known.mean() > 0.15
    # What something nearer hides from the colour camera is not compared.
    visible = known & (np.abs(depth - points[:, 2]) < 0.1 * points[:, 2])
    assert visible.sum() > 0.85 * known.sum()
    assert (seen[visible] == labels[visible]).mean() > 0.95


@pytest.mark.parametrize("name", ["thermal", "depth", "events"])
def test_cameras_see_the_same_surface_at_the_same_place(name: str, observer: Observer) -> None:
    sensor = SENSORS[name]
    view = observer.view(sensor.camera, NOW_NS)
    depth, labels = view.depth(), view.labels()
    rows, columns = np.nonzero(np.isfinite(depth) & (depth < 60))
    pixels = np.stack([columns, rows, np.ones(len(rows))])
    rays = np.linalg.inv(sensor.camera.intrinsics.matrix) @ pixels
    points = (rays * depth[rows, columns]).T
    moved = move(first_from(SENSORS["rgb"], sensor), points.astype(np.float32))
    check_agreement(moved, labels[rows, columns], observer)


def test_a_cloud_lies_on_the_picture_by_the_tree_of_frames(observer: Observer) -> None:
    lidar = SENSORS["lidar"]
    assert isinstance(lidar, Lidar)
    cloud = lidar.scan(observer, NOW_NS)
    placed = {
        p.child: pose_from_quaternion(np.array(p.translation), np.array(p.quaternion))
        for p in sensor_placements(SENSORS.values())
    }
    pose = np.linalg.inv(placed["rgb_optical_frame"]) @ placed["lidar_frame"]
    points = move(pose, np.stack([cloud[axis] for axis in "xyz"], -1))
    ahead = points[:, 2] > 1.0
    check_agreement(points[ahead], cloud["label"][ahead], observer)


def test_every_sensor_hangs_on_the_vehicle_once() -> None:
    placed = sensor_placements(SENSORS.values())
    assert {p.parent for p in placed} == {"base_link"}
    children = [p.child for p in placed]
    assert len(set(children)) == len(children)
    assert {f"{name}_optical_frame" for name in SENSORS} | {"lidar_frame"} == set(children)


def test_the_vehicle_drives_on_through_the_seam_of_the_street(observer: Observer) -> None:
    scene = Scene(SceneConfig(3, weather="cloud", kind="urban", ego="driving"))
    loop_ns = round(scene.config.loop_s * 1e9)
    before, after = (
        vehicle_placement(scene, loop_ns + offset).translation for offset in (-1_000_000, 1_000_000)
    )
    assert 0.0 < after[0] - before[0] < 0.2
    assert after[1] == pytest.approx(before[1], abs=0.01)


def test_a_placement_without_a_turn_has_the_unit_quaternion() -> None:
    assert placement("a", "b", np.eye(4)).quaternion == (0.0, 0.0, 0.0, 1.0)
