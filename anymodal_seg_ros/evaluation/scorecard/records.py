"""A run as lines of JSON: one for every mask, with all that the figures are made of."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.evaluation.scorecard.pixels import Counts

NOTHING = "unlabeled"
"""The subset of a mask that no sensor made."""


class RunError(AnymodalError):
    """The folder of a run is missing, unfinished or of another version."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A sensor changed its state.

    Attributes:
        sensor: which.
        state: that it entered.
        time_s: when, in seconds after the start of the bag.
    """

    sensor: str
    state: str
    time_s: float


@dataclass(frozen=True, slots=True)
class MaskRecord:
    """One mask.

    Attributes:
        time_s: when it was due, in seconds after the start of the bag, on the bag's clock.
        stamp_ns: header stamp of the reference.
        reference: whose picture it lies in.
        sensors: that were fused, in configured order.
        states: of every sensor, when the mask was due.
        arrived_s: when the message of each fused sensor arrived, after the start of the bag.
        votes: share of each fused sensor, where the network weights them.
        wait_ms: from the arrival of the reference's message until the mask was due.
        network_ms: measured inside the engine.
        process_ms: measured from frame set to mask.
        transitions: of states, since the mask before.
        overlap: see :func:`~.pixels.overlap`; None without ground truth, like the others of pixels.
        boundary: see :func:`~.pixels.boundary_overlap`.
        calibration: see :func:`~.pixels.calibration`; None without confidence, too.
        kept: pixels with the class that they had in the mask before, and pixels compared.
        stable: the same over the pixels whose label has stayed.
        unlabeled: why no sensor made it, in words.
    """

    time_s: float
    stamp_ns: int
    reference: str
    sensors: tuple[str, ...]
    states: Mapping[str, str]
    arrived_s: Mapping[str, float] = field(default_factory=dict)
    votes: Mapping[str, float] = field(default_factory=dict)
    wait_ms: float = 0.0
    network_ms: float = 0.0
    process_ms: float = 0.0
    transitions: tuple[Transition, ...] = ()
    overlap: Counts | None = None
    boundary: Counts | None = None
    calibration: Counts | None = None
    kept: tuple[int, int] | None = None
    stable: tuple[int, int] | None = None
    unlabeled: str = ""

    @property
    def subset(self) -> str:
        """The fused sensors, e.g. ``rgb+thermal``."""
        return "+".join(self.sensors) or NOTHING

    @property
    def latency_ms(self) -> float:
        """From the arrival of the reference's message to the finished mask."""
        return self.wait_ms + self.process_ms


_COUNTS = ("overlap", "boundary", "calibration")


def to_line(record: MaskRecord) -> str:
    """Return a record as one line of JSON, without a line break."""
    plain: dict[str, Any] = {
        name: getattr(record, name) for name in MaskRecord.__dataclass_fields__
    }
    plain["states"] = dict(record.states)
    plain["transitions"] = [(t.sensor, t.state, round(t.time_s, 6)) for t in record.transitions]
    plain["time_s"] = round(record.time_s, 6)
    plain["arrived_s"] = {name: round(time, 6) for name, time in record.arrived_s.items()}
    plain["votes"] = {name: round(share, 4) for name, share in record.votes.items()}
    for name in ("wait_ms", "network_ms", "process_ms"):
        plain[name] = round(plain[name], 4)
    for name in _COUNTS:
        plain[name] = None if plain[name] is None else plain[name].tolist()
    return json.dumps({k: v for k, v in plain.items() if v not in (None, "", (), [], {})})


def from_line(line: str) -> MaskRecord:
    """Read what :func:`to_line` wrote.

    Raises:
        RunError: it is something else.
    """
    try:
        plain = json.loads(line)
        # An hour has 100,000 records: what is equal in most of them is kept once.
        plain["sensors"] = _shared_names(tuple(plain.get("sensors", ())))
        plain["states"] = _shared_states(tuple(plain["states"].items()))
        plain["reference"] = sys.intern(plain["reference"])
        for name in ("arrived_s", "votes"):
            plain[name] = {sys.intern(key): value for key, value in plain.get(name, {}).items()}
        plain["transitions"] = tuple(Transition(*entry) for entry in plain.get("transitions", ()))
        for name in _COUNTS:
            if name in plain:
                plain[name] = np.array(plain[name], np.int32)
        for name in ("kept", "stable"):
            if name in plain:
                plain[name] = tuple(plain[name])
        return MaskRecord(**plain)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"no record of a mask: {line[:80]!r}: {error}") from error


@functools.lru_cache(maxsize=4096)
def _shared_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return names


@functools.lru_cache(maxsize=4096)
def _shared_states(states: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return dict(states)  # nobody changes it, and it can be packed


def read_records(path: Path) -> Iterator[MaskRecord]:
    """Yield the records of a file.

    Raises:
        RunError: the file cannot be read, or holds something else.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield from_line(line)
                except RunError as error:
                    raise RunError(f"{path} is damaged in line {number}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {path}: {error}") from error


def pooled(counts: Iterable[Counts | None]) -> Counts | None:
    """Add up what there is; None if there is nothing."""
    total: Counts | None = None
    for part in counts:
        if part is not None:
            total = part.astype(np.int64) if total is None else total + part
    return total
