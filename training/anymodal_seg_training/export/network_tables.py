"""``python -m anymodal_seg_training.export.network_tables``: tables of docs/reference/networks.md.

Parameters and operations are counted on tensors without numbers, so even large networks take a
second; the comparison with ONNX Runtime exports every network, which takes minutes.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from anymodal_seg_ros.networks import AnyModalNetwork, build_network, network_names
from anymodal_seg_ros.networks.mix_transformer import count_parameters
from anymodal_seg_ros.written_files import naming
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.export.network_parity import MeasuredNetwork, Parity, parity_of

CLASSES = 25
HEIGHT, WIDTH = 480, 640
MODALITIES = ("rgb", "depth", "event", "lidar")
HEAD_WIDTHS = {"mit_b0": 256, "mit_b2": 512}
PARITY_SIZE = (64, 96)
PARITY_OPTIONS: dict[str, dict[str, Any]] = {"segrgbx": {"clip": "tiny-random"}}
"""Options of networks whose parts do not shrink with the backbone, for the comparison alone."""


@dataclass(frozen=True, slots=True)
class Published:
    """A parameter count from the literature and what is counted to reach it.

    Attributes:
        what: in words.
        millions: as published.
        network: name of the network.
        modalities: how many kinds of sensors.
        options: of the network, beside MiT-B2 and a head for :data:`CLASSES` classes.
        parts: the parts that were counted; all if empty.
    """

    what: str
    millions: float
    network: str
    modalities: int
    options: dict[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = ()

    def counted(self) -> int:
        """Count the same here."""
        network = on_meta(
            {"network": self.network, "backbone": "mit_b2", **self.options}, self.modalities
        )
        if not self.parts:
            return count_parameters(network)
        return sum(count_parameters(network.get_submodule(part)) for part in self.parts)


_WIDE = {"head_width": 512}
PUBLISHED = (
    Published("CMNeXt, RGB alone", 25.79, "cmnext", 1, _WIDE),
    Published("CMNeXt, 2 modalities", 58.69, "cmnext", 2, _WIDE),
    Published("CMNeXt, 3 modalities", 58.72, "cmnext", 3, _WIDE),
    Published("CMNeXt, 4 modalities", 58.73, "cmnext", 4, _WIDE),
    Published("StitchFusion, 2 modalities", 25.93, "stitchfusion", 2, _WIDE),
    Published("StitchFusion, 3 modalities", 26.22, "stitchfusion", 3, _WIDE),
    Published(
        "StitchFusion, 4 modalities, stitched from the third stage on",
        26.50,
        "stitchfusion",
        4,
        {**_WIDE, "first_stitched_stage": 3},
    ),
    Published(
        "MAGIC, encoder and head without its aggregation modules",
        24.73,
        "magic",
        4,
        {"head_width": 256},
        ("encoder", "head"),
    ),
)


def on_meta(architecture: dict[str, Any], modalities: int = len(MODALITIES)) -> AnyModalNetwork:
    """Build a network without numbers, in evaluation mode."""
    with torch.device("meta"):
        return build_network(architecture, CLASSES, MODALITIES[:modalities]).eval()


def flops(network: AnyModalNetwork, modalities: int) -> int:
    """Count the operations of a folded network for one frame; a multiplied sum counts two."""
    images = torch.empty(1, modalities, 3, HEIGHT, WIDTH, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images, torch.arange(modalities))
    return int(counter.get_total_flops())


def published_table() -> str:
    """Compare our counts with those of the literature."""
    return _table(
        ["network", "published, M", "here, M"],
        [[p.what, f"{p.millions:.2f}", f"{p.counted() / 1e6:.3f}"] for p in PUBLISHED],
    )


def size_row(name: str, backbone: str) -> list[str]:
    """Return a network's line of :func:`size_table`."""
    head_width = HEAD_WIDTHS[backbone]
    network = on_meta({"network": name, "backbone": backbone, "head_width": head_width})
    every, training = count_parameters(network), _count(network.training_parts())
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    network.fold()
    operations = [flops(network, m) / 1e9 for m in range(1, len(MODALITIES) + 1)]
    return [
        f"`{name}`",
        f"{every / 1e6:.2f}",
        f"{training / 1e6:.2f}" if training else "",
        f"{frozen / 1e6:.2f}" if frozen else "",
        *(f"{value:.1f}" for value in operations),
        f"{operations[0] / operations[-1]:.2f}",
    ]


