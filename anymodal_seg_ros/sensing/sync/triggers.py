"""What opens a frame set: each frame of the reference sensor, a fixed rate, or any frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from anymodal_seg_ros.config import RigConfig, seconds_to_ns
from anymodal_seg_ros.frames import Sample, SensorState
from anymodal_seg_ros.sensing.sync.buffer import SampleBuffer

States = Mapping[str, SensorState]
Buffers = Mapping[str, SampleBuffer]


class Trigger(NamedTuple):
    """A moment in header time that waits for its samples.

    Attributes:
        epoch: counts the declared clock jumps before it; time only grows within an epoch.
        time_ns: the moment.
        opened_ns: when the sample that opened it arrived, on the caller's clock.
        sample: of the reference sensor; None if the reference is chosen when the set leaves.
        unfit: why that sample gives no more than its header and geometry; empty if it is good.
        optional: whether the set is only wanted if another sensor sees something.
    """

    epoch: int
    time_ns: int
    opened_ns: int
    sample: Sample | None
    unfit: str = ""
    optional: bool = False


class TriggerPolicy(Protocol):
    """Says when frame sets open. Asked after every sample and before every poll."""

    def opened_by(
        self, sample: Sample | None, states: States, buffers: Buffers, newest_ns: int | None
    ) -> Iterable[tuple[int, Sample]]:
        """Return what opens now.

        Args:
            sample: that has just been buffered; None if only time has passed.
            states: health of every sensor.
            buffers: the samples of every sensor, by configured order.
            newest_ns: the latest moment for which a set was opened; None if there was none.

        Returns:
            Moments in header time, each with the sample that opens it.
        """

    @property
    def fixed_reference(self) -> bool:
        """Whether the opening sample is the reference of its set."""

    @property
    def needs_good_sample(self) -> bool:
        """Whether nothing opens for a sample that must not be fused."""


class OnReference:
    """Each sample of the first living sensor. When that dies, the next takes over."""

    fixed_reference = True
    needs_good_sample = False

    def __init__(self, *, patient: bool = False) -> None:
        """Begin without a reference.

        Args:
            patient: whether a reference that is merely late keeps its place. Where the geometry of
                the masks is the reference's, one lost message shall not change it; where it is
                fixed, the next sensor steps in at once and no mask is lost.
        """
        self._reference: str | None = None
        self._patient = patient

    def opened_by(
        self, sample: Sample | None, states: States, buffers: Buffers, newest_ns: int | None
    ) -> Iterable[tuple[int, Sample]]:
        """See :class:`TriggerPolicy`."""
        reference = None
        for name in buffers:
            late = self._patient and states[name] is SensorState.LATE
            if states[name].alive or (late and name == self._reference):
                reference = name
                break
        if reference == self._reference:
            if sample is not None and sample.sensor == reference:
                return ((sample.time_ns, sample),)
            return ()
        self._reference = reference
        if reference is None:
            return ()
        fresh = buffers[reference]
        opened = [(s.time_ns, s) for s in fresh.after(newest_ns) if not fresh.used(s)]
        if sample is not None and sample.sensor == reference and not opened:
            opened.append((sample.time_ns, sample))  # time may have begun anew
        return opened


class AtRate:
    """The multiples of a period in header time, each when the first sensor gets there."""

    fixed_reference = False
    needs_good_sample = False

    def __init__(self, period_ns: int, jump_ns: int) -> None:
        """Begin before any moment."""
        self._period_ns = period_ns
        self._jump_ns = jump_ns
        self._opener = ""
        """Whose sample opened the latest moment."""

    def opened_by(
        self, sample: Sample | None, states: States, buffers: Buffers, newest_ns: int | None
    ) -> Iterable[tuple[int, Sample]]:
        """See :class:`TriggerPolicy`."""
        if sample is None or not _tells_time(sample, states, buffers, self._jump_ns):
            return ()
        time_ns = sample.time_ns - sample.time_ns % self._period_ns
        behind_ns = -1 if newest_ns is None else newest_ns - time_ns
        # A moment that was opened by a clock which was wrong keeps nobody waiting for it.
        if 0 <= behind_ns <= self._jump_ns and states[self._opener] is not SensorState.CLOCK:
            return ()
        self._opener = sample.sensor
        return ((time_ns, sample),)


class OnAny:
    """Every sample of every living sensor."""

    fixed_reference = True
    needs_good_sample = True

    def __init__(self, jump_ns: int) -> None:
        """Begin; stamps that are ``jump_ns`` apart are of two clocks."""
        self._jump_ns = jump_ns

    def opened_by(
        self, sample: Sample | None, states: States, buffers: Buffers, newest_ns: int | None
    ) -> Iterable[tuple[int, Sample]]:
        """See :class:`TriggerPolicy`."""
        if sample is None or not _tells_time(sample, states, buffers, self._jump_ns):
            return ()
        return ((sample.time_ns, sample),)


def _tells_time(sample: Sample, states: States, buffers: Buffers, jump_ns: int) -> bool:
    """Whether a sample is of a living sensor whose clock is that of the first living one.

    Until it is known whose clock has jumped, time would begin anew with every other sample. They
    are told apart by how long after its stamp a sample arrives, whatever the sensors' rates.
    """
    if not states[sample.sensor].alive:
        return False
    first = buffers[next(name for name in buffers if states[name].alive)]
    if first.seen_ns is None:
        return True
    first_lag_ns = first.seen_received_ns - first.seen_ns
    return abs(sample.received_ns - sample.time_ns - first_lag_ns) <= jump_ns


def trigger_policy(rig: RigConfig) -> TriggerPolicy:
    """Make the policy that a rig is configured for."""
    jump_ns = seconds_to_ns(rig.clock_jump_s)
    if rig.trigger == "rate":
        return AtRate(seconds_to_ns(1.0 / rig.trigger_hz), jump_ns)
    if rig.trigger == "any":
        return OnAny(jump_ns)
    return OnReference(patient=rig.geometry == "reference")
