"""Start the segmentation node: ``ros2 launch anymodal_seg_ros seg.launch.py --show-args``.

It may be included: nothing is set for other processes, and what is not given is left as it is.
"""

from __future__ import annotations

from typing import Any

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from anymodal_seg_ros.nodes import stop_limits
from anymodal_seg_ros.nodes.environment import dds_environment
from anymodal_seg_ros.nodes.process.launch_arguments import (
    boolean,
    log_level,
    overrides,
    parameter_file,
    program,
    shared,
    tell_misspelt,
)

NODE = "anymodal_seg_ros.nodes.segmentation_node"
RESPAWN_DELAY_S = 2.0
SHARED = (
    "params_file",
    "rig",
    "model",
    "engine",
    "namespace",
    "use_sim_time",
    "log_level",
    "python",
)


def generate_launch_description() -> LaunchDescription:
    arguments = [
        *(DeclareLaunchArgument(name, **told) for name, told in shared(*SHARED).items()),
        DeclareLaunchArgument(
            "demo",
            default_value="false",
            description="true: without a params_file, take the four sensors of the simulator",
        ),
        DeclareLaunchArgument(
            "name", default_value="segmentation_node", description="Name of the node"
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="",
            description="Configure and activate at once; false for a lifecycle manager; "
            "empty: as the params_file says, else true",
        ),
        DeclareLaunchArgument(
            "respawn",
            default_value="false",
            description="Start the node again when it died; its autostart makes it active again",
        ),
        DeclareLaunchArgument(
            "build_only",
            default_value="false",
            description="Load the model, build what its engine needs, and end",
        ),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start_node, args=[arguments])])


def start_node(context: Any, arguments: list[DeclareLaunchArgument]) -> list[Any]:
    """Describe the node, now that the arguments have their values."""
    # Read now: what happens later is beyond the scope of a group around this.
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in arguments}
    tell_misspelt(context, arguments, get_logger("seg.launch.py").warning)
    demo = bool(boolean("demo", given["demo"]))
    respawn = bool(boolean("respawn", given["respawn"]))
    build_only = bool(boolean("build_only", given["build_only"]))
    python = program("python", given["python"])
    file = parameter_file(given["params_file"], given["rig"], demo)
    taken = ("model", "engine", "use_sim_time", "autostart")
    values = overrides(**{name: given[name] for name in taken}, demo="true" if demo else "")
    parameters: list[Any] = [str(file)] if file else []

    def on_exit(event: Any, context: Any) -> None:
        """Let ``ros2 launch`` end with an error, without taking the other nodes down."""
        if event.returncode and not context.is_shutdown and not respawn:
            words = f"{given['name']} died with exit code {event.returncode}"
            context.asyncio_loop.call_exception_handler({"message": words})

    # By interpreter and module, not by package and executable: so it works in every kind of
    # install, and with the libraries of the interpreter's own environment.
    node = LifecycleNode(
        executable=python,
        arguments=["-m", NODE, *(["--build-only"] if build_only else [])],
        exec_name=given["name"],
        name=given["name"],
        namespace=given["namespace"],
        parameters=[*parameters, *([values] if values else [])],
        ros_arguments=["--log-level", log_level(given["log_level"])],
        # Only for this process; what the user has set already is left alone.
        additional_env=dds_environment(),
        respawn=respawn and not build_only,
        respawn_delay=RESPAWN_DELAY_S,
        # After ten seconds, as launch has it unless it is told, a node would be killed in the
        # middle of a recording that a slow disk is still taking.
        sigterm_timeout=str(stop_limits.WHOLE_S),
        on_exit=on_exit,
        output="screen",
    )
    return [node]
