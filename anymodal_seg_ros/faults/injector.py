"""The injector: messages of sensors in, what a broken sensor would have delivered out."""

from __future__ import annotations

import zlib
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from anymodal_seg_ros.config import seconds_to_ns
from anymodal_seg_ros.errors import ConfigError, DecodeError
from anymodal_seg_ros.faults.kinds import (
    EVERY_SENSOR,
    Delayed,
    Drift,
    Exchanged,
    Garbage,
    Hanging,
    ImageFault,
    InjectedFault,
    Intermittent,
    Mixed,
    Moved,
    Off,
    Slow,
    Stuck,
    Turned,
    Wrong,
)
from anymodal_seg_ros.faults.payloads import (
    hanging,
    mixed,
    under_header_of,
    with_drift,
    with_garbage,
    with_image_fault,
    with_other_view,
    with_wrong_content,
)
from anymodal_seg_ros.faults.timeline import FaultTimeline

_BUFFERS = 4
"""So many messages are kept for a stream that hangs or is mixed up."""

P = TypeVar("P")
"""A payload: an image in memory, or a ROS message of one of the supported types."""


@dataclass(frozen=True, slots=True)
class Delivery(Generic[P]):
    """What becomes of one message.

    Attributes:
        time_ns: when it is delivered; as it was pushed, or later if it is delayed.
        payload: what is delivered; the very object that was pushed if nothing is wrong with it.
        faults: what shaped it, in the order in which it did.
    """

    time_ns: int
    payload: P
    faults: tuple[InjectedFault, ...] = ()


class Injector(Generic[P]):
    """Breaks sensors as a timeline says.

    What comes of a sensor's messages depends on the timeline and on these messages alone: neither
    on other sensors nor on how their messages are interleaved, but for those that are exchanged.
    Images are changed first, then the stream, each in the order of the timeline's entries. Not
    thread-safe.

    Attributes:
        timeline: what breaks when.
        felt: which entries of the timeline, by their places in it, have kept back or shaped a
            message of which sensor so far.
    """

    def __init__(
        self, timeline: FaultTimeline, modalities: Mapping[str, str] | None = None
    ) -> None:
        """Begin a run.

        Args:
            timeline: what breaks when.
            modalities: kind of each sensor by name, where known: it tells depth from thermal
                counts, and event frames from pictures, where encodings do not.
        """
        self.timeline = timeline
        self.felt: set[tuple[int, str]] = set()
        self._modalities = dict(modalities or {})
        self._streams: dict[str, _Stream[P]] = {}
        wanted = {fault.with_sensor for fault in timeline.faults if isinstance(fault, Exchanged)}
        self._newest: dict[str, P | None] = dict.fromkeys(wanted)

    def push(self, sensor: str, time_ns: int, payload: P) -> Delivery[P] | None:
        """Take one message of a sensor, in the order in which the sensor sends them.

        Args:
            sensor: its name.
            time_ns: when it would be delivered if nothing were wrong, since the start of the
                timeline; before the start nothing is wrong.
            payload: an :class:`~anymodal_seg_ros.frames.Image`, or a message by duck typing. It is
                never written to, but may be kept.

        Returns:
            What is delivered and when; None if nothing is. A message that cannot be read although
            an image is to be changed is delivered as it is.

        Raises:
            ConfigError: a fault that is meant for this very sensor does not fit its messages. Those
                for every sensor are left out where they do not fit.
        """
        if sensor not in self._streams:
            modality = self._modalities.get(sensor, "")
            self._streams[sensor] = _Stream(sensor, modality, self.timeline, self._newest)
        if sensor in self._newest:
            self._newest[sensor] = payload
        delivery, felt = self._streams[sensor].push(time_ns, payload)
        self.felt.update((number, sensor) for number in felt)
        return delivery


