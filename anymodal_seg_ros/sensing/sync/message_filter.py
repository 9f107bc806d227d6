"""The synchroniser for everybody: a drop-in for message_filters' ApproximateTimeSynchronizer.

It calls back for each message of the first input, with the nearest message of every other one, and
with None for an input that has nothing to say. So a topic that stops takes nothing with it:

    from anymodal_seg_ros.sensing.sync.message_filter import PartialTimeSynchronizer

    image = message_filters.Subscriber(node, Image, "image", qos_profile=qos_profile_sensor_data)
    depth = message_filters.Subscriber(node, Image, "depth", qos_profile=qos_profile_sensor_data)
    both = PartialTimeSynchronizer([image, depth], queue_size=10, slop=0.05)
    both.registerCallback(on_images)               # def on_images(image, depth): depth may be None
    node.create_timer(0.02, both.poll)             # else a set may wait for the next message

Nothing of message_filters or rclpy is imported; inputs are anything that has ``registerCallback``.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from anymodal_seg_ros.config import RigConfig, SensorConfig, seconds_to_ns
from anymodal_seg_ros.frames import FrameSet, Image, Sample, SensorState
from anymodal_seg_ros.sensing.health.watchdog import Watchdog
from anymodal_seg_ros.sensing.sync.clock import StampGuard
from anymodal_seg_ros.sensing.sync.rates import RateLearner
from anymodal_seg_ros.sensing.sync.synchronizer import Synchronizer

_WATCHED_HZ, _AWAITED_HZ = 10.0, 1000.0
"""Of an input whose rate is not known yet: it is patiently watched, and hopefully waited for."""
_NO_IMAGE = Image(np.empty((0, 0), np.uint8), "")
_JUMP_S = 1.0


class Filter(Protocol):
    """Anything that calls back with messages, e.g. ``message_filters.Subscriber``."""

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> Any:
        """Call ``cb(message, *args)`` for every message."""


@dataclass(frozen=True, slots=True)
class _Message(Sample):
    """A message on its way through the synchroniser, which never looks at what it carries."""

    message: Any = None


class PartialTimeSynchronizer:
    """Sets of messages that belong to one instant, with None for what is absent.

    Differences from ``ApproximateTimeSynchronizer``: the first input that is alive triggers, each
    of its messages once and in order of time; a slower input's message may be in several sets; the
    callback runs without any lock, and an exception in it harms nobody; memory is bounded by time
    and ``queue_size``; a clock that jumps back (a bag that loops) loses no set.

    Attributes:
        missing: while the callback runs, why each input is None; empty words for those present.
        unusable: messages that were ignored, by reason.
    """

    def __init__(
        self,
        fs: Sequence[Filter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
        *,
        deadline: float = 0.1,
        rates: Sequence[float] | None = None,
        trigger: str = "reference",
        trigger_hz: float = 10.0,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Connect to the inputs.

        Args:
            fs: the inputs, in the order of the callback's arguments and of preference as trigger.
            queue_size: messages kept per input at most.
            slop: largest distance between a message and the triggering one, in s.
            allow_headerless: stamp messages without a header with their time of arrival; they are
                ignored otherwise.
            deadline: a set leaves at most this long after its trigger came, in s.
            rates: of the inputs in Hz; learned from their stamps if None.
            trigger: ``reference``, ``rate`` or ``any``, as in the rig's configuration.
            trigger_hz: for ``rate``.
            now_ns: the clock of arrivals; with ``use_sim_time`` pass the node's.
        """
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
        self.missing: tuple[str, ...] = ()
        self.unusable: Counter[str] = Counter()
        self._now_ns = now_ns
        self._allow_headerless = allow_headerless
        self._learns = rates is None
        hz = [_WATCHED_HZ] * len(fs) if rates is None else list(rates)
        self._names = tuple(f"input {k}" for k in range(len(fs)))
        self._configs = {
            name: SensorConfig(
                topic=name,
                modality=name,
                expected_hz=rate,
                tolerance_s=max(slop, 1e-9),
                recover_frames=1,
            )
            for name, rate in zip(self._names, hz, strict=True)
        }
        eager = {name: replace(c, expected_hz=_AWAITED_HZ) for name, c in self._configs.items()}
        rig = RigConfig(
            eager if self._learns else self._configs,
            trigger=trigger,
            trigger_hz=trigger_hz,
            deadline_s=deadline,
        )
        self._synchronizer = Synchronizer(rig, most=queue_size)
        self._watchdog = Watchdog(self._configs, seconds_to_ns(rig.startup_grace_s))
        self._guards = {name: StampGuard(seconds_to_ns(_JUMP_S)) for name in self._names}
        self._rates = {name: RateLearner() for name in self._names}
        self._lock = threading.Lock()
        self._ready: deque[FrameSet] = deque()
        self._delivering = False
        self.connectInput(fs)

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        """Call ``cb(*messages, *args)`` for every set. Returns the number of the connection."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Call all registered callbacks."""
        for callback, args in list(self.callbacks.values()):
            callback(*msg, *args)

    def connectInput(self, fs: Sequence[Filter]) -> None:
        """Listen to the inputs."""
        self.input_connections = [f.registerCallback(self.add, k) for k, f in enumerate(fs)]

    def add(self, msg: Any, index: int) -> None:
        """Take one message of an input, and deliver the sets that are due."""
        name = self._names[index]
        with self._lock:
            now_ns = self._now_ns()
            stamp_ns = self._stamp_ns(msg, now_ns)
            if isinstance(stamp_ns, str):
                self.unusable[stamp_ns] += 1
                return
            sample = _Message(name, stamp_ns, stamp_ns, now_ns, "", _NO_IMAGE, msg)
            self._take(name, sample)
            self._ready += self._synchronizer.poll(now_ns, self._watchdog.states())
            if not self._ready:
                return
        self._deliver()

    def poll(self) -> None:
        """Deliver the sets whose deadline has passed; to be called by a timer, if at all."""
        with self._lock:
            now_ns = self._now_ns()
            self._watchdog.update(now_ns)
            self._ready += self._synchronizer.poll(now_ns, self._watchdog.states())
        self._deliver()

    def states(self) -> tuple[SensorState, ...]:
        """Return the health of every input."""
        with self._lock:
            states = self._watchdog.states()
            return tuple(states[name] for name in self._names)

    def dropped(self, index: int) -> dict[str, int]:
        """Return how many messages of an input no set used, by reason."""
        with self._lock:
            return self._synchronizer.dropped(self._names[index])

    def _take(self, name: str, sample: Sample) -> None:
        self._watchdog.observe(name, sample.received_ns)
        admission = self._guards[name].admit(sample)
        if admission.rejected:
            self.unusable["stamp off its own clock"] += 1
        states = self._watchdog.states()
        for place, admitted in enumerate(admission.samples):
            jumped = admission.jumped and place == 0
            self._synchronizer.add(admitted, states, jumped=jumped)
        if self._learns and (hz := self._rates[name].observe(sample.time_ns)) is not None:
            self._configs[name] = replace(self._configs[name], expected_hz=hz)
            self._watchdog.configure(name, self._configs[name])
            self._synchronizer.configure(name, self._configs[name])

    def _deliver(self) -> None:
        """Call back with what is ready: one thread at a time, in order, and without the lock.

        A thread that finds another one delivering leaves its sets to it, and so does a callback
        that adds messages itself.
        """
        while True:
            with self._lock:
                if self._delivering or not self._ready:
                    return
                self._delivering = True
                frame_set = self._ready.popleft()
            try:
                missing, samples = frame_set.missing, frame_set.samples
                self.missing = tuple([missing.get(name, "") for name in self._names])
                found = [samples.get(name) for name in self._names]
                self.signalMessage(*[m.message if isinstance(m, _Message) else None for m in found])
            finally:
                self._delivering = False

    def _stamp_ns(self, msg: Any, now_ns: int) -> int | str:
        """Return a message's stamp, or why it has none that is of any use."""
        try:
            stamp = msg.header.stamp
        except AttributeError:
            return now_ns if self._allow_headerless else "no header"
        try:
            stamp_ns = int(stamp.sec * 1_000_000_000 + stamp.nanosec)
        except AttributeError:
            stamp_ns = int(stamp.nanoseconds)
        return stamp_ns or "stamp is zero"
