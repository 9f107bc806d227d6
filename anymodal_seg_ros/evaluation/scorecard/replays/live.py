"""From the topics of a running node to the run of a scorecard: masks, evidence and labels by stamp.

What is offline a prediction is three messages here: the mask, the evidence that the node publishes
with it, and the label. They come in any order; a mask without its evidence is no record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.evaluation.scorecard.labels.ground_truth import (
    label_of_mask,
    label_sources,
)
from anymodal_seg_ros.evaluation.scorecard.labels.label_map import LabelMap
from anymodal_seg_ros.evaluation.scorecard.runs.recorder import Recorder
from anymodal_seg_ros.evaluation.scorecard.runs.records import to_line
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import MASKS
from anymodal_seg_ros.frames import (
    FrameSet,
    Image,
    Mask,
    Prediction,
    Sample,
    SensorState,
    SensorStatus,
)
from anymodal_seg_ros.written_files import naming

_KEPT = 64
"""Masks that wait for evidence or label, and labels that wait for masks, of each sensor."""

MASK = "mask"
"""Name of the status that is about the mask and not about a sensor."""

Evidence = Mapping[str, Mapping[str, str]]
"""What ``~/modality_status`` says of one mask: keys and values by the name of the status."""


@dataclass(slots=True)
class _Entry:
    """A mask, as far as it is known."""

    now_ns: int = 0
    mask: Mask | None = None
    frame_id: str = ""
    evidence: Evidence = field(default_factory=dict)


class LiveRun:
    """Joins what comes, and writes a line for every mask, in the order of the masks' stamps.

    Times are those of the bag: ``now_ns`` is the clock of whoever plays it.

    Attributes:
        seen: masks that have come.
        masks: number of lines so far.
        rejected: messages that the node has rejected, by sensor.
        messages: that it has taken.
        superseded: frame sets that it has dropped for newer ones.
    """

    def __init__(
        self,
        folder: Path,
        rig: RigConfig,
        num_classes: int,
        start_ns: int,
        label_map: LabelMap | None = None,
    ) -> None:
        """Begin with nothing.

        Args:
            folder: of the run that is being written.
            rig: the node's sensors.
            num_classes: of its model.
            start_ns: log time of the bag's first message.
            label_map: of the labels; None if there are none to wait for.
        """
        self.seen = self.masks = 0
        self.rejected: dict[str, int] = dict.fromkeys(rig.sensors, 0)
        self.messages = 0
        self.superseded = 0
        self._rig, self._label_map = rig, label_map
        self._recorder = Recorder(num_classes, start_ns)
        self._states = _States(rig)
        self._waiting: dict[int, _Entry] = {}
        self._labels: dict[str, dict[int, npt.NDArray[np.integer]]] = {}
        self._path = folder / MASKS
        self._lines = self._path.open("w", encoding="utf-8")

    def take_mask(self, stamp_ns: int, mask: Mask, frame_id: str, now_ns: int) -> None:
        """Take ``~/mask``: uint8 ``[H, W]`` and its header."""
        self.seen += 1
        entry = self._waiting.setdefault(stamp_ns, _Entry())
        entry.mask, entry.frame_id, entry.now_ns = mask, frame_id, now_ns
        self._write_complete()

    def take_evidence(self, stamp_ns: int, evidence: Evidence) -> None:
        """Take ``~/modality_status`` of the mask with this stamp."""
        self._waiting.setdefault(stamp_ns, _Entry()).evidence = evidence
        self._write_complete()

    def take_label(self, sensor: str, stamp_ns: int, ids: npt.NDArray[np.integer]) -> None:
        """Take the label of a sensor's picture."""
        labels = self._labels.setdefault(sensor, {})
        labels[stamp_ns] = ids
        while len(labels) > _KEPT:
            del labels[next(iter(labels))]
        self._write_complete()

    def take_health(self, name: str, values: Mapping[str, str]) -> None:
        """Take one status of ``/diagnostics``, with its name without that of the node."""
        if name == "pipeline" and "superseded" in values:
            self.superseded = int(values["superseded"])
        sensor = name.removeprefix("sensor ")
        if sensor in self.rejected and "rejected" in values:
            self.rejected[sensor] = int(values["rejected"])
            self._states.received[sensor] = int(values.get("received", "0"))
            self.messages = self._states.received.total()

    def finish(self) -> None:
        """Write what still waits, labelled or not: nothing more comes."""
        for stamp_ns in sorted(self._waiting):
            self._write(stamp_ns, self._waiting[stamp_ns])
        self._waiting.clear()
        with naming(self._path):
            self._lines.close()

    def _write_complete(self) -> None:
        """Write the oldest masks, as long as nothing more is to come for them."""
        while self._waiting:
            oldest = min(self._waiting)
            entry = self._waiting[oldest]
            if len(self._waiting) <= _KEPT and not self._is_complete(oldest, entry):
                return
            del self._waiting[oldest]
            self._write(oldest, entry)

    def _is_complete(self, stamp_ns: int, entry: _Entry) -> bool:
        if entry.mask is None or not entry.evidence:
            return False
        if self._label_map is None:
            return True
        reference, owner = _reference(entry), _owner(entry)
        seen = [self._labels.get(name, {}) for name in label_sources(reference, owner, self._rig)]
        return stamp_ns in seen[0] or all(labels and max(labels) > stamp_ns for labels in seen)

    def _write(self, stamp_ns: int, entry: _Entry) -> None:
        if entry.mask is None or MASK not in entry.evidence:
            return
        prediction = self._prediction(stamp_ns, entry, entry.mask)
        label = self._label(prediction)
        with naming(self._path):
            self._lines.write(to_line(self._recorder.record(prediction, label)) + "\n")
        self.masks += 1

    def _label(self, prediction: Prediction) -> Mask | None:
        """Return the label of a mask, as far as one has come."""
        if (label_map := self._label_map) is None:
            return None

        def mapped(sensor: str, stamp: int) -> tuple[Mask, str]:
            where = f"the label of {sensor} at {stamp} ns"
            return label_map.apply(self._labels[sensor][stamp], where), where

        return label_of_mask(
            prediction, self._rig, lambda sensor: self._labels.get(sensor, {}), mapped
        )

    def _prediction(self, stamp_ns: int, entry: _Entry, mask: Mask) -> Prediction:
        """Put together what the node had in one piece.

        The node says how old the messages were when the set was complete, and how long after the
        newest of them the mask was published: so it is known when the set was complete.
        """
        about = entry.evidence[MASK]
        sensors = tuple(name for name in about.get("sensors", "").split(",") if name)
        ages = {name: _ms(entry.evidence.get(name, {}), "age_ms") for name in sensors}
        reference = _reference(entry)
        newest = min(ages.values(), default=_ms(entry.evidence.get(reference, {}), "age_ms"))
        completed_ns = entry.now_ns - _ms(about, "latency_ms") + newest
        statuses = self._states.take(entry.evidence, completed_ns)
        nothing = Image(np.empty((*mask.shape, 0), np.uint8), "")
        samples = {}
        for name in dict.fromkeys((reference, *sensors)):
            own = entry.evidence.get(name, {})
            taken_ns = stamp_ns + _ms(own, "offset_ms")
            received_ns = completed_ns - _ms(own, "age_ms")
            samples[name] = Sample(name, taken_ns, taken_ns, received_ns, entry.frame_id, nothing)
        missing = {name: "" for name in self._rig.sensors if name not in sensors}
        votes = {
            name: float(entry.evidence[name]["contribution"])
            for name in sensors
            if "contribution" in entry.evidence.get(name, {})
        }
        return Prediction(
            mask,
            FrameSet(reference, samples, missing, completed_ns),
            sensors,
            statuses,
            network_ns=_ms(about, "network_ms"),
            process_ns=_ms(about, "process_ms"),
            unlabeled=about.get("unlabeled", ""),
            contributions=votes,
            picture=_owner(entry),
        )


