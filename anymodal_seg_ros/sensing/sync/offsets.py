"""Whose clock is wrong? The stamps of a sensor against its own last ones, and against the others'.

Stamps and arrival times are on different clocks, so neither says anything about the other alone.
But on a robot whose clocks agree, *arrival minus stamp* is the same constant for every sensor, up
to its latency. A sensor for which it differs by more than a frame set can bridge is of no use to
fusion, whatever the cause: its clock was never set, or its messages are held up on the way. What
holds up the messages of all sensors alike is this computer, and no sensor is to blame for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from anymodal_seg_ros.config import LARGEST_OFFSET_S, RigConfig, SensorConfig, seconds_to_ns
from anymodal_seg_ros.frames import CheckResult, Sample, SensorState
from anymodal_seg_ros.sensing.health.sensor_health import Fault
from anymodal_seg_ros.sensing.sync.delays import DelayHistory

LEAST_LIMIT_S = 0.1
"""Offsets below this are latency, whatever the rate."""
BACKWARD_LIMIT = 0.4
"""Share of stamps that may go back: networks swap messages now and then."""
EVENTS_AHEAD_NS = seconds_to_ns(0.3)
"""No frame takes so much longer than events: if all do, the clock of the events is ahead, and their
windows show what was before the frames."""
REPEATS_ALLOWED = 2
"""A stamp may come this often again: two publishers of one topic, or a driver that sends twice."""

_WINDOW = 10
_LAGS = 5
_FEWEST_LAGS = 3
_ELECTION_NS = 100_000_000
_EASIER = 0.8
"""Share of the limit that a doubtful sensor must keep to be believed, so that it does not flap."""
_MAY_BE_LATE_NS = seconds_to_ns(1.0)
"""Stamps that are less behind may be right: cameras on a network send so late."""
_OTHER_BEGINNING_NS = seconds_to_ns(365 * 86_400.0)
"""Clocks this far apart were not set wrongly: they count from different beginnings."""
_FORGOTTEN_NS = seconds_to_ns(1.0)
_STEP_NS = seconds_to_ns(LEAST_LIMIT_S)
_UNSEEN = frozenset(
    {SensorState.WAITING, SensorState.STALE, SensorState.FAILED, SensorState.DISABLED}
)


@dataclass(slots=True)
class _Book:
    """What is remembered of the stamps of one sensor."""

    limit_ns: int
    silent_after_ns: int
    """Without a stamp that can be judged for so long, its last ones say nothing any more."""
    added_ns: int
    """The sensor's ``offset_s``, which is in its times already."""
    limit_is_set: bool
    """Whether ``limit_ns`` is its ``clock_offset_s``, whatever frame sets wait for."""
    heard_ns: int = 0
    last_ns: int | None = None
    repeats: int = 0
    backward: deque[bool] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    lags: deque[int] = field(default_factory=lambda: deque(maxlen=_LAGS))
    lag_ns: int = 0
    """Median of the last lags: arrival minus stamp."""
    delays: DelayHistory = field(default_factory=DelayHistory)
    heard_lag_ns: int | None = None
    """Of the last events of an event camera; None for all others."""
    ahead: deque[int] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    """How much longer than these the frames took that its last windows have followed."""
    agreed_ns: int | None = None
    """The lag when the sensor last agreed with another."""
    offset_ns: int = 0
    """How much later its messages come than those of the anchor, by their stamps."""


