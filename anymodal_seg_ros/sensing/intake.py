"""The way of every message from its arrival to a frame set: judged, counted, handed on or withheld.

Stamps are judged first, then the image. A sample with a fault in its image is never fused, from the
very first on; the state of its sensor follows when the fault goes on. An image that takes work to
decode goes into the buffers as it is, and is decoded and judged when a frame set wants it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import ceil

import numpy as np

from anymodal_seg_ros.config import LONGEST_DEADLINE_S, RigConfig, seconds_to_ns
from anymodal_seg_ros.errors import DecodeError, RejectionKind
from anymodal_seg_ros.frames import (
    CheckResult,
    DeferredImage,
    FrameSet,
    Image,
    Sample,
    SensorState,
    SensorStatus,
)
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.evidence import shortfall
from anymodal_seg_ros.sensing.health.motion import MotionWatch
from anymodal_seg_ros.sensing.health.rest import EventCameraRest
from anymodal_seg_ros.sensing.health.sensor_health import Fault, withheld
from anymodal_seg_ros.sensing.health.watchdog import Watchdog
from anymodal_seg_ros.sensing.sync.clock import StampGuard
from anymodal_seg_ros.sensing.sync.lags import MARGIN_NS, ArrivalLags
from anymodal_seg_ros.sensing.sync.offsets import StampOffsets
from anymodal_seg_ros.sensing.sync.synchronizer import Synchronizer

_KINDS_BY_STATE: Mapping[SensorState, RejectionKind] = {SensorState.CLOCK: "stamp"}

_STOOD_STILL_NS = 20_000_000
"""Whoever looks so much later than it was time to was held up."""

_UNUSUAL_STEP = 3
"""A step of a simulated clock that is as many times the one before is none of its usual ones."""

NEWER_CAME = "not decoded, a newer one came"
QUEUE_FULL = "not decoded, the queue was full"

VERDICT = "verdict"
"""In :attr:`Sample.made`: why its image must not be fused; empty if it may be."""
_JUMPED = "jumped"
"""In a sample that is held back until it is decoded: whether its sensor's clock jumped before."""
_RUN = "run"
"""How often the clock had gone back before it came; one of an earlier run is of no use."""


