"""What the watcher of the demo writes down. Times are of the system clock, in nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Mask


@dataclass(frozen=True, slots=True)
class ScoredMask:
    """One mask as a subscriber saw it.

    Attributes:
        stamp_ns: its header stamp.
        received_ns: when it arrived at the watcher.
        reference: the sensor that gave stamp and geometry.
        sensors: the sensors that were fused.
        states: of every sensor when the mask was made.
        latency_ms: from the arrival of the newest message used to publishing, as the node says.
        network_ms: spent in the engine, as the node says.
        confusion: int64 ``[K, K]`` against the exact labels.
    """

    stamp_ns: int
    received_ns: int
    reference: str
    sensors: tuple[str, ...]
    states: Mapping[str, str]
    latency_ms: float
    network_ms: float
    confusion: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that was done to the rig.

    Attributes:
        time_ns: when it was done.
        sensor: to whom.
        alive: False if its publisher was killed, True if it was started again.
    """

    time_ns: int
    sensor: str
    alive: bool


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the run in which nothing was done to the rig.

    Attributes:
        title: for people, e.g. ``thermal killed``.
        start_ns: the incident that began it.
        stop_ns: the incident that ended it.
        dead: the sensors without a publisher.
    """

    title: str
    start_ns: int
    stop_ns: int
    dead: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One mask kept for the picture.

    Attributes:
        phase: title of the phase it stands for.
        record: what is known of the mask.
        mask: uint8 ``[H, W]`` class ids.
    """

    phase: str
    record: ScoredMask
    mask: Mask
