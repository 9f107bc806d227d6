"""What stops the start: exit code 1, and one line on stderr that says what to mend."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from fixtures.ros_graph import Graph, StartNode, unused_domain, wait_until

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.nodes.process.own_arguments import own_arguments

pytestmark = pytest.mark.ros

LOG_TO_STDERR = {"RCUTILS_LOGGING_USE_STDOUT": "0"}


@pytest.fixture()
def domain_of_its_own() -> int:
    """A ROS domain in which there is no participant yet."""
    return unused_domain()


def refused(start_node: StartNode, *ros_args: str, **parameters: Any) -> str:
    """Start a node that must not start, and return what it says."""
    process = start_node(*ros_args, env=LOG_TO_STDERR, **parameters)
    assert process.wait() == 1
    (line,) = process.stderr.splitlines()
    assert "FATAL" in line
    assert "segmentation_node]" in line
    return line


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"overlay": 0.5}, ["unknown parameter overlay", "overlay_alpha"]),
        ({"rig__sensors__rgb__hz": 5}, ["unknown parameter rig.sensors.rgb.hz", "expected_hz"]),
        ({"rig__reference": "[]"}, ["rig.reference: given as an empty list"]),
        ({"overlay_alpha": "half"}, ["overlay_alpha is 'half'", "float"]),
        ({"overlay_alpha": 1.5}, ["overlay_alpha is 1.5", "0.0 to 1.0"]),
        ({"rig__sensors": 3}, ["rig.sensors is 3"]),
        ({"rig": "oak_d", "demo": False}, ["rig is oak_d: expected named", "--params-file"]),
        (
            {"rig__sensors__x__topic": "x", "rig__sensors__x__modality": "radar"},
            ["rig.sensors.x.modality is 'radar'", "rgb, thermal, depth, event"],
        ),
        (
            {"rig__sensors__x__topic": "front camera", "rig__sensors__x__modality": "rgb"},
            ["rig.sensors.x.topic is 'front camera'", "must not contain"],
        ),
        (
            {
                f"rig__sensors__{240 * 'x'}__topic": "x",
                f"rig__sensors__{240 * 'x'}__modality": "rgb",
            },
            ["has a name of 240 characters", "shorten it"],
        ),
        ({"engine": "abacus"}, ["engine is 'abacus'", "onnxruntime"]),
        ({"model": "/nowhere"}, ["model is '/nowhere'"]),
    ],
    ids=lambda value: next(iter(value))[:40] if isinstance(value, dict) else "",
)
def test_bad_parameter(
    parameters: dict[str, Any], expected: list[str], start_node: StartNode
) -> None:
    line = refused(start_node, **parameters)
    for words in expected:
        assert words in line


@pytest.mark.parametrize("parameter", ["topic", "registration__camera_info"])
def test_a_topic_that_is_too_long_in_the_node_s_namespace(
    parameter: str, start_node: StartNode
) -> None:
    given = {"topic": "x", "modality": "rgb", parameter: 240 * "x"}
    sensor = {f"rig__sensors__x__{name}": value for name, value in given.items()}
    line = refused(start_node, **sensor)
    assert f"rig.sensors.x.{parameter.replace('__', '.')} is xxx" in line
    assert "length should not exceed" in line


def test_a_name_of_the_node_that_leaves_no_room_for_its_services(start_node: StartNode) -> None:
    process = start_node("-r", f"__node:={240 * 'n'}", env=LOG_TO_STDERR)
    assert process.wait() == 1
    (line,) = process.stderr.splitlines()
    assert "the node cannot have this name: Invalid service name" in line


def test_use_sim_time_of_the_wrong_type(start_node: StartNode) -> None:
    process = start_node(env=LOG_TO_STDERR, use_sim_time="maybe")
    assert process.wait() == 1
    *of_rclpy, line = process.stderr.splitlines()
    assert "use_sim_time is 'maybe': expected true or false" in line
    assert len(of_rclpy) <= 1


def test_parameter_file_with_a_misspelt_name(start_node: StartNode, tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(
        "/**:\n  ros__parameters:\n    rig:\n      sensors:\n"
        "        front: {topic: a, modality: rgb, expectd_hz: 30.0}\n"
    )
    line = refused(start_node, "--params-file", str(path))
    assert "unknown parameter rig.sensors.front.expectd_hz" in line


def test_a_parameter_without_a_value_is_named(start_node: StartNode, tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    sensor = "{topic: a, modality: rgb, registration: {homography: []}}"
    path.write_text(f"/**: {{ros__parameters: {{rig: {{sensors: {{front: {sensor}}}}}}}}}\n")
    line = refused(start_node, "--params-file", str(path))
    assert "rig.sensors.front.registration.homography: given as an empty list" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/**:\n\tros__parameters: {}\n", "is no YAML: .* in line 2"),
        (
            "/**:\n  ros__parameters: {engine: &e auto, model: *e}\n",
            r"ROS takes no aliases: write out what \*e is in line 2",
        ),
    ],
)
def test_a_parameter_file_that_rcl_cannot_read_is_told_in_one_line(
    text: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        own_arguments(["node", "--ros-args", "--params-file", str(path)])


def test_ros_arguments_that_cannot_be_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the ROS arguments cannot be used"):
        own_arguments(["node", "--ros-args", "-r", "no remapping"])
    with pytest.raises(ConfigError, match=r"model:=b\?r cannot be read as .*: set LANG=C.UTF-8"):
        own_arguments(["node", "--ros-args", "-p", os.fsdecode(b"model:=b\xe4r")])
    assert own_arguments(["node", "mine", "--ros-args", "-r", "a:=b"]) == ["mine"]


def test_ros_arguments_that_nobody_knows_are_answered_with_how_they_are_written(
    start_node: StartNode,
) -> None:
    line = refused(start_node, "--params-file=rig.yaml")
    assert "['--params-file=rig.yaml']; write them as --ros-args --params-file rig.yaml" in line


def test_what_is_wrong_around_ros_is_not_laid_to_its_arguments(start_node: StartNode) -> None:
    process = start_node(env={**LOG_TO_STDERR, "ROS_DOMAIN_ID": "seven"})
    assert process.wait() == 1
    line = process.stderr.splitlines()[-1]
    assert "ROS cannot be started: " in line and "ROS_DOMAIN_ID" in line
    assert "arguments" not in line


def test_altered_model_file(start_node: StartNode, tmp_path: Path, tiny_model: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "altered")
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    line = refused(start_node, model=folder)
    assert "sha256" in line
    assert "model.onnx" in line


def test_model_folder_without_a_manifest(start_node: StartNode, tmp_path: Path) -> None:
    line = refused(start_node, model=tmp_path)
    assert "model.yaml" in line


def test_a_second_node_of_the_same_name_is_refused_and_a_killed_one_is_no_hindrance(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    name = f"{namespace}/segmentation_node"
    first = start_node()
    wait_until(lambda: graph.state(name) == "active", "the first one to be active")
    assert f"a node {name} runs already" in refused(start_node)
    beside = start_node("-r", "__node:=other_node")
    wait_until(lambda: graph.state(f"{namespace}/other_node") == "active", "another name")
    first.kill()
    third = start_node()
    wait_until(lambda: "active: " in third.stdout, "a new one in its place")
    assert beside.process.poll() is None


def test_a_port_that_a_killed_process_left_half_made_is_no_hindrance(
    start_node: StartNode, domain_of_its_own: int
) -> None:
    first_port = 7400 + 250 * domain_of_its_own + 11
    ports = [Path(f"/dev/shm/{name}_port{first_port}") for name in ("fastdds", "fastrtps")]
    for port in ports:
        port.touch()

    node = start_node(env={"ROS_DOMAIN_ID": str(domain_of_its_own)})

    wait_until(lambda: "active: " in node.stdout, "a node that has started")
    assert [port.stat().st_size > 0 for port in ports if port.exists()] == [True]
