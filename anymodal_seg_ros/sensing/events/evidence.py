"""Does anything come of what an event camera sends? Judged by its windows, told by its counts.

Packets are signs of life, but a camera whose packets hold nothing sees nothing: bytes of another
encoding than they say, times that stand still, addresses of another sensor. None of these is wrong
in a single message, so the messages of some periods are looked at together.
"""

from __future__ import annotations

from dataclasses import fields, replace

from anymodal_seg_ros.frames import CheckResult, SensorState
from anymodal_seg_ros.sensing.events.windows import EventCounts, EventStream
from anymodal_seg_ros.sensing.health.sensor_health import Fault, damaged, withheld

PATIENCE_PERIODS = 10
"""A camera whose messages give no window for so many of its periods is at fault ..."""

PATIENCE_FRAMES = 3
"""... and for so many of the frames that windows are made for ..."""

PATIENCE_MESSAGES = 10
"""... if so many messages came meanwhile: some drivers send one in a second."""

LEAST_APART_S = 0.1
"""Stamps that are so far from those of the frames are told where no window comes of them."""

_LEAST_EVENTS = 100
"""Events that it takes to say that they lie outside the sensor; damage gives a few at any time."""

_MOST_OUTSIDE = 0.99
"""Share of events outside the sensor from which the others are no picture, either."""
_FEWEST_WITHOUT = 10
"""Messages without an event in a row that no driver sends which waits for events."""

_LEAST_WINDOWS = 30
_MOST_MISSED = 0.99
"""Share of events that are in no window although the windows leave next to no time out."""
_COVERED = 0.5
"""Share of the time that windows must cover for that: a frame in a second sees little of it."""

_MOST_ODD = 0.5
"""Share of events at times that cannot be from which the others are no picture, either."""

_MUCH = 0.2
"""Share of what is lost from which windows show too little to be taken for the whole."""

_FEWEST_GAPS = 5
"""Fewer between packets are outages, which are over when it goes on."""

_LEAST_MESSAGES = 50
"""Messages that it takes to say so."""

_LOSSES = {
    "lost_packets": ("packets are lost", "look at the load of the network and of the driver"),
    "undecodable_packets": ("packets cannot be decoded", "look at the driver's encoding"),
    "events_at_odd_times": (
        "events have a time that cannot be",
        "look at the driver's encoding and clock",
    ),
}
"""What is lost and how to mend it, by the names of the checks."""

_SPAN_NS = 5_000_000_000
"""Shares are of the last one to two times this span."""

_MOST_LOST = 0.05
_MOST_OUTSIDE_TOLD = 0.02
"""No sensor has events outside of itself: if there are, its pictures are a part of what it sees,
taken for the whole."""


