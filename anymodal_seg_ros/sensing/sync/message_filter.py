"""The synchroniser for everybody: a drop-in for message_filters' ApproximateTimeSynchronizer.

It gives every set that the original gives, when the original gives it. And it goes on when an input
is absent: each message of the first living input is served, with None for who has nothing to say:

    from anymodal_seg_ros.sensing import PartialTimeSynchronizer

    image = message_filters.Subscriber(node, Image, "image", qos_profile=qos_profile_sensor_data)
    depth = message_filters.Subscriber(node, Image, "depth", qos_profile=qos_profile_sensor_data)
    both = PartialTimeSynchronizer([image, depth], queue_size=10, slop=0.05)
    both.registerCallback(on_images)               # def on_images(image, depth): depth may be None
    node.create_timer(0.02, both.poll)             # else a set may wait for the next message

Nothing of message_filters or rclpy is imported; inputs are anything that has ``registerCallback``.
In a node, ``nodes.node_synchronizer.NodeTimeSynchronizer`` brings subscriptions, timer and clock.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

from anymodal_seg_ros.config import SensorLimits, seconds_to_ns
from anymodal_seg_ros.errors import ConfigError, DecodeError
from anymodal_seg_ros.frames import CheckResult, Image, Sample, SensorState, SensorStatus
from anymodal_seg_ros.sensing.health.sensor_health import Fault, withheld
from anymodal_seg_ros.sensing.health.watchdog import Watchdog
from anymodal_seg_ros.sensing.sync.approximate_time import Arrival
from anymodal_seg_ros.sensing.sync.clock import StampGuard
from anymodal_seg_ros.sensing.sync.partial_sets import MessageSet, PartialSets, States
from anymodal_seg_ros.sensing.sync.rates import RateLearner

_WATCHED_HZ = 2.0
"""Of an input whose rate is not known yet: it is patiently watched."""
_JUMP_NS = 1_000_000_000
_STARTUP_GRACE_NS = 5_000_000_000


class Filter(Protocol):
    """Anything that calls back with messages, e.g. ``message_filters.Subscriber``."""

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> Any:
        """Call ``cb(message, *args)`` for every message."""


class ImageCheck(Protocol):
    """Looks for faults in one input's images, e.g. ``ContentChecker("rgb", ChecksConfig())``."""

    @property
    def results(self) -> tuple[CheckResult, ...]:
        """What was found in the newest image."""

    def inspect(self, image: Image, received_ns: int) -> Fault | None:
        """Return the gravest fault of an image, None if there is none."""

    def forget(self) -> None:
        """Begin anew after an outage."""


class _Input:
    """What is kept for one input beside its messages."""

    def __init__(self, name: str, limits: SensorLimits, check: ImageCheck | None) -> None:
        self.name = name
        self.limits = limits
        self.check = check
        self.checking = threading.Lock()
        """Held while a message is decoded and looked at, so that the others are not held up."""
        self.begin()

    def begin(self) -> None:
        """Forget the clock of the input's stamps, but not its rate."""
        self.guard = StampGuard(_JUMP_NS)
        self.rate = RateLearner()
        self.odd: Arrival | None = None
        """The message of which the next one will tell whether its stamp is absurd or a jump."""
        self.newest_ns: int | None = None
        """The latest stamp that could be believed."""


