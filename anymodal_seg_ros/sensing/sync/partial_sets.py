"""Sets with holes: what message_filters matches, and what it leaves out because somebody is absent.

Every complete set of :class:`ApproximateTimeQueues` leaves at once. A message of the first living
input that is in none leaves as well, with the nearest message of every other input that has one, as
soon as nothing better can come: when the others' stamps have passed it, or they are down, or at its
deadline. Who comes later than that completes the set after all.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing.sync.approximate_time import (
    REPEATED,
    ApproximateTimeQueues,
    Arrival,
    nearest_time,
)
from anymodal_seg_ros.sensing.sync.rates import ArrivalLearner

SHORTEST_DEADLINE_NS = 100_000_000
"""A message waits this long for others of which it is not known how late they usually come."""
LONGEST_DEADLINE_NS = 10_000_000_000
"""Whose messages come later than this against the others' is not waited for by what was learned."""
_SCHEDULING_NS = 20_000_000
"""How much later than ever a healthy message may be noticed by a busy process."""
TOO_LATE = "a later set had left"

States = Sequence[SensorState]


@dataclass(frozen=True, slots=True)
class MessageSet:
    """Messages of one instant.

    Attributes:
        messages: one per input, None for what is absent.
        missing: why each input is absent, in words; empty for those present.
        completes: a set of this instant, or of a later one, has left before, without what has come
            now.
    """

    messages: tuple[Any | None, ...]
    missing: tuple[str, ...]
    completes: bool = False