class Intake:
    """The sensing half of the pipeline. Not thread-safe: the pipeline holds its lock around it."""

    def __init__(
        self,
        rig: RigConfig,
        on_new_run: Callable[[], None] = lambda: None,
        planes: Mapping[str, str] | None = None,
    ) -> None:
        """Set up for the sensors of a rig.

        Args:
            rig: the sensors and how they are brought together.
            on_new_run: called when the clock has gone back and everything is forgotten.
            planes: what the model makes of the sensors' images, by sensor; see
                :class:`ContentChecker`.
        """
        self._rig = rig
        self._planes = planes or {}
        self._on_new_run = on_new_run
        self._jump_ns = seconds_to_ns(rig.clock_jump_s)
        self._now_ns: int | None = None
        self.watched = False
        """Whether somebody looks whenever it is time to, unless the process stands still."""
        self.simulated = False
        """Whether the clock is one that may be set ahead, as a simulator's or a player's."""
        self._ended = False
        self._step_ns = 0
        """By how much the clock went on last."""
        self._run = 0
        self._overdue_before = 0
        self._rejected = {name: Counter[str]() for name in rig.sensors}
        self._last_error = dict.fromkeys(rig.sensors, "")
        self._begin()

    def take_parameters_of(self, other: Intake) -> None:
        """Go on with the parameters of another one of the same sensors.

        What is known of the sensors stays: one that is down is not believed because a threshold
        has changed. A sensor is only looked at anew where its own checks have changed, and met as
        a new one where it is taken in again.
        """
        before, rig = self._rig, other._rig
        self._rig, self._planes = rig, other._planes
        for name, sensor in rig.sensors.items():
            known = before.sensors[name]
            if sensor.enabled is known.enabled:
                self._watchdog.configure(name, sensor)
            else:
                self._watchdog.switch(name, sensor, self._now_ns or 0)
                self._held.pop(name, None)
            same = sensor.enabled is known.enabled and sensor.checks == known.checks
            if same and name in self._checkers and name in other._checkers:
                other._checkers[name] = self._checkers[name]
        self._checkers.clear()
        self._checkers.update(other._checkers)
        self._offsets.configure(rig)
        self._synchronizer.configure(rig)

    def forget_events(self) -> None:
        """Take note that events are decoded anew: nothing is known of their windows."""
        self._event_checks.clear()
        self._event_damage.clear()
        self._unread.clear()

    def forget_comparison(self) -> None:
        """Take note that the sensors are compared anew: none is doubted any more."""
        for name in self._rig.sensors:
            self._watchdog.doubt(name, self._now_ns or 0, "")
        self._cross_checks.clear()

    def advance(self, now_ns: int) -> None:
        """Let the watchdog see the time. A clock that went far back means a new run."""
        if self._ended:
            return
        if self._now_ns is not None and now_ns < self._now_ns - self._jump_ns:
            self._run += 1
            self._overdue_before += self._synchronizer.overdue
            watchdog, synchronizer = self._watchdog, self._synchronizer
            self._begin()
            self._watchdog.count_on_from(watchdog)
            self._synchronizer.count_on_from(synchronizer)
            self._on_new_run()
            self._now_ns = None
        if self._now_ns is not None:
            if self.watched:
                self._excuse(now_ns)
            if self.simulated:
                self._excuse_jump(now_ns - self._now_ns)
        self._now_ns = now_ns if self._now_ns is None else max(now_ns, self._now_ns)
        self._watchdog.update(now_ns)

    def end(self, now_ns: int) -> None:
        """Take note that no message follows: time goes on, but nobody is silent for it."""
        self.advance(now_ns)
        self._ended = True
        self._watchdog.end(now_ns)

    def hand_over(self, received_ns: int, now_ns: int) -> None:
        """Take note that a message is handed over which has arrived before, of whatever sensor."""
        self.advance(now_ns)
        self._watchdog.fall_behind(max(0, now_ns - received_ns), now_ns)

    def _excuse(self, now_ns: int) -> None:
        """Do not take the sensors for silent in a time in which nobody listened.

        Whoever watches looks when the next state is due. If nobody has, process or machine stood
        still, and what was sent meanwhile is about to be handed over.
        """
        before_ns = self._now_ns
        if before_ns is None or now_ns - before_ns < _STOOD_STILL_NS:
            return
        due_ns = self._watchdog.next_change_ns()
        if due_ns is not None and now_ns - max(due_ns, before_ns) >= _STOOD_STILL_NS:
            self._watchdog.excuse(now_ns - max(due_ns, before_ns))

    def _excuse_jump(self, step_ns: int) -> None:
        """Do not take the sensors for silent in a time that has not passed.

        A simulated clock goes on in steps of one length. One that goes on by far more than before
        was set ahead: somebody has skipped a part of a recording. Sensors that stay away for longer
        than it takes to see that are still missed.
        """
        if step_ns <= 0:
            return
        usual_ns, self._step_ns = self._step_ns, step_ns
        if step_ns > max(self._jump_ns, _UNUSUAL_STEP * usual_ns):
            self._watchdog.excuse(step_ns)

    def reject(
        self, sensor: str, fault: Fault, received_ns: int, kind: RejectionKind | None = None
    ) -> str:
        """Count a message that could not be read. Returns what was wrong, with the topic.

        Args:
            sensor: whose message it was.
            fault: what was wrong with it.
            received_ns: when it arrived.
            kind: what it is counted under; by the fault's state if not given.
        """
        self.advance(received_ns)
        self._watchdog.arrive(sensor, received_ns)
        return self._count_rejection(sensor, fault, received_ns, kind)

    def reject_events(
        self, sensor: str, fault: Fault, received_ns: int, kind: RejectionKind
    ) -> str:
        """Count a message of events that has arrived and could not be read. Returns what was wrong.

        A few among many are no fault of the camera's, which is judged by its windows: there are
        hundreds of packets in a second, and one that comes twice costs no event. Only when so many
        came one after the other that nothing else does, they count.

        Args:
            sensor: whose message it was.
            fault: what was wrong with it.
            received_ns: when it arrived.
            kind: what it is counted under.
        """
        self._unread[sensor] += 1
        if self._unread[sensor] < self._rig.sensors[sensor].fault_frames:
            fault = replace(fault, lasting=False)
        return self._count_rejection(sensor, fault, received_ns, kind)

    def count_pushed_out(self, sensor: str, number: int) -> None:
        """Count messages of events that came faster than they could be decoded."""
        self._synchronizer.count(sensor, QUEUE_FULL, number)

    def judge_events(
        self,
        sensor: str,
        received_ns: int,
        fault: Fault | None,
        checks: tuple[CheckResult, ...],
        newest_ns: int | None,
    ) -> None:
        """Judge an event camera by what its packets have given, after one has been taken.

        Args:
            sensor: its name.
            received_ns: when the packet arrived.
            fault: why nothing comes of its packets; None while something does. It is the windows
                that are good: without a fault a packet is no more than a sign of life. One that is
                not withheld is told of the windows.
            checks: the figures behind it.
            newest_ns: the time that the camera has reached, as :attr:`Sample.time_ns`; None before
                any is known.
        """
        if newest_ns is not None:
            self._offsets.hear(sensor, received_ns - newest_ns)
        self._event_checks[sensor] = checks
        self._unread[sensor] = 0
        self._event_damage[sensor] = fault
        if withheld(fault) is not None:
            self._watchdog.judge(sensor, received_ns, fault, accepted=False)

    def take_cross_check(
        self,
        sensor: str,
        now_ns: int,
        doubt: str,
        shifted: str,
        checks: tuple[CheckResult, ...],
    ) -> None:
        """Take note of what the other sensors say of one.

        Args:
            sensor: its name.
            now_ns: when it was looked at.
            doubt: why it is doubted, in words; empty if it is not.
            shifted: that it lies beside the others, in words; empty if it does not.
            checks: the figures behind both.
        """
        self._watchdog.doubt(sensor, max(now_ns, self._now_ns or now_ns), doubt)
        self._cross_checks[sensor] = (shifted, checks)

    def arrive(self, sensor: str, received_ns: int) -> None:
        """Take note of a message that is a sign of life but no sample: a packet of events."""
        self.advance(received_ns)
        self._watchdog.arrive(sensor, received_ns)
        if sensor in self._rests:
            self._rests[sensor].hear(received_ns)

    def expect_always(self, sensor: str) -> None:
        """Take note that an event camera sends although there is no event to tell of."""
        self._rests[sensor].always_sends = True

    def resting(self, now_ns: int) -> frozenset[str]:
        """Return the event cameras that are silent because nothing moves before the others."""
        if not self._rests:
            return frozenset()
        others = self._onlookers(now_ns)
        return frozenset(n for n, rest in self._rests.items() if rest.rests(others, now_ns))

    def leads_events(self, sensor: str, now_ns: int) -> bool:
        """Whether event cameras follow a sensor's frames: the first living one's that has any."""
        resting = self.resting(now_ns)
        states = self._watchdog.states().items()
        leader = next((n for n, s in states if s.alive and n not in resting), None)
        return sensor == (leader or self.leader())

    def reject_camera_info(self, sensor: str, reason: str) -> str:
        """Count a calibration that cannot be used; it says nothing about the sensor's images."""
        kind: RejectionKind = "camera_info"
        self._rejected[sensor][kind] += 1
        topic = self._rig.sensors[sensor].registration.camera_info
        self._last_error[sensor] = f"{topic}: {reason}"
        return self._last_error[sensor]

    def push(self, sample: Sample) -> str | None:
        """Take one sample. Returns why a sample was rejected, None if none was."""
        now_ns, error = sample.received_ns, None
        self.advance(now_ns)
        self._watchdog.arrive(sample.sensor, now_ns)
        admission = self._guards[sample.sensor].admit(sample)
        if admission.rejected:
            fault = Fault(SensorState.CLOCK, admission.rejected)
            error = self._count_rejection(sample.sensor, fault, now_ns, "stamp")
        for place, admitted in enumerate(admission.samples):
            jumped = admission.jumped and place == 0
            self._take(admitted, jumped)
        return error

    def undecoded(self) -> list[Sample]:
        """Hand out what must be decoded although no frame set has asked for it.

        A sensor that is not alive is in no frame set, and only good images bring it back: so its
        newest one is looked at. Give each to :meth:`judge_decoded`.
        """
        waiting = list(self._held.values())
        self._held.clear()
        return waiting

    def judge_decoded(self, sample: Sample, error: DecodeError | None) -> bool:
        """Judge a sample whose pixels have been made, or could not be made.

        Returns:
            Whether it may be fused. If not, it is counted, and taken out of the buffers.
        """
        if VERDICT in sample.made:
            return not sample.made[VERDICT]
        if sample.made.get(_RUN) != self._run:
            return False  # the clock has gone back while it was being decoded
        held = _JUMPED in sample.made
        states = self._watchdog.states()
        if error is None:
            fault = self._inspect(sample, states[sample.sensor])
            unfit = withheld(fault)
            sample.made[VERDICT] = "" if unfit is None else unfit.reason
        else:
            fault = Fault(SensorState.INVALID, str(error))
            sample.made[VERDICT] = fault.reason
            self._count_rejection(sample.sensor, fault, sample.received_ns, error.kind)
        if held:
            jumped = sample.made.pop(_JUMPED)
            if error is None:
                self._let_go_on(sample, fault, jumped)
            else:
                # Its header and geometry still hold; nobody after this meets the damaged pixels.
                reason = sample.made[VERDICT]
                self._synchronizer.withhold(_black(sample), states, reason, jumped=jumped)
            return not sample.made[VERDICT]
        if not sample.made[VERDICT]:
            if fault is not None and fault.lasting:  # damaged, but fused
                self._watchdog.judge(sample.sensor, sample.received_ns, fault, accepted=False)
            return True
        assert fault is not None
        if error is None:  # its arrival was believed to be good; a damaged one is counted above
            self._watchdog.judge(sample.sensor, sample.received_ns, fault, accepted=False)
            self._synchronizer.count(sample.sensor, fault.kind)
        self._synchronizer.discard(sample, fault.reason)
        return False

    def reselect(self, frame_set: FrameSet) -> FrameSet:
        """Choose samples anew, because one of them must not be fused after all."""
        reference = frame_set.reference_sample
        if reason := reference.made.get(VERDICT, ""):
            frame_set = replace(
                frame_set,
                samples={**frame_set.samples, frame_set.reference: _black(reference)},
                missing={**frame_set.missing, frame_set.reference: reason},
            )
        return self._synchronizer.reselect(frame_set, self._watchdog.states())

    def poll(self, now_ns: int) -> list[FrameSet]:
        """Return the frame sets that are due, oldest first."""
        self.advance(now_ns)
        return self._synchronizer.poll(now_ns, self._watchdog.states())

    def next_wakeup_ns(self) -> int | None:
        """Return when a frame set or a state can change although no message comes."""
        times = (self._synchronizer.next_deadline_ns(), self._watchdog.next_change_ns())
        return min((t for t in times if t is not None), default=None)

    def leader(self) -> str | None:
        """Return the first living sensor, whose frames the event cameras follow; None if none."""
        return next((n for n, state in self._watchdog.states().items() if state.alive), None)

    @property
    def overdue(self) -> int:
        """Frame sets that were given up because nobody came to poll for seconds."""
        return self._overdue_before + self._synchronizer.overdue

    def newest(self, reference: str) -> dict[str, Sample]:
        """Return the newest sample of every living sensor that frame sets to come will want.

        A sensor that is much faster than masks come is left out: most of its samples will never be
        in a frame set. Of a reference that is, those will that have opened one.
        """
        found = {}
        for name in self._rig.sensors:
            sample = None
            if self.wants_most(name, reference):
                sample = self._synchronizer.newest(name)
            elif name == reference and self._watchdog.states()[name].alive:
                sample = self._synchronizer.newest_opener()
            if sample is not None and sample.sensor == name:
                found[name] = sample
        return found

    def wants_most(self, sensor: str, reference: str) -> bool:
        """Whether a sensor is alive, and most of its samples will be in a frame set."""
        period_ns = self._rig.sensors[sensor].period_ns
        mask_ns = self._rig.mask_period_ns(reference)
        slow = period_ns >= mask_ns if sensor == reference else 1.5 * period_ns > mask_ns
        return slow and self._watchdog.states()[sensor].alive

    def shortfall(self, now_ns: int) -> str:
        """Say what the living sensors lack for a mask, in words; empty if nothing."""
        self.advance(now_ns)
        states = self._watchdog.states()
        return shortfall(self._rig, [name for name, state in states.items() if state.alive])

    def status(self, now_ns: int) -> tuple[SensorStatus, ...]:
        """Return the health of every sensor, in configured order."""
        self.advance(now_ns)
        return tuple(self._status(name, now_ns) for name in self._rig.sensors)

    def _begin(self) -> None:
        """Start with no memory of any sample."""
        rig = self._rig
        self._watchdog = Watchdog(rig.sensors, seconds_to_ns(rig.startup_grace_s))
        self._synchronizer = Synchronizer(rig)
        self._guards = {name: StampGuard(self._jump_ns) for name in rig.sensors}
        self._offsets = StampOffsets(rig)
        self._checkers: dict[str, ContentChecker] = {
            name: ContentChecker(
                sensor.modality,
                sensor.checks,
                planes=self._planes.get(name),
                recover_frames=sensor.recover_frames,
                counts=sensor.counts,
                motion=any(other.modality == "event" for other in rig.sensors.values()),
            )
            for name, sensor in rig.sensors.items()
            if rig.content_checks
        }
        self._rests = {
            name: EventCameraRest(sensor.period_ns, known=sensor.sends_events)
            for name, sensor in rig.sensors.items()
            if sensor.modality == "event"
        }
        self._held: dict[str, Sample] = {}
        self._originals: dict[str, Sample] = {}
        self._lags = ArrivalLags(rig.sensors)
        self._event_checks: dict[str, tuple[CheckResult, ...]] = {}
        self._event_damage: dict[str, Fault | None] = {}
        self._unread = Counter[str]()
        """Messages of events in a row that could not be read."""
        self._cross_checks: dict[str, tuple[str, tuple[CheckResult, ...]]] = {}

    def _take(self, sample: Sample, jumped: bool) -> None:
        """Judge the stamp of a sample, and its pixels if they are at hand."""
        sensor, states = sample.sensor, self._watchdog.states()
        sample.made[_RUN] = self._run
        if jumped:
            self._offsets.jumped(sensor, sample.received_ns)
            self._lags.forget(sensor)
        fault = self._offsets.judge(sample, states)
        decoded = not isinstance(sample.image, DeferredImage)
        if decoded:
            sample.made[VERDICT] = ""
        if fault is not None:
            # Its stamp is the doubtful thing: the state of the sensor keeps it out, if need be.
            self._watchdog.judge(sensor, sample.received_ns, fault)
            self._synchronizer.add(sample, states, jumped=jumped)
            return
        self._learn_patience(sample)
        if decoded:
            self._let_go_on(sample, self._inspect(sample, states[sensor]), jumped)
        elif states[sensor].alive or states[sensor] is SensorState.LATE:
            # Taken to be as good as those before: only what a frame set uses is ever decoded. Of a
            # sensor that was merely late several may come at once, before one could be looked at.
            self._watchdog.judge(sensor, sample.received_ns, None)
            self._synchronizer.add(sample, states, jumped=jumped)
        else:
            self._hold(sample, jumped)

    def _let_go_on(self, sample: Sample, fault: Fault | None, jumped: bool) -> None:
        """Let a sample into the buffers if it may be fused."""
        sensor, states = sample.sensor, self._watchdog.states()
        self._watchdog.judge(sensor, sample.received_ns, fault)
        unfit = withheld(fault)
        if unfit is not None:
            repeats = unfit.state is SensorState.FROZEN and not unfit.lasting
            self._synchronizer.withhold(
                sample, states, unfit.reason, unfit.kind, optional=repeats, jumped=jumped
            )
            return
        original = self._originals.get(sensor)
        if fault is not None and original is not None and _same_picture(sample, original):
            # The same picture once more: whatever was made of it serves again.
            sample = replace(sample, made=original.made)
        else:
            self._originals[sensor] = sample
        self._synchronizer.add(sample, states, jumped=jumped)

    def _learn_patience(self, sample: Sample) -> None:
        """Wait as long for a sensor as it usually needs, if that is short enough."""
        self._lags.observe(sample)
        reference = self._opener(n for n, s in self._watchdog.states().items() if s.alive)
        behind_ns = None if reference is None else self._lags.behind_ns(sample.sensor, reference)
        if behind_ns is not None:
            wanted_ns = behind_ns + MARGIN_NS
            within = wanted_ns <= seconds_to_ns(self._rig.deadline_max_s)
            self._synchronizer.wait_for(sample.sensor, wanted_ns if within else 0)

    def _opener(self, sensors: Iterable[str]) -> str | None:
        """Return whose samples open the frame sets, of sensors in configured order; None if none.

        That is the reference, or, where none is fixed, whoever gets to a moment first.
        """
        fixed = self._rig.trigger == "reference"
        return next(iter(sensors), None) if fixed else self._lags.quickest(sensors)

    def too_late_by(self, sensor: str) -> str:
        """Say that a sensor comes too late to be waited for, and the mend; empty if not.

        A reference that is late at this moment is meant all the same.
        """
        states = self._watchdog.states().items()
        reference = self._opener(n for n, s in states if s.alive or s is SensorState.LATE)
        behind_ns = None if reference is None else self._lags.behind_ns(sensor, reference)
        always_ns = seconds_to_ns(self._rig.deadline_s)
        waited_ns = max(always_ns, seconds_to_ns(self._rig.deadline_max_s) - MARGIN_NS)
        if behind_ns is None or behind_ns <= waited_ns:
            return ""
        needed_s = ceil((behind_ns + 2 * MARGIN_NS) / 1e7) / 100
        assert reference is not None
        most_s = min(self._synchronizer.longest_possible_ns(reference) / 1e9, LONGEST_DEADLINE_S)
        late = f"its messages come {behind_ns / 1e6:.0f} ms after those of {reference}"
        if needed_s > most_s:
            return (
                f"{late}, and no frame set can wait for more than {most_s:.2g} s: send them sooner"
            )
        return f"{late}: raise rig.deadline_max_s to {needed_s:.2f}"

    def _inspect(self, sample: Sample, state: SensorState) -> Fault | None:
        """Look for faults in the image."""
        checker, damage = self._checkers.get(sample.sensor), self._event_damage.get(sample.sensor)
        if checker is None:
            return damage
        if state in (SensorState.STALE, SensorState.FAILED):
            checker.forget()
        fault = checker.inspect(sample.image, sample.received_ns) or damage
        if checker.motion is not None:
            self._let_rest(self._rig.sensors[sample.sensor].stale_after_ns, sample.received_ns)
        return fault

    def _onlookers(self, now_ns: int) -> list[MotionWatch]:
        """Return what the cameras see that have sent sound pictures lately."""
        return [
            checker.motion
            for name, checker in self._checkers.items()
            if checker.motion is not None
            and checker.motion.seen_since(now_ns - self._rig.sensors[name].stale_after_ns)
        ]

    def _let_rest(self, lasting_ns: int, now_ns: int) -> None:
        """Excuse the silence of event cameras until the next picture of the others is overdue.

        One whose frames the others follow is only excused where these can take its place.
        """
        others, leader = self._onlookers(now_ns), self.leader()
        for name, rest in self._rests.items():
            excused = rest.may_rest(others, now_ns)
            if excused and name == leader:
                excused = rest.rests(others, now_ns)
            self._watchdog.rest(name, now_ns + lasting_ns if excused else None)

    def _hold(self, sample: Sample, jumped: bool) -> None:
        """Keep the newest sample of a sensor that has yet to prove itself."""
        before = self._held.pop(sample.sensor, None)
        if before is not None:
            jumped = jumped or before.made[_JUMPED]
            self._synchronizer.count(sample.sensor, NEWER_CAME)
        sample.made[_JUMPED] = jumped
        self._held[sample.sensor] = sample

    def _count_rejection(
        self, sensor: str, fault: Fault, now_ns: int, kind: RejectionKind | None
    ) -> str:
        """Count a rejected message by what was wrong, in one of few words; keep the sentence."""
        self._watchdog.judge(sensor, now_ns, fault, accepted=False)
        self._rejected[sensor][kind or _KINDS_BY_STATE.get(fault.state, "other")] += 1
        self._last_error[sensor] = f"{self._rig.sensors[sensor].topic}: {fault.reason}"
        return self._last_error[sensor]

    def _status(self, sensor: str, now_ns: int) -> SensorStatus:
        checker = self._checkers.get(sensor)
        content = () if checker is None else checker.results
        status = self._watchdog.status(sensor, now_ns)
        shifted, compared = self._cross_checks.get(sensor, ("", ()))
        return replace(
            status,
            fault=status.fault or (shifted if status.state.alive else ""),
            rejected=dict(self._rejected[sensor]),
            dropped=self._synchronizer.dropped(sensor),
            taken=self._synchronizer.taken(sensor),
            last_error=self._last_error[sensor],
            checks=(
                *content,
                *self._event_checks.get(sensor, ()),
                *self._offsets.results(sensor),
                *compared,
            ),
        )


def _black(sample: Sample) -> Sample:
    """Return a sample of which only header and size hold."""
    black = np.zeros((sample.image.height, sample.image.width), np.uint8)
    return replace(sample, image=Image(black, "mono8"), made=dict(sample.made))


def _same_picture(one: Sample, other: Sample) -> bool:
    """Whether two images are equal; asked only where a check has found that an image repeats."""
    return one.image.encoding == other.image.encoding and np.array_equal(
        one.image.pixels, other.image.pixels, equal_nan=one.image.pixels.dtype.kind == "f"
    )
