"""The state machine of one sensor, driven by its messages, good and bad, and by their absence.

Down fast, up slowly: silence and bad messages lead down within a few messages, and only a run of
good ones leads up again. The two directions have different thresholds, so that a sensor whose
figures sit at one of them does not flap.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from anymodal_seg_ros.config import Thresholds
from anymodal_seg_ros.frames import SensorState, SensorStatus

SLOW_WINDOW = 10
"""Gaps between messages that are looked at to tell a slow sensor."""
SLOW_AT = 3
"""So many late messages in the window make a sensor SLOW; only a window in time makes it OK."""

_CLEARLY = 0.85
"""Share of the time to LATE within which a SLOW sensor's messages must come to count as in time."""

_AS_PROMISED = 1.25
"""Periods from message to message that are as promised: a mean over the window is no closer."""

_REMEMBERED = 16
"""States whose times are kept: more than a sensor goes through between two masks."""

_RATE_WINDOW = 30
_HAND_OVER_NS = 20_000_000
_FAULTS = (SensorState.FROZEN, SensorState.INVALID, SensorState.CLOCK)
_GOOD = (SensorState.OK, SensorState.DEGRADED, SensorState.DOUBTFUL)
_SILENT = (SensorState.STALE, SensorState.FAILED)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a message that did come.

    Attributes:
        state: what its sensor becomes if this goes on: FROZEN, INVALID or CLOCK; DEGRADED where
            most of what it shows is true, which counts as a good message of a damaged sensor.
        reason: in words, with figure and threshold.
        lasting: False while it may be harmless, such as a thermal camera that calibrates: then the
            message is no more than a sign of life.
        withhold: whether the message must not be fused. One that repeats a fresh picture may be,
            and so may one of a DEGRADED sensor.
    """

    state: SensorState
    reason: str
    lasting: bool = True
    withhold: bool = True

    @property
    def kind(self) -> str:
        """The reason without its figures: what a withheld message is counted as."""
        return self.reason.split(":", 1)[0]


def damaged(reason: str) -> Fault:
    """Return the fault of a sensor that is DEGRADED: what it shows is fused, the reason is told."""
    return Fault(SensorState.DEGRADED, reason, withhold=False)


def withheld(fault: Fault | None) -> Fault | None:
    """Return a fault for which a message must not be fused; None if it may be."""
    return fault if fault is not None and fault.withhold else None


class SensorHealth:
    """What is known of one sensor. Times are on the caller's clock."""

    def __init__(self, config: Thresholds) -> None:
        """Set up a sensor that was never seen."""
        self.state = SensorState.WAITING if config.enabled else SensorState.DISABLED
        self.arrived = self.received = 0
        self._grace_end_ns: int | None = None
        self._since_ns: int | None = None
        self._last_ns: int | None = None
        self._heard_ns = self._behind_ns = 0
        """When that message was handed over, and how far behind whoever hands over is by now."""
        self._excused_ns = 0
        """Of the time since then, in which nobody could have heard anything."""
        self._rested_ns: int | None = None
        """Until when it has nothing to tell, as far as is known."""
        self._arrivals: deque[int] = deque(maxlen=_RATE_WINDOW)
        self._gaps: deque[int] = deque(maxlen=SLOW_WINDOW)
        self._late_gaps = 0
        self._resuming = False
        self._before: SensorState | None = None
        """From which state silence has led down, where nothing else was wrong."""
        self._late = True
        self._in_time_run = 0
        self._good_run = 0
        self._bad_run = 0
        self._kind_run = 0
        self._kind: SensorState | None = None
        self._fault = ""
        self._neutral = ""
        """Why the newest message was no more than a sign of life."""
        self._damage = ""
        self._doubt = ""
        """Why its pictures are taken for those of another world."""
        self._damaged_run = self._sound_run = 0
        self._entered: Counter[str] = Counter()
        self._lately: deque[tuple[str, int]] = deque(maxlen=_REMEMBERED)
        self._first_failure_ns: int | None = None
        self.configure(config)

    def configure(self, config: Thresholds) -> None:
        """Take other thresholds from now on."""
        self.config = config
        self._late_ns = config.late_after_ns
        self._stale_ns = config.stale_after_ns
        self._failed_ns = config.failed_after_ns
        self._late_gaps = sum(gap_ns >= self._late_ns for gap_ns in self._gaps)

    def start(self, now_ns: int, grace_ns: int) -> None:
        """Begin the grace within which a sensor may be missing."""
        self._grace_end_ns = now_ns + grace_ns
        self._since_ns = now_ns

    def arrive(self, now_ns: int) -> None:
        """Take note of a message; silence up to ``now_ns`` has been considered already."""
        self.arrived += 1
        self._late = self._measure_gap(now_ns)
        self._last_ns, self._excused_ns = now_ns, 0
        self._heard_ns = now_ns + self._behind_ns
        self._arrivals.append(now_ns)

    def judge(self, now_ns: int, fault: Fault | None) -> None:
        """Take note of what is wrong with a message that has arrived; None if nothing is."""
        if fault is None:
            self._neutral = ""
            self._good(now_ns, "")
        elif not fault.lasting:
            self._neutral = fault.reason
        elif fault.state is SensorState.DEGRADED:
            self._neutral = ""
            self._good(now_ns, fault.reason)
        else:
            self._neutral = ""
            self._bad(now_ns, fault)

    def doubt(self, now_ns: int, reason: str) -> None:
        """Take note of what the other sensors say of this one; empty if they agree with it."""
        self._doubt = reason
        if reason and self.state in (*_GOOD, SensorState.SLOW):
            self._enter(SensorState.DOUBTFUL, now_ns)
        elif not reason and self.state is SensorState.DOUBTFUL:
            damaged = self._damaged_run >= self.config.fault_frames
            self._enter(SensorState.DEGRADED if damaged else SensorState.OK, now_ns)

    def fall_behind(self, behind_ns: int, now_ns: int) -> None:
        """Take note of how long after its arrival a message was handed over now, whosoever.

        What seemed to be silence until now is none, as far as it is due to that.
        """
        self._behind_ns = behind_ns
        if self._before is None or self._heard_from_ns is None:
            return
        silence_ns, silent = now_ns - self._heard_from_ns, self.state in _SILENT
        if silence_ns < self._late_ns:
            self._enter(self._before, now_ns)
        elif silent and silence_ns < self._stale_ns:
            self._enter(SensorState.LATE, now_ns)
        self._resuming = self._resuming and self.state in _SILENT

    def excuse(self, silence_ns: int) -> None:
        """Do not count so much of the silence: nobody could have heard anything meanwhile.

        And a moment more, once, in which to hand over what was sent.
        """
        self._excused_ns += silence_ns + (0 if self._excused_ns else _HAND_OVER_NS)

    def rest(self, until_ns: int | None) -> None:
        """Take silence until then for none: there is nothing to tell; None: there is."""
        if self.state not in _SILENT:
            self._rested_ns = until_ns

    def update(self, now_ns: int) -> int | None:
        """Let time pass: the state goes down where messages are overdue. Returns what is due."""
        while (due_ns := self.due_ns()) is not None and now_ns >= due_ns:
            if self.state in _GOOD:
                self._before = self.state
                self._enter(SensorState.LATE, due_ns)
            elif self.state in (SensorState.LATE, SensorState.SLOW):
                self._before = self._before or SensorState.LATE
                self._enter(SensorState.STALE, due_ns)
            else:
                self._enter(SensorState.FAILED, due_ns)
        return due_ns

    def due_ns(self) -> int | None:
        """Return when silence leads to the next state down; None if there is none."""
        state, last_ns = self.state, self._heard_from_ns
        if state in _GOOD and last_ns is not None:
            return last_ns + self._late_ns
        if state in (SensorState.FAILED, SensorState.DISABLED) or self._grace_end_ns is None:
            return None
        if last_ns is None:
            return max(self._grace_end_ns, self._rested_ns or self._grace_end_ns)
        if state is SensorState.LATE:
            return last_ns + self._stale_ns
        if state is SensorState.SLOW:
            return last_ns + max(self._stale_ns, min(2 * max(self._gaps), self._failed_ns))
        if state is SensorState.WAITING:  # it gives signs of life, but nothing good so far
            return max(self._grace_end_ns, last_ns + self._failed_ns)
        return last_ns + self._failed_ns

    @property
    def _heard_from_ns(self) -> int | None:
        """Since when it is silent; None if it was never heard."""
        if self._last_ns is None:
            return None
        heard_ns = max(self._last_ns + self._behind_ns, self._heard_ns) + self._excused_ns
        return heard_ns if self._rested_ns is None else max(heard_ns, self._rested_ns)

    def status(self, sensor: str, now_ns: int) -> SensorStatus:
        """Return what is known; rejections, drops and checks are others' to fill in."""
        return SensorStatus(
            sensor=sensor,
            state=self.state,
            age_ns=None if self._last_ns is None else max(0, now_ns - self._last_ns),
            received=self.received,
            arrived=self.arrived,
            transitions=sum(self._entered.values()),
            first_failure_ns=self._first_failure_ns,
            rate_hz=self._rate_hz(),
            since_ns=self._since_ns,
            entered=dict(self._entered),
            lately=tuple(self._lately),
            fault=self._wrong(now_ns),
        )

    def _wrong(self, now_ns: int) -> str:
        """Say what is wrong now: a figure that has passed again is no fault any more."""
        needed = self.config.recover_frames
        if self.state is SensorState.DOUBTFUL:
            return self._doubt
        if self.state.alive and self._damaged_run >= self.config.fault_frames:
            if self._sound_run:
                return f"recovering, {self._sound_run} of {needed} good; before: {self._damage}"
            return self._damage
        if not self._good_run:
            if self.state.down and self._neutral and not self._fault:
                return f"waits for {needed} good messages: {self._neutral}"
            return self._fault
        if self.state is SensorState.SLOW:
            return self._slowness()
        last_ns = self._heard_from_ns
        silent = last_ns is None or now_ns - last_ns >= self._stale_ns
        if not self.state.down or silent:
            return ""
        in_time = "" if self._in_time_run == self._good_run else " and in time"
        before = f"; before: {self._fault}" if self._fault else ""
        return f"recovering, {min(self._in_time_run, needed)} of {needed} good{in_time}{before}"

    def _slowness(self) -> str:
        """Say how late the last messages were, and what was promised."""
        if not self._late_gaps:
            return f"recovering, {min(self._in_time_run, SLOW_WINDOW)} of {SLOW_WINDOW} in time"
        gaps, late_ms = sorted(self._gaps), self._late_ns / 1e6
        # Where several come at once, as in bundles or as windows of events do, the mean says more.
        usual_ns: float = gaps[len(gaps) // 2]
        if usual_ns < self.config.period_ns / 2:
            usual_ns = sum(gaps) / len(gaps)
        late = (
            f"{self._late_gaps} of the last {len(gaps)} messages came {late_ms:.0f} ms or more "
            "after the one before"
        )
        if usual_ns <= _AS_PROMISED * self.config.period_ns:
            return f"{late}, the others as promised: see what holds them up, or loses some"
        return (
            f"{late}; usually {1e9 / usual_ns:.1f} Hz come, "
            f"expected_hz is {self.config.expected_hz:g}: correct it, or see what slows the driver"
        )

    def _measure_gap(self, now_ns: int) -> bool:
        """Return whether this message is late; the outage it ends says nothing of the rate."""
        if self._last_ns is None or self._resuming:
            self._resuming = False
            return True
        rested_ns = self._last_ns if self._rested_ns is None else min(self._rested_ns, now_ns)
        gap_ns = now_ns - max(self._last_ns + self._excused_ns, rested_ns)
        late = gap_ns >= self._late_ns
        if len(self._gaps) == SLOW_WINDOW:
            self._late_gaps -= self._gaps[0] >= self._late_ns
        self._gaps.append(gap_ns)
        self._late_gaps += late
        return late

    def _good(self, now_ns: int, damage: str) -> None:
        needed = self.config.recover_frames
        degraded = self._degraded(damage)
        self._good_run += 1
        self._in_time_run = 1 if self._late else self._in_time_run + 1
        if self._good_run >= needed:
            self._bad_run = self._kind_run = 0
            self._fault = ""
        slow = self._late_gaps >= SLOW_AT
        in_time = SensorState.DEGRADED if degraded else SensorState.OK
        if self._doubt:
            in_time, slow = SensorState.DOUBTFUL, False
        alive = SensorState.SLOW if slow else in_time
        if self.state in (*_GOOD, SensorState.WAITING, SensorState.LATE):
            self._enter(alive, now_ns)
        elif self.state is SensorState.SLOW:
            full = len(self._gaps) == SLOW_WINDOW and self._in_time_run >= needed
            if full and max(self._gaps) < _CLEARLY * self._late_ns:
                self._enter(in_time, now_ns)
        elif self._in_time_run >= needed:
            self._enter(in_time, now_ns)
        elif slow and self._good_run >= needed:
            self._enter(SensorState.SLOW, now_ns)

    def _degraded(self, damage: str) -> bool:
        """Count messages that show damage, and sound ones. Returns whether damage goes on."""
        if damage:
            self._damaged_run += 1
            self._sound_run = 0
            self._damage = damage
        else:
            self._sound_run += 1
            if self._sound_run >= self.config.recover_frames:
                self._damaged_run = 0
        return self._damaged_run >= self.config.fault_frames

    def _bad(self, now_ns: int, fault: Fault) -> None:
        needed = self.config.fault_frames
        self._good_run = self._in_time_run = 0
        self._bad_run += 1
        self._kind_run = self._kind_run + 1 if fault.state is self._kind else 1
        self._kind = fault.state
        self._fault = fault.reason
        # From one fault to another only when the new one goes on by itself: a sensor with two
        # faults at once would change with each message otherwise.
        if self._bad_run >= needed and (self.state not in _FAULTS or self._kind_run >= needed):
            self._enter(fault.state, now_ns)

    def _enter(self, state: SensorState, now_ns: int) -> None:
        """Change the state and keep the books."""
        if state is self.state:
            return
        self.state = state
        self._since_ns = now_ns
        self._entered[state.value] += 1
        self._lately.append((state.value, now_ns))
        if state.down and self._first_failure_ns is None:
            self._first_failure_ns = now_ns
        if state not in (*_SILENT, SensorState.LATE):
            self._before = None
        if state in _SILENT:
            self._resuming = True
            self._gaps.clear()
            self._arrivals.clear()
            self._late_gaps = self._good_run = self._in_time_run = 0
            self._bad_run = self._kind_run = self._damaged_run = self._sound_run = 0
            self._fault = self._neutral = ""

    def _rate_hz(self) -> float | None:
        """Mean rate over the last messages."""
        if len(self._arrivals) < 2 or self._arrivals[-1] <= self._arrivals[0]:
            return None
        return (len(self._arrivals) - 1) * 1e9 / (self._arrivals[-1] - self._arrivals[0])
