from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.geometry.extrinsics import invert, move, pose_from_text, rigid

HALF = 0.5**0.5


def test_a_pose_takes_points_from_the_child_to_the_parent() -> None:
    pose = pose_from_text(f"1 2 3, 0 0 {HALF} {HALF}", "extrinsics")  # a quarter turn about z
    np.testing.assert_allclose(move(pose, np.array([[1.0, 0, 0]])), [[1, 3, 3]], atol=1e-12)
    np.testing.assert_allclose(move(invert(pose), np.array([[1.0, 3, 3]])), [[1, 0, 0]], atol=1e-12)
    same = pose_from_text("0 -1 0 1  1 0 0 2  0 0 1 3", "extrinsics")
    np.testing.assert_allclose(same, pose, atol=1e-12)
    assert move(pose, np.zeros((4, 3), np.float32)).dtype == np.float32


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.lists(st.floats(-9, 9), min_size=3))
def test_every_unit_quaternion_is_a_rigid_transform(turn: list[float], at: list[float]) -> None:
    length = float(np.linalg.norm(turn))
    if length < 0.1:
        return
    numbers = [*at[:3], *(np.array(turn) / length)]
    pose = pose_from_text(" ".join(map(repr, map(float, numbers))), "extrinsics")
    rigid(pose, "pose")
    np.testing.assert_allclose(pose @ invert(pose), np.eye(4), atol=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "extrinsics has 0 numbers: expected 7 (x y z qx qy qz qw)"),
        ("1 2 3 0 0 0", "extrinsics has 6 numbers"),
        ("1 2 3 0 0 0 2", "quaternion of length 2: expected 1"),
        ("1 2 3 1e300 0 0 2", "quaternion of length 1e+300: expected 1"),
        ("1 2 three 0 0 0 1", "extrinsics holds 'three': expected numbers"),
        ("1 2 nan 0 0 0 1", "expected finite numbers"),
        ("1 2 1e400 0 0 0 1", "expected finite numbers"),
        ("1 2 3 nan 0 0 1", "expected finite numbers"),
        ("1e9 2 3 0 0 0 1", "expected metres, at most 10000"),
        ("1 0 0 0  0 1 0 0  0 0 -1 0", "extrinsics mirrors: its determinant is -1"),
        ("1 0 0 0  0 1 0 0  0 0.1 1 0", "extrinsics is no rotation: its axes are off by 0.1"),
        ("2 0 0 0  0 2 0 0  0 0 2 0", "extrinsics is no rotation: its axes are off by 3"),
    ],
)
def test_impossible_poses_are_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        pose_from_text(text, "extrinsics")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.eye(3).tolist(), "T is [[1.0, 0.0, 0.0]"),
        ([[1, 2], [3]], "T is [[1, 2], [3]]: expected 4x4 numbers"),
        (["a"], "T is ['a']: expected 4x4 numbers"),
        (np.full((4, 4), np.nan), "expected 4x4 finite numbers"),
        (
            [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0.1, 0.2, 0.3, 1]],
            "T has the last row [0.1, 0.2, 0.3, 1.0]: it is transposed",
        ),
        (np.ones((4, 4)), "T has the last row [1.0, 1.0, 1.0, 1.0]: expected 0 0 0 1"),
    ],
)
def test_impossible_matrices_are_refused_with_the_reason(matrix: object, says: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        rigid(matrix, "T")
    assert says in str(caught.value)
