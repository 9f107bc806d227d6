from __future__ import annotations

import array
import copy
import re
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.sensing.geometry.calibration import load_calibration
from anymodal_seg_ros.sensing.geometry.camera_info import camera_from_info
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError

K = [500.0, 0.0, 310.0, 0.0, 505.0, 245.0, 0.0, 0.0, 1.0]
P = [480.0, 0.0, 320.0, -40.0, 0.0, 480.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
EYE = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
RADTAN = [-0.3, 0.1, 0.001, -0.002, 0.0]


def info(**changes: Any) -> SimpleNamespace:
    """Return a CameraInfo as rclpy has it."""
    fields = {
        "width": 640,
        "height": 480,
        "distortion_model": "plumb_bob",
        "d": array.array("d", RADTAN),
        "k": np.array(K),
        "r": np.array(EYE),
        "p": np.array(P),
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False),
    }
    return SimpleNamespace(**{**fields, **changes})


def ros_file(**changes: Any) -> dict[str, Any]:
    """Return the content of a camera_info file as camera_calibration writes it."""
    content = {
        "image_width": 640,
        "image_height": 480,
        "camera_name": "rgb",
        "camera_matrix": {"rows": 3, "cols": 3, "data": list(K)},
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": list(RADTAN)},
        "rectification_matrix": {"rows": 3, "cols": 3, "data": list(EYE)},
        "projection_matrix": {"rows": 3, "cols": 4, "data": list(P)},
    }
    return {**content, **changes}


def echoed() -> dict[str, Any]:
    """Return a CameraInfo as ``ros2 topic echo`` prints it."""
    plain = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in vars(info()).items()}
    return {**plain, "roi": vars(info().roi)}


def step(x: float) -> list[list[float]]:
    return [[1.0, 0, 0, x], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]


def camchain() -> dict[str, Any]:
    """Return the content of a camchain as kalibr writes it."""
    names = ("cam0", "cam1", "cam2")
    content: dict[str, Any] = {
        name: {
            "cam_overlaps": [1],
            "camera_model": "pinhole",
            "distortion_coeffs": [-0.05, -0.07, 0.09, -0.05],
            "distortion_model": "equidistant",
            "intrinsics": [500.0, 505.0, 310.0, 245.0],
            "resolution": [640, 480],
            "rostopic": f"/{name}/image_raw",
        }
        for name in names
    }
    content["cam1"]["T_cn_cnm1"] = step(-0.1)  # cam1 sits 0.1 m to the right of cam0
    content["cam2"]["T_cn_cnm1"] = step(-0.2)
    content["cam1"] |= {"distortion_model": "radtan", "distortion_coeffs": RADTAN[:4]}
    content["cam2"] |= {"distortion_model": "none", "distortion_coeffs": []}
    return content


def written(folder: Path, content: Any) -> str:
    path = folder / "calibration.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def refused(act: Any, *values: Any, **named: Any) -> str:
    with pytest.raises(CalibrationError) as caught:
        act(*values, **named)
    return str(caught.value)


# CameraInfo


def test_a_message_becomes_a_camera_for_raw_or_rectified_images() -> None:
    raw = camera_from_info(info())
    assert (raw.width, raw.height, raw.model) == (640, 480, "plumb_bob")
    np.testing.assert_array_equal(raw.matrix.ravel(), K)
    np.testing.assert_array_equal(raw.distortion, RADTAN)
    flat = camera_from_info(info(), rectified=True)
    np.testing.assert_array_equal(flat.matrix.ravel(), np.reshape(P, (3, 4))[:, :3].ravel())
    assert flat.distortion.size == 0


def test_a_ros_message_that_nobody_filled_in_is_refused() -> None:
    messages = pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not installed")
    assert "never calibrated" in refused(camera_from_info, messages.CameraInfo())
    filled = messages.CameraInfo(
        width=640, height=480, distortion_model="plumb_bob", d=RADTAN, k=K, r=EYE, p=P
    )
    np.testing.assert_array_equal(camera_from_info(filled).distortion, RADTAN)


def test_messages_of_ros_1_have_upper_case_names() -> None:
    old = info()
    for name in "dkrp":
        setattr(old, name.upper(), vars(old).pop(name))
    np.testing.assert_array_equal(camera_from_info(old).matrix.ravel(), K)


