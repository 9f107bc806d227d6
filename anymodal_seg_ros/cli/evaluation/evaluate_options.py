"""What ``anymodal-seg evaluate`` can be told, and which of it goes together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from anymodal_seg_ros.cli.options.finite_range import FiniteRange
from anymodal_seg_ros.cli.options.node_options import (
    latency_option,
    namespace_option,
    node_option,
    params_option,
)
from anymodal_seg_ros.cli.options.one_of import OneOf
from anymodal_seg_ros.evaluation.naive import PIPELINES
from anymodal_seg_ros.evaluation.scorecard.replays.job import AUTO

_OPTIONS = (
    click.option(
        "--suite",
        type=click.Path(path_type=Path),
        help="Instead of BAGS: a YAML file with bags, models, timelines and conditions.",
    ),
    click.option("--model", help="Model folder, or name of a bundled model; wins over the file's."),
    params_option(
        "  [default: rig.yaml in the bag's folder, else the four-sensor rig of the demo]"
    ),
    click.option("--engine", help="auto, onnxruntime, openvino or torch; wins over the file's."),
    click.option(
        "--pipeline",
        default=PIPELINES[0],
        show_default=True,
        type=OneOf(PIPELINES),
        help="naive: to compare with, how most nodes do it: the usual synchroniser (the rule of "
        "ApproximateTimeSynchronizer), zeros for what is missing, no watchdog.",
    ),
    namespace_option,
    node_option,
    latency_option(),
    click.option(
        "--faults",
        type=click.Path(path_type=Path),
        help="Break the sensors as this timeline says, and compare with the replay without.",
    ),
    click.option(
        "--recorded-faults",
        type=click.Path(path_type=Path),
        help="The timeline of faults that the bag was recorded with: measured, not injected.",
    ),
    click.option(
        "--sweep", is_flag=True, help="Try every subset, and every fault on every sensor."
    ),
    click.option(
        "--kinds",
        multiple=True,
        metavar="KIND,KIND",
        help="In a sweep, only faults of these kinds.",
    ),
    click.option(
        "--moments",
        default="0.4",
        show_default=True,
        help="In a sweep, when faults begin: shares of the bag's length, with commas.",
    ),
    click.option(
        "--fault-seconds",
        default=2.0,
        show_default=True,
        type=FiniteRange(min=0.1, max=3600.0),
        help="In a sweep, how long faults last.",
    ),
    click.option(
        "--subsets/--no-subsets", default=True, help="In a sweep, every subset.  [default: yes]"
    ),
    click.option(
        "--labels",
        default=AUTO,
        show_default=True,
        help="Ground truth: a topic ({sensor} stands for each sensor), a folder of STAMP.png, "
        "'none', or 'auto' for topics /SENSOR/labels beside the images.",
    ),
    click.option(
        "--agree-with",
        metavar="MODEL",
        help="Without labels: compare with the masks of another model, by the names of its "
        "classes.",
    ),
    click.option(
        "--label-map",
        type=click.Path(path_type=Path),
        help="YAML 'id: class' for labels of other ids.",
    ),
    click.option(
        "--condition",
        "conditions",
        multiple=True,
        metavar="[BAG=]WORD",
        help="Under which a bag was recorded, e.g. night; BAG is its name without folder.",
    ),
    click.option(
        "--require", type=click.Path(path_type=Path), help="Gate: what the figures must be."
    ),
    click.option("--baseline", type=click.Path(path_type=Path), help="An earlier scorecard."),
    click.option(
        "--max-drop",
        type=FiniteRange(min=0.0, max=1.0),
        help="How far the mIoU may be below the baseline's, besides what --require says.",
    ),
    click.option(
        "--junit", type=click.Path(path_type=Path), help="Write the verdict as JUnit XML."
    ),
    click.option(
        "--from",
        "source",
        type=click.Path(path_type=Path),
        help="Judge this scorecard again, and write its report anew; nothing is replayed.",
    ),
    click.option(
        "--out",
        default=Path("scorecard"),
        show_default=True,
        type=click.Path(path_type=Path),
        help="Folder, new or with a scorecard. What is finished in it is not done again.",
    ),
    click.option(
        "--workers",
        default=1,
        show_default=True,
        type=click.IntRange(min=1, max=256),
        help="Processes. The figures do not depend on it.",
    ),
    click.option(
        "--cluster",
        default="",
        metavar="ADDRESS|local:N",
        help="Replay on the workers of this Dask scheduler, e.g. tcp://head:8786, or on N workers "
        "of this machine. They see bags and models under the same paths.",
    ),
    click.option(
        "--live",
        is_flag=True,
        help="Play the bag to a segmentation node that is running, and measure the masks that it "
        "publishes. 'ros2 launch anymodal_seg_ros replay.launch.py' starts both.",
    ),
    click.option(
        "--rate",
        default=1.0,
        show_default=True,
        type=FiniteRange(min=0.01, max=100.0),
        help="With --live, seconds of the bag in a second; the node must have use_sim_time.",
    ),
    click.option(
        "--player",
        default="auto",
        show_default=True,
        type=OneOf(("auto", "ros2", "own")),
        help="With --live, what plays the bag: 'ros2 bag play' where it is installed, or our own.",
    ),
    click.option(
        "--wait",
        "wait_s",
        default=120.0,
        show_default=True,
        type=FiniteRange(min=0.0),
        help="With --live, seconds to wait at most for the node to listen.",
    ),
    click.option(
        "--bag",
        type=click.Path(path_type=Path),
        help="Write a bag with the recorded messages, the masks, overlays and states of the "
        "sensors.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """The options of the command, as they were given."""

    suite: Path | None
    model: str | None
    params: tuple[Path, ...]
    engine: str | None
    pipeline: str
    namespace: str | None
    node: str
    latency: str
    faults: Path | None
    recorded_faults: Path | None
    sweep: bool
    kinds: tuple[str, ...]
    moments: str
    fault_seconds: float
    subsets: bool
    labels: str
    agree_with: str | None
    label_map: Path | None
    conditions: tuple[str, ...]
    require: Path | None
    baseline: Path | None
    max_drop: float | None
    junit: Path | None
    workers: int
    cluster: str
    live: bool
    rate: float
    player: str
    wait_s: float
    bag: Path | None


def evaluation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all options; it is called with ``source``, ``out`` and those of Options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OF_BAGS = (
    *("params", "model", "engine", "pipeline", "namespace", "node", "latency", "faults"),
    *("recorded_faults", "sweep", "labels", "agree_with", "label_map", "conditions"),
)
_OF_A_SWEEP = ("kinds", "moments", "fault_seconds", "subsets")
_OF_A_LIVE_NODE = ("rate", "player", "wait_s")
_OF_REPLAYS = ("cluster", "live", "bag")
_NOT_LIVE = ("pipeline", "latency", "agree_with", "workers", "cluster", "bag")


def refuse_idle_options(judged_again: bool, options: dict[str, object]) -> None:
    """Refuse options that change nothing: whoever gave one expects that it does."""
    ctx = click.get_current_context()
    given = {p.name: p for p in ctx.command.params if p.name and was_given(p.name)}

    def refuse(names: Sequence[str], why: str) -> None:
        for parameter in (given[name] for name in names if name in given):
            off = parameter.secondary_opts if ctx.params[str(parameter.name)] is False else []
            raise click.UsageError(f"{[*off, *parameter.opts][0]} changes nothing {why}", ctx)

    if judged_again:
        everything = (*_OF_BAGS, *_OF_A_SWEEP, *_OF_A_LIVE_NODE, *_OF_REPLAYS)
        refuse(everything, "with --from, which replays nothing")
    if options["suite"] is not None:
        refuse((*_OF_BAGS, *_OF_A_SWEEP), "with --suite, whose entries say it")
    if not options["sweep"]:
        refuse(_OF_A_SWEEP, "without --sweep")
    if options["live"]:
        refuse(_NOT_LIVE, "with --live, whose masks the running node makes")
    else:
        refuse(_OF_A_LIVE_NODE, "without --live")
    if options["require"] is None and options["max_drop"] is None:
        refuse(("junit", "baseline"), "unless something is required: give --require or --max-drop")


def was_given(option: str) -> bool:
    """Whether whoever runs the command gave an option, called as its parameter is."""
    source = click.get_current_context().get_parameter_source(option)
    return source is not None and source is not ParameterSource.DEFAULT
