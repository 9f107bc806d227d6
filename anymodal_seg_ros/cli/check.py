"""``anymodal-seg check``: is everything in order with the topics of a rig?"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.pipeline.modalities import check_modalities


@click.command("check")
@click.argument("rig", type=click.Path(path_type=Path))
@click.option(
    "--seconds",
    default=5.0,
    show_default=True,
    type=click.FloatRange(min=0.5, max=600.0),
    help="How long to listen.",
)
@click.option("--namespace", default="", help="Of the node that the parameters are for.")
@click.pass_context
def command(context: click.Context, rig: Path, seconds: float, namespace: str) -> None:
    """Listen to the topics that the parameter file RIG names, and say what is wrong with each.

    Publishers, type, QoS, rate, losses, size, encoding, stamps and calibration, with the mend. The
    exit code is 0 if everything is in order, 1 if something is not.
    """
    config = load_config(rig)
    manifest = load_model(config.model).manifest
    check_modalities(config.rig, manifest)
    try:
        from anymodal_seg_ros.nodes.rig_check import check_rig
        from anymodal_seg_ros.nodes.rig_findings import findings
        from anymodal_seg_ros.nodes.shutdown import ros_session
    except ImportError as error:
        raise ConfigError(
            f"checking needs ROS 2 ({error}): source an installation, "
            "or pip install 'anymodal_seg_ros[ros]'"
        ) from error
    arguments = ["anymodal-seg"]
    if namespace:
        arguments += ["--ros-args", "-r", f"__ns:=/{namespace.strip('/')}"]
    with ros_session(arguments) as stop:
        looks = check_rig(config.rig, seconds, stop, manifest.modalities)
    console = Console()
    table = Table("sensor", "topic", "publishers", "heard", "Hz", "lost", "what", "stamp age")
    wrong = {}
    for look in looks:
        facts = look.facts
        age = "" if look.stamp_age_s is None else f"{look.stamp_age_s * 1e3:.0f} ms"
        heard = "reliably" if facts.reliable else "best effort"
        promised = config.rig.sensors[look.sensor].expected_hz
        rate = f"{look.rate_hz:.1f} of {promised:g}"
        publishers, lost = str(len(facts.offers)), str(facts.lost)
        table.add_row(look.sensor, facts.topic, publishers, heard, rate, lost, look.form, age)
        wrong[look.sensor] = findings(look, config.rig.sensors[look.sensor])
    console.print(table)
    for name, found in wrong.items():
        for words in found:
            console.print(f"{name}: {words}", style="red", markup=False, highlight=False)
    if any(wrong.values()):
        context.exit(1)
    console.print("everything is in order")
