"""Event cameras that send nothing because nothing moves: silence that is no fault.

An event camera tells of changes alone. Some drivers send packets all the same, with times in them;
others send when there are events and not before, so where a robot stands in a quiet place, they are
as silent as if they were unplugged. Which of both it is, the pictures of the other cameras tell: as
long as these stand, there is nothing to send. Where they go on although the camera has been silent
since, its silence counts from its last message on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from statistics import median

from anymodal_seg_ros.sensing.health.motion import MotionWatch

_SLACK_NS = 300_000_000
"""A picture that came so soon after the last events may be of a time before them: cameras that
expose, compress and send for long are slower than events."""
_GAPS = 15
_USUAL_GAPS = 2
"""Times the usual distance of its messages, and its period, after which a camera is silent."""


class EventCameraRest:
    """Tells whether one event camera is silent for want of anything to tell. Reads no clock."""

    def __init__(self, period_ns: int, *, known: bool) -> None:
        """Begin with a camera that was never heard.

        Args:
            period_ns: its promised time from window to window.
            known: whether it is known to send events as they come; else its first message tells.
        """
        self._period_ns = period_ns
        self._known = known
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self._heard_ns: int | None = None
        self._since_ns: int | None = None
        """Since when it is silent: its last message, or the first picture of another camera."""
        self.always_sends = False
        """Whether it sends although there is no event: of such a camera silence is a fault."""

    def hear(self, now_ns: int) -> None:
        """Take note of a message."""
        if self._heard_ns is not None:
            self._gaps.append(now_ns - self._heard_ns)
        self._heard_ns = self._since_ns = now_ns
        self._known = True

    def may_rest(self, others: Collection[MotionWatch], now_ns: int) -> bool:
        """Whether no other camera has seen anything go by since it is silent, and one would have.

        Args:
            others: what the other cameras see.
            now_ns: when that was seen last.
        """
        if self._since_ns is None:
            self._since_ns = now_ns
        if self.always_sends or not self._known or not others:
            return False
        return not any(other.moved_since(self._since_ns + _SLACK_NS) for other in others)

    def rests(self, others: Collection[MotionWatch], now_ns: int) -> bool:
        """Whether it may, has been silent for longer than usual, and others see the world stand."""
        if self._heard_ns is None or not self.may_rest(others, now_ns):
            return False
        usual_ns = max(self._period_ns, int(median(self._gaps)) if self._gaps else 0)
        silent = now_ns - self._heard_ns > _USUAL_GAPS * usual_ns
        return silent and any(other.stands_since(self._heard_ns) for other in others)
