"""The health of every sensor, from when its messages arrive. Down fast, up slowly.

Only arrival times count here, on the caller's clock: a driver whose stamps are wrong but whose
messages come is alive, and QoS deadlines are no help since drivers do not offer them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from anymodal_seg_ros.config import SensorConfig
from anymodal_seg_ros.frames import SensorState, SensorStatus

_RATE_WINDOW = 30
_DOWN = (SensorState.STALE, SensorState.FAILED)


@dataclass(slots=True)
class _Health:
    """What the watchdog remembers of one sensor."""

    config: SensorConfig
    state: SensorState = SensorState.WAITING
    last_ns: int | None = None
    good_run: int = 0
    received: int = 0
    transitions: int = 0
    first_failure_ns: int | None = None
    arrivals: deque[int] = field(default_factory=lambda: deque(maxlen=_RATE_WINDOW))

    def enter(self, state: SensorState, now_ns: int) -> None:
        """Change the state and keep the books."""
        if state is self.state:
            return
        self.state = state
        self.transitions += 1
        if state in _DOWN and self.first_failure_ns is None:
            self.first_failure_ns = now_ns

    @property
    def rate_hz(self) -> float | None:
        """Mean rate over the last messages."""
        if len(self.arrivals) < 2 or self.arrivals[-1] <= self.arrivals[0]:
            return None
        return (len(self.arrivals) - 1) * 1e9 / (self.arrivals[-1] - self.arrivals[0])


class Watchdog:
    """Per-sensor state machine: WAITING, OK, LATE, STALE, FAILED.

    ``WAITING`` and ``LATE`` become ``OK`` with the first message. ``STALE`` and ``FAILED`` become
    ``OK`` after ``recover_frames`` messages none of which was late. Silence leads down again, at
    ``late_after``, ``stale_after`` and ``failed_after`` of the sensor's configuration.
    """

    def __init__(self, sensors: Mapping[str, SensorConfig], startup_grace_ns: int) -> None:
        """Set up one state machine per sensor; the grace starts with the first call of a method."""
        self._sensors = {name: _Health(config) for name, config in sensors.items()}
        self._startup_grace_ns = startup_grace_ns
        self._started_ns: int | None = None

    def observe(self, sensor: str, received_ns: int) -> None:
        """Take note of one good message that arrived at ``received_ns``."""
        self.update(received_ns)
        health = self._sensors[sensor]
        late_ns = health.config.late_after_ns
        in_time = health.last_ns is not None and received_ns - health.last_ns < late_ns
        health.good_run = health.good_run + 1 if in_time else 1
        health.last_ns = received_ns
        health.received += 1
        health.arrivals.append(received_ns)
        if health.state not in _DOWN or health.good_run >= health.config.recover_frames:
            health.enter(SensorState.OK, received_ns)

    def update(self, now_ns: int) -> None:
        """Let time pass: states go down where messages are overdue."""
        if self._started_ns is None:
            self._started_ns = now_ns
        for health in self._sensors.values():
            while (due_ns := self._due_ns(health)) is not None and now_ns >= due_ns:
                health.enter(_NEXT_DOWN[health.state], due_ns)

    def next_change_ns(self) -> int | None:
        """Return when the next state goes down if no message comes; None if none will."""
        dues = [due for h in self._sensors.values() if (due := self._due_ns(h)) is not None]
        return min(dues, default=None)

    def states(self) -> dict[str, SensorState]:
        """Return the state of every sensor as of the last :meth:`update`."""
        return {name: health.state for name, health in self._sensors.items()}

    def status(self, sensor: str, now_ns: int) -> SensorStatus:
        """Return the health of one sensor; counts of rejections and drops are others' to fill."""
        health = self._sensors[sensor]
        return SensorStatus(
            sensor=sensor,
            state=health.state,
            age_ns=None if health.last_ns is None else max(0, now_ns - health.last_ns),
            received=health.received,
            transitions=health.transitions,
            first_failure_ns=health.first_failure_ns,
            rate_hz=health.rate_hz,
        )

    def _due_ns(self, health: _Health) -> int | None:
        """Return when silence leads to the next state down; None if there is none."""
        config, state = health.config, health.state
        if state is SensorState.FAILED or self._started_ns is None:
            return None
        if health.last_ns is None:
            return self._started_ns + self._startup_grace_ns
        if state is SensorState.OK:
            return health.last_ns + config.late_after_ns
        if state is SensorState.LATE:
            return health.last_ns + config.stale_after_ns
        return health.last_ns + config.failed_after_ns


_NEXT_DOWN = {
    SensorState.WAITING: SensorState.FAILED,
    SensorState.OK: SensorState.LATE,
    SensorState.LATE: SensorState.STALE,
    SensorState.STALE: SensorState.FAILED,
}