@pytest.mark.parametrize(
    "model", ["", "none", "plumb_bob", "pinhole", "Plumb Bob", "Inverse Brown Conrady"]
)
@pytest.mark.parametrize("zeros", [[], [0.0] * 5])
def test_simulators_leave_the_distortion_out(model: str, zeros: list[float]) -> None:
    camera = camera_from_info(info(distortion_model=model, d=zeros))
    assert (camera.model, camera.distortion.size) == ("plumb_bob", 0)


@pytest.mark.parametrize(
    ("model", "count", "meant"),
    [
        ("Brown Conrady", 5, "plumb_bob"),
        ("PLUMB-BOB", 4, "plumb_bob"),
        ("", 5, "plumb_bob"),
        ("", 8, "rational_polynomial"),
        ("thin_prism", 12, "rational_polynomial"),
        ("Kannala-Brandt", 4, "equidistant"),
    ],
)
def test_models_are_known_by_the_names_that_drivers_give_them(
    model: str, count: int, meant: str
) -> None:
    coefficients = [0.01, 0.002, 0.001, 0.001, 0.001, 0.01, 0.001, 0.001, *[1e-4] * 4][:count]
    camera = camera_from_info(info(distortion_model=model, d=coefficients))
    assert camera.model == meant
    np.testing.assert_array_equal(camera.distortion, coefficients)


@pytest.mark.parametrize(
    ("model", "count"), [("", 4), ("inverse_brown_conrady", 5), ("omnidirectional", 4), ("fov", 1)]
)
def test_a_model_that_cannot_be_told_is_refused(model: str, count: int) -> None:
    said = refused(camera_from_info, info(distortion_model=model, d=[0.1] * count))
    assert f"distortion_model is '{model}': expected one of plumb_bob" in said


def test_rounding_in_a_matrix_is_no_skew() -> None:
    matrix = np.array(K)
    matrix[1], matrix[8] = 1e-12, 1.0 + 1e-12
    assert camera_from_info(info(k=matrix)).width == 640
    matrix[1] = 0.5
    assert "expected fx 0 cx" in refused(camera_from_info, info(k=matrix))


def test_a_camera_that_only_tells_of_rectified_images_is_told_apart() -> None:
    said = refused(camera_from_info, info(k=[0.0] * 9))
    assert "never calibrated; its projection_matrix is not: set 'rectified' to true" in said
    said = refused(camera_from_info, info(k=[0.0] * 9, p=[0.0] * 12))
    assert said.endswith("never calibrated")


def test_opencv_calls_equidistant_fisheye() -> None:
    camera = camera_from_info(info(distortion_model="fisheye", d=[0.1, 0.0, 0.0, 0.0]))
    assert camera.model == "equidistant"


