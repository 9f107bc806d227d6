"""Header stamps that can be believed: absurd ones are told from clock jumps by the next message.

One wild stamp among good ones is a fault of that message. Two in a row that agree with one another
are a clock that was set, a bag that was paused, or a loop that began again: then both are taken.
So an odd message is held back until the next one of the same sensor decides, and nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from anymodal_seg_ros.frames import Sample


@dataclass(frozen=True, slots=True)
class Admission:
    """What the guard says to one sample.

    Attributes:
        samples: those that may go on, oldest first; empty while an odd one is held back.
        rejected: why a held sample was given up, in words; empty if none was.
        jumped: whether the sensor's clock has jumped at the first of ``samples``.
    """

    samples: tuple[Sample, ...]
    rejected: str = ""
    jumped: bool = False


class StampGuard:
    """Follows the stamps of one sensor against the times at which its messages arrive."""

    def __init__(self, jump_ns: int) -> None:
        """Set up a guard that calls deviations of more than ``jump_ns`` odd."""
        self._jump_ns = jump_ns
        self._last: Sample | None = None
        self._held: Sample | None = None

    def admit(self, sample: Sample) -> Admission:
        """Judge the newest sample of the sensor."""
        held, self._held = self._held, None
        if self._last is None or self._agree(self._last, sample):
            self._last = sample
            return Admission((sample,), rejected=self._describe(held) if held else "")
        if held is not None and self._agree(held, sample):
            self._last = sample
            return Admission((held, sample), jumped=True)
        self._held = sample
        return Admission((), rejected=self._describe(held) if held else "")

    def _agree(self, before: Sample, after: Sample) -> bool:
        """Whether stamps advanced about as much as the arrival clock did."""
        return abs(self._drift_ns(before, after)) <= self._jump_ns

    def _describe(self, odd: Sample) -> str:
        assert self._last is not None  # only a sample that disagreed with a last one is held
        drift_s = self._drift_ns(self._last, odd) / 1e9
        return (
            f"stamp is {odd.stamp_ns / 1e9:.3f} s, {drift_s:+.3f} s off the sensor's own clock: "
            f"expected less than {self._jump_ns / 1e9:g} s"
        )

    @staticmethod
    def _drift_ns(before: Sample, after: Sample) -> int:
        return (after.time_ns - before.time_ns) - (after.received_ns - before.received_ns)
