"""``anymodal-seg run``: a bag through the pipeline at a desk, without ROS."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from anymodal_seg_ros.config import SegConfig, load_config
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.cameras import take_cameras
from anymodal_seg_ros.evaluation.replay import (
    arrivals,
    check_topics,
    read_timeline,
    replay,
    sensors_by_topic,
    with_faults,
)
from anymodal_seg_ros.evaluation.results import ResultFolder, Summary
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.pipeline import Pipeline


@click.command("run")
@click.argument("bag", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for masks and overlays."
)
@click.option(
    "--params-file",
    type=click.Path(path_type=Path),
    help="The node's parameter file.  [default: the four-sensor rig of the demo]",
)
@click.option("--model", help="Model folder, or name of a bundled model; wins over the file's.")
@click.option("--engine", help="onnxruntime or torch; wins over the file's.")
@click.option(
    "--namespace", default="/", show_default=True, help="Namespace of the parameter file's topics."
)
@click.option(
    "--faults",
    type=click.Path(path_type=Path),
    help="Break the sensors as this timeline says, from the start of the bag.",
)
@click.option("--overlays/--no-overlays", default=True, help="Write overlays too.  [default: yes]")
def command(
    bag: Path,
    out: Path,
    params_file: Path | None,
    model: str | None,
    engine: str | None,
    namespace: str,
    faults: Path | None,
    overlays: bool,
) -> None:
    """Segment what BAG recorded, exactly as the node would have, and write the masks.

    The log times of the bag stand in for the arrival of its messages, so the result does not depend
    on how fast this machine is. OUT gets masks/, overlays/ and predictions.jsonl, which says for
    every mask which sensors it was made from and why the others were missing.
    """
    config = load_config(params_file) if params_file else SegConfig()
    config = dataclasses.replace(
        config, model=model or config.model, engine=engine or config.engine
    )
    timeline = read_timeline(faults, config.rig) if faults else FaultTimeline()
    console = Console()
    with Bag(bag) as opened:
        sensors = sensors_by_topic(config.rig, namespace)
        check_topics(opened, sensors)
        for topic in sorted(set(sensors) - set(opened.topics)):
            console.print(f"{bag} has no {topic}: {sensors[topic]} counts as missing")
        pipeline = Pipeline.from_config(config)
        take_cameras(pipeline, opened, namespace)
        summary = Summary()
        alpha = config.overlay_alpha if overlays else None
        total = opened.count(sensors)
        recorded = track(arrivals(opened, sensors), "Segmenting", total, console=console)
        messages = with_faults(recorded, timeline, config.rig, opened.start_ns)
        with ResultFolder(out, pipeline.model.manifest, alpha) as results:
            for prediction in replay(pipeline, messages):
                results.write(prediction)
                summary.add(prediction)
    _tell(console, pipeline, summary, out)


def _tell(console: Console, pipeline: Pipeline, summary: Summary, out: Path) -> None:
    """Print what came of it."""
    masks = Table(title=f"{summary.masks} masks in {out}")
    masks.add_column("made from")
    masks.add_column("masks", justify="right")
    for subset, count in summary.subsets.most_common():
        masks.add_row(subset, str(count))
    sensors = Table(title="sensors at the last mask")
    for title in ("sensor", "state", "received", "rejected", "state changes"):
        sensors.add_column(title, justify="left" if title in ("sensor", "state") else "right")
    for status in summary.status:
        counts = (status.received, sum(status.rejected.values()), status.transitions)
        sensors.add_row(status.sensor, status.state.value, *map(str, counts))
    console.print(masks, sensors)
    for status in summary.status:
        if status.last_error:
            console.print(f"{status.sensor}: last rejected message: {status.last_error}")
    if summary.masks:
        network = statistics.median(summary.network_ms)
        process = statistics.median(summary.process_ms)
        console.print(
            f"{pipeline.engine.name}: {network:.1f} ms in the network, "
            f"{process:.1f} ms from frame set to mask (medians)"
        )