def test_binning_and_region_of_interest_move_the_centre() -> None:
    whole = camera_from_info(info())
    roi = SimpleNamespace(x_offset=100, y_offset=40, width=400, height=300, do_rectify=False)
    part = camera_from_info(info(roi=roi, binning_x=2, binning_y=2))
    assert (part.width, part.height) == (200, 150)
    points = np.array([[0.1, 0.2, 3.0], [-0.3, 0.1, 2.0]])
    # The left upper corner of pixel (100, 40) is that of the binned pixel (0, 0).
    expected = (whole.project(points) + 0.5 - (100, 40)) / 2 - 0.5
    np.testing.assert_allclose(part.project(points), expected)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"k": [0.0] * 9}, "camera_matrix is all zeros: the camera was never calibrated"),
        ({"k": [-500.0, *K[1:]]}, "focal lengths -500, 505: expected positive"),
        ({"k": K[:8]}, "camera_matrix has 8 numbers: expected 9"),
        ({"k": np.reshape(K, (3, 3)).T.ravel()}, "it is transposed"),
        ({"width": 300}, "centre at 310, 245, outside the 300x480 image"),
        ({"width": 0}, "image size is 0x480"),
        ({"width": 6.5}, "width is 6.5: expected a whole number"),
        ({"d": RADTAN[:3]}, "distortion_coefficients has 3 numbers: plumb_bob has 0 or 4 or 5"),
        ({"d": [0.1] * 7}, "distortion_coefficients has 7 numbers: plumb_bob has 0 or 4 or 5"),
        ({"d": [0.0] * 9 + [0.1] * 999}, "has 1008 numbers: expected at most 32"),
        ({"d": [0.0, 2e3, 0, 0, 0]}, "expected finite numbers of at most 1000"),
        ({"d": [10**400, 0, 0, 0, 0]}, "expected a number"),
        ({"k": [1e300, *K[1:]]}, "focal lengths 1e+300, 505: expected pixels"),
        ({"distortion_model": "\x1b[2J" + "m" * 10**6}, "distortion_model is '?[2Jmmm"),
        ({"d": [float("nan")] * 5}, "expected finite numbers"),
        ({"distortion_model": "ds"}, "distortion_model is 'ds': expected one of plumb_bob"),
        ({"r": [1.0, 0, 0, 0, 1, 0, 0, 0.5, 1]}, "rectification_matrix is no rotation"),
        ({"r": [1.0, 0, 0, 0, 1, 0, 0, 0, -1]}, "rectification_matrix mirrors"),
        (
            {"roi": SimpleNamespace(x_offset=400, y_offset=0, width=400, height=480)},
            "roi is 400x480 at 400, 0: expected it within the 640x480 image",
        ),
        (
            {"roi": SimpleNamespace(x_offset=700, y_offset=0, width=0, height=0)},
            "roi is -60x480 at 700, 0: expected it within the 640x480 image",
        ),
    ],
)
def test_wrong_messages_are_refused_with_the_reason(changes: dict[str, Any], says: str) -> None:
    assert says in refused(camera_from_info, info(**changes))


def test_rectified_images_need_a_projection_matrix() -> None:
    said = refused(camera_from_info, info(p=[0.0] * 12), rectified=True)
    assert "projection_matrix is all zeros" in said
    said = refused(camera_from_info, info(p=[-1.0, *P[1:]]), rectified=True)
    assert "projection_matrix has the focal lengths -1, 480" in said
    incomplete = info()
    del incomplete.p
    assert "has 0 numbers: expected 12" in refused(camera_from_info, incomplete, rectified=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"k": [0.0] * 9},
        {"d": [0.1] * 7},
        {"d": [float("nan")] * 5},
        {"distortion_model": "somebody's own", "d": [0.1] * 6},
        {"r": [0.5] * 9},
    ],
)
def test_nothing_but_the_projection_matters_for_rectified_images(changes: dict[str, Any]) -> None:
    camera = camera_from_info(info(**changes), rectified=True)
    assert (camera.matrix[0, 0], camera.distortion.size) == (480, 0)


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", "radtan"])
@pytest.mark.parametrize("count", [4, 5, 8, 12, 14])
def test_coefficients_mean_what_opencv_makes_of_their_number(model: str, count: int) -> None:
    coefficients = [-0.03, 0.035, -1e-4, -1.5e-4, -0.012, 0.01, 0.02, -0.01, 1e-4, 0, 2e-4, 0, 0, 0]
    points = np.array([[0.3, -0.2, 1.0], [-0.4, 0.1, 1.0], [0.0, 0.0, 2.0]])
    for tail in (1.0, 0.0):  # drivers pad plumb_bob with zeros
        d = np.array(coefficients[:5] + [tail * c for c in coefficients[5:]])[:count]
        camera = camera_from_info(info(distortion_model=model, d=d))
        expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, d)[0]
        np.testing.assert_allclose(camera.project(points), expected.reshape(-1, 2), atol=1e-6)


def test_zeros_behind_the_coefficients_of_a_fisheye_mean_nothing() -> None:
    fisheye = {"distortion_model": "equidistant", "d": [0.1, 0.01, 0.0, 0.0, 0.0]}
    assert camera_from_info(info(**fisheye)).distortion.tolist() == [0.1, 0.01, 0.0, 0.0]
    said = refused(camera_from_info, info(**fisheye | {"d": [0.1, 0, 0, 0, 0.2]}))
    assert "has 5 numbers: equidistant has 4" in said


odd_numbers = st.floats(-2, 2) | st.sampled_from(
    [0.0, 1e155, -1e155, 1e308, -1e300, 5e-324, 1e-20, 1e20, float("nan"), float("inf"), 999.0]
)


