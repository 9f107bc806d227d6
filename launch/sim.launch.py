"""Start the simulated rig, a process per sensor, and the segmentation node.

Kill a sensor's process and watch ``/segmentation_node/modality_status``. Needs the extra ``[sim]``.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from anymodal_seg_ros.config import default_sensors
from anymodal_seg_ros.nodes.environment import dds_environment
from anymodal_seg_ros.resources import share_dir

RIG = "anymodal_seg_ros.nodes.rig_node"
PASSED_ON = ("model", "params_file", "namespace", "log_level", "python")


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(
            "sensors",
            default_value=",".join(default_sensors()),
            description="Sensors to simulate, separated by commas",
        ),
        DeclareLaunchArgument(
            "seed", default_value="1006", description="The street that is driven through"
        ),
        DeclareLaunchArgument(
            "weather",
            default_value="sun",
            choices=["sun", "cloud", "fog", "night", "rain"],
            description="Weather on the street",
        ),
        DeclareLaunchArgument(
            "kind",
            default_value="random",
            choices=["random", "urban", "suburban", "rural", "offroad"],
            description="Kind of place",
        ),
        DeclareLaunchArgument(
            "rig",
            default_value="aligned",
            choices=["aligned", "mounted"],
            description="mounted: a place and a lens for each sensor; "
            "then give params_file:=config/rig_mounted.yaml",
        ),
        DeclareLaunchArgument(
            "faults",
            default_value="",
            description="YAML timeline of faults; empty: no sensor fails by itself",
        ),
        DeclareLaunchArgument(
            "model",
            default_value="",
            description="Model folder or name of a bundled model; empty: the default one",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value=str(share_dir() / "config" / "params.yaml"),
            description="Parameters of the node; the simulated sensors fit the default ones",
        ),
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of nodes and topics"
        ),
        DeclareLaunchArgument(
            "log_level", default_value="info", description="debug, info, warn, error or fatal"
        ),
        DeclareLaunchArgument(
            "python", default_value=sys.executable, description="Interpreter to run the nodes with"
        ),
    ]
    environment = [SetEnvironmentVariable(k, v) for k, v in dds_environment().items()]
    return LaunchDescription([*arguments, *environment, OpaqueFunction(function=render_and_start)])


def render_and_start(context: Any) -> list[Any]:
    """Render the street once, then start what shows it and what looks at it."""

    def given(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    street = [
        word for name in ("rig", "seed", "weather", "kind") for word in (f"--{name}", given(name))
    ]
    render = ExecuteProcess(
        cmd=[given("python"), "-m", RIG, "--render-only", *street], output="screen"
    )

    def start(event: Any, _: Any) -> list[Any]:
        if event.returncode != 0:
            return [Shutdown(reason="the simulated street could not be rendered")]
        world = [*street, "--epoch-ns", str(time.time_ns())]
        if given("faults"):
            world += ["--faults", given("faults")]
        cameras = [
            Node(
                executable=given("python"),
                arguments=["-m", RIG, "--sensors", sensor, *world],
                exec_name=f"{sensor}_camera",
                name=f"{sensor}_camera",
                namespace=given("namespace"),
                ros_arguments=["--log-level", given("log_level")],
                output="screen",
            )
            for sensor in given("sensors").split(",")
        ]
        path = str(share_dir() / "launch" / "seg.launch.py")
        passed_on = {name: given(name) for name in PASSED_ON}
        node = IncludeLaunchDescription(
            PythonLaunchDescriptionSource(path), launch_arguments=passed_on.items()
        )
        return [*cameras, node]

    return [RegisterEventHandler(OnProcessExit(target_action=render, on_exit=start)), render]
