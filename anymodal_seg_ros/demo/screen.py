"""The live table of the demo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.demo.records import ScoredMask
from anymodal_seg_ros.evaluation.metrics import mean_iou

_WINDOW_NS = 1_000_000_000
_COLORS = {"OK": "green", "WAITING": "cyan", "LATE": "yellow", "STALE": "red", "FAILED": "bold red"}


def live_table(rig: RigConfig, records: Sequence[ScoredMask], now_ns: int, happening: str) -> Group:
    """Show the last second: who is alive, who made the masks, how fast and how good they are.

    Args:
        rig: the configured sensors.
        records: the newest masks, at least those of the last second.
        now_ns: on the system clock.
        happening: what is being done to the rig, in words.
    """
    recent = [r for r in records if r.received_ns >= now_ns - _WINDOW_NS]
    newest = records[-1] if records else None
    table = Table(title=happening, title_justify="left", title_style="bold")
    for heading in ("sensor", "topic", "expected", "state", "in the masks of the last second"):
        table.add_column(heading)
    for name, sensor in rig.sensors.items():
        state = newest.states.get(name, "WAITING") if newest else "WAITING"
        share = sum(name in r.sensors for r in recent) / max(len(recent), 1)
        bar = "█" * round(20 * share)
        mark = " reference" if newest and newest.reference == name else ""
        table.add_row(
            name,
            sensor.topic,
            f"{sensor.expected_hz:g} Hz",
            Text(state, style=_COLORS.get(state, "")),
            Text(f"{bar:<20} {share:4.0%}{mark}"),
        )
    return Group(table, Text(_rates(recent)))


def _rates(recent: Sequence[ScoredMask]) -> str:
    """Describe the masks of the last second in one line."""
    if not recent:
        return "no mask in the last second"
    miou = mean_iou(np.sum([r.confusion for r in recent], axis=0))
    latency = np.percentile([r.latency_ms for r in recent], (50, 99))
    return (
        f"{len(recent)} masks/s   latency {latency[0]:.0f} ms (p99 {latency[1]:.0f} ms)   "
        f"mIoU {miou:.3f}"
    )
