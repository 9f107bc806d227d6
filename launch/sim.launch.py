"""Start the simulated rig, a process per sensor, and the segmentation node.

Kill a sensor's process and watch ``/segmentation_node/modality_status``. Needs the extra ``[sim]``.
"""

from __future__ import annotations

import subprocess
import time
from typing import Any

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from anymodal_seg_ros.config import default_sensors
from anymodal_seg_ros.nodes.environment import dds_environment
from anymodal_seg_ros.nodes.process.launch_arguments import (
    existing_file,
    log_level,
    program,
    shared,
    tell_misspelt,
)
from anymodal_seg_ros.resources import share_dir

RIG = "anymodal_seg_ros.nodes.simulated.rig_node"
PASSED_ON = ("model", "engine", "namespace", "log_level", "python")
PARAMETERS = {"aligned": "params.yaml", "mounted": "rig_mounted.yaml"}
"""The parameter file in config/ that fits each rig."""


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
            description="mounted: a place and a lens for each sensor",
        ),
        DeclareLaunchArgument(
            "faults",
            default_value="",
            description="YAML timeline of faults; empty: no sensor fails by itself",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value="",
            description="Parameters of the node; empty: those that fit the simulated rig",
        ),
        *(DeclareLaunchArgument(name, **told) for name, told in shared(*PASSED_ON).items()),
    ]
    start = OpaqueFunction(function=render_and_start, args=[arguments])
    return LaunchDescription([*arguments, start])


def render_and_start(context: Any, arguments: list[DeclareLaunchArgument]) -> list[Any]:
    """Render the street once, then start what shows it and what looks at it."""
    # Read now: what happens later is beyond the scope of a group around this.
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in arguments}
    tell_misspelt(context, arguments, get_logger("sim.launch.py").warning)
    python = program("python", given["python"])
    level = log_level(given["log_level"])
    check_libraries(python)
    fitting = str(share_dir() / "config" / PARAMETERS[given["rig"]])
    file = existing_file("params_file", given["params_file"] or fitting)
    street = [
        word for name in ("rig", "seed", "weather", "kind") for word in (f"--{name}", given[name])
    ]
    broken = given["faults"]
    faults = ["--faults", str(existing_file("faults", broken))] if broken else []
    render = ExecuteProcess(
        # With everything that can be wrong, so that it is told before the street is rendered.
        cmd=[python, "-m", RIG, "--render-only", *street, "--sensors", given["sensors"], *faults],
        name="street",
        additional_env=dds_environment(),
        output="screen",
    )

    around, environment = dict(context.launch_configurations), dict(context.environment)

    def scope(context: Any) -> None:
        """Bring back what a group around this had set: namespace, parameters, environment."""
        context.launch_configurations.update(around)
        context.environment.update(environment)

    def start(event: Any, context: Any) -> list[Any]:
        if context.is_shutdown:
            return []
        if event.returncode != 0:
            raise RuntimeError("the simulated street could not be rendered")
        world = [*street, "--epoch-ns", str(time.time_ns()), *faults]
        cameras = [
            Node(
                executable=python,
                arguments=["-m", RIG, "--sensors", sensor, *world],
                exec_name=f"{sensor}_camera",
                name=f"{sensor}_camera",
                namespace=given["namespace"],
                ros_arguments=["--log-level", level],
                additional_env=dds_environment(),
                output="screen",
            )
            for sensor in given["sensors"].split(",")
        ]
        path = str(share_dir() / "launch" / "seg.launch.py")
        # rig means another thing there: a file of parameters.
        passed_on = {name: given[name] for name in PASSED_ON}
        passed_on |= {"params_file": str(file), "rig": ""}
        node = IncludeLaunchDescription(
            PythonLaunchDescriptionSource(path), launch_arguments=passed_on.items()
        )
        return [GroupAction([OpaqueFunction(function=scope), *cameras, node])]

    return [RegisterEventHandler(OnProcessExit(target_action=render, on_exit=start)), render]


def check_libraries(python: str) -> None:
    """Say in one line what the simulation lacks, instead of a traceback of its process."""
    missing = subprocess.run([python, "-c", "import trimesh, embreex"], capture_output=True)
    if missing.returncode:
        raise RuntimeError(
            f"the simulated rig needs trimesh and embreex, which {python} does not have: "
            f"install them with '{python} -m pip install trimesh embreex'"
        )
