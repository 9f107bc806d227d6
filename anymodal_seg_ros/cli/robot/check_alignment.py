"""``anymodal-seg check-alignment``: do the sensors' pictures lie on each other?"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import numpy as np
from rich.table import Table

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.options.finite_range import FiniteRange
from anymodal_seg_ros.cli.options.node_options import namespace_option, node_option, params_option
from anymodal_seg_ros.cli.options.output_places import make_folder
from anymodal_seg_ros.config import (
    NodeConfig,
    RigConfig,
    SegConfig,
    SensorConfig,
    load_node_config,
)
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.alignment_check import NEAR_PX, SCATTER_OF_WIDTH, AlignmentCheck
from anymodal_seg_ros.evaluation.arrivals import absolute_rig
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.image_files import list_images, write_picture
from anymodal_seg_ros.evaluation.instants import (
    Instant,
    Refused,
    from_bag,
    from_folders,
    tell_cameras,
)
from anymodal_seg_ros.evaluation.replay import check_topics, sensors_by_topic
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.geometry.alignment import SURE
from anymodal_seg_ros.written_files import write_file


@click.command("check-alignment")
@click.argument("bag", required=False, type=click.Path(path_type=Path))
@click.option(
    "--sensor",
    "sources",
    multiple=True,
    metavar="NAME=FOLDER",
    help="Instead of a bag: a sensor and its images, a folder or a quoted pattern. Images with the "
    "same name (up to the first dot) belong together. Repeat it for every sensor.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for pictures and figures."
)
@params_option(
    " It tells each sensor's registration.  [default: the four-sensor rig of the demo for a bag; "
    "images that are only resized for folders]"
)
@namespace_option
@node_option
@click.option(
    "--frames",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="Instants to look at.",
)
@click.option(
    "--search",
    default=10.0,
    show_default=True,
    type=FiniteRange(0.5, 40.0),
    help="Largest shift that is looked for, in per cent of the width.",
)
def command(
    bag: Path | None,
    sources: tuple[str, ...],
    out: Path,
    params: tuple[Path, ...],
    namespace: str | None,
    node: str,
    frames: int,
    search: float,
) -> None:
    """Measure how far the sensors' pictures are apart once they are registered.

    The first sensor is the reference. For every other one and every instant, OUT gets a picture:
    the other's edges over the reference, left as they are (red), right moved back by the measured
    shift (green). shifts.csv holds the figures.

    \b
    anymodal-seg check-alignment drive.bag --params-file rig.yaml --out alignment
    anymodal-seg check-alignment --out alignment \
        --sensor rgb=street/rgb --sensor thermal=street/thermal
    """  # noqa: D301  a backspace is what click takes
    if (bag is None) == (not sources):
        raise click.UsageError("give either a BAG or --sensor NAME=FOLDER, twice or more")
    where = NodeConfig(SegConfig(), namespace or "/", node)
    if params:
        where = load_node_config(params, namespace, node)
    shown = ", ".join(map(str, params)) or "the demo's rig"
    folders = {name: list_images(folder) for name, folder in map(_split, sources)}
    rig = absolute_rig(where.config.rig, where.namespace, where.node)
    if bag is None and not params:
        rig = _plain_rig(folders)
    unknown = sorted(set(folders) - set(rig.sensors))
    if unknown:
        raise click.BadParameter(
            f"{unknown[0]!r} is not in {shown}: expected one of {', '.join(rig.sensors)}",
            param_hint="--sensor",
        )
    if len(rig.sensors) < 2:
        raise click.BadParameter(
            f"{shown} has one sensor, {', '.join(rig.sensors)}: expected two or more",
            param_hint="--params",
        )
    check = AlignmentCheck(rig, search / 100)
    if folders and check.reference not in folders:
        raise click.BadParameter(
            f"{check.reference!r}, the rig's first sensor, is missing", param_hint="--sensor"
        )
    make_folder(out)
    if bag is None:
        _write(check, from_folders(folders, frames), out)
    else:
        with Bag(bag) as opened:
            _write(check, _recorded(opened, check, rig, frames), out)
    _tell(check, out)


def _split(source: str) -> tuple[str, str]:
    name, equals, folder = source.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{source!r}: expected NAME=FOLDER", param_hint="--sensor")
    return name, folder


def _plain_rig(folders: Mapping[str, object]) -> RigConfig:
    """Return a rig whose images are only resized."""
    if len(folders) < 2:
        raise click.BadParameter("expected two sensors or more", param_hint="--sensor")
    return RigConfig({name: SensorConfig(f"{name}/image", name) for name in folders})


def _recorded(bag: Bag, check: AlignmentCheck, rig: RigConfig, frames: int) -> Iterator[Instant]:
    """Take what a bag knows of the cameras, and yield its instants."""
    sensors = sensors_by_topic(rig)
    for line in (*bag.notes, *check_topics(bag, sensors, rig.disabled)):
        PlainConsole().say(line)
    check.learn_from(lambda registrar: tell_cameras(bag, rig, registrar))
    refused: dict[str, Refused] = {}
    yield from from_bag(bag, sensors, rig, frames, refused)
    for sensor, why in refused.items():
        PlainConsole().say(f"{sensor}: {why}")


def _write(check: AlignmentCheck, instants: Iterator[Instant], out: Path) -> None:
    """Measure every instant, and write figures and pictures."""
    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(["instant", "sensor", "right_px", "down_px", "likeness"])
    for name, images in instants:
        for measured in check.take(images):
            shift = measured.shift
            figures = (shift.right_px, shift.down_px, shift.likeness)
            rows.writerow([name, measured.sensor, *(f"{figure:.3f}" for figure in figures)])
            folder = out / f"{measured.sensor}_over_{check.reference}"
            if folder.is_symlink():
                raise ConfigError(f"{folder} is a link: choose another --out")
            folder.mkdir(exist_ok=True)
            write_picture(folder / f"{name}.png", measured.picture[..., ::-1])
    write_file(out / "shifts.csv", table.getvalue())


def _tell(check: AlignmentCheck, out: Path) -> None:
    """Print what came of it, and what would mend it."""
    console = PlainConsole()
    height, width = check.size
    reference = quote(check.reference)
    table = Table(title=f"shifts against {reference}, in pixels of {width}x{height}")
    for title in ("sensor", "frames", "sure", "right", "down", "length", "length p90"):
        table.add_column(title, justify="left" if title == "sensor" else "right")
    for sensor, shifts in check.shifts.items():
        sure = [shift for shift in shifts if shift.likeness >= SURE]
        figures = ["-"] * 4
        if sure:
            medians = [float(np.median([getattr(s, a) for s in sure])) for a in _AXES]
            p90 = float(np.quantile([shift.length_px for shift in sure], 0.9))
            figures = [
                f"{medians[0]:+.1f}",
                f"{medians[1]:+.1f}",
                f"{medians[2]:.1f}",
                f"{p90:.1f}",
            ]
        table.add_row(quote(sensor), str(len(shifts)), str(len(sure)), *figures)
    console.print(table)
    for sensor, reason in check.missing.items():
        console.say(f"{sensor}: {reason}")
    for sensor in check.shifts:
        scatter_px = check.scatter_px(sensor)
        if scatter_px > SCATTER_OF_WIDTH * width:
            console.say(
                f"{sensor}: its shifts lie {scatter_px:.1f} pixels beside each other: guesses, or "
                "a loose mount; look at the pictures, or record by day with things near by"
            )
            continue
        if check.lies_near(sensor):
            console.say(f"{sensor} lies within {NEAR_PX:g} pixel of {reference}: leave it as it is")
        homography = check.better_homography(sensor)
        if homography is not None:
            numbers = " ".join(f"{number:.5g}" for number in homography.ravel())
            console.say(f"{sensor} would lie better with these parameters of rig.sensors.{sensor}:")
            console.print(
                f"  registration: {{method: homography, homography: '{numbers}'}}", soft_wrap=True
            )
    console.print(f"pictures and shifts.csv: {out}", soft_wrap=True)


_AXES = ("right_px", "down_px", "length_px")
