"""All engines that are at hand, one beside the other on one model: figures, ratios, Markdown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from anymodal_seg_ros.config import ENGINES
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.inference.benchmark.engine_report import (
    EngineReport,
    inspect_engine,
    switch_subsets,
)
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.model import Model

ONNX_RUNTIME, TORCH = "onnxruntime", "torch"

MEASURED = tuple(kind for kind in ENGINES if kind != "auto")
"""Engines to measure: ``auto`` is one of them."""


@dataclass(frozen=True, slots=True)
class EngineBenchmark:
    """What was measured on one model.

    Attributes:
        model: its name.
        size: of its input, e.g. ``192x256``.
        threads: of each engine.
        engines: their reports.
        left_out: why others are not among them, by kind.
        gflop: operations of a mask of all sensors; 0 without torch.
        gemm_gflop_s: rate of large products for a second of processor time; 0 without torch.
        switches: masks of one subset after the other by each engine; 0: none.
        longest_ms: the longest of them, by engine.
        grown_mb: memory that an engine took meanwhile, by engine.
    """

    model: str
    size: str
    threads: int
    engines: tuple[EngineReport, ...]
    left_out: dict[str, str]
    gflop: float = 0.0
    gemm_gflop_s: float = 0.0
    switches: int = 0
    longest_ms: dict[str, float] = field(default_factory=dict)
    grown_mb: dict[str, float] = field(default_factory=dict)

    @property
    def floor_ms(self) -> float:
        """Processor time of a mask of all sensors at the rate of large products; 0 if unknown."""
        return 1e3 * self.gflop / self.gemm_gflop_s if self.gemm_gflop_s else 0.0

    def ratios(self) -> dict[str, dict[str, float]]:
        """Return what does not depend on how fast the machine is, by engine.

        ``against_torch``: how many times faster a mask of all sensors is than in PyTorch;
        ``of_floor``: how many times the floor it takes; ``against_whole``: how many times more
        masks a second of processor time gives than the whole graph in ONNX Runtime.
        """
        by_kind = {report.name.split()[0]: report for report in self.engines}
        torch, whole = by_kind.get(TORCH), by_kind.get(ONNX_RUNTIME)
        found: dict[str, dict[str, float]] = {}
        for report in self.engines:
            own = found.setdefault(report.name, {})
            mask = mask_cpu_ms(report)
            if torch is not None:
                own["against_torch"] = mask_cpu_ms(torch) / mask
            if self.floor_ms:
                own["of_floor"] = mask / self.floor_ms
            timing = whole and whole.find("whole", whole.sensors)
            if timing:
                own["against_whole"] = report.masks_per_cpu_s * timing.cpu_ms / 1e3
        return found


def mask_cpu_ms(report: EngineReport) -> float:
    """Return processor time of a mask of all sensors, whole or in halves, whichever is less."""
    count = report.sensors
    whole, encode = report.find("whole", count), report.find("encode", 1)
    fuse = report.find("fuse", count)
    ways = [whole.cpu_ms] if whole else []
    if encode and fuse:
        ways.append(count * encode.cpu_ms + fuse.cpu_ms)
    return min(ways)


def benchmark_engines(
    model: Model,
    threads: int,
    repeats: int,
    switches: int = 0,
    kinds: Sequence[str] = MEASURED,
    tell: Callable[[str], None] = lambda line: None,
) -> EngineBenchmark:
    """Measure every engine that can be had, one after the other in this process.

    Args:
        model: an opened model folder.
        threads: of each engine.
        repeats: runs of each stage.
        switches: masks of changing subsets, see :func:`~.engine_report.switch_subsets`.
        kinds: of engines to try, some of :data:`MEASURED`.
        tell: called with a line for each engine that is left out.
    """
    reports, left_out = [], {}
    longest, grown = {}, {}
    for kind in kinds:
        made: list[Any] = []

        def make(kind: str = kind, made: list[Any] = made) -> Any:
            made.append(create_engine(kind, model, threads))
            return made[0]

        try:
            report = inspect_engine(make, model, repeats)
            if switches:
                longest[report.name], grown[report.name] = switch_subsets(made[0], model, switches)
            reports.append(report)
        except AnymodalError as error:
            left_out[kind] = str(error)
            tell(f"{kind} is left out: {error}")
    operations, rate = _floor(model, threads)
    size = f"{model.manifest.height}x{model.manifest.width}"
    return EngineBenchmark(
        model.manifest.name,
        size,
        threads,
        tuple(reports),
        left_out,
        operations,
        rate,
        switches,
        longest,
        grown,
    )


def _floor(model: Model, threads: int) -> tuple[float, float]:
    """Return operations of a mask of all sensors, and the rate of products; zeros without torch."""
    try:
        from anymodal_seg_ros.inference.benchmark.gemm_floor import gemm_rate, gflop
    except ImportError:
        return 0.0, 0.0
    try:
        counted = gflop(model)
    except AnymodalError:  # a model whose graph is all that there is
        return 0.0, 0.0
    time.sleep(0.2)  # threads of engines that spin after their last run would disturb
    return counted[max(counted)], gemm_rate(threads)


def parity_markdown(found: EngineBenchmark) -> str:
    """Lay out the share of right pixels of every subset: engines in halves and whole."""
    columns = []
    for report in found.engines:
        if report.agreement_whole:
            columns.append((f"{report.name}, halves", report.agreement))
            columns.append((f"{report.name}, whole", report.agreement_whole))
        elif report.agreement:
            columns.append((f"{report.name}, whole", report.agreement))
    lines = [
        f"| {found.model} | {' | '.join(name for name, _ in columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for subset in columns[0][1] if columns else ():
        shares = (f"{100 * shares[subset]:.3f}" for _, shares in columns)
        lines.append(f"| {subset} | {' | '.join(shares)} |")
    return "\n".join(lines)


def speed_markdown(found: EngineBenchmark) -> str:
    """Lay out times and ratios of the engines."""
    names = [report.name for report in found.engines]
    lines = [
        f"| {found.model}, {found.size} | {' | '.join(names)} |",
        f"|---|{'---:|' * len(names)}",
    ]

    def row(label: str, cells: Sequence[str]) -> None:
        lines.append(f"| {label} | {' | '.join(cells)} |")

    stages = dict.fromkeys((t.stage, t.sensors) for r in found.engines for t in r.timings)
    for stage, sensors in stages:
        timings = [report.find(stage, sensors) for report in found.engines]
        cells = [f"{t.cpu_ms:.1f}" if t else "-" for t in timings]
        row(f"{stage}, {sensors} sensor{'s' if sensors > 1 else ''}", cells)
    row("masks per CPU second", [f"{r.masks_per_cpu_s:.1f}" for r in found.engines])
    ratios = found.ratios()
    for key, label in (
        ("against_torch", "a mask of all sensors: times faster than torch"),
        ("of_floor", "times the floor of products"),
        ("against_whole", "masks per CPU second: times the whole graph in ONNX Runtime"),
    ):
        cells = [f"{ratios[name][key]:.2f}" if key in ratios[name] else "-" for name in names]
        row(label, cells)
    if found.switches:
        growth = [f"{found.grown_mb[name]:.1f}" for name in names]
        row(f"MB more after {found.switches} switches of subset", growth)
    return "\n".join(lines)
