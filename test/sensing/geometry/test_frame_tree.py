"""Places of sensors by tf: chains of static transforms, and what rigs make of them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.config import RegistrationConfig, SensorConfig
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.geometry.extrinsics import (
    invert,
    pose_from_quaternion,
    pose_from_text,
)
from anymodal_seg_ros.sensing.geometry.frame_tree import FrameTree
from anymodal_seg_ros.sensing.geometry.rig_geometry import RigGeometry, UnknownGeometryError

OPTICAL = (-0.5, 0.5, -0.5, 0.5)
"""What turns a body frame into an optical one."""


def transform(parent: str, child: str, at: Any = (0, 0, 0), turned: Any = (0, 0, 0, 1)) -> Any:
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=parent),
        child_frame_id=child,
        transform=SimpleNamespace(
            translation=SimpleNamespace(**dict(zip("xyz", at, strict=True))),
            rotation=SimpleNamespace(**dict(zip("xyzw", turned, strict=True))),
        ),
    )


def message(*transforms: Any) -> Any:
    return SimpleNamespace(transforms=list(transforms))


def test_a_pose_is_found_along_the_tree_whatever_the_order_of_messages() -> None:
    tree = FrameTree()
    chain = [
        transform("base_link", "mast", (0, 0, 1.2)),
        transform("mast", "cam", (0.1, 0.05, 0)),
        transform("/mast", "thermal", (0.1, -0.05, 0)),
        transform("cam", "cam_optical", turned=OPTICAL),
        transform("thermal", "thermal_optical", turned=OPTICAL),
    ]
    for one in reversed(chain):
        assert tree.take(message(one))
    assert not tree.take(message(*chain)), "said again it is nothing new"
    found = tree.pose("thermal_optical", "cam_optical")
    # 10 cm to the right of it, which is x in an optical frame.
    np.testing.assert_allclose(found, pose_from_text("0.1 0 0 0 0 0 1", ""), atol=1e-9)
    np.testing.assert_allclose(tree.pose("cam_optical", "thermal_optical"), invert(found))
    np.testing.assert_allclose(tree.pose("mast", "base_link")[:3, 3], [0, 0, 1.2])


def test_it_says_why_there_is_none() -> None:
    tree = FrameTree()
    tree.take(message(transform("a", "b"), transform("c", "d")))
    with pytest.raises(LookupError, match="does not connect them"):
        tree.pose("b", "d")
    with pytest.raises(LookupError, match="does not name e"):
        tree.pose("e", "b")


@pytest.mark.filterwarnings("error")  # NumPy would write one to the log of the node
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (transform("a", "b", turned=(0, 0, 0, 0)), "quaternion of length 0"),
        (transform("a", "b", turned=(1e200, 0, 0, 1)), r"quaternion of length 1e\+200"),
        (transform("a", "b", turned=(1.7e308, 1.7e308, 0, 1)), "quaternion of length inf"),
        (transform("a", "b", at=(math.nan, 0, 0)), "expected metres"),
        (transform("a", "b", at=(1e300, 0, 0)), "expected metres"),
        (transform("a", "a"), "does not connect two frames"),
        (transform("", "a"), "does not connect two frames"),
        (transform("a" * 1000, "b"), "a name of 1000 characters: expected at most 256"),
        (transform("a", "b" * 10**6), "a name of 1000000 characters: expected at most 256"),
        (transform("a", "b", at=("x" * 10**6, 0, 0)), "fields of other types"),
        (transform("a", "b", at=(10**400, 0, 0)), "fields of other types"),
        (SimpleNamespace(header=None, child_frame_id="b", transform=None), "fields of other types"),
        (None, "fields of other types"),
    ],
)
def test_a_wrong_transform_is_refused_and_the_sound_ones_beside_it_are_taken(
    wrong: Any, words: str
) -> None:
    tree = FrameTree()
    with pytest.raises(CalibrationError, match=words):
        tree.take(message(wrong, transform("x", "y", (1, 2, 3))))
    np.testing.assert_allclose(tree.pose("y", "x")[:3, 3], [1, 2, 3])


def test_of_a_message_only_so_much_is_looked_at_and_only_so_much_is_kept() -> None:
    tree = FrameTree()
    many = [transform("base", f"f{n}") for n in range(1500)]
    with pytest.raises(CalibrationError, match="has 1500 transforms: expected at most 1000"):
        tree.take(message(*many))
    assert tree.pose("f999", "base").shape == (4, 4)
    with pytest.raises(LookupError):
        tree.pose("f1000", "base")
    for wrong in (math.nan, 0.0):
        with pytest.raises(CalibrationError, match="name of 1000000 characters"):
            tree.take(message(transform("base", "x" * 10**6, at=(wrong, 0, 0))))
    with pytest.raises(LookupError, match="does not name") as said:
        tree.pose("x" * 10**6, "base")
    assert len(str(said.value)) < 300


@pytest.mark.parametrize("transforms", [None, 5, {"a": 1}, [None], [SimpleNamespace()]])
def test_a_message_of_another_shape_is_refused_in_words(transforms: Any) -> None:
    with pytest.raises(CalibrationError, match="fields of other types"):
        FrameTree().take(SimpleNamespace(transforms=transforms))
    with pytest.raises(CalibrationError, match="fields of other types"):
        FrameTree().take(SimpleNamespace())


@pytest.mark.parametrize("wrong", ["cam", "mast"])
def test_a_place_that_was_told_wrongly_is_not_said_to_lack(wrong: str) -> None:
    tree = FrameTree()
    chain = {"mast": transform("base", "mast"), "cam": transform("mast", "cam")}
    tree.take(message(transform("base", "lidar"), *chain.values()))
    broken = FrameTree()
    chain[wrong].transform.rotation.w = 2.0
    with pytest.raises(CalibrationError):
        broken.take(message(transform("base", "lidar"), *chain.values()))
    with pytest.raises(LookupError, match=f"to {wrong} has a quaternion of length 2: expected 1"):
        broken.pose("cam", "lidar")
    chain[wrong].transform.rotation.w = 1.0
    broken.take(message(chain[wrong]))
    np.testing.assert_array_equal(broken.pose("cam", "lidar"), tree.pose("cam", "lidar"))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20))
def test_no_tree_makes_it_hang_loops_included(edges: list[tuple[int, int]]) -> None:
    tree = FrameTree()
    for parent, child in edges:
        try:
            tree.take(message(transform(f"f{parent}", f"f{child}")))
        except CalibrationError:
            assert parent == child
    for frame in range(7):
        try:
            np.testing.assert_allclose(tree.pose(f"f{frame}", "f0"), np.eye(4), atol=1e-9)
        except LookupError:
            assert frame != 0


def rig(extrinsics: str) -> RigGeometry:
    first = RegistrationConfig(camera_info="rgb/camera_info")
    other = RegistrationConfig("cameras", camera_info="t/camera_info", extrinsics=extrinsics)
    return RigGeometry(
        {
            "rgb": SensorConfig("rgb", "rgb", registration=first),
            "thermal": SensorConfig("t", "thermal", registration=other),
        }
    )


def test_a_sensor_left_to_tf_has_the_place_that_numbers_would_give_it() -> None:
    by_tf, by_numbers = rig("tf"), rig("0.1 0.02 0 0 0 0 1")
    with pytest.raises(UnknownGeometryError, match="no message of thermal has come"):
        by_tf.first_from("thermal")
    by_tf.take_frame("thermal", "thermal_optical")
    by_tf.take_frame("rgb", "rgb_optical")
    with pytest.raises(UnknownGeometryError, match="/tf_static does not name"):
        by_tf.first_from("thermal")
    before = by_tf.generation
    by_tf.take_transforms(message(transform("rgb_optical", "thermal_optical", (0.1, 0.02, 0))))
    np.testing.assert_allclose(by_tf.first_from("thermal"), by_numbers.first_from("thermal"))
    assert by_tf.generation == before + 1, "what was registered before is out of date"
    by_tf.take_transforms(message(transform("rgb_optical", "thermal_optical", (0.1, 0.02, 0))))
    assert by_tf.generation == before + 1
    again = rig("tf")
    again.take_cameras_of(by_tf)
    np.testing.assert_allclose(again.first_from("thermal"), by_numbers.first_from("thermal"))


def test_a_sensor_without_a_frame_is_told() -> None:
    by_tf = rig("tf")
    by_tf.take_frame("rgb", "rgb_optical")
    by_tf.take_frame("thermal", "")
    with pytest.raises(UnknownGeometryError, match="messages of thermal have no frame_id"):
        by_tf.first_from("thermal")


def test_poses_are_those_of_quaternions() -> None:
    half = math.sqrt(0.5)
    tree = FrameTree()
    tree.take(message(transform("a", "b", (1, 0, 0), (0, 0, half, half))))
    expected = pose_from_quaternion(np.array([1.0, 0, 0]), np.array([0, 0, half, half]))
    np.testing.assert_allclose(tree.pose("b", "a"), expected)
