"""``anymodal-seg simulate live``: the rig on ROS 2 topics."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from anymodal_seg_ros.cli.options.rig_options import scene_options
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.world.scene import SceneConfig


@click.command("live")
@scene_options
@click.option(
    "--sensors",
    default="rgb,thermal,depth,events",
    show_default=True,
    help="What to publish, separated by commas; also: lidar.",
)
@click.option("--labels", is_flag=True, help="Publish class ids too, as NAME/labels.")
@click.option("--tf", is_flag=True, help="Publish /tf and /tf_static too; needs tf2_msgs.")
@click.option(
    "--faults", type=click.Path(path_type=Path), help="Break the sensors as this timeline says."
)
def command(
    scene: SceneConfig, rig: str, sensors: str, labels: bool, tf: bool, faults: Path | None
) -> None:
    """Publish a simulated drive on ROS 2 topics until Ctrl-C.

    Pictures are rendered first (8 s of them, some minutes, once) and kept in
    ~/.cache/anymodal_seg_ros; a LiDAR is cast as it goes. The drive
    repeats without a seam. Beside it, in another terminal, the node:

    \b
      anymodal-seg simulate live --weather night --faults faults.yaml
      ros2 launch anymodal_seg_ros seg.launch.py demo:=true

    For --rig mounted give the node config/rig_mounted.yaml as its
    params_file, in the place of demo:=true.
    """  # noqa: D301  a backspace is what click takes
    try:
        from anymodal_seg_ros.nodes.simulated.rig_node import main
    except ImportError as error:
        raise ConfigError(
            f"live topics need ROS 2 ({error}): source an installation, "
            "or pip install 'anymodal_seg_ros[ros,sim]'"
        ) from error
    arguments = ["--rig", rig, "--sensors", sensors, "--seed", str(scene.seed)]
    arguments += ["--weather", scene.weather, "--hour", str(scene.hour), "--kind", scene.kind]
    arguments += ["--ego", scene.ego]
    arguments += ["--labels"] * labels + ["--tf"] * tf
    arguments += ["--faults", str(faults)] if faults else []
    sys.exit(main(["rig_node", *arguments]))
