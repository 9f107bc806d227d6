"""How the packets of one event camera follow each other: by their times and by their numbers.

From sensor time to header time: a camera counts microseconds since it was switched on. The host
stamps a packet when its first bytes arrive: always later than they were sensed, by a delay that
varies. So the smallest difference seen lately between stamp and sensor time is the best estimate of
the offset between the two clocks.
"""

from __future__ import annotations

import enum

from anymodal_seg_ros.sensing.sync.clock import FUTURE_NS

_MEMORY_NS = 5_000_000_000
"""The smallest difference is looked for in the last one to two times this span. Quartz clocks drift
apart by some 50 µs per second, so the estimate follows to within half a millisecond."""


class ClockVerdict(enum.Enum):
    """What the clock says to a packet's two times."""

    FITS = "fits"
    ODD = "odd"
    """Far off the others: the packet's time cannot be believed."""
    JUMPED = "jumped"
    """The second one in a row that is off by the same: a clock was set, or a bag began anew."""


class SensorClock:
    """Estimates the offset between sensor time and header time."""

    def __init__(self, jump_ns: int) -> None:
        """Set up a clock that calls deviations of more than ``jump_ns`` odd.

        A packet may be late on its way, but it cannot have overtaken time: one that seems to is odd
        sooner. It would be the smallest difference for seconds.
        """
        self._jump_ns, self._early_ns = jump_ns, min(FUTURE_NS, jump_ns)
        self._odd_ns: int | None = None
        self._lowest: list[int] = []
        self._since_ns = 0

    @property
    def offset_ns(self) -> int | None:
        """Header time minus sensor time; None before the first packet."""
        return min(self._lowest) if self._lowest else None

    def observe(self, sensor_ns: int, stamp_ns: int) -> ClockVerdict:
        """Learn from the first sensor time of a packet and the packet's header stamp."""
        difference = stamp_ns - sensor_ns
        offset = self.offset_ns
        if offset is not None and not -self._early_ns <= difference - offset <= self._jump_ns:
            before, self._odd_ns = self._odd_ns, difference
            if before is None or abs(difference - before) > self._jump_ns:
                return ClockVerdict.ODD
            self._lowest = []
        jumped, self._odd_ns = self._odd_ns is not None and not self._lowest, None
        self._learn(difference, stamp_ns)
        return ClockVerdict.JUMPED if jumped else ClockVerdict.FITS

    def _learn(self, difference: int, stamp_ns: int) -> None:
        """Keep the smallest difference of the present span and of the one before it."""
        if not self._lowest or stamp_ns - self._since_ns > _MEMORY_NS:
            self._lowest = [*self._lowest[-1:], difference]
            self._since_ns = stamp_ns
        else:
            self._lowest[-1] = min(self._lowest[-1], difference)


_OVERTAKEN = 8
"""Numbers that lie further back are no packets that were overtaken."""

_FIRST_NUMBERS = (0, 1)
"""With which drivers begin."""


class PacketOrder(enum.Enum):
    """How a packet follows the one before it, by its sequence number.

    Best effort transport loses some, and drivers start anew.
    """

    NEXT = "next"
    REPEATED = "repeated"
    GAP = "gap"
    """Packets between the two are missing."""
    LATE = "late"
    """Others have overtaken it, and were decoded without it."""
    RESTARTED = "restarted"
    """The count began anew: the driver was started again, or a bag loops."""


class SequenceCount:
    """Follows the sequence numbers of one camera.

    Attributes:
        lost: packets that never came.
    """

    def __init__(self) -> None:
        """Start before the first packet."""
        self.lost = 0
        self._last: int | None = None

    def forget(self) -> None:
        """Take the next packet as the first one."""
        self._last = None

    def judge(self, number: int) -> PacketOrder:
        """Say how a packet follows. Senders that leave the number at zero are not followed."""
        last, self._last = self._last, number
        if last is None or number == last + 1 or number == last == 0:
            return PacketOrder.NEXT
        if number == last:
            return PacketOrder.REPEATED
        if number < last - _OVERTAKEN or (number in _FIRST_NUMBERS and number < last):
            return PacketOrder.RESTARTED
        if number < last:
            self._last = last
            return PacketOrder.LATE
        self.lost += number - last - 1
        return PacketOrder.GAP
