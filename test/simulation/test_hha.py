"""HHA of planes whose disparity, height and angle are known."""

from __future__ import annotations

import numpy as np
import pytest

from anymodal_seg_ros.simulation.dataset.hha import hha
from anymodal_seg_ros.simulation.world.camera import Intrinsics, Mount, MountedCamera

CAMERA = MountedCamera(Intrinsics(80, 60, 61.0, 61.0, 39.5, 29.5), Mount(z=1.5, pitch=0.1))
K, POSE = CAMERA.intrinsics.matrix, CAMERA.mount.camera_from_vehicle


def depth_of_plane(normal: tuple[float, float, float], offset: float) -> np.ndarray:
    """z of the plane ``normal · p = offset`` in the vehicle's frame, inf where it is not seen."""
    rows, columns = np.indices((60, 80))
    rays = np.stack([(columns - 39.5) / 61.0, (rows - 29.5) / 61.0, np.ones((60, 80))], -1)
    vehicle_from_camera = np.linalg.inv(POSE)
    turned = rays @ vehicle_from_camera[:3, :3].T
    with np.errstate(divide="ignore"):
        z = (offset - vehicle_from_camera[:3, 3] @ normal) / (turned @ normal)
    return np.where((z > 0) & (z < 60), z, np.inf).astype(np.float32)


def test_the_ground_is_low_and_faces_up() -> None:
    depth = depth_of_plane((0.0, 0.0, 1.0), 0.0)
    encoded = hha(depth, K, POSE)
    near = np.isfinite(depth) & (depth < 20)
    assert near.sum() > 1000
    assert encoded[near][:, 1].max() <= 2  # 4 cm for each count
    assert np.percentile(encoded[near][:, 2], 95) <= 5  # degrees · 255 / 180
    expected = np.round(255 * 2.0 / depth[near])
    np.testing.assert_allclose(encoded[near][:, 0], np.clip(expected, 0, 255), atol=1)


def test_a_wall_rises_and_stands_upright() -> None:
    depth = depth_of_plane((1.0, 0.0, 0.0), 10.0)
    encoded = hha(depth, K, POSE).astype(float)
    inner = encoded[5:-5, 5:-5]
    assert abs(np.median(inner[..., 2]) - 127.5) < 3
    heights = encoded[:, 40, 1]
    assert (np.diff(heights) <= 0).all()
    assert abs(heights[0] - 255 * (1.5 + 10 * np.tan(np.arctan(29.5 / 61) - 0.1)) / 10.2) < 2
    assert heights[-1] <= 2


@pytest.mark.parametrize("unknown", [np.nan, np.inf, 0.0])
def test_what_is_unknown_is_black_and_nothing_else_is(unknown: float) -> None:
    depth = depth_of_plane((1.0, 0.0, 0.0), 10.0)
    depth[10:20, 30:50] = unknown
    encoded = hha(depth, K, POSE)
    assert not encoded[10:20, 30:50].any()
    known = np.ones((60, 80), bool)
    known[10:20, 30:50] = False
    assert encoded[known].min() >= 1