class _Stream(Generic[P]):
    """What is remembered of one sensor."""

    def __init__(
        self,
        sensor: str,
        modality: str,
        timeline: FaultTimeline,
        others: Mapping[str, P | None],
    ) -> None:
        self._sensor, self._modality, self._timeline = sensor, modality, timeline
        self._others = others
        self._key = (timeline.seed, zlib.crc32(sensor.encode()))
        self._counts: Counter[int] = Counter()
        self._newest: P | None = None
        self._last: deque[P] = deque(maxlen=_BUFFERS)
        self._past = _Past[P](timeline.of(sensor))

    def push(self, time_ns: int, payload: P) -> tuple[Delivery[P] | None, list[int]]:
        """Return what becomes of a message, and the places of the entries that made it so."""
        active = self._timeline.numbered(self._sensor, time_ns)
        self._past.keep(time_ns, payload)
        for number, fault in active:
            if self._drops(number, fault, time_ns):
                return None, [number]
        shown, delay_ns, applied = payload, 0, list[tuple[int, InjectedFault]]()
        unmixed: P | None = None
        for number, fault in sorted(active, key=lambda a: not isinstance(a[1], ImageFault)):
            changed = self._changed(number, fault, time_ns, payload, shown)
            unmixed = shown if isinstance(fault, Mixed) else unmixed
            if isinstance(fault, Delayed):
                delay_ns += seconds_to_ns(fault.delay_s)
            elif isinstance(fault, Drift) and fault.what == "delay":
                delay_ns += max(0, seconds_to_ns(fault.per_s * _elapsed_s(fault, time_ns)))
            elif changed is shown and not isinstance(fault, Stuck):
                continue
            shown = changed
            applied.append((number, fault))
        if self._newest is None or not any(isinstance(fault, Stuck) for _, fault in active):
            self._newest = shown
        if not any(isinstance(fault, Hanging) for _, fault in active):
            self._last.append(shown if unmixed is None else unmixed)
        faults = tuple(fault for _, fault in applied)
        return Delivery(time_ns + delay_ns, shown, faults), [number for number, _ in applied]

    def _drops(self, number: int, fault: InjectedFault, time_ns: int) -> bool:
        """Whether a fault keeps a message from being delivered at all."""
        if isinstance(fault, Slow):
            self._counts[number] += 1
            return self._counts[number] % fault.every != 1
        if isinstance(fault, Intermittent):
            return self._in_gap(number, fault, time_ns - seconds_to_ns(fault.start_s))
        return isinstance(fault, Off)

    def _in_gap(self, number: int, fault: Intermittent, elapsed_ns: int) -> bool:
        period_ns = seconds_to_ns(fault.period_s)
        period, within_ns = divmod(elapsed_ns, period_ns)
        if fault.random:
            return float(self._dice(number, period).random()) < fault.off_share
        return within_ns < fault.off_share * period_ns

    def _changed(self, number: int, fault: InjectedFault, time_ns: int, payload: P, shown: P) -> P:
        """Return what a fault makes of a message; the same object if nothing."""
        try:
            made: P = self._made(number, fault, time_ns, payload, shown)
        except DecodeError:
            return shown  # broken already: that is for the receiver to notice
        except ConfigError as error:
            if fault.sensor == EVERY_SENSOR:
                return shown
            raise ConfigError(f"entry {number + 1} for {self._sensor}: {error}") from error
        return made

    def _made(self, number: int, fault: InjectedFault, time_ns: int, payload: P, shown: P) -> Any:
        if (old := self._shown_again(fault, time_ns)) is not None:
            return under_header_of(payload, old)
        if isinstance(fault, Hanging) and self._last:
            self._counts[number] += 1
            dice, last = self._dice(number, time_ns), tuple(self._last)
            return hanging(fault, shown, last, self._counts[number], dice)
        if isinstance(fault, Mixed):
            self._counts[number] += 1
            return mixed(fault, shown, tuple(self._last), self._counts[number])
        if isinstance(fault, Drift):
            amount = fault.per_s * _elapsed_s(fault, time_ns)
            return with_drift(fault.what, amount, shown, self._modality)
        if isinstance(fault, ImageFault):
            return with_image_fault(fault, shown, self._dice(number, time_ns), self._modality)
        if isinstance(fault, Garbage):
            return with_garbage(fault, shown, self._dice(number, time_ns))
        if isinstance(fault, (Moved, Turned)):
            return with_other_view(fault, shown)
        if isinstance(fault, Wrong):
            return with_wrong_content(fault, shown, self._dice(number))
        return shown

    def _shown_again(self, fault: InjectedFault, time_ns: int) -> P | None:
        """Return the earlier or other message that a fault shows; None if it shows none."""
        if isinstance(fault, Stuck):
            return self._newest
        if isinstance(fault, Wrong) and fault.how == "past":
            return self._past.at(time_ns - seconds_to_ns(fault.age_s))
        return self._others[fault.with_sensor] if isinstance(fault, Exchanged) else None

    def _dice(self, *key: int) -> np.random.Generator:
        """Dice of their own for each entry and moment, so that no message shifts another's."""
        return np.random.default_rng((*self._key, *key))


def _elapsed_s(fault: InjectedFault, time_ns: int) -> float:
    return max(0, time_ns - seconds_to_ns(fault.start_s)) / 1e9


class _Past(Generic[P]):
    """The messages that a fault will show again."""

    def __init__(self, faults: tuple[InjectedFault, ...]) -> None:
        shown = [f for f in faults if isinstance(f, Wrong) and f.how == "past"]
        # Each shows what came from its start to its end, and needs it for its age.
        self._spans = [
            (seconds_to_ns(f.start_s - f.age_s), seconds_to_ns(f.end_s - f.age_s)) for f in shown
        ]
        self._longest_ns = max((seconds_to_ns(f.age_s) for f in shown), default=0)
        self._kept: deque[tuple[int, P]] = deque()

    def keep(self, time_ns: int, payload: P) -> None:
        """Take note of a message if it may be wanted again, and forget those that are not."""
        if not self._spans:
            return
        if not self._kept or any(time_ns < end for _, end in self._spans):
            if not any(start <= time_ns for start, _ in self._spans):
                self._kept.clear()  # only the last one before the span
            self._kept.append((time_ns, payload))
        while len(self._kept) > 1 and self._kept[1][0] <= time_ns - self._longest_ns:
            self._kept.popleft()

    def at(self, time_ns: int) -> P:
        """Return the newest message that was there at a time, or the oldest that is known."""
        found = self._kept[0][1]
        for kept_ns, payload in self._kept:
            if kept_ns > time_ns:
                break
            found = payload
        return found