class _Recent:
    """The latest messages of one input, matched or not, and what was refused last."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.times: list[int] = []
        self.held: dict[int, Arrival] = {}
        self.arrivals = ArrivalLearner()
        self.refused: Arrival | None = None

    def add(self, arrival: Arrival) -> None:
        times, time_ns = self.times, arrival.time_ns
        if not times or time_ns > times[-1]:
            times.append(time_ns)
        elif time_ns not in self.held:
            insort(times, time_ns)
        self.held[time_ns] = arrival
        if len(times) > self.most:
            del self.held[times.pop(0)]

    def clear(self) -> None:
        self.times.clear()
        self.held.clear()
        self.refused = None

    def discard(self, arrival: Arrival) -> None:
        if self.held.get(arrival.time_ns) is arrival:
            del self.held[arrival.time_ns]
            self.times.remove(arrival.time_ns)

    def nearest(self, time_ns: int) -> Arrival | None:
        found = nearest_time(self.times, time_ns)
        return None if found is None else self.held[found]


class PartialSets:
    """Makes sets of messages. Reads no clock and takes no lock: both are the caller's.

    Each message opens one set at most, in order of time, and is in no other set of its own instant,
    but for the one that completes it. A slower input's message may serve several instants.
    """

    def __init__(
        self, inputs: int, queue_size: int, slop_ns: int, deadline_ns: int | None = None
    ) -> None:
        """Set up for some inputs, in order of preference.

        Args:
            inputs: how many there are.
            queue_size: unmatched messages, and recent ones, that are kept per input at most.
            slop_ns: largest distance between the messages of a set.
            deadline_ns: a set leaves at most this long after the message that opens it has come;
                None: 0.1 s, or as long as the living inputs have lately taken.
        """
        self._slop_ns = slop_ns
        self._deadline_ns = deadline_ns
        self._queues = ApproximateTimeQueues(inputs, queue_size, slop_ns)
        self._recent = [_Recent(queue_size) for _ in range(inputs)]
        self._waiting: list[list[Arrival]] = [[] for _ in range(inputs)]
        """Messages that may still open a set, by input, in order of time."""
        self._openers: set[Arrival] = set()
        """Those of them before whose input nobody was alive when they came."""
        self._left_ns: int | None = None
        """Of the latest set that has left."""
        self._restarted: set[int] = set()
        """Inputs whose clocks have gone back, until those of all have."""
        self.ready: deque[MessageSet] = deque()
        self.dropped = [Counter[str]() for _ in range(inputs)]
        """Messages that no set used, by reason."""

    def receive(self, arrival: Arrival, states: States) -> None:
        """Take one message; the set that it completes leaves at once."""
        self._recent[arrival.index].add(arrival)
        match = self._queues.add(arrival)
        for gone, reason in match.gone:
            gone.closed |= reason == REPEATED
            self._count(gone, reason)
        if match.found:
            self._leave_complete(match.found, states)

    def open(self, arrival: Arrival, states: States) -> None:
        """Let a message, received or unfit, open a set if none takes it."""
        index, recent = arrival.index, self._recent[arrival.index]
        if arrival.unfit:
            recent.refused = arrival
            if not states[index].alive:
                return
        recent.arrivals.observe(arrival.time_ns, arrival.heard_ns)
        if arrival.delivered:
            return
        if not index or not any(state.alive for state in states[:index]):
            self._openers.add(arrival)
        insort(self._waiting[index], arrival, key=_time)

    def poll(self, now_ns: int, states: States) -> None:
        """Let the sets leave for which nothing is to be waited for any more."""
        alive = False  # whether anybody preferred to the input is
        for waiting, state in zip(self._waiting, states, strict=True):
            while waiting:
                first = waiting[0]
                if alive and first not in self._openers and not self._has_waited(first, now_ns):
                    break  # who is preferred opens the set, or has died: time will tell
                if not self._is_decided(first, now_ns, states):
                    break
                self._open_now(first, states)
            alive = alive or state.alive

    def restart(self, index: int, states: States) -> None:
        """Begin anew with one input, because its clock has gone back."""
        for arrival in list(self._waiting[index]):
            self._open_now(arrival, states)
        self._queues.restart(index)
        self._restarted.add(index)
        if len(self._restarted) == len(self._recent):  # nobody is behind them any more
            self._restarted.clear()
            for arrival in self._queues.let_former_go():
                self._count(arrival, "clock jump")
        self._recent[index].clear()
        for recent in self._recent:  # the others may be about to do the same
            recent.arrivals.restart()
        self._left_ns = None

    def flush(self, states: States) -> None:
        """Let everything leave that may."""
        for waiting in self._waiting:
            for arrival in list(waiting):
                self._open_now(arrival, states)

    def forget(self, arrival: Arrival) -> None:
        """Let a received message go whose stamp has turned out to be absurd."""
        self._queues.discard(arrival)
        self._recent[arrival.index].discard(arrival)

    def _is_decided(self, arrival: Arrival, now_ns: int, states: States) -> bool:
        """Whether no other input can be expected to have something for a message's instant."""
        if not arrival.unfit and not self._queues.holds(arrival):
            return True  # so many have come since that nothing can match it any more
        for k, state in enumerate(states):
            if k != arrival.index and not self._is_settled(k, arrival, now_ns, state):
                return False
        return True

    def _has_waited(self, arrival: Arrival, now_ns: int) -> bool:
        """Whether a message has waited as long as it must where nothing is known of the others."""
        least_ns = SHORTEST_DEADLINE_NS if self._deadline_ns is None else self._deadline_ns
        return now_ns >= arrival.heard_ns + least_ns

    def _is_settled(self, index: int, arrival: Arrival, now_ns: int, state: SensorState) -> bool:
        """Whether one input will have nothing more for a message's instant."""
        if state.down or state is SensorState.DISABLED:
            return True
        arrivals, last_ns = self._recent[index].arrivals, arrival.time_ns + self._slop_ns
        next_ns = arrivals.earliest_next_ns
        if next_ns is not None and next_ns > last_ns:
            return True
        if not self._has_waited(arrival, now_ns):
            return False
        if self._deadline_ns is not None or arrivals.longest_lag_ns is None:
            return True
        usual_ns = last_ns + arrivals.longest_lag_ns + _SCHEDULING_NS
        return now_ns >= usual_ns or usual_ns > arrival.heard_ns + LONGEST_DEADLINE_NS

    def _open_now(self, arrival: Arrival, states: States) -> None:
        """Let the set of a message leave, if it is to have one of its own."""
        index, opens = arrival.index, arrival in self._openers
        self._stop_waiting(arrival)
        if arrival.closed:
            return
        preferred = [k for k in range(index) if states[k].alive]
        if preferred and not opens:
            return  # it was for them to open a set of this instant
        arrival.closed = True
        if any(self._nearest(k, arrival.time_ns) for k in preferred):
            return  # they have done so, or will
        if self._left_ns is not None and arrival.time_ns <= self._left_ns:
            return
        found: list[Arrival | None] = [None] * index
        found += [self._nearest(k, arrival.time_ns) for k in range(index, len(self._recent))]
        found[index] = None if arrival.unfit else arrival
        if arrival.unfit and all(a is None or a.delivered for a in found):
            return
        self._leave(arrival, found, states)

    def _leave_complete(self, found: tuple[Arrival, ...], states: States) -> None:
        """Let a matched set leave."""
        first = found[0]
        if first.complete:
            return  # it has left with other messages that are near enough
        behind = self._left_ns is not None and first.time_ns <= self._left_ns
        completes = behind or any(a.former or (a.closed and a.delivered) for a in found)
        self._leave(first, found, states, completes)

    def _leave(
        self,
        opener: Arrival,
        found: Sequence[Arrival | None],
        states: States,
        completes: bool = False,
    ) -> None:
        """Let a set leave, and before it the earlier ones, which would come too late after it."""
        opener.closed = True
        opener.complete = None not in found
        for arrival in found:
            if arrival is not None:
                arrival.delivered = True
                self._stop_waiting(arrival)
        if not any(a is not None and a.former for a in found):
            self._leave_in_order(opener, states)
        missing = tuple(
            "" if a is not None else self._why_missing(k, opener, states[k])
            for k, a in enumerate(found)
        )
        messages = tuple(None if a is None else a.message for a in found)
        self.ready.append(MessageSet(messages, missing, completes))

    def _leave_in_order(self, opener: Arrival, states: States) -> None:
        """Let the earlier sets leave, and take note of how far time has come."""
        if self._openers:
            earlier = [a for a in self._openers if a.time_ns < opener.time_ns]
            for arrival in sorted(earlier, key=_time):
                self._open_now(arrival, states)
        if self._left_ns is None or opener.time_ns > self._left_ns:
            self._left_ns = opener.time_ns

    def _stop_waiting(self, arrival: Arrival) -> None:
        self._openers.discard(arrival)
        waiting = self._waiting[arrival.index]
        if arrival in waiting:
            waiting.remove(arrival)

    def _nearest(self, index: int, time_ns: int) -> Arrival | None:
        """Return the stored message of an input nearest to a time and within the slop."""
        found = self._recent[index].nearest(time_ns)
        older = self._queues.nearest(index, time_ns)
        if found is None or (
            older is not None and abs(older.time_ns - time_ns) < abs(found.time_ns - time_ns)
        ):
            found = older
        return found if found and abs(found.time_ns - time_ns) <= self._slop_ns else None

    def _why_missing(self, index: int, opener: Arrival, state: SensorState) -> str:
        if opener.index == index:
            return opener.unfit
        recent = self._recent[index]
        refused = recent.refused
        if refused is not None and abs(refused.time_ns - opener.time_ns) <= self._slop_ns:
            return refused.unfit
        if not state.alive:
            return state.value
        near = recent.nearest(opener.time_ns)
        if near is None:
            return "no message"
        apart_ms = abs(near.time_ns - opener.time_ns) / 1e6
        return f"nearest message {apart_ms:.0f} ms away, {self._slop_ns / 1e6:.0f} ms allowed"

    def _count(self, gone: Arrival, reason: str) -> None:
        """Count a message that the queues have let go, unless a set has had it."""
        if not gone.delivered:
            late = self._left_ns is not None and gone.time_ns <= self._left_ns and gone.closed
            self.dropped[gone.index][TOO_LATE if late else reason] += 1


def _time(arrival: Arrival) -> int:
    return arrival.time_ns
