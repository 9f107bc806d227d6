"""``anymodal-seg check``: is everything in order with the topics of a rig?"""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.options.finite_range import FiniteRange
from anymodal_seg_ros.cli.options.node_options import namespace_option, node_option
from anymodal_seg_ros.config import load_node_config
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.arrivals import absolute_rig
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.pipeline.modalities import check_modalities


@click.command("check")
@click.argument("rig", type=click.Path(path_type=Path))
@click.option(
    "--seconds",
    default=5.0,
    show_default=True,
    type=FiniteRange(min=0.5, max=600.0),
    help="How long to listen.",
)
@namespace_option
@node_option
@click.pass_context
def command(
    context: click.Context, rig: Path, seconds: float, namespace: str | None, node: str
) -> None:
    """Listen to the topics that the parameter file RIG names, and say what is wrong with each.

    Publishers, type, QoS, rate, losses, size, encoding, stamps and calibration, with the mend. The
    exit code is 0 if everything is in order, 1 if something is not.
    """
    where = load_node_config(rig, namespace, node)
    manifest = load_model(where.config.model).manifest
    seen = absolute_rig(where.config.rig, where.namespace, node)  # this command is another node
    check_modalities(seen, manifest)
    try:
        from anymodal_seg_ros.nodes.process.shutdown import ros_session
        from anymodal_seg_ros.nodes.rig.rig_check import check_rig
        from anymodal_seg_ros.nodes.rig.rig_findings import findings
    except ImportError as error:
        raise ConfigError(
            f"checking needs ROS 2 ({error}): source an installation, "
            "or pip install 'anymodal_seg_ros[ros]'"
        ) from error
    with ros_session(["anymodal-seg"]) as stop:
        looks = check_rig(seen, seconds, stop, manifest.modalities)
    console = PlainConsole()
    if where.of_others:
        console.say(where.of_others)
    table = Table("sensor", "publishers", "heard", "Hz", "lost", "what", "stamp age")
    longest = max((len(look.sensor) for look in looks), default=0)
    wrong = {}
    for look in looks:
        facts = look.facts
        age = "" if look.stamp_age_s is None else f"{look.stamp_age_s * 1e3:.0f} ms"
        heard = "reliably" if facts.reliable else "best effort"
        promised = seen.sensors[look.sensor].expected_hz
        rate = f"{look.rate_hz:.1f} of {promised:g}"
        publishers, lost = str(len(facts.offers)), str(facts.lost)
        table.add_row(look.sensor, publishers, heard, rate, lost, look.form, age)
        # Not in the table: a terminal of 80 columns would leave them no room there.
        calibrated = f", calibrated for {look.calibration}" if look.calibration else ""
        words = f"{look.sensor:<{longest}}  {facts.topic}  {facts.type}{calibrated}"
        console.print(words, soft_wrap=True)
        wrong[look.sensor] = findings(look, seen.sensors[look.sensor])
    console.print(table)
    for name, found in wrong.items():
        for words in found:
            console.print(f"{name}: {words}", style="red", soft_wrap=True)
    if any(wrong.values()):
        context.exit(1)
    console.print("everything is in order")