@settings(deadline=None, max_examples=300)
@given(
    kind=st.sampled_from(
        [
            ("plumb_bob", 5),
            ("rational_polynomial", 8),
            ("rational_polynomial", 14),
            ("equidistant", 4),
            ("plumb_bob", 4),
            ("plumb_bob", 8),
        ]
    ),
    coefficients=st.lists(odd_numbers, min_size=14, max_size=14),
    k=st.lists(st.none() | odd_numbers, min_size=9, max_size=9),
    p=st.lists(st.none() | odd_numbers, min_size=12, max_size=12),
    size=st.sampled_from([(640, 480), (1, 1), (16384, 16384), (0, 5)]),
    rectified=st.booleans(),
)
def test_any_numbers_give_a_camera_or_a_clear_error(
    kind: tuple[str, int],
    coefficients: list[float],
    k: list[float | None],
    p: list[float | None],
    size: tuple[int, int],
    rectified: bool,
) -> None:
    model, count = kind
    matrix = [K[n] if value is None else value for n, value in enumerate(k)]
    projection = [P[n] if value is None else value for n, value in enumerate(p)]
    message = info(
        width=size[0],
        height=size[1],
        distortion_model=model,
        d=coefficients[:count],
        k=matrix,
        p=projection,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an overflow that is seen is one that is said of
        try:
            camera = camera_from_info(message, rectified)
        except CalibrationError as error:
            assert len(str(error)) < 500
            return
        assert camera.rays(np.array([[1.0, 1.0]])).shape == (1, 3)


# Files


def test_a_camera_info_file(tmp_path: Path) -> None:
    found = load_calibration(written(tmp_path, ros_file()))
    np.testing.assert_array_equal(found.camera.matrix.ravel(), K)
    np.testing.assert_array_equal(found.camera.distortion, RADTAN)
    assert found.chain == ""
    flat = load_calibration(written(tmp_path, ros_file()), rectified=True)
    assert flat.camera.matrix[0, 0] == 480
    bare = {key: ros_file()[key] for key in ("image_width", "image_height", "projection_matrix")}
    assert load_calibration(written(tmp_path, bare), rectified=True).camera.matrix[0, 0] == 480
    assert "k is missing" in refused(load_calibration, written(tmp_path, bare))


@pytest.mark.parametrize("head", ["%YAML:1.0\n", "%YAML:1.0\n---\n", "\ufeff%YAML 1.2\n---\n"])
def test_files_with_the_head_that_opencv_writes(tmp_path: Path, head: str) -> None:
    path = written(tmp_path, head + yaml.safe_dump(ros_file()))
    np.testing.assert_array_equal(load_calibration(path).camera.matrix.ravel(), K)
    chain = written(tmp_path, head + "\n" + yaml.safe_dump(camchain()))
    assert load_calibration(f"{chain}#cam1").camera.width == 640


def test_a_file_as_opencvs_own_storage_writes_it(tmp_path: Path) -> None:
    path = str(tmp_path / "opencv.yaml")
    storage = cv2.FileStorage(path, cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    storage.write("distortion_model", "plumb_bob")  # which OpenCV itself does not say
    storage.write("camera_matrix", np.reshape(K, (3, 3)))
    storage.write("distortion_coefficients", np.array([RADTAN]))
    storage.release()
    camera = load_calibration(path).camera
    np.testing.assert_array_equal(camera.matrix.ravel(), K)
    np.testing.assert_array_equal(camera.distortion, RADTAN)


@pytest.mark.parametrize("form", ["rows", "list", "matrix"])
@pytest.mark.parametrize("upper", [True, False])
def test_matrices_in_the_forms_that_people_write(tmp_path: Path, form: str, upper: bool) -> None:
    rows = np.reshape(K, (3, 3)).tolist()
    matrix: Any = {"rows": rows, "list": list(K), "matrix": {"rows": 3, "cols": 3, "data": K}}[form]
    content = {"width": 640, "height": 480, "K" if upper else "k": matrix, "D": [RADTAN]}
    camera = load_calibration(written(tmp_path, content)).camera
    np.testing.assert_array_equal(camera.matrix.ravel(), K)
    np.testing.assert_array_equal(camera.distortion, RADTAN)
    content = ros_file(camera_matrix=matrix)
    np.testing.assert_array_equal(
        load_calibration(written(tmp_path, content)).camera.matrix.ravel(), K
    )


def test_a_message_as_ros2_topic_echo_prints_it(tmp_path: Path) -> None:
    text = yaml.safe_dump(echoed()).replace("- 0.1\n", "- 1e-01\n") + "---\n"
    assert "1e-01" in text
    camera = load_calibration(written(tmp_path, text)).camera
    np.testing.assert_array_equal(camera.distortion, RADTAN)


def test_a_camchain_gives_every_camera_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, camchain())
    places = [load_calibration(f"{path}#cam{n}").chain_from_camera[:3, 3] for n in range(3)]
    np.testing.assert_allclose(places, [[0, 0, 0], [0.1, 0, 0], [0.3, 0, 0]], atol=1e-12)
    models = [load_calibration(f"{path}#cam{n}").camera.model for n in range(3)]
    assert models == ["equidistant", "plumb_bob", "plumb_bob"]
    assert load_calibration(f"{path}#cam1").chain == path


@pytest.mark.parametrize(
    ("change", "camera", "says"),
    [
        ({}, "", "the camera '' is asked for: expected"),
        ({}, "cam7", "one of cam0, cam1, cam2"),
        ({"camera_model": "omni"}, "cam1", "cam1.camera_model is 'omni': expected pinhole"),
        ({"distortion_model": "fov"}, "cam1", "distortion_model is 'fov': expected one of"),
        ({"distortion_coeffs": [0.1]}, "cam1", "distortion_coefficients has 1 numbers"),
        ({"intrinsics": [500.0, -505.0, 310.0, 245.0]}, "cam1", "focal lengths 500, -505"),
        ({"intrinsics": [500.0, 505.0]}, "cam1", "cam1.intrinsics has 2 numbers: expected 4"),
        ({"resolution": None}, "cam1", "cam1.resolution is None: expected a list of numbers"),
        ({"resolution": [480, 240]}, "cam1", "outside the 480x240 image"),
        ({"T_cn_cnm1": [[1.0, 0], [0, 1]]}, "cam2", "expected 4x4 finite numbers"),
        ({"T_cn_cnm1": None}, "cam2", "cam1.T_cn_cnm1 is None"),
        ({"T_cn_cnm1": (2 * np.eye(4)).tolist()}, "cam1", "has the last row [0.0, 0.0, 0.0, 2.0]"),
        (
            {"T_cn_cnm1": np.diag([1.0, 1, -1, 1]).tolist()},
            "cam2",
            "cam1.T_cn_cnm1 mirrors: its determinant is -1",
        ),
    ],
)
def test_wrong_camchains_are_refused_with_the_reason(
    tmp_path: Path, change: dict[str, Any], camera: str, says: str
) -> None:
    content = camchain()
    content["cam1"] |= change
    said = refused(load_calibration, f"{written(tmp_path, content)}#{camera}")
    assert says in said
    assert "calibration.yaml" in said


def test_a_broken_chain_is_refused(tmp_path: Path) -> None:
    content = camchain()
    del content["cam1"]["T_cn_cnm1"]
    said = refused(load_calibration, f"{written(tmp_path, content)}#cam2")
    assert "cam1.T_cn_cnm1 is missing" in said


def test_what_is_called_otherwise_is_no_camera_of_a_chain(tmp_path: Path) -> None:
    content = {**camchain(), "cam" + "1" * 5000: 1, "camera_rig": 2, "cam\u0661": 3}
    path = written(tmp_path, content)
    assert load_calibration(f"{path}#cam2").chain_from_camera[0, 3] == pytest.approx(0.3)
    said = refused(load_calibration, f"{path}#cam7")
    assert "one of cam0, cam1, cam2" in said and "camera_rig" not in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("just words", "is free text or a list: expected a ROS camera_info file"),
        ("- 1\n- 2", "is free text or a list"),
        ("", "is free text or a list"),
        ("a: [1, 2", "is no YAML: "),
        ("day: 2024-13-45", "it has the entries day"),
        ("[" * 20_000, "cannot read the calibration"),
        ("a" * 3_000_000, "is free text or a list"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefghi"))
            + "image_width: 640\nimage_height: 480\n"
            + "camera_matrix: {rows: 3, cols: 3, data: *i}\n",
            "cannot read the calibration",
        ),
        ("fx: 500\nfy: 500\n", "it has the entries fx, fy: expected a ROS camera_info file"),
        (ros_file(camera_matrix={"data": "K"}), "camera_matrix is 'K': expected a list of numbers"),
        (ros_file(camera_matrix=5), "expected rows, cols and data"),
        (
            ros_file(camera_matrix={"rows": 3, "cols": 3, "data": K[:8]}),
            "camera_matrix.data has 8 numbers: expected rows x cols = 9",
        ),
        (ros_file(image_width=None), "width is None: expected a whole number"),
    ],
)
def test_wrong_files_are_refused_with_the_reason(tmp_path: Path, content: Any, says: str) -> None:
    said = refused(load_calibration, written(tmp_path, content))
    assert says in said
    assert "calibration.yaml" in said


