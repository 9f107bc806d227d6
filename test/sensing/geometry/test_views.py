from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError, Camera
from anymodal_seg_ros.sensing.geometry.extrinsics import pose_from_text
from anymodal_seg_ros.sensing.geometry.views import CameraView, HomographyView, pixel_places

MATRIX = np.array([[300.0, 0, 160], [0, 305.0, 118], [0, 0, 1]])
LENS = Camera(320, 240, MATRIX, "plumb_bob", np.array([-0.25, 0.06, 0.001, 0.0005]))
FLAT = Camera(640, 480, np.array([[520.0, 0, 318], [0, 520.0, 242], [0, 0, 1]]))
TURNED = pose_from_text("0.2 -0.05 0.1 0.01 -0.02 0.015 0.99963", "pose")


@pytest.mark.parametrize("distance", [2.0, 30.0, math.inf])
def test_there_and_back_is_no_move(distance: float) -> None:
    view = CameraView(LENS, FLAT, TURNED, distance)
    places = pixel_places(12, 16)
    np.testing.assert_allclose(view.from_first(view.to_first(places)), places, atol=1e-6)
    np.testing.assert_allclose(view.to_first(view.from_first(places)), places, atol=1e-6)


@pytest.mark.parametrize("distance", [2.0, 30.0])
def test_a_point_on_the_plane_is_seen_at_matching_places(distance: float) -> None:
    view = CameraView(LENS, FLAT, TURNED, distance)
    points = np.array([[0.1, 0.2, distance], [-0.3, 0.1, distance]])
    own = LENS.project((points - TURNED[:3, 3]) @ TURNED[:3, :3])
    first = (FLAT.project(points) + 0.5) / (640, 480)
    np.testing.assert_allclose(view.to_first((own + 0.5) / (320, 240)), first, atol=1e-6)


def test_a_far_scene_does_not_feel_the_shift() -> None:
    places = pixel_places(6, 8)
    far = CameraView(LENS, FLAT, TURNED, math.inf).from_first(places)
    still = TURNED.copy()
    still[:3, 3] = 0
    np.testing.assert_allclose(CameraView(LENS, FLAT, still, 5.0).from_first(places), far)
    almost = CameraView(LENS, FLAT, TURNED, 1e5).from_first(places)
    np.testing.assert_allclose(almost, far, atol=1e-5)


@pytest.mark.parametrize("fisheye", [False, True])
def test_undistortion_is_that_of_opencv(fisheye: bool) -> None:
    if fisheye:
        lens = Camera(320, 240, MATRIX, "equidistant", np.array([-0.05, -0.07, 0.09, -0.05]))
        make = cv2.fisheye.initUndistortRectifyMap
    else:
        lens, make = LENS, cv2.initUndistortRectifyMap
    x, y = make(lens.matrix, lens.distortion, np.eye(3), MATRIX, (320, 240), cv2.CV_32FC1)
    view = CameraView(lens, Camera(320, 240, MATRIX), np.eye(4), math.inf)
    ours = view.from_first(pixel_places(240, 320)) * (320, 240) - 0.5
    np.testing.assert_allclose(ours, np.stack([x, y], axis=-1).reshape(-1, 2), atol=1e-3)


def test_a_homography_moves_places_whatever_the_resolution() -> None:
    view = HomographyView.from_text("1 0 0.1, 0 1 -0.2, 0 0 1", "homography")
    np.testing.assert_allclose(view.to_first(np.array([[0.5, 0.5]])), [[0.6, 0.3]])
    np.testing.assert_allclose(view.from_first(np.array([[0.6, 0.3]])), [[0.5, 0.5]])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 0 0 0 1 0 0 0", "homography has 8 numbers: expected 9, row by row"),
        ("1 0 0 0 1 0 0 0 0", "it tears, flattens or mirrors the picture"),
        ("-1 0 1 0 1 0 0 0 1", "it tears, flattens or mirrors the picture"),
        ("1 0 0 0 1 0 -2 0 1", "it tears, flattens or mirrors the picture"),
        ("1 0 0 1 0 0 0 0 1", "it tears, flattens or mirrors the picture"),
    ],
)
def test_impossible_homographies_are_refused(text: str, says: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        HomographyView.from_text(text, "homography")
    assert says in str(caught.value)
