"""Sequence numbers of packets: best effort transport loses some, and drivers start anew."""

from __future__ import annotations

import enum


class Order(enum.Enum):
    """How a packet follows the one before it."""

    NEXT = "next"
    REPEATED = "repeated"
    GAP = "gap"
    """Packets between the two are missing."""
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

    def judge(self, number: int) -> Order:
        """Say how a packet follows. Senders that leave the number at zero are not followed."""
        last, self._last = self._last, number
        if last is None or number == last + 1 or number == last == 0:
            return Order.NEXT
        if number == last:
            return Order.REPEATED
        if number < last:
            return Order.RESTARTED
        self.lost += number - last - 1
        return Order.GAP
