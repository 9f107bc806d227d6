"""``anymodal-seg simulate bag``: a drive of the simulated rig as a rosbag2."""

from __future__ import annotations

from pathlib import Path

import click

from anymodal_seg_ros.cli.console.frames_progress import WORKERS, frames_progress
from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.options.finite_range import FiniteRange
from anymodal_seg_ros.cli.options.one_of import OneOf
from anymodal_seg_ros.cli.options.rig_options import scene_options
from anymodal_seg_ros.evaluation.bag_writer import STORAGES
from anymodal_seg_ros.evaluation.rig_bag import write_rig_bag
from anymodal_seg_ros.evaluation.rig_parameters import PARAMETERS
from anymodal_seg_ros.evaluation.rig_shots import RigBagConfig
from anymodal_seg_ros.faults.content import check_modalities
from anymodal_seg_ros.faults.timeline import check_sensors, load_timeline
from anymodal_seg_ros.simulation.rigs import rig_by_name
from anymodal_seg_ros.simulation.world.scene import SceneConfig


@click.command("bag")
@click.argument("out", type=click.Path(path_type=Path))
@scene_options
@click.option(
    "--seconds",
    default=8.0,
    show_default=True,
    type=FiniteRange(min=0.1, max=3600.0),
    help="Length of the drive. The street repeats every 8 s, the noise does not.",
)
@click.option(
    "--storage",
    default="mcap",
    show_default=True,
    type=OneOf(sorted(STORAGES)),
    help="Format of the file.",
)
@click.option("--labels/--no-labels", default=True, show_default=True, help="Record class ids.")
@click.option(
    "--packets/--no-packets", default=True, show_default=True, help="Record single events too."
)
@click.option(
    "--faults",
    type=click.Path(path_type=Path),
    help="Break the sensors as this timeline says. Labels and tf stay true.",
)
@click.option("--force", is_flag=True, help="Replace a bag that is already at OUT.")
@WORKERS
def command(
    out: Path,
    scene: SceneConfig,
    rig: str,
    seconds: float,
    storage: str,
    labels: bool,
    packets: bool,
    faults: Path | None,
    force: bool,
    workers: int,
) -> None:
    """Record a drive through a simulated place as the rosbag2 OUT; no ROS is needed.

    Every sensor has its own stamps, rate and latency. The bag holds /NAME/image, /NAME/camera_info
    and /NAME/labels (mono8 class ids) of every camera, /events/packets, /lidar/points with a label
    for each point, /tf_static and /tf. OUT/rig.yaml holds the parameters to segment it with.

    \b
      anymodal-seg simulate bag drive --rig mounted --weather night
      anymodal-seg run drive --params-file drive/rig.yaml --out masks
    """  # noqa: D301  a backspace is what click takes
    sensors = rig_by_name(rig)
    timeline = load_timeline(faults) if faults else None
    if timeline is not None:
        modalities = {sensor.name: sensor.modality for sensor in sensors}
        check_sensors(timeline, modalities)
        check_modalities(timeline, modalities)  # now, not after minutes of drawing
    config = RigBagConfig(scene, sensors, seconds, labels=labels, packets=packets)
    console = PlainConsole()
    with frames_progress("drawing, in ms", console) as progress:
        counts = write_rig_bag(
            out,
            config,
            storage=storage,
            timeline=timeline,
            workers=workers,
            replace=force,
            progress=progress,
        )
    for topic, count in sorted(counts.items()):
        console.print(f"{topic}: {count} messages")
    size = sum(path.stat().st_size for path in out.iterdir())
    console.print(
        f"{out}: {seconds:g} s, {size / 1e6:.0f} MB; parameters in {out / PARAMETERS}",
        soft_wrap=True,
    )
