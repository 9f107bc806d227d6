"""What happened to the samples of each sensor: diagnostics speak of what was fused."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from anymodal_seg_ros.frames import FusedShare, Prediction
from anymodal_seg_ros.inference.evidence import NOTHING_MOVES

LOOKED_AT = 60
"""Masks that the shares are taken over."""


@dataclass(slots=True)
class _Sensor:
    """What is remembered of one sensor."""

    reasons: deque[str] = field(default_factory=lambda: deque(maxlen=LOOKED_AT))
    """For each of the last masks why it was left out; empty: it was used."""
    encoded: int = 0
    reused: int = 0
    skipped: int = 0
    share: float = 0.0
    """Its share of the votes, a running mean."""


class FusionRecord:
    """Counts for every sensor in how many of the last masks it was, and why not."""

    def __init__(self, sensors: Iterable[str]) -> None:
        """Begin without any mask."""
        self._sensors = {name: _Sensor() for name in sensors}
        self.masks = 0
        self.blank = 0
        """Masks without labels."""
        self.went_back = 0
        """How often the stamps of masks have gone back."""
        self.went_back_by_ns = 0
        """By how much, the last time."""
        self._time_ns: int | None = None

    def encoded(self, sensor: str) -> None:
        """Count one sample that was taken through all its stages."""
        self._sensors[sensor].encoded += 1

    def reused(self, sensor: str) -> None:
        """Count features that served once more."""
        self._sensors[sensor].reused += 1

    def skipped(self, sensor: str) -> None:
        """Count one sample that there was no time for."""
        self._sensors[sensor].skipped += 1

    def fused(self, prediction: Prediction) -> None:
        """Take note of one mask."""
        self.masks += 1
        self.blank += bool(prediction.unlabeled)
        before_ns, self._time_ns = self._time_ns, prediction.frame_set.reference_sample.time_ns
        if before_ns is not None and self._time_ns < before_ns:
            self.went_back += 1
            self.went_back_by_ns = before_ns - self._time_ns
        for name, sensor in self._sensors.items():
            reason = ""
            if name not in prediction.sensors:
                lacking = prediction.unlabeled or "not fused"
                reason = prediction.frame_set.missing.get(name, lacking)
            sensor.reasons.append(reason)
            if name in prediction.contributions:
                sensor.share += 0.1 * (prediction.contributions[name] - sensor.share)

    def share_of_votes(self, sensor: str) -> float:
        """Return how much a sensor has counted lately, 0..1; 0 where the network does not say."""
        return self._sensors[sensor].share

    def status(self, sensor: str) -> FusedShare:
        """Return what became of one sensor in the last masks."""
        kept = self._sensors[sensor]
        left_out = Counter(map(_kind, filter(None, kept.reasons)))
        usual = left_out.most_common(1)[0][0] if left_out else ""
        reason = next((r for r in reversed(kept.reasons) if r and _kind(r) == usual), "")
        return FusedShare(
            used=len(kept.reasons) - sum(left_out.values()),
            masks=len(kept.reasons),
            reason=reason,
            benign=reason == NOTHING_MOVES,
            encoded=kept.encoded,
            reused=kept.reused,
            skipped=kept.skipped,
        )


def _kind(reason: str) -> str:
    """Return a reason without its figures, which are others for every mask."""
    return re.sub(r"\d+(\.\d+)?", "#", reason)
