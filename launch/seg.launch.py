"""Start the segmentation node: ``ros2 launch anymodal_seg_ros seg.launch.py --show-args``."""

from __future__ import annotations

import sys
from typing import Any

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from anymodal_seg_ros.nodes.environment import dds_environment
from anymodal_seg_ros.resources import config_dir

NODE = "anymodal_seg_ros.nodes.segmentation_node"


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(
            "model",
            default_value="",
            description="Model folder or name of a bundled model; empty: as the params_file says",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value=str(config_dir() / "params.yaml"),
            description="Parameters of the node: its sensors, deadlines and engine",
        ),
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of the node and its topics"
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="false",
            choices=["true", "false"],
            description="Take the time from /clock, for bags and simulators",
        ),
        DeclareLaunchArgument(
            "log_level", default_value="info", description="debug, info, warn, error or fatal"
        ),
        DeclareLaunchArgument(
            "python",
            default_value=sys.executable,
            description="Interpreter to run the node with, e.g. that of a venv with PyTorch",
        ),
    ]
    # What the user has set already, a DDS profile of their own for instance, is left alone.
    environment = [SetEnvironmentVariable(k, v) for k, v in dds_environment().items()]
    return LaunchDescription([*arguments, *environment, OpaqueFunction(function=start_node)])


def start_node(context: Any) -> list[Node]:
    """Describe the node, now that the arguments have their values."""

    def given(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    overrides: dict[str, Any] = {"use_sim_time": given("use_sim_time") == "true"}
    if given("model"):
        overrides["model"] = given("model")
    # By interpreter and module, not by package and executable: so it works in every kind of
    # install, and with the libraries of the interpreter's own environment.
    node = Node(
        executable=given("python"),
        arguments=["-m", NODE],
        exec_name="segmentation_node",
        name="segmentation_node",
        namespace=given("namespace"),
        parameters=[given("params_file"), overrides],
        ros_arguments=["--log-level", given("log_level")],
        output="screen",
    )
    return [node]
