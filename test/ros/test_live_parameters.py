"""Parameters that change under way, those that wait, and the way through a file and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures.ros_graph import Graph, StartNode, wait_until
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters
from rclpy.parameter import Parameter, parameter_value_to_python
from std_srvs.srv import SetBool

pytestmark = pytest.mark.ros

TWO = {
    "rig__sensors__zenith__topic": "zenith",
    "rig__sensors__zenith__modality": "thermal",
    "rig__sensors__front__topic": "front",
    "rig__sensors__front__modality": "rgb",
}


def change(graph: Graph, node: str, name: str, value: Any) -> Any:
    """Set one parameter and return the result."""
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    (result,) = graph.call(SetParameters, f"{node}/set_parameters", request).results
    return result


def all_parameters(graph: Graph, node: str) -> dict[str, Any]:
    names = list(
        graph.call(ListParameters, f"{node}/list_parameters", ListParameters.Request()).result.names
    )
    request = GetParameters.Request(names=names)
    values = graph.call(GetParameters, f"{node}/get_parameters", request).values
    return {n: parameter_value_to_python(v) for n, v in zip(names, values, strict=True)}


def test_what_may_change_under_way_does_and_the_rest_says_when(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    start_node(**TWO)
    node = f"{namespace}/segmentation_node"
    wait_until(lambda: graph.state(node) == "active", "the node to be active")
    for name, value in (
        ("overlay_alpha", 0.25),
        ("rig.deadline_s", 0.05),
        ("rig.sensors.zenith.expected_hz", 9.0),
        ("rig.sensors.front.expected_hz", 15),  # as in a parameter file
        ("rig.sensors.zenith.checks.black", False),
    ):
        result = change(graph, node, name, value)
        assert result.successful, result.reason
        assert all_parameters(graph, node)[name] == value
    for name, value, words in (
        ("engine", "torch", "configure"),
        ("rig.sensors.front.topic", "elsewhere", "configure"),
        ("overlay_alpha", 1.5, "1.5"),
        ("overlay_alpha", 2, "2.0"),
        ("overlay_alpha", True, "type"),
        ("threads", 2.0, "type"),
        ("nobody_s", 1, "no parameter nobody_s"),
        ("rig.deadlines", 1, "no parameter rig.deadlines: did you mean rig.deadline_s?"),
    ):
        result = change(graph, node, name, value)
        assert not result.successful
        assert words in result.reason
    assert change(graph, node, "engine", "onnxruntime").successful, "as it is: param load does so"


def test_a_sensor_is_switched_off_and_on_by_an_operator(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    start_node(**TWO)
    node, topic = f"{namespace}/segmentation_node", f"{namespace}/zenith"
    wait_until(lambda: graph.node.count_subscribers(topic), "a subscription")
    service = f"{node}/set_sensor_enabled/zenith"
    assert graph.call(SetBool, service, SetBool.Request(data=False)).success
    assert all_parameters(graph, node)["rig.sensors.zenith.enabled"] is False
    wait_until(lambda: not graph.node.count_subscribers(topic), "no subscription")
    last = graph.call(SetBool, f"{node}/set_sensor_enabled/front", SetBool.Request(data=False))
    assert not last.success, "somebody must be left"
    assert "no sensor is enabled" in last.message
    assert graph.call(SetBool, service, SetBool.Request(data=True)).success
    wait_until(lambda: graph.node.count_subscribers(topic), "a subscription again")


def test_a_bad_model_is_mended_without_killing_the_node(
    graph: Graph, start_node: StartNode, namespace: str, tiny_model: Path
) -> None:
    start_node(model="/nowhere", autostart=False)
    node = f"{namespace}/segmentation_node"
    assert not graph.change(node, "configure")
    assert change(graph, node, "model", str(tiny_model)).successful
    refused = change(graph, node, "engine", "onnxruntim")
    assert not refused.successful
    assert "did you mean onnxruntime?" in refused.reason
    assert graph.change(node, "configure")


def test_dumped_and_loaded_the_node_is_as_it_was(
    graph: Graph, start_node: StartNode, namespace: str, tmp_path: Path
) -> None:
    """ROS tools sort what they write: the reference must not hang on the order of sensors."""
    start_node(**TWO, autostart=False)
    node = f"{namespace}/segmentation_node"
    assert graph.state(node) == "unconfigured"
    before = all_parameters(graph, node)
    assert before["rig.reference"] == ["zenith", "front"]
    own = {n: v for n, v in before.items() if n not in ("use_sim_time", "model")}
    own = {n: v for n, v in own.items() if not n.startswith(("qos_overrides", "start_type"))}
    path = tmp_path / "dumped.yaml"
    path.write_text(yaml.dump({"/**": {"ros__parameters": own}}))
    start_node("-r", "__node:=again", "--params-file", str(path), autostart=False)
    after = all_parameters(graph, f"{namespace}/again")
    assert {n: after[n] for n in own} == own
    loaded = [Parameter(name, value=value).to_parameter_msg() for name, value in own.items()]
    request = SetParameters.Request(parameters=loaded)
    results = graph.call(SetParameters, f"{node}/set_parameters", request).results
    assert [result.reason for result in results if not result.successful] == []
