"""``anymodal-seg demo``: sensors in, masks out, while sensors die."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import Progress

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.options.finite_range import FiniteRange
from anymodal_seg_ros.cli.options.one_of import OneOf
from anymodal_seg_ros.cli.options.output_places import make_folder
from anymodal_seg_ros.demo.numbers import summary
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.written_files import write_file

if TYPE_CHECKING:
    from anymodal_seg_ros.simulation.recorded import Sequence


@click.command("demo")
@click.option(
    "--out",
    default=Path("demo_output"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the picture, the numbers and the logs.",
)
@click.option(
    "--seed",
    default=1006,
    show_default=True,
    help="Of the simulated street; the bundled model was trained on those from 0 to 799.",
)
@click.option(
    "--weather",
    default="night",
    show_default=True,
    type=OneOf(["sun", "cloud", "fog", "night", "rain"]),
    help="Weather on the simulated street.",
)
@click.option(
    "--seconds",
    default=5.0,
    show_default=True,
    type=FiniteRange(min=3.0, max=600.0),
    help="Length of each of the four phases.",
)
def command(out: Path, seed: int, weather: str, seconds: float) -> None:
    """Kill the thermal and then the RGB camera of a simulated rig, and watch the masks go on.

    Five processes talk over real ROS 2 topics: four cameras and the segmentation node. This one
    watches them, prints what it sees, and writes demo.png and demo.json.
    """
    started = time.monotonic()
    console = PlainConsole()
    shutil.rmtree(out / "logs", ignore_errors=True)
    make_folder(out / "logs")
    sequence = _render(out / "sequences", seed, weather)
    # Nobody else's robot shall take part, nor see this one.
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(60, 100)))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    try:
        from anymodal_seg_ros.nodes.demo.demo import watch
    except ImportError as error:
        raise AnymodalError(
            f"the demo needs ROS 2 ({error}): install anymodal_seg_ros[ros,sim] or source yours"
        ) from error
    numbers = watch(sequence, out, seconds, console)
    numbers["total_seconds"] = time.monotonic() - started
    write_file(out / "demo.json", json.dumps(numbers, indent=2) + "\n")
    console.print()
    console.print(summary(numbers, str(out / "demo.png"), str(out / "demo.json")), highlight=False)


def _render(cache: Path, seed: int, weather: str) -> Sequence:
    """Render the street that the cameras will see, or open it if that was done before."""
    try:
        from anymodal_seg_ros.simulation.sequence import SequenceConfig, render_sequence
        from anymodal_seg_ros.simulation.world.scene import SceneConfig
    except ImportError as error:
        raise AnymodalError(
            f"the demo needs the simulation ({error}): install anymodal_seg_ros[ros,sim]"
        ) from error
    config = SequenceConfig(SceneConfig(seed, weather))
    with Progress(transient=True) as progress:
        task = progress.add_task("rendering the simulated street", total=None)
        workers = min(4, os.cpu_count() or 1)
        return render_sequence(
            config, cache, workers, lambda done, of: progress.update(task, completed=done, total=of)
        )
