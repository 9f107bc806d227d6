from __future__ import annotations

import numpy as np

from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.inference.masks.labelled_cloud import POINT, LabelledCloud
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.sensing.geometry.cameras import Camera

CAMERA = Camera(8, 6, np.array([[10.0, 0, 3.5], [0, 10.0, 2.5], [0, 0, 1]]))


def test_each_pixel_is_where_its_ray_has_its_distance_along_the_axis() -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[0, 0], mask[1, 1] = 5, UNLABELED
    metres = np.full((6, 8), 2.0, np.float32)
    metres[2, 2] = np.nan
    manifest = load_model().manifest
    points = LabelledCloud(manifest).make(mask, None, metres, CAMERA)
    assert points.dtype == POINT
    assert points.shape == (6, 8)
    columns, rows = np.meshgrid(np.arange(8), np.arange(6))
    known = np.isfinite(metres)
    np.testing.assert_allclose(points["x"][known], ((columns - 3.5) / 10 * 2)[known], rtol=1e-5)
    np.testing.assert_allclose(points["y"][known], ((rows - 2.5) / 10 * 2)[known], rtol=1e-5)
    assert np.isnan([points[name][2, 2] for name in "xyz"]).all()
    assert points["class_id"][0, 0] == 5
    assert (points["confidence"][1, 1], points["confidence"][0, 0]) == (0, 255)
    red, green, blue = manifest.classes[5].color
    assert points["rgb"][0, 0] == red << 16 | green << 8 | blue


def test_mask_and_distances_may_differ_in_resolution() -> None:
    mask = np.zeros((12, 16), np.uint8)
    points = LabelledCloud(load_model().manifest).make(
        mask, np.full((12, 16), 200, np.uint8), np.full((6, 8), 4.0, np.float32), CAMERA
    )
    assert points.shape == (12, 16)
    assert (points["z"] == 4.0).all()
    # The left edge of the picture is where it is at any resolution.
    np.testing.assert_allclose(points["x"][0, 0], (-0.25 - 3.5) / 10 * 4.0, rtol=1e-5)
    assert (points["confidence"] == 200).all()
