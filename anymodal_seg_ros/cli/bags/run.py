"""``anymodal-seg run``: a bag through the pipeline at a desk, without ROS."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path

import click
from rich.progress import Progress
from rich.table import Table

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.options.node_options import (
    latency_option,
    namespace_option,
    node_option,
    params_option,
)
from anymodal_seg_ros.config import NodeConfig, SegConfig, load_node_config
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.evaluation.replay import (
    Latency,
    arrivals,
    cameras_by_topic,
    check_cameras,
    check_topics,
    idle_faults,
    latency_model,
    make_injector,
    read_timeline,
    replay,
    sensors_by_topic,
    unfelt_faults,
    with_faults,
)
from anymodal_seg_ros.evaluation.results import ResultFolder, Summary
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.pipeline import Pipeline


def _latency(ctx: click.Context, option: click.Parameter, text: str) -> Latency | None:
    try:
        return latency_model(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}") from error


@click.command("run")
@click.argument("bag", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for masks and overlays."
)
@params_option("  [default: the four-sensor rig of the demo]")
@click.option("--model", help="Model folder, or name of a bundled model; wins over the file's.")
@click.option("--engine", help="auto, onnxruntime, openvino or torch; wins over the file's.")
@namespace_option
@node_option
@click.option(
    "--faults",
    type=click.Path(path_type=Path),
    help="Break the sensors as this timeline says, from the start of the bag.",
)
@latency_option(callback=_latency)
@click.option("--overlays/--no-overlays", default=True, help="Write overlays too.  [default: yes]")
def command(
    bag: Path,
    out: Path,
    params: tuple[Path, ...],
    model: str | None,
    engine: str | None,
    namespace: str | None,
    node: str,
    faults: Path | None,
    latency: Latency | None,
    overlays: bool,
) -> None:
    """Segment what BAG recorded, exactly as the node would have, and write the masks.

    The log times of the bag stand in for the arrival of its messages, so the result does not depend
    on how fast this machine is. OUT gets masks/, overlays/ and predictions.jsonl, which says for
    every mask which sensors it was made from and why the others were missing.

    Exits with 1 if no mask could be made from any sensor, and says why.
    """
    where = _node(params, namespace, node)
    config = dataclasses.replace(
        where.config, model=model or where.config.model, engine=engine or where.config.engine
    )
    timeline = read_timeline(faults, config.rig) if faults else FaultTimeline()
    console = PlainConsole()
    if where.of_others:
        console.say(where.of_others)
    if params and not where.own_sensors:
        names, files = ", ".join(config.rig.sensors), ", ".join(map(str, params))
        console.say(f"{files} names no sensors of its own: the demo's are taken, {names}")
    with Bag(bag) as opened:
        sensors = sensors_by_topic(config.rig, where.namespace, node)
        cameras = cameras_by_topic(config.rig, where.namespace, node)
        off = config.rig.disabled
        told = [*opened.notes, *check_topics(opened, sensors, off)]
        told += check_cameras(opened, cameras, off)
        length_s = (opened.end_ns - opened.start_ns) / 1e9
        told += idle_faults(timeline, config.rig, length_s)
        for line in told:
            console.say(line)
        pipeline = Pipeline.from_config(config, in_time=latency is not None)
        summary = Summary(expected_hz=config.rig.promised_hz)
        alpha = config.overlay_alpha if overlays else None
        total = opened.count([*sensors, *cameras])
        received = arrivals(opened, sensors, cameras, config.rig)
        injector = make_injector(timeline, config.rig)
        # Whatever ends it, the bar is finished before it is said.
        with (
            Progress(console=console) as progress,
            ResultFolder(out, pipeline.model.manifest, alpha) as results,
        ):
            recorded = progress.track(received, total, description="Segmenting")
            messages = with_faults(recorded, injector, opened.start_ns)
            for prediction in replay(pipeline, messages, latency, opened.end_ns):
                results.write(prediction)
                summary.add(prediction)
        for line in (*opened.notes, *unfelt_faults(injector, config.rig, length_s)):
            if line not in told:
                console.say(line)
        summary.status = pipeline.status(opened.end_ns)
    _tell(console, pipeline, summary, out)
    if not summary.labelled:
        why = summary.why_none() or pipeline.shortfall(opened.end_ns)
        raise BagError(f"no mask could be made of {bag}: {why}")


def _node(params: Sequence[Path], namespace: str | None, node: str) -> NodeConfig:
    if not params:
        return NodeConfig(SegConfig(), namespace or "/", node)
    return load_node_config(params, namespace, node)


def _tell(console: PlainConsole, pipeline: Pipeline, summary: Summary, out: Path) -> None:
    """Print what came of it."""
    console.say(f"{summary.masks} masks in {out}")
    masks = Table()
    masks.add_column("made from")
    masks.add_column("masks", justify="right")
    for subset, count in summary.subsets.most_common():
        masks.add_row(quote(subset), str(count))
    sensors = Table(title="sensors at the end")
    for title in ("sensor", "state", "received", "rejected", "state changes"):
        sensors.add_column(title, justify="left" if title in ("sensor", "state") else "right")
    for status in summary.status:
        counts = (status.received, sum(status.rejected.values()), status.transitions)
        sensors.add_row(quote(status.sensor), status.state.value, *map(str, counts))
    console.print(masks, sensors)
    for line in [*summary.blanks(), *summary.troubles()]:
        console.say(line)
    if pipeline.superseded:
        console.say(f"{pipeline.superseded} frame sets were dropped because newer ones were due")
    if summary.masks:
        network = statistics.median(summary.network_ms)
        process = statistics.median(summary.process_ms)
        console.say(
            f"{pipeline.engine.name}: {network:.1f} ms in the network, "
            f"{process:.1f} ms from frame set to mask (medians)"
        )
