"""A picture of a benchmark of engines: what each stage takes, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from anymodal_seg_ros.inference.benchmark.engine_benchmark import EngineBenchmark

_COLORS = ("#264653", "#2a9d8f", "#e9c46a", "#e76f51", "#8d6a9f")


def write_engine_picture(results: Sequence[EngineBenchmark], path: Path) -> None:
    """Draw bars of processor time, one panel for each model; the floor is a line.

    Args:
        results: at least one.
        path: a file of a kind that matplotlib writes, such as ``.png`` or ``.svg``.

    Raises:
        OSError: it cannot be written.
        ValueError: there is no such kind of file.
    """
    figure = Figure(figsize=(7.5, 3.2 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), squeeze=False)[:, 0]
    for panel, found in zip(axes, results, strict=True):
        stages = list(dict.fromkeys((t.stage, t.sensors) for r in found.engines for t in r.timings))
        width = 0.8 / max(1, len(found.engines))
        for place, report in enumerate(found.engines):
            heights = [t.cpu_ms if (t := report.find(*stage)) else 0.0 for stage in stages]
            left = [x + width * (place + 0.5) - 0.4 for x in range(len(stages))]
            color = _COLORS[place % len(_COLORS)]
            bars = panel.bar(left, heights, width, label=report.name, color=color)
            panel.bar_label(bars, fmt="%.0f", fontsize=6)
        if found.floor_ms:
            label = f"floor of products, {found.gflop:.1f} GFLOP"
            panel.axhline(found.floor_ms, color="black", linewidth=0.8, linestyle="--", label=label)
        panel.set_xticks(range(len(stages)), [f"{stage}\n{count}" for stage, count in stages])
        panel.set_ylabel("ms of processor time")
        panel.set_title(f"{found.model}, {found.size}, {found.threads} thread(s)", fontsize=10)
        panel.legend(frameon=False, fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
