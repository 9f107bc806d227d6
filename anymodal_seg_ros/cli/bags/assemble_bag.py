"""``anymodal-seg assemble-bag``: folders of images to a bag."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import click

from anymodal_seg_ros.cli.options.finite_range import FiniteRange
from anymodal_seg_ros.cli.options.per_sensor import all_per_sensor, gap, number, per_sensor
from anymodal_seg_ros.config import seconds_to_ns
from anymodal_seg_ros.evaluation.assemble import ImageSensor, plan, write_bag
from anymodal_seg_ros.evaluation.image_files import ENCODINGS, list_images, pair_by_name
from anymodal_seg_ros.evaluation.replay import absolute_topic
from anymodal_seg_ros.foreign_text import quote

_TOPIC, _LONGEST_TOPIC = re.compile(r"(/[A-Za-z_]\w*)+", re.ASCII), 200
"""What ROS takes; the middleware adds to a name, and takes no more than 255 characters."""


def _encoding(text: str) -> str:
    if text not in ENCODINGS:
        raise ValueError(f"expected one of {', '.join(ENCODINGS)}")
    return text


_EXAMPLE = """\b
Example: 258 pairs at 10 Hz, the thermal camera 20 ms late and dead in the middle third:
  anymodal-seg assemble-bag street --pair \\
      --sensor rgb=images/rgb --sensor thermal=images/thermal \\
      --rate 10 --latency thermal=20 --gap thermal=33.3%:66.7%
"""


@click.command("assemble-bag", epilog=_EXAMPLE)
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--sensor",
    "sources",
    multiple=True,
    required=True,
    metavar="NAME=FOLDER",
    help="A sensor and its images: a folder, or a quoted pattern like 'frames/*.depth.png'. "
    "Repeat it for every sensor.",
)
@click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="NAME=TOPIC",
    help="Topic of a sensor.  [default: /NAME/image]",
)
@click.option(
    "--encoding",
    "encodings",
    multiple=True,
    metavar="[NAME=]ENCODING",
    help=f"Encoding of the messages, one of {', '.join(ENCODINGS)}.  [default: as in the files, "
    "16-bit grey as mono16; give 16UC1 for depth in millimetres]",
)
@click.option(
    "--rate",
    "rates",
    multiple=True,
    metavar="[NAME=]HZ",
    help="Messages per second.  [default: 10]",
)
@click.option(
    "--jitter",
    "jitters",
    multiple=True,
    metavar="[NAME=]MS",
    help="Standard deviation of the stamps around their ticks.  [default: 0]",
)
@click.option(
    "--latency",
    "latencies",
    multiple=True,
    metavar="[NAME=]MS",
    help="From a message's stamp to its arrival at the recorder.  [default: 0]",
)
@click.option(
    "--gap",
    "gaps",
    multiple=True,
    metavar="[NAME=]START:END",
    help="A time without messages, in seconds (2.5:4) or per cent of the bag (33%:67%). "
    "May be repeated.",
)
@click.option(
    "--pair",
    "paired",
    is_flag=True,
    help="Only use images whose name (up to the first dot) every sensor has; they then show the "
    "same instants, of which a slower sensor leaves some out. Without this, each sensor shows all "
    "its images in order of their names, at its own rate.",
)
@click.option(
    "--start",
    default=1_700_000_000.0,
    show_default=True,
    type=FiniteRange(min=1.0, max=2e9),
    help="Stamp of the first frames, in seconds since 1970.",
)
@click.option("--seed", default=0, show_default=True, help="Of the jitter.")
@click.option("--force", is_flag=True, help="Replace a bag that is already at OUT.")
def command(
    out: Path,
    sources: tuple[str, ...],
    topics: tuple[str, ...],
    encodings: tuple[str, ...],
    rates: tuple[str, ...],
    jitters: tuple[str, ...],
    latencies: tuple[str, ...],
    gaps: tuple[str, ...],
    paired: bool,
    start: float,
    seed: int,
    force: bool,
) -> None:
    """Make the bag OUT (rosbag2, mcap) from folders of images.

    Options with [NAME=] hold for all sensors without it, and for the named one with it.
    """
    images = {}
    for source in sources:
        name, equals, folder = source.partition("=")
        if not equals or not name.isidentifier() or name in images:
            raise click.BadParameter(
                f"{source!r}: expected NAME=FOLDER, each name once and fit for a topic",
                param_hint="--sensor",
            )
        images[name] = list_images(folder)
    if paired:
        images = pair_by_name(images)
    topic = per_sensor("--topic", topics, images, "", str)
    encoding = per_sensor("--encoding", encodings, images, "", _encoding)
    rate_hz = per_sensor("--rate", rates, images, 10.0, number(0.01, 1000.0))
    jitter_ms = per_sensor("--jitter", jitters, images, 0.0, number(0.0, 10_000.0))
    latency_ms = per_sensor("--latency", latencies, images, 0.0, number(0.0, 60_000.0))
    gaps_of = all_per_sensor("--gap", gaps, images, gap)
    sensors = {
        name: ImageSensor(
            topic=absolute_topic(topic[name] or f"{name}/image"),
            images=images[name],
            encoding=encoding[name],
            frame_id=f"{name}_optical_frame",
            rate_hz=rate_hz[name],
            jitter_s=jitter_ms[name] / 1e3,
            latency_s=latency_ms[name] / 1e3,
            gaps=gaps_of[name],
        )
        for name in images
    }
    for sensor in sensors.values():
        if len(sensor.topic) > _LONGEST_TOPIC or not _TOPIC.fullmatch(sensor.topic):
            raise click.BadParameter(
                f"'{quote(sensor.topic)}' is no name of a topic: expected such as /rgb/image, of "
                f"letters, digits and '_', with at most {_LONGEST_TOPIC} characters",
                param_hint="--topic",
            )
    (shared, times), *_ = Counter(sensor.topic for sensor in sensors.values()).most_common(1)
    if times > 1:
        raise click.BadParameter(
            f"{times} sensors have the topic {shared}: give each one of its own",
            param_hint="--topic",
        )
    shots = plan(sensors, start_ns=seconds_to_ns(start), seed=seed, paired=paired)
    write_bag(out, sensors, shots, replace=force)
    counts = Counter(shot.sensor for shot in shots)
    for name, sensor in sensors.items():
        click.echo(f"{sensor.topic}: {counts[name]} messages of {name} at {sensor.rate_hz:g} Hz")
    click.echo(f"{out}: {(shots[-1].log_ns - shots[0].log_ns) / 1e9:.2f} s")
