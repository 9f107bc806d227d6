from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.sensing.geometry.cameras import (
    COEFFICIENTS,
    CalibrationError,
    Camera,
    shift_px,
)

MATRIX = np.array([[500.0, 0.0, 310.0], [0.0, 505.0, 245.0], [0.0, 0.0, 1.0]])
LENSES = {
    "none": ("plumb_bob", []),
    "radtan": ("plumb_bob", [-0.3, 0.11, 0.001, -0.002]),
    "barrel": ("plumb_bob", [-0.28, 0.09, 0.0005, -0.0004, -0.01]),
    "pincushion": ("plumb_bob", [0.12, 0.02, 0.0, 0.0, 0.0]),
    "rational": (
        "rational_polynomial",
        [0.45, -2.3, 0.0006, -0.0003, 1.3, 0.33, -2.1, 1.25],
    ),
    "prism": (
        "rational_polynomial",
        [-0.2, 0.05, 0.001, 0.001, 0.01, 0.1, 0.01, 0.0, 0.002, -0.001, 0.001, 0.0005],
    ),
    "fisheye": ("equidistant", [-0.054, -0.078, 0.096, -0.0515]),
}


def camera(name: str) -> Camera:
    model, coefficients = LENSES[name]
    return Camera(640, 480, MATRIX, model, np.array(coefficients))


def opencv_project(name: str, points: np.ndarray) -> np.ndarray:
    model, coefficients = LENSES[name]
    still = np.zeros(3)
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    made, _ = project(points[:, np.newaxis], still, still, MATRIX, np.array(coefficients))
    return np.asarray(made).reshape(-1, 2)


def in_view(count: int = 4000) -> np.ndarray:
    random = np.random.default_rng(1)
    slope = random.uniform((-0.6, -0.45), (0.6, 0.45), (count, 2))
    return np.hstack([slope, np.ones((count, 1))]) * random.uniform(0.3, 80, (count, 1))


@pytest.mark.parametrize("name", LENSES)
def test_projection_is_that_of_opencv(name: str) -> None:
    points = in_view()
    ours = camera(name).project(points)
    np.testing.assert_allclose(ours, opencv_project(name, points), atol=1e-6)
    single = camera(name).project(points.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, ours, atol=2e-3)


@pytest.mark.parametrize("name", LENSES)
def test_rays_go_back_through_their_pixels(name: str) -> None:
    pixels = np.random.default_rng(2).uniform((0, 0), (639, 479), (4000, 2))
    rays = camera(name).rays(pixels)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1)
    np.testing.assert_allclose(camera(name).project(rays * 7), pixels, atol=1e-4)


def test_the_optical_axis_is_seen_exactly_and_nothing_behind_or_broken() -> None:
    points = np.array([[0, 0, 2.0], [0, 0, -2.0], [0, 0, 0], [np.nan, 0, 1], [0, np.inf, 1]])
    for name in LENSES:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pixels = camera(name).project(points)
        np.testing.assert_array_equal(pixels[0], [310, 245])
        if name != "fisheye":
            assert np.isnan(pixels[1:]).all()
        else:
            assert np.isnan(pixels[1:4]).all()


def test_a_fisheye_sees_beside_itself() -> None:
    short = np.array([[150.0, 0.0, 320.0], [0.0, 150.0, 240.0], [0.0, 0.0, 1.0]])
    wide = Camera(640, 480, short, "equidistant", np.array([-0.01, 0.002, -0.0003, 0.0]))
    angle = np.deg2rad(100)
    (pixel,) = wide.project(np.array([[np.sin(angle), 0, np.cos(angle)]]))
    assert 320 + 150 * 1.6 < pixel[0] < 320 + 150 * angle
    np.testing.assert_allclose(wide.rays(pixel[np.newaxis])[0, 2], np.cos(angle), atol=1e-6)


def test_points_beyond_the_fold_of_a_polynomial_stay_out_of_the_picture() -> None:
    # 1 - 3 * 0.3 r² = 0 at r = 1.054; OpenCV paints a point at r = 1.8 near the middle.
    folding = Camera(640, 480, MATRIX, "plumb_bob", np.array([-0.3, 0.0, 0.0, 0.0]))
    slopes = np.array([[1.0, 0, 1], [1.1, 0, 1], [1.8, 0, 1]])
    seen = np.isfinite(folding.project(slopes)).all(axis=1)
    assert seen.tolist() == [True, False, False]
    rays = folding.rays(np.array([[310 + 500 * 0.69, 245], [310 + 500 * 0.72, 245.0]]))
    assert np.isfinite(rays).all(axis=1).tolist() == [True, False]