def test_unreadable_files_and_misplaced_names_are_refused(tmp_path: Path) -> None:
    assert "cannot read the calibration" in refused(load_calibration, str(tmp_path / "nothing"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    assert "cannot read the calibration" in refused(load_calibration, str(tmp_path / "bytes.yaml"))
    path = written(tmp_path, ros_file())
    assert "this is no kalibr camchain" in refused(load_calibration, f"{path}#cam0")


def entries(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every entry of nested mappings and lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from entries(value, (*path, key))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.data())
def test_any_damage_to_a_file_leaves_a_calibration_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content, name = data.draw(
        st.sampled_from([(ros_file(roi={"width": 5}), ""), (camchain(), "#cam2"), (echoed(), "")])
    )
    content = copy.deepcopy(content)
    *way, last = data.draw(st.sampled_from(list(entries(content))))
    target = content
    for key in way:
        target = target[key]
    target[last] = data.draw(anything)
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    try:
        found = load_calibration(f"{path}{name}")
    except CalibrationError as error:
        assert "any.yaml" in str(error)
    else:
        assert np.isfinite(found.camera.rays(np.array([[320.0, 240.0]]))).all()


# The free-text file of a real rig, and its mistakes one by one


@pytest.fixture
def free_text(shared_data: Path) -> Path:
    return shared_data / "calibration" / "calibration_results.txt"


@pytest.mark.shared_data
def test_free_text_is_refused_as_what_it_is(free_text: Path) -> None:
    said = refused(load_calibration, str(free_text))
    assert "calibration_results.txt is no YAML" in said
    assert "in line 1" in said
    assert "expected a ROS camera_info file" in said


def lists_of(free_text: Path, camera: str) -> list[str]:
    """Return the bracketed lists of one camera in the free text, as they stand there."""
    section = free_text.read_text(encoding="utf-8").split(camera)[1].split("%% ")[0]
    return re.findall(r"data: ?(\[[^%]*?\])\s*(?=$|%|\n\n|\"|u8)", section, flags=re.DOTALL)


def as_file(**entries: str) -> str:
    return "image_width: 640\nimage_height: 512\ndistortion_model: plumb_bob\n" + "".join(
        f"{name}: {{data: {text}}}\n" for name, text in entries.items()
    )


@pytest.mark.shared_data
def test_its_mistakes_are_named_when_its_lists_are_pasted_into_a_file(
    free_text: Path, tmp_path: Path
) -> None:
    text = free_text.read_text(encoding="utf-8")
    (thermal,) = re.findall(r"\[435\.83[^\]]*\]", text)
    (colour,) = re.findall(r"\[617\.97[^\]]*\]", text)
    (bracket,) = re.findall(r"\[-0\.061526[^%]*?\]\s*\n", text)
    plain = "[0.1, 0.0, 0.0, 0.0]"

    def said(matrix: str, distortion: str = plain) -> str:
        content = as_file(camera_matrix=matrix, distortion_coefficients=distortion)
        return refused(load_calibration, written(tmp_path, content))

    assert "it holds a full-width comma" in said(thermal)
    assert "it is transposed" in said(colour)
    assert "is no YAML" in said("[1, 0, 0, 0, 1, 0, 0, 0, 1]", bracket.strip())
