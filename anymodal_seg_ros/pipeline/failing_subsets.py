"""Sets of sensors that the engine cannot fuse: masks go on with the largest one that it can.

An engine may fail for some sets alone: a plan that was not built for so many sensors, memory that
lasts for three of four. Without them every frame would be lost while each part of it would do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from anymodal_seg_ros.foreign_text import one_line

FAILURES = 3
"""Failures in a row of one set after which smaller ones are tried. Each of those is given up at its
first failure, until one works."""

_AGAIN_NS = 5_000_000_000
_LONGEST_NS = 300_000_000_000
"""What has failed is tried again after the first time; each further failure doubles it, up to the
second: that costs one frame, and memory may have become free."""

Sensors = tuple[str, ...]


@dataclass(slots=True)
class _Failing:
    """What is remembered of one set of sensors."""

    failures: int = 0
    wait_ns: int = 0
    noted_ns: int = 0
    error: str = ""

    def holds(self, now_ns: int) -> bool:
        """Whether it is not to be tried now; a clock that went back says nothing of before."""
        return bool(self.wait_ns) and 0 <= now_ns - self.noted_ns < self.wait_ns


class FailingSubsets:
    """Remembers which sets of sensors fail. All times are the caller's."""

    def __init__(self) -> None:
        """Begin in the belief that all work."""
        self._sets: dict[frozenset[str], _Failing] = {}

    def forget(self) -> None:
        """Begin anew, as with another engine."""
        self._sets.clear()

    def choose(
        self, seen: Sensors, enough: Callable[[Sequence[str]], bool], now_ns: int
    ) -> Sensors:
        """Return the largest set that is not known to fail; of equal ones, the first in order.

        Args:
            seen: the sensors that could be fused.
            enough: whether a mask may be made of some of them.
            now_ns: on the clock of the messages' arrival.

        Returns:
            All of them, too, where nothing else is left to try.
        """
        if not self._sets:
            return seen
        for size in range(len(seen), 0, -1):
            for some in combinations(seen, size):
                known = self._sets.get(frozenset(some))
                if (known is None or not known.holds(now_ns)) and enough(some):
                    return some
        return seen

    def failed(self, tried: Sensors, error: Exception, now_ns: int) -> None:
        """Take note that the engine failed for a set of sensors."""
        known = self._sets.setdefault(frozenset(tried), _Failing())
        known.failures += 1
        known.error = one_line(f"{type(error).__name__}: {error}".removesuffix(": "))
        if known.failures >= FAILURES or self._part_of_one(frozenset(tried), now_ns):
            known.wait_ns = min(max(2 * known.wait_ns, _AGAIN_NS), _LONGEST_NS)
            known.noted_ns = now_ns

    def worked(self, tried: Sensors) -> None:
        """Take note of a mask that was made from a set of sensors."""
        self._sets.pop(frozenset(tried), None)

    def reason(self, seen: Sensors) -> str:
        """Say why fewer than all of the sensors were chosen, in words."""
        return (
            f"the engine fails for {' with '.join(seen)} ({self._sets[frozenset(seen)].error}): "
            "see what 'anymodal-seg verify-engine' says"
        )

    def _part_of_one(self, tried: frozenset[str], now_ns: int) -> bool:
        """Whether a set is only tried because a larger one fails."""
        return any(tried < larger and kept.holds(now_ns) for larger, kept in self._sets.items())