def size_table(backbone: str) -> str:
    """List parameters and operations of every network on one backbone."""
    present = [f"M = {m}" for m in range(1, len(MODALITIES) + 1)]
    head = ["network", "parameters, M", "training only, M", "frozen, M", *present, "M=1 / M=4"]
    return _table(head, [size_row(name, backbone) for name in network_names()])


def parity_table() -> str:
    """Export every network, small, and compare the graph with it for each subset."""
    rows = []
    for name in network_names():
        torch.manual_seed(0)
        options = {"backbone": "mit_nano", "head_width": 64, **PARITY_OPTIONS.get(name, {})}
        network = build_network({"network": name, **options}, CLASSES, MODALITIES).eval()
        _stir(network)
        measured = MeasuredNetwork(network)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            found = parity_of(measured, path, MODALITIES, *PARITY_SIZE, network.any_size)
        worst = Parity(0.0, 1.0, 0.0, 0.0)
        for parity in found.values():
            worst = worst.worse(parity)
        rows.append(
            [
                f"`{name}`",
                "any" if network.any_size else "fixed",
                f"{worst.difference:.1e}",
                f"{100 * worst.agreement:.3f} %",
                f"{worst.confidence:.0f} / 255",
                f"{worst.contributions:.1e}" if "contributions" in measured.outputs else "",
            ]
        )
        click.echo(" | ".join(rows[-1]), err=True)
    head = ["network", "H, W", "logits", "same class", "confidence", "contributions"]
    return _table(head, rows)


def _stir(network: nn.Module) -> None:
    """Open the gates of a fresh network, so that everything has a part in the comparison."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)


TABLES: dict[str, Callable[[], str]] = {
    "published": published_table,
    "mit_b0": lambda: size_table("mit_b0"),
    "mit_b2": lambda: size_table("mit_b2"),
    "parity": parity_table,
}
"""The tables by the name that stands in the page."""


def read_table(page: str, name: str) -> str:
    """Return a table as it stands in the page.

    Raises:
        TrainingError: the page has no place for it.
    """
    found = _place(name).search(page)
    if found is None:
        raise TrainingError(f"the page has no table {name!r}: write <!-- {name} --> twice in it")
    return found[1]


def write_table(page: str, name: str, table: str) -> str:
    """Return the page with another table in its place.

    Raises:
        TrainingError: the page has no place for it.
    """
    read_table(page, name)
    mark = f"<!-- {name} -->"
    return _place(name).sub(lambda _: f"{mark}\n{table}{mark}", page)


def _place(name: str) -> re.Pattern[str]:
    mark = re.escape(f"<!-- {name} -->")
    return re.compile(f"{mark}\n(.*?){mark}", re.DOTALL)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def lines() -> Iterator[str]:
        yield f"| {' | '.join(head)} |\n"
        yield f"|{'|'.join(['---', *['---:'] * (len(head) - 1)])}|\n"
        for row in rows:
            yield f"| {' | '.join(row)} |\n"

    return "".join(lines())


def _count(modules: Sequence[nn.Module]) -> int:
    return sum(count_parameters(module) for module in modules)


@click.command()
@click.option(
    "--write",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Page whose tables are replaced, docs/reference/networks.md; else they are printed.",
)
@click.option("--parity/--no-parity", default=False, help="Also export and compare: minutes.")
def main(write: Path | None, parity: bool) -> None:
    """Count the parameters and operations of every network, and compare their ONNX graphs."""
    page = write.read_text(encoding="utf-8") if write is not None else ""
    for name, make in TABLES.items():
        if name == "parity" and not parity:
            continue
        table = make()
        if write is None:
            click.echo(f"{name}\n\n{table}")
            continue
        try:
            page = write_table(page, name, table)
        except TrainingError as error:
            raise click.ClickException(f"{write}: {error}") from error
    if write is not None:
        with naming(write):
            write.write_text(page, encoding="utf-8")
        click.echo(f"written: {write}")


if __name__ == "__main__":
    main()
