"""From predictions to records: what is remembered from one mask to the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from anymodal_seg_ros.evaluation.scorecard.runs.pixels import (
    boundary_overlap,
    calibration,
    overlap,
    unchanged,
)
from anymodal_seg_ros.evaluation.scorecard.runs.records import MaskRecord, Transition
from anymodal_seg_ros.frames import Mask, Prediction, SensorStatus


class Recorder:
    """Makes a :class:`MaskRecord` of every prediction of one replay, in their order."""

    def __init__(self, num_classes: int, start_ns: int) -> None:
        """Begin with nothing.

        Args:
            num_classes: of the model.
            start_ns: of the bag, on the clock of the predictions.
        """
        self._num_classes, self._start_ns = num_classes, start_ns
        self._entered: dict[str, Mapping[str, int]] = {}
        self._before: dict[str, tuple[Mask, Mask | None]] = {}

    def record(self, prediction: Prediction, label: Mask | None) -> MaskRecord:
        """Turn a prediction into a record.

        Args:
            prediction: the next one of the replay.
            label: uint8 of the mask's size, in the model's classes; None without ground truth.
        """
        frames, mask = prediction.frame_set, prediction.mask
        kept, stable = self._compare(frames.reference, mask, label)
        confidence = prediction.confidence
        return MaskRecord(
            time_s=self._seconds(frames.completed_ns),
            stamp_ns=frames.reference_sample.stamp_ns,
            reference=frames.reference,
            sensors=prediction.sensors,
            states={status.sensor: status.state.value for status in prediction.status},
            arrived_s={
                name: self._seconds(frames.samples[name].received_ns) for name in prediction.sensors
            },
            votes=dict(prediction.contributions),
            wait_ms=(frames.completed_ns - frames.reference_sample.received_ns) / 1e6,
            network_ms=prediction.network_ns / 1e6,
            process_ms=prediction.process_ns / 1e6,
            transitions=self.transitions(prediction.status),
            overlap=None if label is None else overlap(label, mask, self._num_classes),
            boundary=None if label is None else boundary_overlap(label, mask, self._num_classes),
            calibration=None
            if label is None or confidence is None
            else calibration(label, mask, confidence),
            kept=kept,
            stable=stable,
            unlabeled=prediction.unlabeled,
        )

    def transitions(self, statuses: Sequence[SensorStatus]) -> tuple[Transition, ...]:
        """Return what the sensors' states went through since the last call, in their order.

        A status remembers the times of the last states alone: where more came and went, as between
        two masks that are minutes apart, the earlier ones get the time of the first that it knows.
        """
        found: list[Transition] = []
        for status in statuses:
            new = Counter(status.entered) - Counter(self._entered.get(status.sensor, {}))
            self._entered[status.sensor] = dict(status.entered)
            known = status.lately[-new.total() :] if new else ()
            forgotten = new - Counter(state for state, _ in known)
            for state, time_ns in (*((s, known[0][1]) for s in forgotten.elements()), *known):
                found.append(Transition(status.sensor, state, self._seconds(time_ns)))
        return tuple(found)

    def _compare(
        self, reference: str, mask: Mask, label: Mask | None
    ) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Compare a mask with the one before of the same reference sensor."""
        before = self._before.get(reference)
        self._before[reference] = (mask, label)
        if before is None or before[0].shape != mask.shape:
            return None, None
        kept, compared = unchanged(before[0], mask)
        if label is None or before[1] is None or before[1].shape != label.shape:
            return (kept, compared), None
        same, of = unchanged(before[0], mask, (before[1] == label) & (label != 255))
        return (kept, compared), (same, of)

    def _seconds(self, time_ns: int) -> float:
        return (time_ns - self._start_ns) / 1e9
