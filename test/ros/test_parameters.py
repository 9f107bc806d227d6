"""The node's parameters are the configuration, field by field, and what config/ says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.ros_graph import CHECKOUT, Graph, StartNode, wait_until
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters
from rclpy.qos import ReliabilityPolicy

from anymodal_seg_ros.config import SegConfig, SensorConfig
from anymodal_seg_ros.config.seg import BlackBoxConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.nodes.parameters import nest

pytestmark = pytest.mark.ros


def leaves(section: Any, prefix: str = "") -> Iterator[str]:
    """Yield the names of all parameters of a section, those of its sections with dots."""
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def test_every_field_is_a_parameter_with_description_and_range(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    start_node("--params-file", str(CHECKOUT / "config" / "params.yaml"), autostart=False)
    name = f"{namespace}/segmentation_node"
    graph.state(name)
    listed = graph.call(ListParameters, f"{name}/list_parameters", ListParameters.Request())
    own = {n for n in listed.result.names if n.startswith("rig.") or "." not in n}
    fields = set(leaves(SensorConfig("topic", "modality")))
    assert {"expected_hz", "checks.frozen", "registration.method", "events.window_s"} <= fields
    expected = {
        f"rig.sensors.{s}.{f}" for s in ("rgb", "events", "depth", "thermal") for f in fields
    }
    assert {n for n in own if n.startswith("rig.sensors")} == expected
    assert own >= {f.name for f in dataclasses.fields(SegConfig)} - {"rig", "black_box"}
    assert {n for n in listed.result.names if n.startswith("black_box.")} == {
        f"black_box.{f.name}" for f in dataclasses.fields(BlackBoxConfig)
    }

    names = sorted(own - {"use_sim_time", "start_type_description_service"})
    described = graph.call(
        DescribeParameters, f"{name}/describe_parameters", DescribeParameters.Request(names=names)
    )
    for descriptor in described.descriptors:
        assert descriptor.description
        assert not descriptor.read_only
        if descriptor.type == ParameterType.PARAMETER_DOUBLE:
            (limits,) = descriptor.floating_point_range
            assert limits.from_value < limits.to_value

    rate = "rig.sensors.thermal.expected_hz"
    request = GetParameters.Request(names=[rate])
    (value,) = graph.call(GetParameters, f"{name}/get_parameters", request).values
    assert value.double_value == 10.0


def test_what_a_launch_file_sets_for_every_node_is_told_and_left_alone(
    graph: Graph, start_node: StartNode, namespace: str, tmp_path: Path
) -> None:
    path = tmp_path / "vendor.yaml"
    path.write_text(
        "/**: {ros__parameters: {frame_prefix: r1/, bond: {period: 0.1}, plugins: [], "
        "overlay_alpha: 0.25}}\n"
        "camera_driver: {ros__parameters: {fps: 30}}\n"
    )
    # A SetParameter around the node comes as -p.
    node = start_node("--params-file", str(path), autostart=False, robot_name="r1")
    name = f"{namespace}/segmentation_node"
    assert graph.state(name) == "unconfigured"
    (said,) = [line for line in node.stdout.splitlines() if "not used are" in line]
    assert "WARN" in said
    assert {"frame_prefix", "bond.period", "robot_name", "plugins"} <= set(
        re.findall(r"[\w.]+", said)
    )
    listed = graph.call(ListParameters, f"{name}/list_parameters", ListParameters.Request())
    assert not {"frame_prefix", "bond.period", "robot_name"} & set(listed.result.names)
    request = GetParameters.Request(names=["overlay_alpha"])
    (value,) = graph.call(GetParameters, f"{name}/get_parameters", request).values
    assert value.double_value == 0.25, "what is ours there is taken"


def test_own_sensors_replace_the_default_ones_and_keep_their_order(
    start_node: StartNode, namespace: str, tmp_path: Path
) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(
        "/**:\n  ros__parameters:\n    rig:\n      sensors:\n"
        "        zenith: {topic: zenith/image, modality: thermal}\n"
        "        front: {topic: front/image, modality: rgb, expected_hz: 15}\n"
        "        arm: {topic: /arm/image, modality: rgb}\n"
    )
    node = start_node("--params-file", str(path))
    wait_until(lambda: "active: " in node.stdout, "the node to be active")
    topics = node.stdout.split("active: ")[1].splitlines()[0].split(", ")
    assert topics == [f"{namespace}/zenith/image", f"{namespace}/front/image", "/arm/image"]


def test_qos_of_a_subscription_can_be_overridden(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    topic = f"{namespace}/rgb/image"
    start_node("-p", f"qos_overrides.{topic}.subscription.reliability:=reliable")
    for name in ("rgb", "depth"):
        wanted = f"{namespace}/{name}/image"
        wait_until(lambda t=wanted: graph.node.count_subscribers(t), f"a subscriber of {wanted}")
    (other,) = graph.node.get_subscriptions_info_by_topic(f"{namespace}/depth/image")
    assert other.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    (info,) = graph.node.get_subscriptions_info_by_topic(topic)
    assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE


def test_nest_keeps_order_and_refuses_a_name_that_is_value_and_group() -> None:
    assert nest({"b.y": 1, "a": 2, "b.x": 3}) == {"b": {"y": 1, "x": 3}, "a": 2}
    for names in (("model", "model.path"), ("model.path", "model")):
        with pytest.raises(ConfigError, match="model"):
            nest(dict.fromkeys(names, 1))
