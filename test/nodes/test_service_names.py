"""A sensor may be called whatever a parameter may; its service what a service can be called."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from hypothesis import given
from hypothesis import strategies as st
from rclpy.validate_topic_name import validate_topic_name

from anymodal_seg_ros.nodes.services import service_names


def test_usual_names_stay_and_others_become_what_can_be_called() -> None:
    names = ["rgb", "rgb_2", "front-left", "front left", "1", "on"]
    assert list(service_names(names).values()) == [
        "rgb",
        "rgb_2",
        "front_left",
        "front_left_2",
        "_1",
        "on",
    ]


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6, unique=True))
def test_every_sensor_has_a_service_of_its_own(names: list[str]) -> None:
    called = service_names(names)
    assert list(called) == names
    assert len(set(called.values())) == len(names)
    for name in called.values():
        validate_topic_name(f"~/set_sensor_enabled/{name}", is_service=True)
