"""The health of every sensor, from when its messages arrive and what is wrong with them.

Liveness is judged by arrival times alone, on the caller's clock: a driver whose stamps are wrong
but whose messages come is alive, and QoS deadlines are no help since drivers do not offer them.
"""

from __future__ import annotations

from collections.abc import Mapping

from anymodal_seg_ros.config import Thresholds
from anymodal_seg_ros.frames import SensorState, SensorStatus
from anymodal_seg_ros.sensing.health.sensor_health import Fault, SensorHealth

_BEHIND_STEP_NS = 10_000_000
"""By so much more or less than is known they may be behind who hand messages over."""


class Watchdog:
    """One state machine per sensor.

    Silence leads from ``OK`` over ``LATE`` and ``STALE`` to ``FAILED``, and from ``WAITING`` to
    ``FAILED`` when the start-up grace is over. ``fault_frames`` bad messages lead to ``FROZEN``,
    ``INVALID`` or ``CLOCK``, many late ones to ``SLOW``, what the others say to ``DOUBTFUL``. The
    first good message ends ``WAITING`` and ``LATE``; all else takes ``recover_frames`` good
    messages in a row, none of them late.
    """

    def __init__(self, sensors: Mapping[str, Thresholds], startup_grace_ns: int) -> None:
        """Set up one state machine per sensor; the grace starts with the first call of a method."""
        self._sensors = {name: SensorHealth(config) for name, config in sensors.items()}
        self._states = {name: health.state for name, health in self._sensors.items()}
        self._startup_grace_ns = startup_grace_ns
        self._started = False
        self._behind_ns = 0
        self._ended_ns: int | None = None
        self._next_due_ns: int | None = None
        """No state goes down before this time: a bound, not always met."""

    def observe(self, sensor: str, received_ns: int, fault: Fault | None = None) -> None:
        """Take note of one accepted message, and of what is wrong with it."""
        self.arrive(sensor, received_ns)
        self.judge(sensor, received_ns, fault)

    def arrive(self, sensor: str, received_ns: int) -> None:
        """Take note of a sign of life: a message came, good or bad."""
        self.update(received_ns)
        health = self._sensors[sensor]
        if health.state is not SensorState.DISABLED:
            health.arrive(received_ns)

    def fall_behind(self, behind_ns: int, now_ns: int) -> None:
        """Take note of how far behind those are who hand the messages over, as of one of them.

        What they have yet to hand over nobody is silent for.

        Args:
            behind_ns: how long ago the message arrived that is handed over now.
            now_ns: on the clock of the arrivals.
        """
        if abs(behind_ns - self._behind_ns) < _BEHIND_STEP_NS:
            return
        self._behind_ns = behind_ns
        for name, health in self._sensors.items():
            health.fall_behind(behind_ns, now_ns)
            self._states[name] = health.state
        self._next_due_ns = self.next_change_ns()

    def judge(
        self, sensor: str, now_ns: int, fault: Fault | None, *, accepted: bool = True
    ) -> None:
        """Take note of the verdict on a message that has arrived.

        Args:
            sensor: whose message it was.
            now_ns: on the clock of its arrival.
            fault: what is wrong with it; None if nothing is.
            accepted: whether it could be read at all.
        """
        health = self._sensors[sensor]
        if health.state is SensorState.DISABLED:
            return
        health.received += accepted
        before = health.state
        health.judge(now_ns, fault)
        if health.state is before:
            return  # the message has only put off what is due
        self._states[sensor] = health.state
        due_ns = health.due_ns()
        if due_ns is not None and (self._next_due_ns is None or due_ns < self._next_due_ns):
            self._next_due_ns = due_ns

    def doubt(self, sensor: str, now_ns: int, reason: str) -> None:
        """Take note of whether a sensor contradicts the others.

        Args:
            sensor: its name.
            now_ns: on the clock of its messages' arrival.
            reason: in words; empty if it does not.
        """
        health = self._sensors[sensor]
        health.doubt(now_ns, reason)
        self._states[sensor] = health.state
        self._next_due_ns = self.next_change_ns()

    def excuse(self, silence_ns: int) -> None:
        """Do not count so much silence of any sensor: nobody could have heard them meanwhile."""
        for health in self._sensors.values():
            health.excuse(silence_ns)
        self._next_due_ns = self.next_change_ns()

    def end(self, now_ns: int) -> None:
        """Take note that nobody is heard any more: states stay, whatever time goes on."""
        self._ended_ns = now_ns

    def rest(self, sensor: str, until_ns: int | None) -> None:
        """Take the silence of one sensor for none until then; None: it counts from now on."""
        self._sensors[sensor].rest(until_ns)
        self._next_due_ns = self.next_change_ns()

    def update(self, now_ns: int) -> None:
        """Let time pass: states go down where messages are overdue."""
        if self._ended_ns is not None:
            return
        if not self._started:
            self._started = True
            for health in self._sensors.values():
                health.start(now_ns, self._startup_grace_ns)
        elif self._next_due_ns is None or now_ns < self._next_due_ns:
            return
        next_ns = None
        for name, health in self._sensors.items():
            due_ns = health.update(now_ns)
            self._states[name] = health.state
            if due_ns is not None and (next_ns is None or due_ns < next_ns):
                next_ns = due_ns
        self._next_due_ns = next_ns

    def next_change_ns(self) -> int | None:
        """Return when the next state goes down if no message comes; None if none will."""
        if self._ended_ns is not None:
            return None
        dues = [due for h in self._sensors.values() if (due := h.due_ns()) is not None]
        return min(dues, default=None)

    def states(self) -> Mapping[str, SensorState]:
        """Return the state of every sensor. The mapping lives: it follows each later call."""
        return self._states

    def status(self, sensor: str, now_ns: int) -> SensorStatus:
        """Return the health of one sensor; rejections, drops and checks are others' to fill in."""
        return self._sensors[sensor].status(sensor, self._ended_ns or now_ns)

    def count_on_from(self, other: Watchdog) -> None:
        """Go on with the counts of another one of the same sensors, of an earlier run."""
        for name, health in self._sensors.items():
            before = other._sensors[name]
            health.arrived, health.received = before.arrived, before.received

    def configure(self, sensor: str, config: Thresholds) -> None:
        """Give one sensor other thresholds from now on; what is known of it stays."""
        self._sensors[sensor].configure(config)
        self._next_due_ns = self.next_change_ns()

    def switch(self, sensor: str, config: Thresholds, now_ns: int) -> None:
        """Take one sensor out, or in again: as one that was never seen, but its counts go on."""
        before = self._sensors[sensor]
        health = self._sensors[sensor] = SensorHealth(config)
        health.arrived, health.received = before.arrived, before.received
        health.start(now_ns, self._startup_grace_ns)
        health.fall_behind(self._behind_ns, now_ns)
        self._states[sensor] = health.state
        self._next_due_ns = self.next_change_ns()
