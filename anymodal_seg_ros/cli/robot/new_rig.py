"""``anymodal-seg new-rig``: a parameter file from the topics that are published now."""

from __future__ import annotations

from pathlib import Path

import click
import yaml

from anymodal_seg_ros.cli.options.finite_range import FiniteRange
from anymodal_seg_ros.cli.options.output_places import make_place
from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.written_files import write_file

_HEAD = """\
# Drafted from the topics that were published. Look it over: kinds of sensors are guessed by names
# of topics and by encodings, rates are what came. Then say how the sensors lie to each other
# (registration), and check it: anymodal-seg check {name}
"""


@click.command("new-rig")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--seconds",
    default=3.0,
    show_default=True,
    type=FiniteRange(min=0.5, max=600.0),
    help="How long to measure the rates.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def command(out: Path, seconds: float, force: bool) -> None:
    """Write a parameter file OUT with a sensor for each camera and LiDAR that publishes now."""
    if out.exists() and not force:
        raise ConfigError(f"{out} exists already: choose another name, or replace it (--force)")
    make_place(out)
    try:
        from anymodal_seg_ros.nodes.process.shutdown import ros_session
        from anymodal_seg_ros.nodes.rig.rig_guess import guess_rig
    except ImportError as error:
        raise ConfigError(
            f"looking at topics needs ROS 2 ({error}): source an installation, "
            "or pip install 'anymodal_seg_ros[ros]'"
        ) from error
    known = load_model("").manifest.modalities
    with ros_session(["anymodal-seg"]) as stop:
        draft = guess_rig(seconds, stop, known)
    sensors = draft.parameters["rig"]["sensors"]
    if not sensors:
        raise AnymodalError("no camera and no LiDAR publishes: start the drivers, then try again")
    text = yaml.safe_dump({"/**": {"ros__parameters": draft.parameters}}, sort_keys=False)
    write_file(out.resolve(), _HEAD.format(name=out) + text)
    click.echo(f"{out}: {', '.join(sensors)}")
    for name, reason in draft.off.items():
        click.echo(f"{name} is switched off: {reason}")
