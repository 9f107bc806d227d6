"""Are the packets of an event camera worth anything? They may come for ever and hold nothing.

A still scene gives hardly an event, and that is no fault: but the camera's own time goes on. Where
packets come and it does not, nothing in them can be read, or they are empty, or their clock stands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from anymodal_seg_ros.frames import CheckResult, SensorState
from anymodal_seg_ros.sensing.health.sensor_health import Fault

LOST_ABOVE = 0.2
"""Share of the packets that may be lost on their way."""

_EASIER = 0.5
"""Share of that limit below which a camera that lost more is healthy again."""
_WINDOW_NS = 1_000_000_000
_STEP_NS = 50_000_000
_FEWEST = 5
"""Packets that must have come before anything is said."""
_DAMAGED = "packets that cannot be decoded"
_ODD = "events at an odd time"


class _Tally(NamedTuple):
    now_ns: int
    messages: int
    damaged: int
    odd: int
    lost: int
    until_ns: int | None


class EventPacketWatch:
    """Follows what one event camera's stream has counted."""

    def __init__(self) -> None:
        """Begin without a packet."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._tallies: deque[_Tally] = deque()
        self._losing = False
        self.results: tuple[CheckResult, ...] = ()
        """Share of lost packets, and seconds for which nothing could be read."""

    def look(
        self, now_ns: int, counts: Mapping[str, int], lost: int, until_ns: int | None
    ) -> Fault | None:
        """Judge the last second.

        Args:
            now_ns: on the clock of the packets' arrival.
            counts: of the stream since its start: messages, and what could not be used of them.
            lost: packets that never came, since its start.
            until_ns: the camera's time up to which its events are known; None if none are.

        Returns:
            INVALID if packets come and give nothing, DEGRADED if many are lost; None if neither.
        """
        newest = _Tally(
            now_ns, counts.get("messages", 0), counts.get(_DAMAGED, 0), counts.get(_ODD, 0), lost,
            until_ns,
        )  # fmt: skip
        if self._tallies and newest.messages < self._tallies[-1].messages:
            self._tallies.clear()  # the stream began anew
        if not self._tallies or now_ns - self._tallies[-1].now_ns >= _STEP_NS:
            self._tallies.append(newest)
        while len(self._tallies) > 2 and now_ns - self._tallies[1].now_ns >= _WINDOW_NS:
            self._tallies.popleft()
        return self._judge(self._tallies[0], newest)

    def _judge(self, first: _Tally, last: _Tally) -> Fault | None:
        came, lost = last.messages - first.messages, max(0, last.lost - first.lost)
        share = lost / max(1, came + lost)
        went_on = last.until_ns is not None and last.until_ns != first.until_ns
        silent_s = 0.0 if went_on else (last.now_ns - first.now_ns) / 1e9
        limit = LOST_ABOVE * (_EASIER if self._losing else 1.0)
        self._losing = came >= _FEWEST and share > limit
        nothing = came >= _FEWEST and silent_s * 1e9 >= _WINDOW_NS
        self.results = (
            CheckResult("packets_lost", share, LOST_ABOVE, not self._losing),
            CheckResult("nothing_read", silent_s, _WINDOW_NS / 1e9, not nothing),
        )
        if nothing:
            return Fault(
                SensorState.INVALID,
                f"nothing_read: {came} packets in {silent_s:.1f} s gave nothing: "
                f"{last.damaged - first.damaged} could not be decoded, "
                f"{last.odd - first.odd} events were at an odd time, its clock stands still",
            )
        if self._losing:
            return Fault(
                SensorState.DEGRADED,
                f"packets_lost: {share:.0%} of the packets were lost on their way, expected at "
                f"most {limit:.0%}: use a larger queue or a faster link",
                withhold=False,
            )
        return None