class StampOffsets:
    """Judges the stamps of all sensors of a rig."""

    def __init__(self, rig: RigConfig) -> None:
        """Set up empty books."""
        self._books = {
            name: _Book(*_configured(sensor, rig)) for name, sensor in rig.sensors.items()
        }
        self._settle_ns = seconds_to_ns(rig.clock_jump_s)
        self._waits_ns = rig.longest_wait_ns
        self._anchor: str | None = None
        self._election_ns = -(1 << 63)
        self._settled_ns = -(1 << 63)

    def configure(self, rig: RigConfig) -> None:
        """Take other rates and tolerances of the same sensors from now on."""
        self._waits_ns = rig.longest_wait_ns
        for name, sensor in rig.sensors.items():
            book = self._books[name]
            book.limit_ns, book.silent_after_ns, book.added_ns, book.limit_is_set = _configured(
                sensor, rig
            )

    def jumped(self, sensor: str, now_ns: int) -> None:
        """A sensor's clock has jumped: give the others the time to do so as well.

        Where it agreed with another is kept: if the others stay, it is this one that moved.
        """
        book = self._books[sensor]
        kept = book.limit_ns, book.silent_after_ns, book.added_ns, book.limit_is_set
        self._books[sensor] = _Book(*kept, agreed_ns=book.agreed_ns)
        self._settled_ns = now_ns + self._settle_ns

    def hear(self, sensor: str, lag_ns: int) -> None:
        """Take note of events: by how much later than their time they have arrived.

        Their windows end with the frames of others, and have those frames' stamps and arrivals.
        """
        self._books[sensor].heard_lag_ns = lag_ns

    def judge(self, sample: Sample, states: Mapping[str, SensorState]) -> Fault | None:
        """Take note of a sample's stamp and say what is wrong with it."""
        book = self._books[sample.sensor]
        book.heard_ns = sample.received_ns
        book.lags.append(_lag_ns(book, sample))
        book.lag_ns = sorted(book.lags)[len(book.lags) // 2]
        book.delays.add(sample.received_ns, book.lags[-1])
        fault = _order(book, sample)
        if fault is not None or sample.received_ns < self._settled_ns:
            return fault
        return self._compare(sample, book, states)

    def results(self, sensor: str) -> tuple[CheckResult, ...]:
        """Return the figures of one sensor: offset in seconds, share of stamps that went back."""
        book = self._books[sensor]
        offset_s, limit_s = book.offset_ns / 1e9, book.limit_ns / 1e9
        back = _backward_share(book)
        return (
            CheckResult("stamp_offset", offset_s, limit_s, abs(offset_s) <= limit_s),
            CheckResult("stamps_back", back, BACKWARD_LIMIT, back <= BACKWARD_LIMIT),
        )

    def _compare(
        self, sample: Sample, book: _Book, states: Mapping[str, SensorState]
    ) -> Fault | None:
        """Compare a sensor with the one that most others agree with."""
        if len(book.lags) < _FEWEST_LAGS:
            return None
        anchored = self._anchor is not None and self._is_seen(
            self._anchor, sample.received_ns, states
        )
        if not anchored or sample.received_ns >= self._election_ns:
            self._elect(sample.received_ns, states)
        limit_ns = book.limit_ns
        doubtful = states[sample.sensor] is SensorState.CLOCK
        if doubtful:
            limit_ns = round(_EASIER * limit_ns)
        if self._agrees(book, limit_ns, doubtful):
            return None
        self._elect(sample.received_ns, states)  # the fault may be the anchor's
        if self._agrees(book, limit_ns, doubtful):
            return None
        host_ns = self._host_delay_ns(sample.received_ns, states)
        if self._agrees(book, limit_ns + host_ns, doubtful):
            return None
        return self._disagreement(book, limit_ns, doubtful)

    def _deviation_ns(self, book: _Book, doubtful: bool) -> int:
        """How far a sensor's clock is off the anchor's; if in doubt, the worst of its last lags."""
        assert self._anchor is not None
        anchor_ns = self._books[self._anchor].lag_ns
        lags = book.lags if doubtful else (book.lag_ns,)
        return max((lag_ns - anchor_ns for lag_ns in lags), key=abs)

    def _agrees(self, book: _Book, limit_ns: int, doubtful: bool) -> bool:
        """Whether a sensor's clock agrees with the anchor's."""
        if self._anchor is None:
            return True
        anchor = self._books[self._anchor]
        book.offset_ns = book.lag_ns - anchor.lag_ns
        agrees = abs(self._deviation_ns(book, doubtful)) <= limit_ns
        if agrees and anchor is not book:
            book.agreed_ns, anchor.agreed_ns = book.lag_ns, anchor.lag_ns
        return agrees

    def _disagreement(self, book: _Book, limit_ns: int, doubtful: bool) -> Fault:
        """Say what is wrong with a sensor: how long its messages take, or what its clock says."""
        varies_ns = max(book.lags) - min(book.lags)
        if varies_ns > limit_ns:
            worst_ns = self._deviation_ns(book, doubtful=True)
            raised = ""
            if limit_ns < worst_ns < _MAY_BE_LATE_NS:
                raised = f", or raise {self._mend_of_limit(book, worst_ns)}"
            return Fault(
                SensorState.CLOCK,
                f"the delay of its messages varies by {varies_ns / 1e6:.0f} ms, as if they came in "
                f"bundles: expected less than {limit_ns / 1e6:.0f} ms; let each be sent at once"
                f"{raised}",
            )
        deviation_ns = self._deviation_ns(book, doubtful)
        where, mends = "behind" if deviation_ns > 0 else "ahead of", []
        if 0 < deviation_ns < _MAY_BE_LATE_NS:
            mends.append(
                f"if they are right, it sends late: raise {self._mend_of_limit(book, deviation_ns)}"
            )
        if abs(deviation_ns) > _OTHER_BEGINNING_NS:
            whose = "its driver" if deviation_ns > 0 else f"the driver of {self._anchor}"
            mends.append(f"let {whose} stamp as the others do, not since a start of its own")
        else:
            mends.append(f"{'if not, ' if mends else ''}{_mend_of_clock(book)}")
        return Fault(
            SensorState.CLOCK,
            f"stamps are {_spoken(deviation_ns)} {where} those of {self._anchor}: "
            f"expected less than {limit_ns / 1e6:.0f} ms; {'; '.join(mends)}",
        )

    def _mend_of_limit(self, book: _Book, deviation_ns: int) -> str:
        """Say what is to be raised, so that a sensor which sends so late is believed."""
        needed_s = ceil(deviation_ns / _EASIER / 1e7) / 100
        raised = ["its clock_offset_s"] if book.limit_is_set else []
        if not raised or self._waits_ns < seconds_to_ns(needed_s):
            raised.append("rig.deadline_max_s")
        return f"{' and '.join(raised)} to {needed_s:.2f}"

    def _host_delay_ns(self, now_ns: int, states: Mapping[str, SensorState]) -> int:
        """Return by how much this computer held up the messages of every sensor of late."""
        delays = [
            delay_ns
            for name, book in self._books.items()
            if states[name] not in _UNSEEN
            and (delay_ns := book.delays.recent_ns(now_ns)) is not None
        ]
        return min(delays) if len(delays) > 1 else 0

    def _is_seen(self, name: str, now_ns: int, states: Mapping[str, SensorState]) -> bool:
        """Whether a sensor's stamps are judged these days: it may send, but stamps of zero."""
        book = self._books[name]
        return states[name] not in _UNSEEN and now_ns - book.heard_ns <= book.silent_after_ns

    def _elect(self, now_ns: int, states: Mapping[str, SensorState]) -> None:
        """Choose the sensor to compare with: the one with most friends.

        Among equals, one that is not in doubt; then the one whose messages take the steadiest time;
        then the one whose own clock has changed least since it last agreed with another; then the
        first in configured order. So of two sensors that part, the one that moved is to blame, be
        it the reference.
        """
        self._election_ns = now_ns + _ELECTION_NS
        seen = {
            name: book
            for name, book in self._books.items()
            if self._is_seen(name, now_ns, states) and len(book.lags) >= _FEWEST_LAGS
        }

        def claim(name: str) -> tuple[int, bool, int, int]:
            book = seen[name]
            friends = sum(
                abs(book.lag_ns - other.lag_ns) <= max(book.limit_ns, other.limit_ns)
                for other in seen.values()
            )
            moved = 0 if book.agreed_ns is None else abs(book.lag_ns - book.agreed_ns)
            varies = max(book.lags) - min(book.lags)
            trusted = states[name] is not SensorState.CLOCK
            return friends, trusted, -(varies // _STEP_NS), -(moved // _STEP_NS)

        self._anchor = max(seen, key=claim, default=None)


def _spoken(time_ns: int) -> str:
    """Return a distance in time in the unit that a person reads easily."""
    size_s = abs(time_ns) / 1e9
    return f"{size_s * 1e3:.0f} ms" if size_s < 10 else f"{size_s:.0f} s"


def _mend_of_clock(book: _Book) -> str:
    """Say how a clock that is off is mended; an offset that a parameter cannot hold is none."""
    offset_s = (book.added_ns + book.offset_ns) / 1e9
    known = f", or set its offset_s to {offset_s:.2f}" if abs(offset_s) <= LARGEST_OFFSET_S else ""
    return f"synchronise the clocks{known}"


def _configured(sensor: SensorConfig, rig: RigConfig) -> tuple[int, int, int, bool]:
    """Return what a sensor's book has of its parameters."""
    return (
        _limit_ns(sensor, rig),
        max(sensor.stale_after_ns, _FORGOTTEN_NS),
        seconds_to_ns(sensor.offset_s),
        sensor.clock_offset_s > 0,
    )


def _limit_ns(sensor: SensorConfig, rig: RigConfig) -> int:
    """Return how far off a sensor's stamps may be: as far as a frame set can bridge.

    Whoever lets frame sets wait longer than usual has a sensor that sends so late.
    """
    raised = rig.deadline_max_s > LEAST_LIMIT_S
    waits_ns = rig.longest_wait_ns if raised else seconds_to_ns(rig.deadline_s)
    bridged = sensor.tolerance_ns + waits_ns
    return seconds_to_ns(sensor.clock_offset_s) or max(bridged, seconds_to_ns(LEAST_LIMIT_S))


def _lag_ns(book: _Book, sample: Sample) -> int:
    """Return arrival minus stamp: of the events themselves where these are ahead of the frames."""
    lag_ns, heard_ns = sample.received_ns - sample.time_ns, book.heard_lag_ns
    if heard_ns is None:
        return lag_ns
    book.ahead.append(lag_ns - heard_ns)
    ahead = len(book.ahead) == _WINDOW and min(book.ahead) > EVENTS_AHEAD_NS
    return heard_ns if ahead else lag_ns


def _order(book: _Book, sample: Sample) -> Fault | None:
    """Judge the order of one sensor's stamps."""
    last_ns, book.last_ns = book.last_ns, sample.time_ns
    if sample.time_ns == last_ns:
        book.repeats += 1
        reason = (
            f"the stamp {sample.stamp_ns / 1e9:.3f} s came {book.repeats + 1} times in a row: "
            "let the driver stamp each message"
        )
        return Fault(SensorState.CLOCK, reason, lasting=book.repeats > REPEATS_ALLOWED)
    book.repeats = 0
    book.backward.append(last_ns is not None and sample.time_ns < last_ns)
    share = _backward_share(book)
    if last_ns is None or sample.time_ns > last_ns or share <= BACKWARD_LIMIT:
        return None
    return Fault(
        SensorState.CLOCK,
        f"{share:.0%} of the last stamps went back, this one by "
        f"{(last_ns - sample.time_ns) / 1e6:.0f} ms: expected {BACKWARD_LIMIT:.0%} at most",
    )


def _backward_share(book: _Book) -> float:
    """Share of the last stamps that went back."""
    return sum(book.backward) / _WINDOW
