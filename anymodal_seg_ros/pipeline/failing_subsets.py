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
"""Failures in a row of one set, which may have worked before, after which smaller ones are tried.
Of those, one that is not known to work is given up at its first failure."""

_AGAIN_NS = 5_000_000_000
_PART_AGAIN_NS = 30_000_000_000
_LONGEST_NS = 300_000_000_000
"""What has failed is tried again after the first time, or as a part of a failing set after the
second; each further failure doubles it, up to the third: that costs one frame, and memory may have
become free."""

Sensors = tuple[str, ...]
Enough = Callable[[Sequence[str]], bool]


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
    """Remembers which sets of sensors fail. All times are the caller's.

    A search costs as many masks as there are sensors, or twice as many: there are too many sets to
    try them all. So it is asked first whether one sensor is to blame. If it is not, masks are made
    of the first sensor, and one after the other joins that works with those before: in the end all
    are in that can be, or as many as the engine takes.
    """

    def __init__(self) -> None:
        """Begin in the belief that all work."""
        self._sets: dict[frozenset[str], _Failing] = {}
        self._working: set[frozenset[str]] = set()

    def forget(self) -> None:
        """Begin anew, as with another engine."""
        self._sets.clear()
        self._working.clear()

    def choose(self, seen: Sensors, enough: Enough, now_ns: int) -> Sensors:
        """Return all sensors, or else the set that is to be tried or has been found.

        Args:
            seen: the sensors that could be fused.
            enough: whether a mask may be made of some of them.
            now_ns: on the clock of the messages' arrival.

        Returns:
            All of them, too, where nothing else is left to try.
        """
        if not self._sets or not self._holds(seen, now_ns):
            return seen
        for some in combinations(seen, len(seen) - 1):
            if not self._holds(some, now_ns) and enough(some):
                return some
        needed = [name for name in seen if not enough([other for other in seen if other != name])]
        free = [name for name in seen if name not in needed]
        for first in range(max(1, len(free))):
            found = self._grown([*needed, *free[first:], *free[:first]], enough, now_ns)
            if found:
                return tuple(name for name in seen if name in found)
        return seen

    def failed(self, tried: Sensors, error: Exception, now_ns: int) -> None:
        """Take note that the engine failed for a set of sensors."""
        key = frozenset(tried)
        known = self._sets.setdefault(key, _Failing())
        known.failures += 1
        known.error = one_line(f"{type(error).__name__}: {error}".removesuffix(": "))
        part = any(key < larger and kept.holds(now_ns) for larger, kept in self._sets.items())
        if known.failures >= FAILURES or (part and key not in self._working):
            again_ns = _PART_AGAIN_NS if part else _AGAIN_NS
            known.wait_ns = min(max(2 * known.wait_ns, again_ns), _LONGEST_NS)
            known.noted_ns = now_ns
            self._working.discard(key)

    def worked(self, tried: Sensors) -> None:
        """Take note of a mask that was made from a set of sensors."""
        if self._sets:
            key = frozenset(tried)
            self._sets = {k: kept for k, kept in self._sets.items() if not k <= key}
            self._working.add(key)

    def reason(self, seen: Sensors) -> str:
        """Say why fewer than all of the sensors were chosen, in words."""
        return (
            f"the engine fails for {' with '.join(seen)} ({self._sets[frozenset(seen)].error}): "
            "see what 'anymodal-seg verify-engine' says"
        )

    def _holds(self, some: Sequence[str], now_ns: int) -> bool:
        known = self._sets.get(frozenset(some))
        return known is not None and known.holds(now_ns)

    def _grown(self, order: list[str], enough: Enough, now_ns: int) -> list[str]:
        """Return the set to try next when sensors join in order, or what has come of it."""
        found: list[str] = []
        for name in order:
            larger = [*found, name]
            if not enough(larger):
                found = larger
            elif not self._holds(larger, now_ns):
                found = larger
                if frozenset(found) not in self._working:
                    break
        return found if found and enough(found) else []
