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

from anymodal_seg_ros.config import given
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.evaluation.scorecard.runs.pixels import BINS, Counts
from anymodal_seg_ros.json_files import parse_json

LONGEST_S = 1e9
"""Length of a bag that is believed, and of whatever is measured in it: thirty years."""

_LONGEST_LINE = 1 << 20
"""Of the file of records: of 255 classes and a dozen sensors it takes some 20 kB."""

_LONGEST_NAME = 500

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
    time_s: float = given("after the start of the bag", -LONGEST_S, LONGEST_S)


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
_LARGEST = 1 << 63
"""More than any time in nanoseconds."""


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
        plain = parse_json(line)
        _check(plain)
        # An hour has 100,000 records: what is equal in most of them is kept once.
        plain["sensors"] = _shared_names(tuple(plain.get("sensors", ())))
        plain["states"] = _shared_states(tuple(plain["states"].items()))
        plain["reference"] = sys.intern(plain["reference"])
        for name in ("arrived_s", "votes"):
            plain[name] = {sys.intern(key): value for key, value in plain.get(name, {}).items()}
        plain["transitions"] = tuple(Transition(*entry) for entry in plain.get("transitions", ()))
        for name in _COUNTS:
            if name in plain:
                plain[name] = _counts(plain[name], name)
        for name in ("kept", "stable"):
            if name in plain:
                plain[name] = tuple(plain[name])
        return MaskRecord(**plain)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise RunError(f"no record of a mask: {line[:80]!r}: {error}") from error


def _check(plain: Mapping[str, Any]) -> None:
    """Hold the plain values of a record to their types; 100,000 of them are read in seconds."""
    for name in ("reference", "unlabeled"):
        if not is_name(plain.get(name, "")):
            raise ValueError(f"{name} is no text that can be shown")
    for name in ("time_s", "wait_ms", "network_ms", "process_ms", "stamp_ns"):
        _check_number(plain.get(name, 0), name)
    for name in ("arrived_s", "votes"):
        for value in plain.get(name, {}).values():
            _check_number(value, name)
    for name in ("kept", "stable"):
        same, compared = plain.get(name, (0, 0))
        if not (type(same) is type(compared) is int and 0 <= same <= compared):
            raise ValueError(f"{name} is no count of pixels")
    transitions = plain.get("transitions", ())
    for _, _, time_s in transitions:
        _check_number(time_s, "transitions")
    words = [word for sensor, state, _ in transitions for word in (sensor, state)]
    for word in (*plain.get("sensors", ()), *plain["states"].values(), *words):
        if not is_name(word):
            raise ValueError(f"{word!r:.60} cannot be the name of a sensor or a state")


def is_name(word: Any) -> bool:
    """Whether a value is text that may stand in a table: printable, and not too long."""
    return type(word) is str and word.isprintable() and len(word) <= _LONGEST_NAME


def _check_number(value: Any, name: str) -> None:
    if type(value) not in (int, float) or not abs(value) < _LARGEST:  # nor is NaN
        raise ValueError(f"{name} is no number that can be")


def _counts(rows: Any, name: str) -> Counts:
    counts = np.array(rows, np.int32)
    if counts.ndim != 2 or len(counts) != 3 or counts.min(initial=0) < 0:
        raise ValueError(f"{name} is no table of counts")
    return counts


@functools.lru_cache(maxsize=4096)
def _shared_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return names


@functools.lru_cache(maxsize=4096)
def _shared_states(states: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return dict(states)  # nobody changes it, and it can be packed


def read_records(path: Path, num_classes: int) -> Iterator[MaskRecord]:
    """Yield the records of a file.

    Args:
        path: of the file.
        num_classes: of the run.

    Raises:
        RunError: the file cannot be read, or holds something else.
    """
    try:
        if path.exists() and not path.is_file():
            raise RunError(f"cannot read {path}: it is no regular file")
        with path.open(encoding="utf-8") as file:
            lines = iter(functools.partial(file.readline, _LONGEST_LINE), "")
            for number, line in enumerate(lines, start=1):
                try:
                    record = from_line(line)
                    _check_widths(record, num_classes)
                except RunError as error:
                    raise RunError(f"{path} is damaged in line {number}: {error}") from error
                yield record
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {path}: {error}") from error


def _check_widths(record: MaskRecord, num_classes: int) -> None:
    widths = {"overlap": num_classes, "boundary": num_classes, "calibration": BINS}
    for name, width in widths.items():
        counts = getattr(record, name)
        if counts is not None and counts.shape[1] != width:
            raise RunError(f"{name} is of {counts.shape[1]}, expected {width}")


def pooled(counts: Iterable[Counts | None]) -> Counts | None:
    """Add up what there is; None if there is nothing."""
    total: Counts | None = None
    for part in counts:
        if part is not None:
            total = part.astype(np.int64) if total is None else total + part
    return total
