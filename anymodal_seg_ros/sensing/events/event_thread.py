"""Events decoded and rendered in a thread of their own, so that callbacks only hand them over."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image, Sample
from anymodal_seg_ros.sensing.events.messages import payload_bytes
from anymodal_seg_ros.sensing.events.sampler import EventSampler

QUEUE_BYTES = 64 << 20
"""Messages that wait at most, in bytes: a second of twenty million events."""

_MESSAGE_BYTES = 1024
"""What a message takes besides its payload; so that empty ones are bounded, too."""

_MOST_FRAMES = 64
"""Frames to follow that wait at most."""

_NO_IMAGE = Image(np.zeros((1, 1), np.uint8), "mono8")


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """What has come of one message, or of one frame that was followed.

    Attributes:
        sensor: whose message it was; empty for a frame that was followed.
        received_ns: when it arrived.
        samples: that it completed, oldest first.
        error: why the message could not be used; None if it could.
        pushed_out: messages of the same camera before it that were let go of, as the queue was
            full.
    """

    sensor: str
    received_ns: int
    samples: tuple[Sample, ...]
    error: DecodeError | None = None
    pushed_out: int = 0


@dataclass(frozen=True, slots=True)
class _Queued:
    sensor: str
    message: Any
    received_ns: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class _Frame:
    sample: Sample
    silent: Collection[str]


class EventThread:
    """An :class:`EventSampler` with a queue in front.

    :meth:`push` and :meth:`follow` only queue and are safe to call from any thread; what comes of
    them is handed to ``deliver`` in the order in which they came, the same as the sampler alone
    would have returned. The queue is bounded in bytes: what is too much pushes out the oldest
    messages, which is told with the next one, and the camera is decoded anew behind the gap.

    The thread survives whatever a message or ``deliver`` raises.
    """

    def __init__(
        self,
        sampler: EventSampler,
        deliver: Callable[[EventOutcome], object],
        failed: Callable[[Exception], None] = lambda error: None,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        """Set up; nothing is decoded before :meth:`start`.

        Args:
            sampler: that nobody else pushes to.
            deliver: takes what has come of a message, in this object's thread. No lock is held.
            failed: is told of an exception that nobody foresaw.
            queue_bytes: most bytes of messages that wait.
        """
        self._sampler = sampler
        self._deliver = deliver
        self._failed = failed
        self._limit = queue_bytes
        self._queue: deque[_Queued | _Frame] = deque()
        self._bytes = 0
        self._pushed_out: Counter[str] = Counter()
        self._wake = threading.Condition()
        self._stopping = False
        self._busy = False
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to decode."""
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> bool:
        """End the thread after what it is at; what waits is let go.

        Returns:
            Whether it has ended within the time.
        """
        with self._wake:
            self._stopping = True
            self._clear()
            self._wake.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def push(self, sensor: str, message: Any, received_ns: int) -> None:
        """Queue a message of an event camera; as :meth:`EventSampler.push`."""
        nbytes = payload_bytes(message) + _MESSAGE_BYTES
        with self._wake:
            self._queue.append(_Queued(sensor, message, received_ns, nbytes))
            self._bytes += nbytes
            while self._bytes > self._limit:
                self._drop_oldest()
            self._wake.notify_all()

    def follow(self, reference: Sample, silent: Collection[str] = ()) -> None:
        """Queue a frame of the reference sensor; as :meth:`EventSampler.follow`."""
        # Its image would be kept alive for nothing.
        frame = _Frame(replace(reference, image=_NO_IMAGE), silent)
        with self._wake:
            frames = [item for item in self._queue if isinstance(item, _Frame)]
            if len(frames) >= _MOST_FRAMES:
                self._queue.remove(frames[0])
            self._queue.append(frame)
            self._wake.notify_all()

    def reset(self) -> None:
        """Forget what waits and all events, as when the caller's clock begins anew."""
        with self._wake:
            self._clear()
        self._sampler.reset()

    @property
    def queued_bytes(self) -> int:
        """Bytes of the messages that wait."""
        return self._bytes

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until nothing waits or is being decoded. Returns whether that came in time."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._queue and not self._busy, timeout_s)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                self._wake.wait_for(lambda: self._queue or self._stopping)
                if self._stopping:
                    return
                item = self._queue.popleft()
                pushed_out = 0
                if isinstance(item, _Queued):
                    self._bytes -= item.nbytes
                    pushed_out = self._pushed_out.pop(item.sensor, 0)
                self._busy = True
            try:
                self._deliver(replace(self._outcome(item, pushed_out > 0), pushed_out=pushed_out))
            except Exception as error:
                self._failed(error)

    def _outcome(self, item: _Queued | _Frame, after_gap: bool) -> EventOutcome:
        if isinstance(item, _Frame):
            samples = self._sampler.follow(item.sample, item.silent)
            return EventOutcome("", item.sample.received_ns, tuple(samples))
        if after_gap:
            self._sampler.interrupt(item.sensor)
        try:
            samples = self._sampler.push(item.sensor, item.message, item.received_ns)
        except DecodeError as error:
            return EventOutcome(item.sensor, item.received_ns, (), error)
        return EventOutcome(item.sensor, item.received_ns, tuple(samples))

    def _drop_oldest(self) -> None:
        """Push the oldest message out of the queue; frames to follow stay, they weigh nothing."""
        at = next(n for n, item in enumerate(self._queue) if isinstance(item, _Queued))
        item = self._queue[at]
        assert isinstance(item, _Queued)
        del self._queue[at]
        self._bytes -= item.nbytes
        self._pushed_out[item.sensor] += 1

    def _clear(self) -> None:
        self._queue.clear()
        self._bytes = 0
        self._pushed_out.clear()