def test_most_of_the_picture_must_look_somewhere() -> None:
    with pytest.raises(CalibrationError, match="fold the picture over"):
        Camera(640, 480, MATRIX, "plumb_bob", np.array([-3.0, 0.0, 0.0, 0.0]))


def test_a_normalised_matrix_is_told_as_such_and_no_lens_is_blamed() -> None:
    normalised = np.array([[0.9, 0.0, 0.5], [0.0, 1.2, 0.5], [0.0, 0.0, 1.0]])
    with pytest.raises(CalibrationError, match=r"focal lengths 0\.9, 1\.2: expected pixels"):
        Camera(640, 480, normalised)


def matrix(**entries: float) -> np.ndarray:
    changed = MATRIX.copy()
    for name, value in entries.items():
        changed[int(name[1]), int(name[2])] = value
    return changed


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((0, 480, MATRIX), "image size is 0x480: expected 1 to 16384"),
        ((640, 480, matrix(m00=-500.0)), "focal lengths -500, 505: expected positive"),
        ((640, 480, np.zeros((3, 3))), "never calibrated"),
        ((640, 480, MATRIX.T.copy()), "it is transposed"),
        ((640, 480, matrix(m22=2.0)), "expected fx 0 cx / 0 fy cy / 0 0 1"),
        ((640, 480, matrix(m01=0.3)), "expected fx 0 cx / 0 fy cy / 0 0 1"),
        ((640, 480, matrix(m02=np.nan)), "expected 3x3 finite numbers"),
        ((640, 480, np.eye(4)), "expected 3x3 finite numbers"),
        ((640, 480, MATRIX, "fov", np.zeros(1)), "distortion_model is 'fov': expected one of"),
        ((640, 480, MATRIX, "plumb_bob", np.zeros(8)), "has 8 numbers: plumb_bob has 0 or 4 or 5"),
        ((640, 480, MATRIX, "equidistant", np.zeros(5)), "has 5 numbers: equidistant has 4"),
        ((640, 480, MATRIX, "equidistant", np.full(4, np.inf)), "expected finite numbers"),
        (
            (640, 480, MATRIX, "rational_polynomial", np.r_[np.zeros(12), 0.1, 0]),
            "a tilted sensor is not supported",
        ),
    ],
)
def test_impossible_cameras_are_refused_with_the_reason(values: tuple, says: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        Camera(*values)
    assert says in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(
    model=st.sampled_from(sorted(COEFFICIENTS)),
    numbers=st.lists(st.floats(-3, 3), min_size=14, max_size=14),
    size=st.sampled_from([(640, 480), (1920, 1208)]),
)
def test_any_coefficients_give_a_true_inverse_or_an_error(
    model: str, numbers: list[float], size: tuple[int, int]
) -> None:
    numbers[12:] = [0.0, 0.0]
    count = max(COEFFICIENTS[model])
    try:
        lens = Camera(*size, MATRIX, model, np.array(numbers[:count]))
    except CalibrationError:
        return
    pixels = np.random.default_rng(3).uniform((0, 0), size, (300, 2))
    rays = lens.rays(pixels)
    seen = np.isfinite(rays).all(axis=1)
    np.testing.assert_allclose(lens.project(rays[seen]), pixels[seen], atol=1e-2)


def moved(**entries: float) -> Camera:
    return Camera(640, 480, matrix(**entries), "plumb_bob", np.array([-0.2, 0.05, 0.0, 0.0]))


@pytest.mark.parametrize(
    ("entries", "shift"),
    [({}, 0.0), ({"m02": 310.07}, 0.07), ({"m02": 311.0}, 1.0), ({"m00": 500.1}, 0.066)],
)
def test_the_shift_between_two_cameras_is_the_largest_in_the_picture(
    entries: dict[str, float], shift: float
) -> None:
    assert shift_px(moved(), moved(**entries)) == pytest.approx(shift, abs=2e-3)


def test_cameras_of_other_sizes_or_models_are_infinitely_far_apart() -> None:
    assert shift_px(moved(), Camera(320, 240, matrix(m02=160.0, m12=120.0))) == np.inf
    fisheye = Camera(640, 480, MATRIX, "equidistant", np.zeros(4))
    assert shift_px(moved(), fisheye) == np.inf
