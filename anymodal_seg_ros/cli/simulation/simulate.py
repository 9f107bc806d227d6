"""``anymodal-seg simulate``: what can be drawn from the synthetic rig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import click

from anymodal_seg_ros.cli.main import Subcommands
from anymodal_seg_ros.errors import ConfigError


class SimulationOutputs(Subcommands):
    """The outputs of the simulation; says what to install where its libraries are missing."""

    rooms: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("dataset", "rigbench", "bag", "live", "contact-sheet"), "simulation"
    )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand; None if there is none of this name."""
        try:
            return super().get_command(ctx, cmd_name)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"the simulation needs {error.name}: pip install 'anymodal_seg_ros[sim]'"
            ) from error


@click.group("simulate", cls=SimulationOutputs)
def command() -> None:
    """Draw streets and off-road places that five kinds of sensors look at.

    Everything is a function of a seed: the same seed and options give the same pictures. All of it
    is synthetic; docs/explanation/simulation.md says how it is made and where it is unlike the
    world.

    \b
    Train or judge on it:
      anymodal-seg simulate rigbench rigbench        the fixed benchmark, with a manifest
      anymodal-seg simulate dataset streets          your own mixture, in the DELIVER layout
    Run the pipeline on it:
      anymodal-seg simulate bag drive --rig mounted  a rosbag2 with calibration, tf and labels
      anymodal-seg simulate live --faults f.yaml     ROS 2 topics
    Look at it:
      anymodal-seg simulate contact-sheet sheet.png
    """  # noqa: D301  a backspace is what click takes
