"""The way of every message from its arrival to a frame set: judged, counted, handed on or withheld.

Stamps are judged first, then the image. A sample with a fault in its image never reaches a frame
set, from the very first on; the state of its sensor follows when the fault goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from anymodal_seg_ros.config import RigConfig, seconds_to_ns
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import (
    DeferredImage,
    FrameSet,
    Image,
    Sample,
    SensorState,
    SensorStatus,
)
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.evidence import shortfall
from anymodal_seg_ros.sensing.health.sensor_health import Fault, withheld
from anymodal_seg_ros.sensing.health.watchdog import Watchdog
from anymodal_seg_ros.sensing.sync.clock import StampGuard
from anymodal_seg_ros.sensing.sync.offsets import StampOffsets
from anymodal_seg_ros.sensing.sync.synchronizer import Synchronizer

_NEWER_CAME = "not decoded, a newer one came"


class Deferred(NamedTuple):
    """A sample whose pixels are still to be made, which is no work for a callback.

    Attributes:
        sample: as it came.
        jumped: whether the sensor's clock has jumped before it.
        run: counts how often the clock went back; a sample of an earlier run is of no use.
    """

    sample: Sample
    jumped: bool
    run: int


class Intake:
    """The sensing half of the pipeline. Not thread-safe: the pipeline holds its lock around it."""

    def __init__(self, rig: RigConfig, on_new_run: Callable[[], None] = lambda: None) -> None:
        """Set up for the sensors of a rig.

        Args:
            rig: the sensors and how they are brought together.
            on_new_run: called when the clock has gone back and everything is forgotten.
        """
        self._rig = rig
        self._on_new_run = on_new_run
        self._jump_ns = seconds_to_ns(rig.clock_jump_s)
        self._now_ns: int | None = None
        self._run = 0
        self._rejected = {name: Counter[str]() for name in rig.sensors}
        self._last_error = dict.fromkeys(rig.sensors, "")
        self._deferred: dict[str, Deferred] = {}
        self._begin()

    def advance(self, now_ns: int) -> None:
        """Let the watchdog see the time. A clock that went far back means a new run."""
        if self._now_ns is not None and now_ns < self._now_ns - self._jump_ns:
            self._run += 1
            self._begin()
            self._on_new_run()
            self._now_ns = None
        self._now_ns = now_ns if self._now_ns is None else max(now_ns, self._now_ns)
        self._watchdog.update(now_ns)

    def reject(self, sensor: str, fault: Fault, received_ns: int) -> str:
        """Count a message that could not be read. Returns what was wrong, with the topic."""
        self.advance(received_ns)
        self._watchdog.arrive(sensor, received_ns)
        return self._count_rejection(sensor, fault, received_ns)

    def arrive(self, sensor: str, received_ns: int) -> None:
        """Take note of a message that is a sign of life but no sample: a packet of events."""
        self.advance(received_ns)
        self._watchdog.arrive(sensor, received_ns)

    def reject_camera_info(self, sensor: str, reason: str) -> str:
        """Count a calibration that cannot be used; it says nothing about the sensor's images."""
        self._rejected[sensor]["camera_info"] += 1
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
            error = self._count_rejection(sample.sensor, fault, now_ns)
        for place, admitted in enumerate(admission.samples):
            jumped = admission.jumped and place == 0
            if not isinstance(admitted.image, DeferredImage):
                self._take(admitted, jumped)
            else:
                self._defer(admitted, jumped)
        return error

    def deferred(self) -> list[Deferred]:
        """Hand out the samples whose pixels are to be made before :meth:`take_made`."""
        waiting = list(self._deferred.values())
        self._deferred = {}
        return waiting

    def take_made(self, deferred: Deferred, error: DecodeError | None) -> None:
        """Take a sample whose pixels have been made, or could not be made."""
        sample = deferred.sample
        if deferred.run != self._run:
            return
        if error is None:
            self._take(sample, deferred.jumped)
            return
        fault = Fault(SensorState.INVALID, str(error))
        self._count_rejection(sample.sensor, fault, sample.received_ns)
        # Its header and geometry still hold; nobody after this shall meet the damaged pixels.
        black = np.zeros((sample.image.height, sample.image.width), np.uint8)
        header = replace(sample, image=Image(black, "mono8"))
        self._synchronizer.withhold(header, self._watchdog.states(), fault.reason)

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
        self._checkers: Mapping[str, ContentChecker] = {
            name: ContentChecker(
                sensor.modality, sensor.checks, recover_frames=sensor.recover_frames
            )
            for name, sensor in rig.sensors.items()
            if rig.content_checks
        }
        self._deferred = {}

    def _take(self, sample: Sample, jumped: bool) -> None:
        """Judge a sample whose pixels are at hand, and let it go on if it may be fused."""
        sensor, states = sample.sensor, self._watchdog.states()
        if jumped:
            self._offsets.jumped(sensor, sample.received_ns)
        clock_fault = self._offsets.judge(sample, states)
        found = None if clock_fault else self._inspect(sample, states[sensor])
        self._watchdog.judge(sensor, sample.received_ns, clock_fault or found)
        unfit = withheld(found)
        if unfit is None:
            self._synchronizer.add(sample, states, jumped=jumped)
        else:
            kind = unfit.reason.split(":", 1)[0]
            self._synchronizer.withhold(sample, states, unfit.reason, kind)

    def _inspect(self, sample: Sample, state: SensorState) -> Fault | None:
        """Look for faults in the image."""
        checker = self._checkers.get(sample.sensor)
        if checker is None:
            return None
        if state in (SensorState.STALE, SensorState.FAILED):
            checker.forget()
        return checker.inspect(sample.image, sample.received_ns)

    def _defer(self, sample: Sample, jumped: bool) -> None:
        """Keep the newest sample that is still to be decoded."""
        before = self._deferred.pop(sample.sensor, None)
        if before is not None:
            jumped = jumped or before.jumped
            states = self._watchdog.states()
            self._synchronizer.withhold(before.sample, states, _NEWER_CAME, _NEWER_CAME)
        self._deferred[sample.sensor] = Deferred(sample, jumped, self._run)

    def _count_rejection(self, sensor: str, fault: Fault, now_ns: int) -> str:
        """Count a rejected message by the field that was wrong, and keep the whole sentence."""
        self._watchdog.judge(sensor, now_ns, fault, accepted=False)
        self._rejected[sensor][fault.reason.split(" ", 1)[0]] += 1
        self._last_error[sensor] = f"{self._rig.sensors[sensor].topic}: {fault.reason}"
        return self._last_error[sensor]

    def _status(self, sensor: str, now_ns: int) -> SensorStatus:
        checker = self._checkers.get(sensor)
        content = () if checker is None else checker.results
        return replace(
            self._watchdog.status(sensor, now_ns),
            rejected=dict(self._rejected[sensor]),
            dropped=self._synchronizer.dropped(sensor),
            last_error=self._last_error[sensor],
            checks=(*content, *self._offsets.results(sensor)),
        )
