"""``anymodal-seg play``: a bag on real topics."""

from __future__ import annotations

from pathlib import Path

import click

from anymodal_seg_ros.cli.options.finite_range import FiniteRange
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import quote


@click.command("play")
@click.argument("bag", type=click.Path(path_type=Path))
@click.option(
    "--rate",
    default=1.0,
    show_default=True,
    type=FiniteRange(min=0.01, max=100.0),
    help="How many seconds of the bag to play in a second.",
)
@click.option("--loop", is_flag=True, help="Begin anew at the end, until Ctrl-C.")
@click.option(
    "--clock", is_flag=True, help="Publish the bag's time on /clock, for nodes with use_sim_time."
)
@click.option(
    "--topics",
    multiple=True,
    metavar="TOPIC,TOPIC",
    help="What to play.  [default: everything]",
)
@click.option(
    "--remap",
    "-m",
    "remaps",
    multiple=True,
    metavar="FROM:=TO",
    help="Play a topic under another name.",
)
@click.option(
    "--wait",
    "wait_s",
    default=10.0,
    show_default=True,
    type=FiniteRange(min=0.0),
    help="Seconds to wait at most until every topic has a subscriber.",
)
def command(
    bag: Path,
    rate: float,
    loop: bool,
    clock: bool,
    topics: tuple[str, ...],
    remaps: tuple[str, ...],
    wait_s: float,
) -> None:
    """Publish the messages of BAG on ROS 2 topics, at the times they were recorded.

    The topics are reliable, and those that were latched (transient local) are so again. Topics
    whose type is not installed are left out. Ctrl-C ends it.
    """
    try:
        from anymodal_seg_ros.nodes.process.shutdown import ros_session
        from anymodal_seg_ros.nodes.replay.player import PlayOptions, play
    except ImportError as error:
        raise ConfigError(
            f"playing needs ROS 2 ({error}): source an installation, "
            "or pip install 'anymodal_seg_ros[ros]'"
        ) from error
    renamed = dict(map(_renaming, remaps))
    chosen = tuple(t for given in topics for topic in given.split(",") if (t := topic.strip()))
    with ros_session(["anymodal-seg"]) as stop:
        options = PlayOptions(rate, loop, clock, chosen, wait_s, renamed)
        played, unheard = play(bag, options, stop, click.echo)
    for topic, count in played.messages.items():
        note = "  (nobody listened when it began)" if topic in unheard else ""
        click.echo(f"{quote(topic)}: {count} messages{note}")
    click.echo(f"latest message {played.worst_lag_ms:.1f} ms behind its time")


def _renaming(text: str) -> tuple[str, str]:
    was, _, to = text.partition(":=")
    if not was or not to:
        raise click.BadParameter(
            f"{quote(text)} cannot be understood: expected FROM:=TO, as /front/image:=/rgb/image",
            param_hint="--remap",
        )
    return was, to
