"""``anymodal-seg parameters``: what can be set, as a table."""

from __future__ import annotations

import click

from anymodal_seg_ros.parameter_table import parameter_table


@click.command("parameters")
def command() -> None:
    """Print a Markdown table of every parameter of the node."""
    click.echo(parameter_table(), nl=False)
