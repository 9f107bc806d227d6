"""Start the segmentation node behind a fault injector: its sensors break as a timeline says.

``ros2 launch anymodal_seg_ros faults.launch.py timeline:=faults.yaml params_file:=robot.yaml``
"""

from __future__ import annotations

from typing import Any

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, SetRemap

from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.faults.topics import faulty_topic
from anymodal_seg_ros.nodes.environment import dds_environment
from anymodal_seg_ros.nodes.process.launch_arguments import (
    existing_file,
    log_level,
    overrides,
    parameter_file,
    program,
    shared,
    tell_misspelt,
)
from anymodal_seg_ros.resources import share_dir

INJECTOR = "anymodal_seg_ros.nodes.replay.fault_injector"
PASSED_ON = ("model", "engine", "namespace", "use_sim_time", "log_level", "python")


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(
            "timeline",
            default_value="",
            description="YAML file that says which sensor breaks when and how; required",
        ),
        *(
            DeclareLaunchArgument(name, **told)
            for name, told in shared("params_file", "rig", *PASSED_ON).items()
        ),
    ]
    start = OpaqueFunction(function=start_nodes, args=[arguments])
    return LaunchDescription([*arguments, start])


def start_nodes(context: Any, arguments: list[DeclareLaunchArgument]) -> list[Any]:
    """Describe the injector, and the node that listens to it instead of to the drivers."""
    # Read now: what happens later is beyond the scope of a group around this.
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in arguments}
    tell_misspelt(context, arguments, get_logger("faults.launch.py").warning)
    timeline = existing_file("timeline", given["timeline"])
    named, rig = given["params_file"], given["rig"]
    file = parameter_file(named, rig, False) if rig else existing_file("params_file", named)
    python = program("python", given["python"])
    # A namespace that a group around this pushed is not among the arguments.
    inside = context.launch_configurations.get("ros_namespace", "")
    own = given["namespace"]
    namespace = own if own.startswith("/") else f"{inside}/{own}".strip("/")
    topics = [s.topic for s in load_config(file, namespace or None).rig.sensors.values()]
    clock = overrides(use_sim_time=given["use_sim_time"])

    def on_exit(event: Any, context: Any) -> None:
        """End everything: without the injector nothing reaches the node any more."""
        if event.returncode and not context.is_shutdown:
            raise RuntimeError(f"the fault injector died with exit code {event.returncode}")

    injector = Node(
        executable=python,
        arguments=["-m", INJECTOR, str(timeline)],
        exec_name="fault_injector",
        name="fault_injector",
        namespace=given["namespace"],
        parameters=[str(file), *([clock] if clock else [])],
        ros_arguments=["--log-level", log_level(given["log_level"])],
        additional_env=dds_environment(),
        on_exit=on_exit,
        output="screen",
    )
    # rig is said to be empty: its file is given.
    passed_on = {name: given[name] for name in PASSED_ON}
    passed_on |= {"params_file": str(file), "rig": ""}
    segmentation = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share_dir() / "launch" / "seg.launch.py")),
        launch_arguments=passed_on.items(),
    )
    remapped = [SetRemap(topic, faulty_topic(topic)) for topic in topics]
    return [injector, GroupAction([*remapped, segmentation])]
