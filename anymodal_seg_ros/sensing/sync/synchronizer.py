"""Deadline-driven frame sets: what every living sensor saw at one instant, never waiting for more.

A trigger opens a frame set: by default each sample of the reference sensor, which is the first one
in configured order that is alive. Every other living sensor gives the sample nearest in header time
within its tolerance. A set leaves as soon as no better sample can be expected before its deadline,
and at the deadline at the latest.
"""

from __future__ import annotations

from bisect import insort
from typing import NamedTuple

from anymodal_seg_ros.config import RigConfig, SensorConfig, seconds_to_ns
from anymodal_seg_ros.frames import FrameSet, Sample, SensorState
from anymodal_seg_ros.sensing.sync.buffer import MAX_BUFFERED, SampleBuffer
from anymodal_seg_ros.sensing.sync.triggers import States, Trigger, trigger_policy

TOO_LATE = "a later frame set had left"


class _Left(NamedTuple):
    """What is remembered of the frame set that left last."""

    epoch: int
    time_ns: int
    reference: str
    reference_ns: int


class Synchronizer:
    """Makes frame sets from samples. Reads no clock: arrival and deadlines are the caller's times.

    Nothing is emitted twice, and the reference times of the emitted sets only grow, except after a
    declared clock jump (:attr:`FrameSet.clock_jump`). Every sample ends in a frame set or is
    counted in :meth:`dropped`.
    """

    def __init__(self, rig: RigConfig, most: int = MAX_BUFFERED) -> None:
        """Set up empty buffers for the sensors of a rig, for at most ``most`` samples each."""
        self._deadline_ns = seconds_to_ns(rig.deadline_s)
        self._jump_ns = seconds_to_ns(rig.clock_jump_s)
        self._buffers = {name: SampleBuffer(s, most) for name, s in rig.sensors.items()}
        self._keep_enough()
        self._policy = trigger_policy(rig)
        self._pending: list[Trigger] = []
        self._epoch = 0
        self._newest_ns: int | None = None
        """The latest moment that a set was opened for, in this epoch."""
        self._last: _Left | None = None
        self._withheld: dict[str, tuple[int, str]] = {}

    def configure(self, sensor: str, config: SensorConfig) -> None:
        """Give one sensor another rate and tolerance from now on."""
        self._buffers[sensor].configure(config)
        self._keep_enough()

    def _keep_enough(self) -> None:
        """Let every buffer reach back as far as the slowest sensor may need it."""
        longest = max(max(b.tolerance_ns, b.period_ns) for b in self._buffers.values())
        for buffer in self._buffers.values():
            buffer.keep_ns = 2 * longest + self._deadline_ns

    def add(self, sample: Sample, states: States, *, jumped: bool = False) -> None:
        """Take one sample.

        Args:
            sample: of any configured sensor.
            states: health of every sensor, this sample's arrival considered.
            jumped: whether the sensor's clock jumped just before the sample.
        """
        buffer, state = self._buffers[sample.sensor], states[sample.sensor]
        if jumped:
            buffer.clear()
        if buffer.add(sample, "" if state.alive else f"came while {state.value}"):
            # Now, not at the next poll: a poll that comes late may find the sensor late as well.
            self._open(sample, states)

    def withhold(self, sample: Sample, states: States, reason: str, kind: str = "") -> None:
        """Take note of a sample whose image must not be fused: nobody need wait for its sensor.

        If it is of the reference, its frame set opens all the same, so that there is a mask for
        every frame: with the header of this sample, and from what the others see.

        Args:
            sample: of any configured sensor.
            states: health of every sensor, this sample's arrival considered.
            reason: in words, for the sets that go without it.
            kind: what it is counted as; empty if it has been counted already.
        """
        buffer = self._buffers[sample.sensor]
        buffer.see(sample)
        if kind:
            buffer.dropped[kind] += 1
        self._withheld[sample.sensor] = (sample.time_ns, reason)
        if not self._policy.needs_good_sample:
            self._open(sample, states, reason)

    def poll(self, now_ns: int, states: States) -> list[FrameSet]:
        """Return the frame sets that are due, oldest first.

        Args:
            now_ns: on the clock of the samples' ``received_ns``.
            states: health of every sensor; only the living are waited for and used.
        """
        self._open(None, states)
        ready: list[FrameSet] = []
        while self._pending:
            trigger = self._pending[0]
            if now_ns < trigger.due_ns and self._may_improve(trigger, states):
                break
            self._pending.pop(0)
            frame_set = self._close(trigger, now_ns, states)
            if frame_set is not None:
                ready.append(frame_set)
        return ready

    def next_deadline_ns(self) -> int | None:
        """Return when the oldest open frame set leaves at the latest; None if none is open."""
        return self._pending[0].due_ns if self._pending else None

    def dropped(self, sensor: str) -> dict[str, int]:
        """Return how many samples of a sensor no frame set used, by reason."""
        return dict(self._buffers[sensor].dropped)

    def _open(self, sample: Sample | None, states: States, unfit: str = "") -> None:
        """Open what the policy wants to be opened."""
        for time_ns, opener in self._policy.opened_by(
            sample, states, self._buffers, self._newest_ns
        ):
            if self._newest_ns is not None and time_ns <= self._newest_ns:
                if self._begins_anew(time_ns, states):
                    self._epoch += 1
                    self._newest_ns = None
                elif self._has_left(time_ns):
                    if opener is not sample or not unfit:
                        self._buffers[opener.sensor].explain(opener, TOO_LATE)
                    continue
            self._newest_ns = time_ns if self._newest_ns is None else max(self._newest_ns, time_ns)
            due_ns = opener.received_ns + self._deadline_ns
            trigger = Trigger(self._epoch, time_ns, due_ns, None)
            if self._policy.fixed_reference:
                trigger = trigger._replace(sample=opener, unfit=unfit if opener is sample else "")
            insort(self._pending, trigger, key=_order)

    def _begins_anew(self, time_ns: int, states: States) -> bool:
        """Whether header time starts again: a jump far back, or the end of a wrong reference."""
        assert self._newest_ns is not None
        if time_ns < self._newest_ns - self._jump_ns:
            return True
        last = self._last
        return (
            last is not None
            and self._has_left(time_ns)
            and states[last.reference] is SensorState.CLOCK
        )

    def _has_left(self, time_ns: int) -> bool:
        """Whether a set of this epoch for this moment or a later one was emitted."""
        last = self._last
        return last is not None and last.epoch == self._epoch and time_ns <= last.time_ns

    def _may_improve(self, trigger: Trigger, states: States) -> bool:
        """Whether some living sensor may still deliver a better sample before the deadline."""
        reference = None if trigger.sample is None else trigger.sample.sensor
        for name, buffer in self._buffers.items():
            if (
                name != reference
                and states[name].alive
                and _sensor_may_improve(buffer, trigger.time_ns, trigger.due_ns)
            ):
                return True
        return False

    def _close(self, trigger: Trigger, now_ns: int, states: States) -> FrameSet | None:
        """Choose every sensor's sample, or say why it has none; None if nothing is left to say."""
        samples: dict[str, Sample] = {}
        missing: dict[str, str] = {}
        for name, buffer in self._buffers.items():
            if trigger.sample is not None and name == trigger.sample.sensor:
                samples[name] = trigger.sample
                if trigger.unfit:
                    missing[name] = trigger.unfit
            elif not states[name].alive:
                missing[name] = states[name].value
            else:
                self._choose(name, buffer, trigger.time_ns, samples, missing)
        if not samples:
            return None
        reference = next(iter(samples)) if trigger.sample is None else trigger.sample.sensor
        reference_ns, last = samples[reference].time_ns, self._last
        jumped = last is not None and last.epoch != trigger.epoch
        if last is not None and not jumped and reference_ns <= last.reference_ns:
            return None  # two triggers of one moment, or a rate above that of the reference
        for name, sample in samples.items():
            if name not in missing:
                self._buffers[name].use(sample)
        self._last = _Left(trigger.epoch, trigger.time_ns, reference, reference_ns)
        return FrameSet(reference, samples, missing, now_ns, jumped)

    def _choose(
        self,
        name: str,
        buffer: SampleBuffer,
        time_ns: int,
        samples: dict[str, Sample],
        missing: dict[str, str],
    ) -> None:
        """Find one living sensor's sample for a moment, or say why there is none."""
        sample, allowed_ns = buffer.nearest(time_ns), buffer.tolerance_ns
        if sample is not None and abs(sample.time_ns - time_ns) <= allowed_ns:
            samples[name] = sample
            return
        withheld_ns, reason = self._withheld.get(name, (None, ""))
        if withheld_ns is not None and abs(withheld_ns - time_ns) <= allowed_ns:
            missing[name] = reason
        elif sample is None:
            missing[name] = "no sample"
        else:
            apart_ms, allowed_ms = abs(sample.time_ns - time_ns) / 1e6, allowed_ns / 1e6
            missing[name] = f"nearest sample {apart_ms:.0f} ms away, {allowed_ms:.0f} ms allowed"


def _sensor_may_improve(buffer: SampleBuffer, time_ns: int, due_ns: int) -> bool:
    """Whether a sensor may deliver a sample nearer to a moment before a deadline."""
    seen_ns = buffer.seen_ns
    if seen_ns is None:
        return True
    if seen_ns >= time_ns or buffer.seen_received_ns + buffer.period_ns > due_ns:
        return False
    newest = buffer.newest
    best_ns = buffer.tolerance_ns
    if newest is not None:
        best_ns = min(best_ns, time_ns - newest.time_ns)
    return seen_ns + buffer.period_ns - time_ns < best_ns


def _order(trigger: Trigger) -> tuple[int, int]:
    return trigger.epoch, trigger.time_ns
