"""``anymodal-seg faults``: check a fault timeline, or print what one can say."""

from __future__ import annotations

from pathlib import Path

import click

from anymodal_seg_ros.faults.timeline import dump_timeline, load_timeline
from anymodal_seg_ros.parameter_table import fault_table, fits_table


@click.command("faults")
@click.argument("timeline", required=False, type=click.Path(path_type=Path))
def command(timeline: Path | None) -> None:
    """Check the fault timeline TIMELINE, and print it as it was understood.

    Without TIMELINE, print all kinds of faults with their options as Markdown tables.
    """
    if timeline is None:
        click.echo(f"{fault_table()}\n{fits_table()}", nl=False)
    else:
        click.echo(dump_timeline(load_timeline(timeline)), nl=False)
