"""``anymodal-seg simulate contact-sheet``: all sensors in all conditions, in one picture."""

from __future__ import annotations

from pathlib import Path

import click

from anymodal_seg_ros.cli.console.frames_progress import frames_progress
from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.options.output_places import make_place
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.contact_sheet import contact_sheet, encode_png


@click.command("contact-sheet")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--seed",
    default=2_000_023,
    show_default=True,
    type=click.IntRange(min=0),
    help="Of the street that all rows but one show.",
)
@click.option(
    "--offroad-seed",
    default=2_000_024,
    show_default=True,
    type=click.IntRange(min=0),
    help="Of the off-road place.",
)
def command(out: Path, seed: int, offroad_seed: int) -> None:
    """Draw one PNG of every sensor in every weather, off the road, and with every failure.

    Columns: RGB, thermal (dark is cold), depth (red is near, black unknown), events (red brighter,
    blue darker), LiDAR (colours as for depth, points enlarged), labels.
    """
    console = PlainConsole()
    make_place(out)
    try:
        with frames_progress("drawing rows", console) as tell:
            data = encode_png(contact_sheet(seed, offroad_seed, tell))
        out.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error}") from error
    console.print(f"{out}: {len(data) / 1e6:.2f} MB", soft_wrap=True)
