"""Which messages belong together by message_filters' ApproximateTimeSynchronizer: the same ones.

The rule, as its Python package (6.0) has it: every new message is laid beside what the other inputs
have stored within ``slop`` of it, nearest first, and the first combination that spans less than
``slop`` is a set. What was in a set is gone. An input stores the ``queue_size`` latest stamps, a
repeated stamp in the place of the one before.

Here the stores are sorted, and the search never turns back: a message is only chosen if the inputs
after it can still complete the set. So cost does not explode with the length of the queues.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

REPEATED = "duplicate stamp"
QUEUE_FULL = "queue full"


@dataclass(slots=True, eq=False)
class Arrival:
    """One message of one input, and what has become of it.

    Attributes:
        index: of its input.
        time_ns: its stamp.
        received_ns: when it arrived, on the caller's clock.
        message: whatever it is; never looked at.
        unfit: why it must not be delivered, in words; empty if it may.
        order: its place in the order of arrival; of two that are equally near, the earlier wins.
        delivered: it has been in a set.
        closed: no set will be opened for it any more.
        complete: it was the first message of a set without holes.
        former: the clock of its input has gone back since it came.
        heard_ns: when it was handed over, from when on others are waited for.
    """

    index: int
    time_ns: int
    received_ns: int
    message: Any = None
    unfit: str = ""
    order: int = 0
    delivered: bool = False
    closed: bool = False
    complete: bool = False
    former: bool = False
    heard_ns: int = 0

    @property
    def stamp_ns(self) -> int:
        """Its stamp, by the name that samples have for it."""
        return self.time_ns


class Match(NamedTuple):
    """What a new message has led to.

    Attributes:
        found: the set, one message per input; empty if there is none.
        gone: messages that the queues have let go unmatched, each with the reason.
    """

    found: tuple[Arrival, ...] = ()
    gone: tuple[tuple[Arrival, str], ...] = ()


class ApproximateTimeQueues:
    """The messages of all inputs that have not been matched yet."""

    def __init__(self, inputs: int, queue_size: int, slop_ns: int) -> None:
        """Set up empty queues.

        Args:
            inputs: how many there are.
            queue_size: messages kept per input at most, those with the latest stamps.
            slop_ns: a set spans less than this in time.
        """
        self._queue_size = queue_size
        self._slop_ns = slop_ns
        self._times: list[list[int]] = [[] for _ in range(inputs)]
        self._held: list[dict[int, Arrival]] = [{} for _ in range(inputs)]
        self._arrived = 0

    def add(self, arrival: Arrival) -> Match:
        """Store a message, and match it if it completes a set."""
        gone = self._store(arrival)
        if gone and not self.holds(arrival):
            return Match(gone=gone)
        options: list[list[Arrival]] = []
        for k in range(len(self._held)):
            if k != arrival.index:
                near = self._near(k, arrival.time_ns)
                if not near:
                    return Match(gone=gone)
                options.append(near)
        chosen = _first_combination(options, arrival.time_ns, self._slop_ns)
        if chosen is None:
            return Match(gone=gone)
        chosen.insert(arrival.index, arrival)
        for found in chosen:
            self.discard(found)
        return Match(tuple(chosen), gone)

    def holds(self, arrival: Arrival) -> bool:
        """Whether a message may still be matched."""
        return self._held[arrival.index].get(arrival.time_ns) is arrival

    def discard(self, arrival: Arrival) -> None:
        """Let a message go, if it is here."""
        if self.holds(arrival):
            times = self._times[arrival.index]
            del times[bisect_left(times, arrival.time_ns)]
            del self._held[arrival.index][arrival.time_ns]

    def restart(self, index: int) -> None:
        """Take note that an input's clock has gone back.

        What it has sent before can still be matched by inputs that are behind it, but is the first
        to go where there is no room: by their stamps the later messages would be.
        """
        for arrival in self._held[index].values():
            arrival.former = True

    def let_former_go(self) -> tuple[Arrival, ...]:
        """Let go of what came before the clocks went back. Returns what that was."""
        gone = tuple(a for held in self._held for a in held.values() if a.former)
        for arrival in gone:
            self.discard(arrival)
        return gone

    def nearest(self, index: int, time_ns: int) -> Arrival | None:
        """Return the unmatched message of an input nearest to a time, whatever the distance."""
        time_found = nearest_time(self._times[index], time_ns)
        return None if time_found is None else self._held[index][time_found]

    def _store(self, arrival: Arrival) -> tuple[tuple[Arrival, str], ...]:
        """Insert a message; return what had to go for it."""
        times, held = self._times[arrival.index], self._held[arrival.index]
        before = held.get(arrival.time_ns)
        held[arrival.time_ns] = arrival
        if before is not None:
            arrival.order = before.order
            return ((before, REPEATED),)
        self._arrived += 1
        arrival.order = self._arrived
        insort(times, arrival.time_ns)
        if len(times) <= self._queue_size:
            return ()
        oldest = next((at for at, time_ns in enumerate(times) if held[time_ns].former), 0)
        return ((held.pop(times.pop(oldest)), QUEUE_FULL),)

    def _near(self, index: int, time_ns: int) -> list[Arrival]:
        """Return an input's messages within the slop of a time, nearest first."""
        times, held = self._times[index], self._held[index]
        if not times:
            return []
        low = bisect_left(times, time_ns - self._slop_ns)
        high = bisect_right(times, time_ns + self._slop_ns)
        near = [held[t] for t in times[low:high]]
        if len(near) > 1:
            near.sort(key=lambda a: (abs(a.time_ns - time_ns), a.order))
        return near


def nearest_time(times: Sequence[int], time_ns: int) -> int | None:
    """Return the nearest of some sorted times, the later of two; None if there are none."""
    at = bisect_left(times, time_ns)
    if at == len(times):
        return times[-1] if at else None
    if at and time_ns - times[at - 1] < times[at] - time_ns:
        return times[at - 1]
    return times[at]


def _first_combination(
    options: Sequence[Sequence[Arrival]], time_ns: int, slop_ns: int
) -> list[Arrival] | None:
    """Choose one message of each input, the first options first, so that all span less than slop.

    That is the first fitting element of the product of the options; but an option is only taken if
    those behind it leave a way to the end.
    """
    if slop_ns <= 0:
        return None
    chosen = [choices[0] for choices in options]
    times = [time_ns, *(a.time_ns for a in chosen)]
    if max(times) - min(times) < slop_ns:
        return chosen
    low_ns = high_ns = time_ns
    chosen = []
    for place, choices in enumerate(options):
        for choice in choices:
            low, high = min(low_ns, choice.time_ns), max(high_ns, choice.time_ns)
            if high - low < slop_ns and _completable(options[place + 1 :], low, high, slop_ns):
                chosen.append(choice)
                low_ns, high_ns = low, high
                break
        else:
            return None
    return chosen


def _completable(
    options: Sequence[Sequence[Arrival]], low_ns: int, high_ns: int, slop_ns: int
) -> bool:
    """Whether every input has an option so that all of them, low and high span less than slop."""
    reach = range(high_ns - slop_ns + 1, low_ns + slop_ns)
    if not all(any(a.time_ns in reach for a in choices) for choices in options):
        return False
    starts = {low_ns}
    for choices in options:
        starts.update(a.time_ns for a in choices if high_ns - slop_ns < a.time_ns < low_ns)
    return any(
        all(any(start <= a.time_ns < start + slop_ns for a in choices) for choices in options)
        for start in starts
    )
