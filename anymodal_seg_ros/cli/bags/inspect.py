"""``anymodal-seg inspect``: what a bag holds, and what is wrong with it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from anymodal_seg_ros.cli.console.jobs_progress import jobs_progress
from anymodal_seg_ros.cli.console.os_errors import told
from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.options.node_options import namespace_option, node_option, params_option
from anymodal_seg_ros.cli.options.output_places import make_place
from anymodal_seg_ros.config import NodeConfig, did_you_mean, load_node_config
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.evaluation.arrivals import sensors_by_topic
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.inspection.findings import CODES, Finding, Severity, find
from anymodal_seg_ros.evaluation.inspection.proposal import propose
from anymodal_seg_ros.evaluation.inspection.survey import RecordedTopic, survey
from anymodal_seg_ros.foreign_text import LINE_LENGTH, quote
from anymodal_seg_ros.inference.model import load_model

_COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


@click.command("inspect")
@click.argument("bag", type=click.Path(path_type=Path))
@params_option(" The bag is held against it.")
@namespace_option
@node_option
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    help="Write a parameter file for the bag; nothing that is there is replaced.",
)
@click.option(
    "--model",
    default="",
    help="For --init: the file names it, and sensors that it does not know are off.",
)
@click.option("--ignore", multiple=True, metavar="CODE", help="Pass over a finding. Repeat it.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    bag: Path,
    params: tuple[Path, ...],
    namespace: str | None,
    node: str,
    init: Path | None,
    model: str,
    ignore: tuple[str, ...],
    strict: bool,
    as_json: bool,
) -> None:
    """Look at BAG before it is evaluated: topics, rates, stamps, overlap, encodings, calibration.

    \b
    Exit code: 0 nothing is wrong, 1 there are errors, 2 it cannot be read.

    \b
      anymodal-seg inspect drive --init rig.yaml
      anymodal-seg evaluate drive --params rig.yaml
    """  # noqa: D301  a backspace is what click takes
    for code in ignore:
        if code not in CODES:
            near = did_you_mean(code.upper(), CODES) or f"expected some of {', '.join(CODES)}"
            raise click.BadParameter(f"there is no finding {code!r}: {near.strip()}")
    try:
        if init is not None and init.exists():
            raise AnymodalError(f"{init} exists already: choose another name, or remove it")
        make_place(init)
        where = load_node_config(params, namespace, node) if params else None
        console = Console(stderr=True)
        with Bag(bag) as opened, jobs_progress(console) as progress:
            configured = {} if where is None else _types(where)
            topics = survey(opened, lambda share: progress("reading", share, 1), configured)
            progress("read", 1.0, 1)
            notes = [*([where.of_others] if where and where.of_others else []), *opened.notes]
            length_s = (opened.end_ns - opened.start_ns) / 1e9
        findings = [f for f in find(topics, where) if f.code not in ignore]
        if as_json:
            click.echo(json.dumps(_plain(topics, findings, length_s), indent=1))
        else:
            _tell(f"{bag}: {length_s:.2f} s", topics, findings, notes)
        if init is not None:
            _propose(init, topics, model, bag)
    except (AnymodalError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # nobody reads on
            raise
        click.echo(f"Error: {told(error)}", err=True)
        sys.exit(2)
    bad = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    sys.exit(int(any(finding.severity in bad for finding in findings)))


def _types(where: NodeConfig) -> dict[str, str]:
    """Return the types that a node subscribes to, by absolute topic."""
    rig = where.config.rig
    topics = sensors_by_topic(rig, where.namespace, where.node)
    return {topic: rig.sensors[name].message_type for topic, name in topics.items()}


def _propose(path: Path, topics: list[RecordedTopic], model: str, bag: Path) -> None:
    """Write a parameter file, and say what of the bag the model cannot take, and what is next."""
    manifest = load_model(model).manifest
    named = str(Path(model).absolute()) if Path(model).is_dir() and model else model
    proposal = propose(topics, manifest.modalities, named)
    _write(path, proposal.text)
    click.echo(f"parameters: {path}", err=True)
    for name, reason in proposal.off.items():
        click.echo(f"{name} is off: {reason}", err=True)
    if proposal.sensors:
        command = ("anymodal-seg", "evaluate", str(bag), "--params", str(path))
        click.echo(f"next: {shlex.join(command)}", err=True)
    else:
        known = ", ".join(manifest.modalities)
        click.echo(f"so nothing is on; {manifest.name} knows {known}", err=True)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            path.unlink(missing_ok=True)  # half a file would be taken for a rig
        raise AnymodalError(f"cannot write {path}: {error.strerror}") from error


def _tell(
    title: str, topics: list[RecordedTopic], findings: list[Finding], notes: list[str]
) -> None:
    console = PlainConsole()
    table = Table(title=quote(title, LINE_LENGTH))
    for title in ("topic", "type", "messages", "Hz", "what"):
        counts_up = title in ("messages", "Hz")
        table.add_column(title, justify="right" if counts_up else "left", overflow="fold")
    for topic in topics:
        rate = "" if topic.rate_hz is None else f"{topic.rate_hz:.2f}"
        table.add_row(
            quote(topic.name),
            quote(topic.type).replace("/msg/", "/"),
            str(len(topic.log_ns)),
            rate,
            quote(_what(topic)),
        )
    console.print(table)
    for line in notes:
        console.say(line)
    for finding in findings:
        severity = finding.severity
        console.print(f"{finding.code} {severity.value}", style=_COLORS[severity], end=" ")
        text = f"{finding.topic}: {finding.text}" if finding.topic else finding.text
        console.say(text)
    counts = {s: sum(f.severity is s for f in findings) for s in Severity}
    console.print(", ".join(f"{number} {s.value}" for s, number in counts.items()))


def _what(topic: RecordedTopic) -> str:
    sizes = ", ".join(f"{w}x{h}" for w, h in topic.sizes)
    return " ".join((*topic.encodings, sizes)).strip()


def _plain(
    topics: list[RecordedTopic], findings: list[Finding], length_s: float
) -> dict[str, object]:
    return {
        "seconds": length_s,
        "topics": [
            {
                "topic": topic.name,
                "type": topic.type,
                "messages": len(topic.log_ns),
                "rate_hz": topic.rate_hz,
                "encodings": dict(topic.encodings),
                "sizes": [list(size) for size in topic.sizes],
                "frames": list(topic.frames),
                "log_minus_stamp_s": topic.offset_s(),
            }
            for topic in topics
        ],
        "findings": [
            {"code": f.code, "severity": f.severity.value, "topic": f.topic, "text": f.text}
            for f in findings
        ],
    }