class PartialTimeSynchronizer:
    """Sets of messages that belong to one instant, with None for what is absent.

    Every set of ``ApproximateTimeSynchronizer`` with the same ``queue_size`` and ``slop`` comes
    here too, and as soon, unless its first message has already left in another set without holes
    (where several messages of an input are within ``slop``). Beyond it: the first input that is
    alive opens a set with each of its messages, once and in order of time; a slower input's message
    may be in several sets; a message that comes after its set has left completes it, in a set of
    its own; the callback runs without any lock, and an exception in it harms nobody; memory is
    bounded by ``queue_size``; a clock that jumps back (a bag that loops) loses no set.

    Attributes:
        missing: while the callback runs, why each input is None; empty words for those present.
        completes: while the callback runs, whether a set without a message of this one, which came
            too late for it, has left before.
        unusable: messages and sets that were ignored, by reason.
    """

    def __init__(
        self,
        fs: Sequence[Filter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
        *,
        deadline: float | None = None,
        rates: Sequence[float] | None = None,
        checks: Sequence[ImageCheck | None] | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Connect to the inputs.

        Args:
            fs: the inputs, in the order of the callback's arguments and of preference.
            queue_size: unmatched messages kept per input at most, at least 1; as many recent ones
                are kept beside them, and as many sets wait for a slow callback.
            slop: a complete set spans less than this, and no message of a partial one is farther
                from the one that opened it, in s.
            allow_headerless: stamp messages without a header with their time of arrival; they are
                ignored otherwise.
            deadline: a partial set leaves at most this long after its first message came, in s.
                None: after 0.1 s, or when the living inputs that are usually later than this have
                had their time. An input that is down is not waited for.
            rates: of the inputs in Hz; learned from their stamps if None.
            checks: what looks at the images of each input, None for those not to be looked at. A
                message with a fault (frozen, black, unreadable) is in no set, and the state of its
                input follows; a picture that repeats may be in one until it counts as frozen.
                Compressed images are decoded for it in the subscriber's callback.
            now_ns: the clock of arrivals; with ``use_sim_time`` pass the node's.

        Raises:
            ConfigError: ``queue_size``, ``slop``, ``deadline`` or a rate is out of range, or there
                are not as many rates or checks as inputs.
        """
        _check(len(fs), queue_size, slop, deadline, rates, checks)
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
        self.missing: tuple[str, ...] = ()
        self.completes = False
        self.unusable: Counter[str] = Counter()
        self._now_ns = now_ns
        self._allow_headerless = allow_headerless
        self._learns = rates is None
        self._inputs = tuple(
            _Input(
                f"input {k}",
                SensorLimits(
                    expected_hz=_WATCHED_HZ if rates is None else rates[k],
                    tolerance_s=max(slop, 1e-9),
                    recover_frames=1,
                ),
                None if checks is None else checks[k],
            )
            for k in range(len(fs))
        )
        # Truncated and not rounded, as rclpy's Duration is.
        self._slop_ns = int(slop * 1e9)
        self._deadline_ns = None if deadline is None else seconds_to_ns(deadline)
        self._queue_size = queue_size
        self._last_now_ns: int | None = None
        self._lock = threading.Lock()
        self._ready: deque[MessageSet] = deque()
        self._delivering = False
        self._begin()
        self.connectInput(fs)

    def _begin(self) -> None:
        """Set up what knows the clock of arrivals."""
        limits = {entry.name: entry.limits for entry in self._inputs}
        self._watchdog = Watchdog(limits, _STARTUP_GRACE_NS)
        self._sets = PartialSets(
            len(self._inputs), self._queue_size, self._slop_ns, self._deadline_ns
        )
        for entry in self._inputs:
            entry.begin()

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        """Call ``cb(*messages, *args)`` for every set. Returns the number of the connection."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Call all registered callbacks, also after one that raises; then raise what it did."""
        raised: Exception | None = None
        for callback, args in list(self.callbacks.values()):
            try:
                callback(*msg, *args)
            except Exception as error:
                raised = raised or error
        if raised is not None:
            raise raised

    def connectInput(self, fs: Sequence[Filter]) -> None:
        """Listen to the inputs."""
        self.input_connections = [f.registerCallback(self.add, k) for k, f in enumerate(fs)]

    def add(self, msg: Any, index: int, received_ns: int | None = None) -> None:
        """Take one message of an input, and deliver the sets that are due.

        Args:
            msg: with or without a header; it is handed on as it is.
            index: of its input.
            received_ns: when it arrived, on the clock ``now_ns``; now if None.
        """
        entry = self._inputs[index]
        if entry.check is None:
            self._take(entry, index, msg, received_ns, None)
        else:
            with entry.checking:
                fault = self._inspect(entry, index, msg, received_ns)
                self._take(entry, index, msg, received_ns, fault)
        self._deliver()

    def poll(self) -> None:
        """Deliver the sets whose deadline has passed; to be called by a timer, if at all."""
        with self._lock:
            now_ns = self._advance(self._now_ns())
            self._collect(now_ns, self._states())
        self._deliver()

    def states(self) -> tuple[SensorState, ...]:
        """Return the health of every input, as of the last message or :meth:`poll`."""
        with self._lock:
            return self._states()

    def status(self) -> tuple[SensorStatus, ...]:
        """Return all that is known of the health of every input, for diagnostics."""
        with self._lock:
            now_ns = self._advance(self._now_ns())
            return tuple(
                replace(
                    self._watchdog.status(entry.name, now_ns),
                    dropped=dict(self._sets.dropped[k]),
                    checks=() if entry.check is None else entry.check.results,
                )
                for k, entry in enumerate(self._inputs)
            )

    def dropped(self, index: int) -> dict[str, int]:
        """Return how many messages of an input no set used, by reason."""
        with self._lock:
            return dict(self._sets.dropped[index])

    def _states(self) -> tuple[SensorState, ...]:
        return tuple(self._watchdog.states().values())

    def _advance(self, now_ns: int) -> int:
        """Let time pass, and begin anew if it has gone far back. Returns the time."""
        last_ns = self._last_now_ns
        if last_ns is None and not now_ns:
            return 0  # a clock that does not run yet
        if last_ns is not None and now_ns < last_ns - _JUMP_NS:
            self._sets.flush(self._states())
            self._ready += self._sets.ready
            dropped = self._sets.dropped
            self._begin()
            self._sets.dropped = dropped
            last_ns = None
        self._last_now_ns = now_ns if last_ns is None else max(now_ns, last_ns)
        self._watchdog.update(self._last_now_ns)
        return self._last_now_ns

    def _take(
        self,
        entry: _Input,
        index: int,
        msg: Any,
        received_ns: int | None,
        fault: Fault | None,
    ) -> None:
        """Take note of a message and of what is wrong with it; collect what is due."""
        with self._lock:
            now_ns = self._advance(self._now_ns())
            arrived_ns = now_ns if received_ns is None else min(received_ns, now_ns)
            stamp_ns = self._stamp_ns(msg, arrived_ns)
            if isinstance(stamp_ns, str):
                self.unusable[stamp_ns] += 1
                return
            self._watchdog.fall_behind(now_ns - arrived_ns, now_ns)
            self._watchdog.observe(entry.name, arrived_ns, fault)
            states = self._states()
            unfit = withheld(fault)
            if unfit is None:
                self._sort_in(
                    entry, Arrival(index, stamp_ns, arrived_ns, msg, heard_ns=now_ns), states
                )
            else:
                self._sets.dropped[index][unfit.kind] += 1
                refused = Arrival(index, stamp_ns, arrived_ns, unfit=unfit.reason, heard_ns=now_ns)
                self._sets.open(refused, states)
            self._collect(now_ns, states)

    def _sort_in(self, entry: _Input, arrival: Arrival, states: States) -> None:
        """Let a message be matched, and open a set once its stamp can be believed."""
        sets = self._sets
        # The guard looks at no more of a sample than its times.
        admission = entry.guard.admit(cast(Sample, arrival))
        admitted = cast("tuple[Arrival, ...]", admission.samples)
        odd, entry.odd = entry.odd, None if admitted else arrival
        if admission.rejected and odd is not None:
            self.unusable["stamp off its own clock"] += 1
            if odd.time_ns > arrival.time_ns + _JUMP_NS:
                sets.forget(odd)  # it would keep its place in the queue for ever
        if admission.jumped and _goes_back(admitted[0], entry.newest_ns):
            entry.newest_ns = None
            sets.forget(admitted[0])
            sets.restart(arrival.index, states)
            if not admitted[0].delivered:
                sets.receive(admitted[0], states)
        sets.receive(arrival, states)
        for believed in admitted:
            sets.open(believed, states)
            if entry.newest_ns is None or believed.time_ns > entry.newest_ns:
                entry.newest_ns = believed.time_ns
        if self._learns and (hz := entry.rate.observe(arrival.time_ns)) is not None:
            entry.limits = replace(entry.limits, expected_hz=hz)
            self._watchdog.configure(entry.name, entry.limits)

    def _inspect(
        self, entry: _Input, index: int, msg: Any, received_ns: int | None
    ) -> Fault | None:
        """Look for faults in the image of a message."""
        # Only who has images looked at needs OpenCV.
        from anymodal_seg_ros.sensing.decoding.decode import decode_image

        assert entry.check is not None
        if self.states()[index] in (SensorState.STALE, SensorState.FAILED):
            entry.check.forget()
        try:
            image = decode_image(msg)
            at_ns = self._now_ns() if received_ns is None else received_ns
            return entry.check.inspect(image, at_ns)
        except DecodeError as error:
            return Fault(SensorState.INVALID, f"unreadable: {error}")
        except (AttributeError, TypeError, ValueError) as error:
            kind = type(msg).__name__
            return Fault(SensorState.INVALID, f"unreadable: {kind} is no image: {error}")

    def _collect(self, now_ns: int, states: States) -> None:
        """Take over the sets that are due; the oldest go if the callback cannot keep up."""
        self._sets.poll(now_ns, states)
        if not self._sets.ready:
            return
        self._ready += self._sets.ready
        self._sets.ready.clear()
        while self._delivering and len(self._ready) > self._queue_size:
            self._ready.popleft()
            self.unusable["set lost: the callback takes too long"] += 1

    def _deliver(self) -> None:
        """Call back with what is ready: one thread at a time, in order, and without the lock.

        What a callback raises first is raised when all sets have been delivered. A thread that
        finds another one delivering leaves its sets to it, and so does a callback that adds
        messages itself.
        """
        raised: Exception | None = None
        while True:
            with self._lock:
                if self._delivering or not self._ready:
                    break
                self._delivering = True
                ready = self._ready.popleft()
                self.missing, self.completes = ready.missing, ready.completes
            try:
                self.signalMessage(*ready.messages)
            except Exception as error:
                raised = raised or error
            finally:
                with self._lock:
                    self._delivering = False
        if raised is not None:
            raise raised

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


def _goes_back(arrival: Arrival, newest_ns: int | None) -> bool:
    return newest_ns is not None and arrival.time_ns < newest_ns


def _check(
    inputs: int,
    queue_size: int,
    slop: float,
    deadline: float | None,
    rates: Sequence[float] | None,
    checks: Sequence[ImageCheck | None] | None,
) -> None:
    """Refuse arguments that cannot be meant."""
    if queue_size < 1:
        raise ConfigError(f"queue_size is {queue_size!r}: expected at least 1")
    for name, seconds in (("slop", slop), ("deadline", deadline)):
        if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
            raise ConfigError(f"{name} is {seconds!r}: expected a time in s, 0 or more")
    for hz in rates or ():
        if not 0.0 < hz <= 1e6:
            raise ConfigError(f"a rate is {hz!r}: expected Hz, above 0")
    for name, given in (("rates", rates), ("checks", checks)):
        if given is not None and len(given) != inputs:
            raise ConfigError(f"{len(given)} {name} for {inputs} inputs: expected one for each")
