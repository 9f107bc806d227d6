"""Start the segmentation node behind a fault injector: its sensors break as a timeline says.

``ros2 launch anymodal_seg_ros faults.launch.py timeline:=faults.yaml params_file:=robot.yaml``
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, SetRemap

from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.faults.topics import faulty_topic
from anymodal_seg_ros.nodes.environment import dds_environment
from anymodal_seg_ros.resources import share_dir

INJECTOR = "anymodal_seg_ros.nodes.fault_injector"
PASSED_ON = ("model", "params_file", "namespace", "use_sim_time", "log_level", "python")


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(
            "timeline",
            default_value="",
            description="YAML file that says which sensor breaks when and how; required",
        ),
        DeclareLaunchArgument(
            "model",
            default_value="",
            description="Model folder or name of a bundled model; empty: as the params_file says",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value=str(share_dir() / "config" / "params.yaml"),
            description="Parameters of the node; the injector takes its sensors from them",
        ),
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of the nodes and their topics"
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
            "python", default_value=sys.executable, description="Interpreter to run the nodes with"
        ),
    ]
    environment = [SetEnvironmentVariable(k, v) for k, v in dds_environment().items()]
    return LaunchDescription([*arguments, *environment, OpaqueFunction(function=start_nodes)])


def start_nodes(context: Any) -> list[Any]:
    """Describe the injector, and the node that listens to it instead of to the drivers."""

    def given(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    injector = Node(
        executable=given("python"),
        arguments=["-m", INJECTOR, given("timeline")],
        exec_name="fault_injector",
        name="fault_injector",
        namespace=given("namespace"),
        parameters=[given("params_file"), {"use_sim_time": given("use_sim_time") == "true"}],
        ros_arguments=["--log-level", given("log_level")],
        output="screen",
    )
    topics = [s.topic for s in load_config(Path(given("params_file"))).rig.sensors.values()]
    segmentation = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share_dir() / "launch" / "seg.launch.py")),
        launch_arguments={name: given(name) for name in PASSED_ON}.items(),
    )
    remapped = [SetRemap(topic, faulty_topic(topic)) for topic in topics]
    return [injector, GroupAction([*remapped, segmentation])]