class EventEvidence:
    """What the messages of one camera have given lately. The caller's lock is around it.

    Attributes:
        fault: why nothing comes of them, or only a part of the picture, which is DEGRADED and not
            withheld; None while they are well.
        checks: shares of what was lost, each with the share from which it is told.
        always_sends: whether messages come although there is no event to tell of.
    """

    def __init__(self, stream: EventStream, period_ns: int, length_ns: int = 0) -> None:
        """Set up for a camera that has sent nothing yet.

        Args:
            stream: of the camera; its counts are read.
            period_ns: promised time from window to window.
            length_ns: of a window.
        """
        self._stream = stream
        self._length_ns = length_ns
        self._patience_ns = PATIENCE_PERIODS * period_ns
        self.reset()

    def reset(self) -> None:
        """Begin anew, as when the caller's time does."""
        self.fault: Fault | None = None
        self.checks: tuple[CheckResult, ...] = ()
        self.always_sends = False
        self._without_event = 0
        """Messages in a row, by their windows."""
        self._marks: list[tuple[int, EventCounts]] = []
        self._since: tuple[int, EventCounts] | None = None

    def observe(self, now_ns: int) -> Fault | None:
        """Look at what has come of a message, and return :attr:`fault`."""
        counts = self._stream.counts
        if not self._marks or now_ns - self._marks[-1][0] > _SPAN_NS:
            self._marks = [*self._marks[-1:], (now_ns, replace(counts))]
        if self._since is None or counts.windows > self._since[1].windows:
            if self._since is not None:
                self._count_without_event(_between(self._since[1], counts))
            self._since = now_ns, replace(counts)
        lately = _between(self._marks[0][1], counts)
        self.checks = tuple(_checks(lately))
        elsewhere = self._elsewhere(lately)
        self.fault = (
            withheld(elsewhere)
            or self._nothing(now_ns, *self._since)
            or self._missed(now_ns - self._marks[0][0], lately)
            or self._of_no_time(lately)
            or elsewhere
            or self._incomplete(lately)
        )
        return self.fault

    def _count_without_event(self, lately: EventCounts) -> None:
        """Take note of what came from one window to the next."""
        told = lately.events or lately.odd_times or lately.undecodable
        self._without_event = 0 if told else self._without_event + lately.messages
        self.always_sends |= self._without_event >= _FEWEST_WITHOUT

    def _missed(self, span_ns: int, lately: EventCounts) -> Fault | None:
        """Say that the events that come are in none of the windows, by their times."""
        inside = lately.events - lately.outside
        covered = lately.windows * self._length_ns >= _COVERED * span_ns
        if lately.windows < _LEAST_WINDOWS or inside < _LEAST_EVENTS or not covered:
            return None
        if lately.shown > (1.0 - _MOST_MISSED) * inside:
            return None
        return Fault(
            SensorState.INVALID,
            f"{lately.shown} of {inside} events are in the last {lately.windows} windows of "
            f"{self._length_ns / 1e6:g} ms, which end with the frames: their times do not go on as "
            "those of the frames do; look at their unit (floating point seconds or integer "
            "nanoseconds), give each event its own time, or raise events.window_s above the "
            "frames' period",
        )

    def _elsewhere(self, lately: EventCounts) -> Fault | None:
        """Say that the events are those of another, or of a larger sensor."""
        share = lately.outside / max(lately.events, 1)
        if lately.events < _LEAST_EVENTS or share <= _MOST_OUTSIDE_TOLD:
            return None
        grid, (width, height) = self._stream.grid, self._stream.store.reach
        size = "its sensor" if grid is None else f"{grid.sensor_width}x{grid.sensor_height}"
        mend = (
            "set events.width and events.height to the size of the sensor"
            if self._stream.size_is_configured
            else "mend width and height in the driver's messages, or look at their encoding"
        )
        reach = f", they reach {width}x{height}" if width else ""
        reason = f"{lately.outside} of {lately.events} events lie outside {size}{reach}: {mend}"
        if share < _MOST_OUTSIDE:
            return damaged(reason)
        return Fault(SensorState.INVALID, reason)

    def _of_no_time(self, lately: EventCounts) -> Fault | None:
        """Say that most events come with times that cannot be: those that are left are a part."""
        told = lately.events + lately.odd_times
        if told < _LEAST_EVENTS or lately.odd_times <= _MOST_ODD * told:
            return None
        what, mend = _LOSSES["events_at_odd_times"]
        return Fault(SensorState.INVALID, f"{lately.odd_times} of {told} {what}: {mend}")

    def _incomplete(self, lately: EventCounts) -> Fault | None:
        """Say that so much was lost that what is shown is a part of what there was to see."""
        if lately.messages < _LEAST_MESSAGES:
            return None
        for check in self.checks:
            if check.name == "lost_packets" and lately.gaps < _FEWEST_GAPS:
                continue
            if (lost := _LOSSES.get(check.name)) and check.figure > _MUCH:
                what, mend = lost
                return damaged(f"{check.figure:.0%} of its {what}, more than {_MUCH:.0%}: {mend}")
        return None

    def _nothing(self, now_ns: int, since_ns: int, before: EventCounts) -> Fault | None:
        """Say that messages come and no window does."""
        meanwhile = _between(before, self._stream.counts)
        enough = meanwhile.messages >= PATIENCE_MESSAGES
        patience_ns = max(self._patience_ns, PATIENCE_FRAMES * self._stream.asked_every_ns)
        if not enough or now_ns - since_ns <= patience_ns:
            return None
        why = [
            f"{count} {what}"
            for count, what in (
                (meanwhile.undecodable, "packets cannot be decoded"),
                (meanwhile.odd_times, "events have a time that cannot be"),
                (meanwhile.lost_packets, "packets were lost"),
                (
                    meanwhile.begun_anew,
                    "times their size, encoding or count began anew (do two drivers send?)",
                ),
            )
            if count
        ]
        behind_s = self._stream.behind_s
        if not meanwhile.events and not meanwhile.odd_times:
            why.append("they hold no event")
        elif behind_s is not None and abs(behind_s) > 1:
            side = "before" if behind_s > 0 else "after"
            end = f"{abs(behind_s):.3g} s {side} the header stamps"
            why.append(f"their {meanwhile.events} events end {end}")
        asked_ns, latest_ns = self._stream.asked_ns, self._stream.latest_stamp_ns
        if asked_ns is not None and latest_ns is not None:
            apart_s = (asked_ns - latest_ns) / 1e9
            if abs(apart_s) > LEAST_APART_S:
                side = "behind" if apart_s > 0 else "ahead of"
                why.append(f"their stamps are {abs(apart_s):.3g} s {side} those of the frames")
        said = ", ".join(why) or "their time stands still"
        mend = "look at the driver's encoding and clock"
        if self._stream.events_carry_header_time and abs(behind_s or 0) > 1:
            mend = (
                "let the driver give events the time of the header's clock, "
                "or send EventPackets, whose clock may be the sensor's own"
            )
        return Fault(
            SensorState.INVALID,
            f"no window of events for {(now_ns - since_ns) / 1e9:.1f} s although "
            f"{meanwhile.messages} messages came: {said}; {mend}",
        )


def _between(before: EventCounts, now: EventCounts) -> EventCounts:
    """Return what was counted from one moment to another."""
    names = (field.name for field in fields(EventCounts))
    return EventCounts(**{name: getattr(now, name) - getattr(before, name) for name in names})


def _checks(lately: EventCounts) -> list[CheckResult]:
    """Return the shares of what was lost."""
    sent = lately.messages + lately.lost_packets
    shares = (
        ("lost_packets", lately.lost_packets, sent, _MOST_LOST),
        ("undecodable_packets", lately.undecodable, lately.messages, _MOST_LOST),
        ("events_at_odd_times", lately.odd_times, lately.events + lately.odd_times, _MOST_LOST),
        ("events_outside", lately.outside, lately.events, _MOST_OUTSIDE_TOLD),
    )
    return [
        CheckResult(name, share := part / max(whole, 1), most, share <= most)
        for name, part, whole, most in shares
    ]
