"""Play a bag to the segmentation node and score what it publishes, as ``anymodal-seg evaluate``.

``ros2 launch anymodal_seg_ros replay.launch.py bag:=drive require:=gate.yaml``

Ends with the bag. A gate that fails, or a bag that cannot be judged, makes it end with an error.
"""

from __future__ import annotations

from typing import Any

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration

from anymodal_seg_ros.nodes.environment import dds_environment
from anymodal_seg_ros.nodes.process.launch_arguments import (
    evaluate_arguments,
    program,
    replayed,
    shared,
    tell_misspelt,
)
from anymodal_seg_ros.resources import share_dir

CLI = "anymodal_seg_ros.cli.main"
PASSED_ON = ("model", "engine", "namespace", "log_level", "python")


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(
            "bag", default_value="", description="Bag to play; ROS 2, any storage; required"
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value="",
            description="Parameters of the node; empty: rig.yaml in the bag's folder",
        ),
        DeclareLaunchArgument(
            "labels",
            default_value="auto",
            description="Ground truth: auto, none, or a topic; {sensor} stands for each sensor",
        ),
        DeclareLaunchArgument(
            "require", default_value="", description="Gate: what the figures must be; YAML file"
        ),
        DeclareLaunchArgument(
            "baseline", default_value="", description="An earlier scorecard, for the gate"
        ),
        DeclareLaunchArgument(
            "junit", default_value="", description="Write the verdict here as JUnit XML"
        ),
        DeclareLaunchArgument(
            "out", default_value="scorecard", description="Folder of the scorecard"
        ),
        DeclareLaunchArgument(
            "rate", default_value="1.0", description="Seconds of the bag in a second"
        ),
        DeclareLaunchArgument(
            "player",
            default_value="auto",
            choices=["auto", "ros2", "own"],
            description="What plays the bag: 'ros2 bag play' where it is installed, or our own",
        ),
        *(DeclareLaunchArgument(name, **told) for name, told in shared("rig", *PASSED_ON).items()),
    ]
    start = OpaqueFunction(function=start_nodes, args=[arguments])
    return LaunchDescription([*arguments, start])


def start_nodes(context: Any, arguments: list[DeclareLaunchArgument]) -> list[Any]:
    """Describe the node on the bag's clock, and the evaluator, which starts the player."""
    # Read now: what happens later is beyond the scope of a group around this.
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in arguments}
    tell_misspelt(context, arguments, get_logger("replay.launch.py").warning)
    bag, file = replayed(given["bag"], given["params_file"], given["rig"])
    python = program("python", given["python"])
    options = {
        name: given[name]
        for name in (
            "model",
            "engine",
            "namespace",
            "labels",
            "require",
            "baseline",
            "junit",
            "out",
            "rate",
            "player",
        )
    }

    def on_exit(event: Any, context: Any) -> list[Any]:
        """End with the evaluator, and with an error if it did: launch has no other exit codes.

        Also when it was Ctrl-C that ended it: nobody has judged the bag then.
        """
        if event.returncode:
            words = f"the evaluator ended with exit code {event.returncode}: 1 failed, 2 unknown"
            context.asyncio_loop.call_exception_handler({"message": words})
        return [] if context.is_shutdown else [Shutdown(reason="the bag is over and judged")]

    # No Node: launch_ros adds --ros-args to those, which is not for a command.
    evaluator = ExecuteProcess(
        cmd=[python, "-m", CLI, *evaluate_arguments(bag, file, options)],
        name="evaluator",
        additional_env=dds_environment(),
        on_exit=on_exit,
        output="screen",
    )
    passed_on = {name: given[name] for name in PASSED_ON}
    passed_on |= {"params_file": str(file), "rig": "", "use_sim_time": "true"}
    segmentation = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share_dir() / "launch" / "seg.launch.py")),
        launch_arguments=passed_on.items(),
    )
    return [GroupAction([segmentation]), evaluator]