class _States:
    """Remembers when each sensor entered its state: the evidence says only what it is."""

    def __init__(self, rig: RigConfig) -> None:
        self.received: Counter[str] = Counter()
        self._state = dict.fromkeys(rig.sensors, SensorState.WAITING)
        self._lately: dict[str, tuple[str, int]] = {}
        self._entered: dict[str, Counter[str]] = {name: Counter() for name in rig.sensors}

    def take(self, evidence: Evidence, now_ns: int) -> tuple[SensorStatus, ...]:
        """Return the status of every sensor that a mask's evidence speaks of."""
        return tuple(
            self._status(name, evidence[name], now_ns) for name in self._state if name in evidence
        )

    def _status(self, name: str, values: Mapping[str, str], now_ns: int) -> SensorStatus:
        state = SensorState(values["state"])
        if state is not self._state[name]:
            self._state[name], self._lately[name] = state, (state.value, now_ns)
            self._entered[name][state.value] += 1
        return SensorStatus(
            name,
            state,
            age_ns=_ms(values, "age_ms"),
            received=self.received[name],
            entered=dict(self._entered[name]),
            lately=(self._lately[name],) if name in self._lately else (),
        )


def _reference(entry: _Entry) -> str:
    return entry.evidence.get(MASK, {}).get("reference", "")


def _owner(entry: _Entry) -> str:
    return entry.evidence.get(MASK, {}).get("picture", "") or _reference(entry)


def _ms(values: Mapping[str, str], key: str) -> int:
    """Return a time that is written in milliseconds, in nanoseconds; 0 where there is none."""
    return round(float(values.get(key) or 0.0) * 1e6)
