"""Deadline-driven frame sets: what every living sensor saw at one instant, never waiting for more.

A trigger opens a frame set: by default each sample of the reference sensor, which is the first one
in configured order that is alive. Every other living sensor gives the sample nearest in header time
within its tolerance. A set leaves as soon as no better sample can be expected before its deadline,
and at the deadline at the latest.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import replace
from typing import NamedTuple

from anymodal_seg_ros.config import RigConfig, seconds_to_ns
from anymodal_seg_ros.frames import FrameSet, Sample, SensorState
from anymodal_seg_ros.sensing.sync.buffer import MAX_BYTES, SampleBuffer
from anymodal_seg_ros.sensing.sync.set_back import SetBack
from anymodal_seg_ros.sensing.sync.triggers import States, Trigger, trigger_policy

TOO_LATE = "a later frame set had left"
TOO_FAST = "beyond max_rate_hz"

MAX_PENDING = 64
"""Frame sets that may wait for their samples. More means that nobody has polled for seconds."""

MAX_PENDING_BYTES = 2 * MAX_BYTES
"""Pixels of the samples that have opened them; so many of 4K are two thirds of a second."""


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

    def __init__(self, rig: RigConfig) -> None:
        """Set up empty buffers for the sensors of a rig."""
        self._jump_ns = seconds_to_ns(rig.clock_jump_s)
        self._buffers = {name: SampleBuffer(s) for name, s in rig.sensors.items()}
        self._take_times(rig)
        self._policy = trigger_policy(rig)
        self._pending: list[Trigger] = []
        self._polled_ns: int | None = None
        self.overdue = 0
        """Frame sets that were given up because nobody came to poll."""
        self._epoch = 0
        self._newest_ns: int | None = None
        """The latest moment that a set was opened for, in this epoch."""
        self._last: _Left | None = None
        self._withheld: dict[str, tuple[int, str]] = {}
        self._set_back = SetBack()
        """Of the reference: whether its samples lie before its last set."""

    def configure(self, rig: RigConfig) -> None:
        """Take other deadlines, rates and tolerances of the same sensors from now on.

        What one has opened that does not take part any more goes without a mask.
        """
        for name, sensor in rig.sensors.items():
            self._buffers[name].configure(sensor)
        self._take_times(rig)
        waiting, self._pending = self._pending, []
        for trigger in waiting:
            if trigger.sample is None or rig.sensors[trigger.sample.sensor].enabled:
                self._pending.append(trigger)
            else:
                self._buffers[trigger.sample.sensor].set_left(trigger.sample, taken=False)

    def count_on_from(self, other: Synchronizer) -> None:
        """Go on with the counts of another one of the same sensors, whose samples are let go."""
        for trigger in other._pending:
            if trigger.sample is not None:
                other._buffers[trigger.sample.sensor].set_left(trigger.sample, taken=False)
        for name, buffer in self._buffers.items():
            before = other._buffers[name]
            before.clear()
            buffer.dropped, buffer.taken = before.dropped, before.taken

    def wait_for(self, sensor: str, patience_ns: int) -> None:
        """Wait for one sensor's samples so long after the reference's, within the limits."""
        patience_ns = max(self._deadline_ns, min(patience_ns, self._longest_ns))
        self._patience_ns[sensor] = patience_ns

    def longest_possible_ns(self, opener: str) -> int:
        """Return how long the sets that a sensor opens can wait before some must be given up."""
        buffer, waiting = self._buffers[opener], MAX_PENDING
        if buffer.newest is not None:
            waiting = min(waiting, MAX_PENDING_BYTES // max(1, buffer.newest.image.nbytes))
        return waiting * max(buffer.period_ns, self._spacing_ns)

    def discard(self, sample: Sample, reason: str) -> None:
        """Take a sample out that turned out to be unfit when its pixels were made."""
        self._buffers[sample.sensor].discard(sample)
        self._withheld[sample.sensor] = (sample.time_ns, reason)

    def newest(self, sensor: str) -> Sample | None:
        """Return the buffered sample of a sensor with the latest stamp."""
        return self._buffers[sensor].newest

    def newest_opener(self) -> Sample | None:
        """Return the sample whose frame set was opened last and waits; None if none does."""
        newest = self._pending[-1] if self._pending else None
        return None if newest is None or newest.unfit else newest.sample

    def count(self, sensor: str, reason: str, number: int = 1) -> None:
        """Count samples that never came into the buffers."""
        self._buffers[sensor].dropped[reason] += number

    def reselect(self, frame_set: FrameSet, states: States) -> FrameSet:
        """Choose the other sensors' samples anew, because one of them was unfit."""
        reference = frame_set.reference_sample
        samples, missing = {frame_set.reference: reference}, {}
        if frame_set.reference in frame_set.missing:
            missing[frame_set.reference] = frame_set.missing[frame_set.reference]
        self._choose_others(frame_set.reference, reference.time_ns, states, samples, missing)
        ordered = {name: samples[name] for name in self._buffers if name in samples}
        return replace(frame_set, samples=ordered, missing=missing)

    def _take_times(self, rig: RigConfig) -> None:
        """Take deadlines and rates, and let every buffer reach back as far as any may need it."""
        self._deadline_ns = seconds_to_ns(rig.deadline_s)
        self._longest_ns = rig.longest_wait_ns
        self._patience_ns = dict.fromkeys(rig.sensors, self._deadline_ns)
        self._spacing_ns = seconds_to_ns(0.9 / rig.max_rate_hz) if rig.max_rate_hz else 0
        longest = max(max(b.tolerance_ns, b.period_ns) for b in self._buffers.values())
        for buffer in self._buffers.values():
            buffer.keep_ns = 2 * longest + self._longest_ns

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
        elif self._reference_set_back(sample):
            # By less than a jump that one stamp shows, and for all: no set would leave until then.
            self._begin_epoch()
            for other in self._buffers.values():
                other.clear()
        if buffer.add(sample, "" if state.alive else f"came while {state.value}"):
            # Now, not at the next poll: a poll that comes late may find the sensor late as well.
            self._open(sample, states)

    def withhold(
        self,
        sample: Sample,
        states: States,
        reason: str,
        kind: str = "",
        *,
        optional: bool = False,
        jumped: bool = False,
    ) -> None:
        """Take note of a sample whose image must not be fused: nobody need wait for its sensor.

        If it is of the reference, its frame set opens all the same, so that there is a mask for
        every frame: with the header of this sample, and from what the others see.

        Args:
            sample: of any configured sensor.
            states: health of every sensor, this sample's arrival considered.
            reason: in words, for the sets that go without it.
            kind: what it is counted as; empty if it has been counted already.
            optional: whether the set that it opens is only wanted if somebody else sees something.
            jumped: as of :meth:`add`.
        """
        buffer = self._buffers[sample.sensor]
        if jumped:
            buffer.clear()
        buffer.see(sample)
        if kind:
            buffer.dropped[kind] += 1
        self._withheld[sample.sensor] = (sample.time_ns, reason)
        if not self._policy.needs_good_sample:
            self._open(sample, states, reason, optional)

    def poll(self, now_ns: int, states: States) -> list[FrameSet]:
        """Return the frame sets that are due, oldest first.

        Args:
            now_ns: on the clock of the samples' ``received_ns``.
            states: health of every sensor; only the living are waited for and used.
        """
        self._open(None, states)
        self._polled_ns = now_ns
        ready: list[FrameSet] = []
        while self._pending:
            trigger = self._pending[0]
            if self._may_improve(trigger, now_ns, states):
                break
            self._pending.pop(0)
            frame_set = self._close(trigger, now_ns, states)
            if trigger.sample is not None:
                self._buffers[trigger.sample.sensor].set_left(
                    trigger.sample, frame_set is not None and not trigger.unfit
                )
            if frame_set is not None:
                ready.append(frame_set)
        if ready and self._last is not None:
            for buffer in self._buffers.values():
                buffer.let_go_before(self._last.reference_ns)
        return ready

    def next_deadline_ns(self) -> int | None:
        """Return when the oldest open frame set may leave at the next; None if none is open."""
        if not self._pending:
            return None
        opened_ns, polled_ns = self._pending[0].opened_ns, self._polled_ns
        dues = sorted({opened_ns + patience_ns for patience_ns in self._patience_ns.values()})
        return next((due for due in dues if polled_ns is None or due > polled_ns), dues[-1])

    def dropped(self, sensor: str) -> dict[str, int]:
        """Return how many samples of a sensor no frame set used, by reason."""
        return dict(self._buffers[sensor].dropped)

    def taken(self, sensor: str) -> int:
        """Return how many samples of a sensor frame sets have used."""
        return self._buffers[sensor].taken

    def _open(
        self, sample: Sample | None, states: States, unfit: str = "", optional: bool = False
    ) -> None:
        """Open what the policy wants to be opened."""
        for time_ns, opener in self._policy.opened_by(
            sample, states, self._buffers, self._newest_ns
        ):
            if self._newest_ns is not None and time_ns <= self._newest_ns:
                if self._begins_anew(time_ns, states):
                    self._begin_epoch()
                elif self._has_left(time_ns):
                    if opener is not sample or not unfit:
                        self._buffers[opener.sensor].explain(opener, TOO_LATE)
                    continue
            elif self._too_soon(time_ns):
                self._buffers[opener.sensor].explain(opener, TOO_FAST)
                continue
            self._newest_ns = time_ns if self._newest_ns is None else max(self._newest_ns, time_ns)
            trigger = Trigger(self._epoch, time_ns, opener.received_ns, None)
            if self._policy.fixed_reference:
                trigger = trigger._replace(
                    sample=opener, unfit=unfit if opener is sample else "", optional=optional
                )
                if not trigger.unfit:
                    self._buffers[opener.sensor].await_set(opener)
            insort(self._pending, trigger, key=_order)
        while self._too_many_wait():
            given_up = self._pending.pop(0)
            self.overdue += 1
            if given_up.sample is not None:
                self._buffers[given_up.sample.sensor].set_left(given_up.sample, taken=False)

    def _too_many_wait(self) -> bool:
        """Whether the oldest open set is to be given up for the newest."""
        waiting = len(self._pending)
        held = sum(t.sample.image.nbytes for t in self._pending if t.sample is not None)
        return waiting > MAX_PENDING or (waiting > 1 and held > MAX_PENDING_BYTES)

    def _reference_set_back(self, sample: Sample) -> bool:
        """Whether the reference's clock has gone back for good, this sample considered."""
        last = self._last
        if last is None or last.reference != sample.sensor:
            return False
        left = last.epoch == self._epoch and sample.time_ns <= last.reference_ns
        return self._set_back.seen(sample.time_ns, behind=left)

    def _begin_epoch(self) -> None:
        """Let header time start again."""
        self._epoch += 1
        self._newest_ns = None
        self._set_back.clear()

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

    def _too_soon(self, time_ns: int) -> bool:
        """Whether a moment follows the newest one faster than sets may come."""
        return self._newest_ns is not None and 0 < time_ns - self._newest_ns < self._spacing_ns

    def _may_improve(self, trigger: Trigger, now_ns: int, states: States) -> bool:
        """Whether some living sensor may still deliver a better sample before its deadline."""
        reference = None if trigger.sample is None else trigger.sample.sensor
        for name, buffer in self._buffers.items():
            due_ns = trigger.opened_ns + self._patience_ns[name]
            if (
                name != reference
                and now_ns < due_ns
                and states[name].alive
                and _sensor_may_improve(buffer, trigger.time_ns, due_ns)
            ):
                return True
        return False

    def _close(self, trigger: Trigger, now_ns: int, states: States) -> FrameSet | None:
        """Choose every sensor's sample, or say why it has none; None if nothing is left to say."""
        samples: dict[str, Sample] = {}
        missing: dict[str, str] = {}
        opener = "" if trigger.sample is None else trigger.sample.sensor
        if trigger.sample is not None:
            samples[opener] = trigger.sample
            if trigger.unfit:
                missing[opener] = trigger.unfit
        self._choose_others(opener, trigger.time_ns, states, samples, missing)
        samples = {name: samples[name] for name in self._buffers if name in samples}
        if not samples or (trigger.optional and len(samples) == 1):
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

    def _choose_others(
        self,
        opener: str,
        time_ns: int,
        states: States,
        samples: dict[str, Sample],
        missing: dict[str, str],
    ) -> None:
        """Choose a sample of every sensor but the one that opened the set."""
        for name, buffer in self._buffers.items():
            if name == opener:
                continue
            if not states[name].alive:
                missing[name] = states[name].value
            else:
                self._choose(name, buffer, time_ns, samples, missing)

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
