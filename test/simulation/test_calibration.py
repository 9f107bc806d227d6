"""The exact calibration of a mounted rig brings every sensor's picture to the reference."""

import numpy as np
import pytest
from fixtures.small_rig import SECOND

from anymodal_seg_ros.simulation.rig import Rig, RigFrame, aligned_sensors, mounted_sensors
from anymodal_seg_ros.simulation.world.camera import Mount, MountedCamera
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig


@pytest.fixture(scope="module")
def frame() -> RigFrame:
    rig = Rig(s for s in mounted_sensors() if s.name in ("rgb", "thermal", "depth"))
    return rig.capture(Scene(SceneConfig(3, "sun")), SECOND)


CAMERAS = {s.name: s.camera for s in mounted_sensors()}


def warped(
    labels: np.ndarray, camera: MountedCamera, z: np.ndarray, reference: MountedCamera
) -> np.ndarray:
    """Labels of one sensor in the picture of the reference, by the reference's true depth."""
    k = reference.calibration()
    v, u = np.indices(z.shape)
    rays = k.rays(np.stack([u.ravel(), v.ravel()], 1).astype(np.float64))
    points = rays / rays[:, 2:] * np.where(np.isfinite(z), z, 1e5).reshape(-1, 1)
    pose = camera.mount.camera_from_vehicle @ np.linalg.inv(reference.mount.camera_from_vehicle)
    pixels = camera.calibration().project(points @ pose[:3, :3].T + pose[:3, 3])
    column, row = np.rint(pixels).T
    height, width = labels.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    result = np.full(z.size, -1)
    result[inside] = labels[row[inside].astype(int), column[inside].astype(int)]
    return result.reshape(z.shape)


@pytest.mark.parametrize("sensor", ["thermal", "depth"])
def test_labels_warped_by_the_calibration_and_true_depth_agree(frame: RigFrame, sensor: str):
    moved = warped(frame.labels[sensor], CAMERAS[sensor], frame.depths["rgb"], CAMERAS["rgb"])
    common = moved >= 0
    assert common.mean() > 0.7
    agreement = (moved == frame.labels["rgb"])[common].mean()
    assert agreement > 0.95
    shifted = np.roll(moved, 8, axis=1)
    assert (shifted == frame.labels["rgb"])[common].mean() < agreement - 0.01


def test_a_wrong_pose_is_worse(frame: RigFrame):
    right = CAMERAS["thermal"]
    wrong = MountedCamera(right.intrinsics, Mount(0.0, 0.12, 1.55, yaw=-0.012, pitch=0.0))
    agreements = []
    for camera in (right, wrong):
        moved = warped(frame.labels["thermal"], camera, frame.depths["rgb"], CAMERAS["rgb"])
        agreements.append((moved == frame.labels["rgb"])[moved >= 0].mean())
    assert agreements[0] > agreements[1] + 0.02


def test_true_depth_is_where_the_other_sensor_sees_it(frame: RigFrame):
    """Depth of the ground, carried from one sensor to the other, is what that one says."""
    assert frame.depths["rgb"].shape == frame.labels["rgb"].shape == (480, 640)
    assert np.isinf(frame.depths["rgb"][frame.labels["rgb"] == 15]).all()
    measured = frame.images["depth"].pixels
    known = np.isfinite(measured)
    error = np.abs(measured - frame.depths["depth"])[known] / frame.depths["depth"][known]
    assert np.median(error) < 0.03


def test_the_matrices_are_those_of_the_pose():
    mount = Mount(0.5, -0.2, 1.5, yaw=0.3, pitch=0.1)
    pose = mount.camera_from_vehicle
    assert pose.shape == (4, 4) and pose.dtype == np.float64
    assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3))
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
    assert np.allclose(pose @ (0.5, -0.2, 1.5, 1.0), (0, 0, 0, 1))
    ahead = np.linalg.inv(pose) @ (0, 0, 1, 0)  # turned left and down
    assert ahead[0] > 0.9 and ahead[1] > 0.2 and ahead[2] < -0.05


def test_every_mounted_sensor_is_its_own():
    sensors = mounted_sensors()
    assert {s.modality for s in sensors} == {"rgb", "thermal", "depth", "event", "lidar"}
    assert all(s.latency_ns > 0 for s in sensors)
    cameras = [s.camera for s in sensors if s.modality != "lidar"]
    assert len(set(cameras)) == 4
    assert len({s.camera for s in aligned_sensors(lidar=True)}) == 1
