"""Header stamps that can be believed: absurd ones are told from clock jumps by the next message.

One wild stamp among good ones is a fault of that message. Two in a row that agree with one another
are a clock that was set, a bag that was paused, or a loop that began again: then both are taken.
So an odd message is held back until the next one of the same sensor decides, and nothing is lost.
A stamp that stands still confirms nothing: that clock has not jumped, it has stopped.

A message may be late without being odd, for it may have been held up on its way; but it cannot have
overtaken time. So a stamp is odd as soon as it is a little ahead of all that came before.
"""

from __future__ import annotations

from typing import NamedTuple

from anymodal_seg_ros.frames import Sample

FUTURE_NS = 100_000_000
"""A stamp this far ahead of its sensor's own clock is odd."""

_MEMORY = 30
"""Messages after which an unusually quick one begins to be forgotten."""


class Admission(NamedTuple):
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
        self._last_lag_ns = 0
        """Arrival minus stamp of the last sample that was believed."""
        self._least_lag_ns = 0
        """The least of the last 30 to 60 of them."""
        self._next_least_ns = 0
        self._believed = 0

    def admit(self, sample: Sample) -> Admission:
        """Judge the newest sample of the sensor."""
        held, self._held = self._held, None
        lag_ns = _lag_ns(sample)
        if self._last is None or (
            # Neither jumped nor ahead of the sensor's own clock.
            abs(self._last_lag_ns - lag_ns) <= self._jump_ns
            and self._least_lag_ns - lag_ns <= self._future_ns
        ):
            self._believe(sample, lag_ns)
            return Admission((sample,), self._describe(held) if held else "")
        if held is not None and sample.time_ns > held.time_ns and self._agree(held, sample):
            jumped = not self._agree(self._last, held)
            self._believed = 0
            self._believe(sample, lag_ns)
            return Admission((held, sample), jumped=jumped)
        self._held = sample
        return Admission((), self._describe(held) if held else "")

    def _believe(self, sample: Sample, lag_ns: int) -> None:
        self._last, self._last_lag_ns = sample, lag_ns
        if self._believed % _MEMORY == 0:
            self._least_lag_ns = self._next_least_ns if self._believed else lag_ns
            self._next_least_ns = lag_ns
        if lag_ns < self._next_least_ns:
            self._next_least_ns = lag_ns
        if lag_ns < self._least_lag_ns:
            self._least_lag_ns = lag_ns
        self._believed += 1

    def _agree(self, before: Sample, after: Sample) -> bool:
        """Whether stamps advanced about as much as the arrival clock did."""
        return abs(_lag_ns(before) - _lag_ns(after)) <= self._jump_ns

    def _describe(self, odd: Sample) -> str:
        assert self._last is not None  # only a sample that disagreed with a last one is held
        drift_ns, limit_ns = self._last_lag_ns - _lag_ns(odd), self._jump_ns
        if abs(drift_ns) <= limit_ns:
            drift_ns, limit_ns = self._least_lag_ns - _lag_ns(odd), self._future_ns
        return (
            f"stamp is {odd.stamp_ns / 1e9:.3f} s, {drift_ns / 1e9:+.3f} s off the sensor's own "
            f"clock: expected less than {limit_ns / 1e9:g} s"
        )


def _lag_ns(sample: Sample) -> int:
    return sample.received_ns - sample.time_ns
