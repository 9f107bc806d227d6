"""Header stamps that can be believed: absurd ones are told from clock jumps by the next message.

One wild stamp among good ones is a fault of that message. Two in a row that agree with one another
are a clock that was set, a bag that was paused, or a loop that began again: then both are taken.
So an odd message is held back until the next one of the same sensor decides, and nothing is lost.
A stamp that stands still confirms nothing: that clock has not jumped, it has stopped.

A message may be late without being odd, for it may have been held up on its way; but it cannot have
overtaken time. So a stamp is odd as soon as it is a little ahead of all that came before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from anymodal_seg_ros.frames import Sample

FUTURE_NS = 100_000_000
"""A stamp this far ahead of its sensor's own clock is odd."""

_LAGS = 30


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
        """Set up a guard that takes deviations of more than ``jump_ns`` for jumps."""
        self._jump_ns = jump_ns
        self._future_ns = min(FUTURE_NS, jump_ns)
        self._last: Sample | None = None
        self._held: Sample | None = None
        self._lags: deque[int] = deque(maxlen=_LAGS)
        """Arrival minus stamp, of the last samples that were believed."""

    def admit(self, sample: Sample) -> Admission:
        """Judge the newest sample of the sensor."""
        held, self._held = self._held, None
        if self._last is None or self._fits(self._last, sample):
            self._believe(sample)
            return Admission((sample,), rejected=self._describe(held) if held else "")
        if held is not None and sample.time_ns > held.time_ns and self._agree(held, sample):
            jumped = not self._agree(self._last, held)
            self._lags.clear()
            self._believe(sample)
            return Admission((held, sample), jumped=jumped)
        self._held = sample
        return Admission((), rejected=self._describe(held) if held else "")

    def _believe(self, sample: Sample) -> None:
        self._last = sample
        self._lags.append(_lag_ns(sample))

    def _fits(self, last: Sample, sample: Sample) -> bool:
        """Whether a stamp has neither jumped nor overtaken the sensor's own clock."""
        return self._agree(last, sample) and min(self._lags) - _lag_ns(sample) <= self._future_ns

    def _agree(self, before: Sample, after: Sample) -> bool:
        """Whether stamps advanced about as much as the arrival clock did."""
        return abs(_lag_ns(before) - _lag_ns(after)) <= self._jump_ns

    def _describe(self, odd: Sample) -> str:
        assert self._last is not None  # only a sample that disagreed with a last one is held
        drift_ns, limit_ns = _lag_ns(self._last) - _lag_ns(odd), self._jump_ns
        if abs(drift_ns) <= limit_ns:
            drift_ns, limit_ns = min(self._lags) - _lag_ns(odd), self._future_ns
        return (
            f"stamp is {odd.stamp_ns / 1e9:.3f} s, {drift_ns / 1e9:+.3f} s off the sensor's own "
            f"clock: expected less than {limit_ns / 1e9:g} s"
        )


def _lag_ns(sample: Sample) -> int:
    return sample.received_ns - sample.time_ns
