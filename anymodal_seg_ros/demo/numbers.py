"""From what the watcher wrote down to the numbers of the demo and its one-paragraph summary."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from anymodal_seg_ros.demo.records import Incident, Phase, ScoredMask
from anymodal_seg_ros.evaluation.metrics import mean_iou

_SETTLE_NS = 1_000_000_000
"""Left out at both ends of a phase's accuracy, so that it speaks of the phase alone."""


def measure(
    records: Sequence[ScoredMask],
    phases: Sequence[Phase],
    incidents: Sequence[Incident],
    period_ns: int,
) -> dict[str, Any]:
    """Compute every number that the demo reports.

    Args:
        records: in the order of arrival.
        phases: in the order of time.
        incidents: in the order of time.
        period_ns: of the reference sensor.
    """
    start_ns, stop_ns = phases[0].start_ns, phases[-1].stop_ns
    inside = [r for r in records if start_ns <= r.received_ns <= stop_ns]
    latencies = [r.latency_ms for r in inside]
    missing = frames_without_mask([r.stamp_ns for r in inside], period_ns)
    return {
        "seconds": (stop_ns - start_ns) / 1e9,
        "masks": len(inside),
        "masks_per_second": len(inside) * 1e9 / (stop_ns - start_ns),
        "latency_ms": {
            "p50": float(np.percentile(latencies, 50)),
            "p99": float(np.percentile(latencies, 99)),
        },
        "network_ms": {"p50": float(np.percentile([r.network_ms for r in inside], 50))},
        "reference_frames": len(inside) + missing,
        "reference_frames_without_mask": missing,
        "incidents": [_consequence(i, incidents, inside) for i in incidents],
        "phases": [_phase_numbers(phase, inside) for phase in phases],
    }


def frames_without_mask(stamps: Sequence[int], period_ns: int) -> int:
    """Count the frames that the reference sensor took between two masks, and that have none.

    Whichever sensor is the reference, one of its frames comes every period; a longer distance
    between the stamps of two masks that follow one another means frames without a mask.
    """
    return sum(
        max(0, round((after - before) / period_ns) - 1)
        for before, after in pairwise(sorted(stamps))
    )


def summary(numbers: Mapping[str, Any], picture: str, details: str) -> str:
    """Tell a newcomer in one paragraph what happened."""
    killed = [i for i in numbers["incidents"] if not i["alive"]]
    reactions = " and ".join(
        f"{_milliseconds(i['reaction_ms'])} after the {i['sensor']} camera" for i in killed
    )
    accuracy = ", ".join(
        f"{phase['miou']:.2f} {_spoken(phase['title'])}" for phase in numbers["phases"]
    )
    latency = numbers["latency_ms"]
    return (
        f"For {numbers['seconds']:.0f} s four simulated cameras were segmented while two of them "
        f"were killed and brought back. The first mask without the dead sensor came {reactions} "
        f"was killed, and masks never stopped: {numbers['masks']} were published "
        f"({numbers['masks_per_second']:.1f} per second), and "
        f"{numbers['reference_frames_without_mask']} of {numbers['reference_frames']} reference "
        f"frames went without one. From the newest image used to the mask took "
        f"{latency['p50']:.0f} ms (median) and {latency['p99']:.0f} ms (99th percentile). Against "
        f"the exact labels the mean IoU was {accuracy}. Look at {picture}; every number is in "
        f"{details}."
    )


def _consequence(
    incident: Incident, incidents: Sequence[Incident], records: Sequence[ScoredMask]
) -> dict[str, Any]:
    """Say how long it took until the masks showed for good that a sensor was gone, or back."""
    until_ns = min(
        (
            other.time_ns
            for other in incidents
            if other.sensor == incident.sensor and other.time_ns > incident.time_ns
        ),
        default=math.inf,
    )
    span = [r for r in records if incident.time_ns < r.received_ns < until_ns]
    used = [incident.sensor in r.sensors for r in span]
    if incident.alive:
        noticed = next((r for r, yes in zip(span, used, strict=True) if yes), None)
    else:  # a sensor that was missed for a moment and came once more was not yet given up
        last = max((place for place, yes in enumerate(used) if yes), default=-1)
        noticed = span[last + 1] if last + 1 < len(span) else None
    return {
        "sensor": incident.sensor,
        "alive": incident.alive,
        "reaction_ms": None if noticed is None else (noticed.received_ns - incident.time_ns) / 1e6,
    }


def _phase_numbers(phase: Phase, records: Sequence[ScoredMask]) -> dict[str, Any]:
    inside = [r for r in records if phase.start_ns <= r.received_ns < phase.stop_ns]
    settled = [
        r
        for r in inside
        if phase.start_ns + _SETTLE_NS <= r.received_ns < phase.stop_ns - _SETTLE_NS // 4
    ]
    total = sum((r.confusion for r in settled), np.zeros((1, 1), np.int64))
    used = Counter(r.sensors for r in settled)
    return {
        "title": phase.title,
        "dead": list(phase.dead),
        "seconds": (phase.stop_ns - phase.start_ns) / 1e9,
        "masks": len(inside),
        "masks_per_second": len(inside) * 1e9 / max(phase.stop_ns - phase.start_ns, 1),
        "miou": mean_iou(total),
        "sensors": {"+".join(sensors): count for sensors, count in used.most_common()},
        "references": dict(Counter(r.reference for r in settled)),
    }


def _milliseconds(value: float | None) -> str:
    return "(never)" if value is None else f"{value:.0f} ms"


def _spoken(title: str) -> str:
    return f"with {title}" if title.startswith("all") else f"({title})"
