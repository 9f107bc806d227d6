"""What a desk reads of a parameter file is what rcl gives a node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from anymodal_seg_ros.config import OF_EVERY_NODE, load_node_config, nest, read_yaml, seg_config
from anymodal_seg_ros.errors import ConfigError

pytestmark = pytest.mark.ros

A = "rig: {sensors: {front: {topic: a, modality: rgb, expected_hz: 1e1}}}"
B = "rig: {sensors: {front: {topic: b, modality: rgb}}, trigger_hz: 5.0}"
FILES = [
    f"/**:\n  ros__parameters: {{{A}}}\n/*:\n  ros__parameters: {{{B}}}\n",
    f"/*:\n  ros__parameters: {{{B}}}\n'**':\n  ros__parameters: {{{A}}}\n",
    f"segmentation_node:\n  ros__parameters: {{{A}}}\n/**:\n  ros__parameters: {{{B}}}\n",
    f"/*/segmentation_node:\n  ros__parameters: {{{A}}}\n/**:\n  ros__parameters: {{{B}}}\n",
    f"robot1:\n  segmentation_node:\n    ros__parameters: {{{A}}}\n",
    f"/:\n  segmentation_node:\n    ros__parameters: {{{A}}}\n",
    f"/:\n  robot1:\n    segmentation_node:\n      ros__parameters: {{{B}}}\n",
    f"robot1:\n  '*':\n    ros__parameters: {{{A}}}\n  '**':\n    ros__parameters: {{{B}}}\n",
    f"/**/robot1/segmentation_node:\n  ros__parameters: {{{A}}}\n",
    "/**:\n  ros__parameters: {rig.sensors.front.topic: a, rig.sensors.front.modality: rgb}\n",
    f"other:\n  ros__parameters: {{fps: 30}}\n/robot1/**:\n  ros__parameters: {{{A}}}\n",
]


@pytest.fixture(scope="module")
def context(ros_domain: int) -> Iterator[Context]:
    made = Context()
    rclpy.init(context=made, domain_id=ros_domain)
    yield made
    rclpy.shutdown(context=made)


def of_a_node(context: Context, namespace: str, *paths: Path) -> dict[str, Any]:
    given = [word for path in paths for word in ("--params-file", str(path))]
    node = Node(
        "segmentation_node",
        namespace=namespace,
        context=context,
        cli_args=["--ros-args", *given],
        automatically_declare_parameters_from_overrides=True,
        start_parameter_services=False,
        enable_rosout=False,
    )
    try:
        found = node.get_parameters_by_prefix("")
        return {
            name: parameter.value
            for name, parameter in found.items()
            if name.split(".")[0] not in OF_EVERY_NODE
        }
    finally:
        node.destroy_node()


@pytest.mark.parametrize("namespace", ["/", "/robot1", "/fleet/robot1"])
def test_the_same_sections_hold(context: Context, tmp_path: Path, namespace: str) -> None:
    path = tmp_path / "params.yaml"
    for text in FILES:
        path.write_text(text)
        given = of_a_node(context, namespace, path)
        if not given:
            with pytest.raises(ConfigError, match="nothing in"):
                load_node_config(path, namespace)
        else:
            expected = seg_config(nest(given))
            assert load_node_config(path, namespace).config == expected, text


@pytest.mark.parametrize("second", ["/**", "/*", "/robot1/*", "/*/segmentation_node"])
@pytest.mark.parametrize("first", ["/**", "/robot1/**", "/robot1/segmentation_node"])
def test_of_several_files_the_same_values_win(
    context: Context, tmp_path: Path, first: str, second: str
) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(f"{first}:\n  ros__parameters: {{{A}}}\n")
    two.write_text(f"{second}:\n  ros__parameters: {{{B}}}\n")
    given = of_a_node(context, "/robot1", one, two)
    assert load_node_config([one, two], "/robot1").config == seg_config(nest(given))


@pytest.mark.parametrize("word", ["1_000", "0b1", "1_0.5", "0x10", "010", "+7", ".5", "5.", "TRUE"])
def test_the_same_words_are_numbers(context: Context, tmp_path: Path, word: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"/**:\n  ros__parameters: {{word: {word}}}\n")
    (given,) = of_a_node(context, "/", path).values()
    read = read_yaml(path, "parameter file", ros=True)["/**"]["ros__parameters"]["word"]
    assert (type(read), read) == (type(given), given)
