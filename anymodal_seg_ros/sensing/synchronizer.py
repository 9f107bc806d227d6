"""Deadline-driven frame sets: what every living sensor saw at one instant, never waiting for more.

The first living sensor in configured order is the reference. Each of its samples opens a frame set;
every other living sensor gives the sample nearest in header time. A set leaves as soon as no better
sample can be expected before its deadline, and at the deadline at the latest.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from anymodal_seg_ros.config import RigConfig, SensorConfig, seconds_to_ns
from anymodal_seg_ros.frames import FrameSet, Sample, SensorState

MAX_BUFFERED = 64
"""Samples kept per sensor at most, however its rate is configured."""


@dataclass(frozen=True, slots=True)
class _Trigger:
    """A reference sample that waits for its companions."""

    sample: Sample
    due_ns: int


class _Buffer:
    """The recent samples of one sensor in order of time, and what became of the others."""

    def __init__(self, config: SensorConfig, keep_ns: int) -> None:
        self.config = config
        self.keep_ns = keep_ns
        self.samples: list[Sample] = []
        self.dropped: Counter[str] = Counter()
        self._used: set[int] = set()

    def add(self, sample: Sample) -> None:
        """Insert in order of time; duplicates and the hopelessly late are counted and dropped."""
        times = [s.time_ns for s in self.samples]
        at = bisect_left(times, sample.time_ns)
        if at < len(times) and times[at] == sample.time_ns:
            self.dropped["duplicate stamp"] += 1
            return
        if times and sample.time_ns < times[-1] - self.keep_ns:
            self.dropped["too old"] += 1
            return
        insort(self.samples, sample, key=lambda s: s.time_ns)
        horizon = self.samples[-1].time_ns - self.keep_ns
        while len(self.samples) > MAX_BUFFERED or self.samples[0].time_ns < horizon:
            self._forget(self.samples.pop(0))

    def clear(self) -> None:
        """Forget everything, because the sensor's clock has jumped."""
        for sample in self.samples:
            self._forget(sample)
        self.samples.clear()

    def use(self, sample: Sample) -> None:
        """Remember that a frame set took the sample."""
        self._used.add(sample.time_ns)

    def nearest(self, time_ns: int) -> Sample | None:
        """Return the sample nearest to a time, whatever the distance."""
        return min(self.samples, key=lambda s: abs(s.time_ns - time_ns), default=None)

    def _forget(self, sample: Sample) -> None:
        if sample.time_ns in self._used:
            self._used.discard(sample.time_ns)
        else:
            self.dropped["not needed by any frame set"] += 1


class Synchronizer:
    """Makes frame sets from samples. Reads no clock: arrival and deadlines are the caller's times.

    Nothing is emitted twice, and the reference times of the emitted sets only grow, except after a
    clock jump of the reference sensor.
    """

    def __init__(self, rig: RigConfig) -> None:
        """Set up empty buffers for the sensors of a rig."""
        self._deadline_ns = seconds_to_ns(rig.deadline_s)
        self._jump_ns = seconds_to_ns(rig.clock_jump_s)
        longest = max(max(s.tolerance_ns, s.period_ns) for s in rig.sensors.values())
        keep_ns = 2 * longest + self._deadline_ns
        self._buffers = {name: _Buffer(config, keep_ns) for name, config in rig.sensors.items()}
        self._pending: list[_Trigger] = []
        self._last_trigger_ns: int | None = None

    def add(
        self, sample: Sample, states: Mapping[str, SensorState], *, jumped: bool = False
    ) -> None:
        """Take one sample.

        Args:
            sample: of any configured sensor.
            states: health of every sensor, this sample's arrival considered.
            jumped: whether the sensor's clock jumped just before the sample.
        """
        buffer = self._buffers[sample.sensor]
        if jumped:
            buffer.clear()
        buffer.add(sample)
        # Now, not at the next poll: a poll that comes late may find the sensor late as well.
        self._open_triggers(states)

    def poll(self, now_ns: int, states: Mapping[str, SensorState]) -> list[FrameSet]:
        """Return the frame sets that are due, oldest first.

        Args:
            now_ns: on the clock of the samples' ``received_ns``.
            states: health of every sensor; only the living are waited for and used.
        """
        self._open_triggers(states)
        ready: list[FrameSet] = []
        while self._pending:
            trigger = self._pending[0]
            if now_ns < trigger.due_ns and self._may_improve(trigger, states):
                break
            ready.append(self._close(self._pending.pop(0), now_ns, states))
        return ready

    def next_deadline_ns(self) -> int | None:
        """Return when the oldest open frame set leaves at the latest; None if none is open."""
        return self._pending[0].due_ns if self._pending else None

    def dropped(self, sensor: str) -> dict[str, int]:
        """Return how many samples of a sensor no frame set used, by reason."""
        return dict(self._buffers[sensor].dropped)

    def _open_triggers(self, states: Mapping[str, SensorState]) -> None:
        """Open a set for every new sample of the first living sensor."""
        reference = next((name for name in self._buffers if states[name].alive), None)
        if reference is None or not (samples := self._buffers[reference].samples):
            return
        last = self._last_trigger_ns
        if last is not None and samples[-1].time_ns < last - self._jump_ns:
            last = None  # this sensor's clock is far behind what was emitted: time begins anew
        for sample in samples:
            if last is None or sample.time_ns > last:
                due_ns = sample.received_ns + self._deadline_ns
                self._pending.append(_Trigger(sample, due_ns))
                self._last_trigger_ns = sample.time_ns

    def _may_improve(self, trigger: _Trigger, states: Mapping[str, SensorState]) -> bool:
        """Whether some living sensor may still deliver a better sample before the deadline."""
        return any(
            self._sensor_may_improve(buffer, trigger)
            for name, buffer in self._buffers.items()
            if name != trigger.sample.sensor and states[name].alive
        )

    @staticmethod
    def _sensor_may_improve(buffer: _Buffer, trigger: _Trigger) -> bool:
        if not buffer.samples:
            return True
        newest, time_ns = buffer.samples[-1], trigger.sample.time_ns
        if newest.time_ns >= time_ns:
            return False
        if newest.received_ns + buffer.config.period_ns > trigger.due_ns:
            return False
        best_ns = min(time_ns - newest.time_ns, buffer.config.tolerance_ns)
        return newest.time_ns + buffer.config.period_ns - time_ns < best_ns

    def _close(self, trigger: _Trigger, now_ns: int, states: Mapping[str, SensorState]) -> FrameSet:
        """Choose every sensor's sample, or say why it has none."""
        reference, time_ns = trigger.sample.sensor, trigger.sample.time_ns
        samples: dict[str, Sample] = {}
        missing: dict[str, str] = {}
        for name, buffer in self._buffers.items():
            sample = trigger.sample if name == reference else buffer.nearest(time_ns)
            if name != reference and not states[name].alive:
                missing[name] = states[name].value
            elif sample is None:
                missing[name] = "no sample"
            elif abs(sample.time_ns - time_ns) > buffer.config.tolerance_ns:
                apart, allowed = abs(sample.time_ns - time_ns), buffer.config.tolerance_ns
                missing[name] = (
                    f"nearest sample {apart / 1e6:.0f} ms away, {allowed / 1e6:.0f} ms allowed"
                )
            else:
                samples[name] = sample
                buffer.use(sample)
        return FrameSet(reference, samples, missing, now_ns)
