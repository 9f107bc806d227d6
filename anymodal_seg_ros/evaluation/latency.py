"""The node's worker on the bag's clock, with a model of how long its work takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from anymodal_seg_ros.config import seconds_to_ns
from anymodal_seg_ros.evaluation.naive import Replayable
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.engine_failures import engine_failures_told
from anymodal_seg_ros.pipeline.tasks import Fuse, Task

Latency = Callable[[Task, int], int]
"""How long the worker is busy with a piece of work: from what it is, and how many nanoseconds it
took on this machine, to nanoseconds of the bag's time."""

_LONGEST_MS = 60_000.0


def latency_model(text: str) -> Latency | None:
    """Read how long work shall take.

    Args:
        text: ``none``: no time; ``fixed:MS``: so many milliseconds for every mask, and none for
            what is prepared for it; ``measured``: as long as this machine takes.

    Raises:
        ValueError: it is neither.
    """
    kind, colon, value = text.partition(":")
    if kind == "none" and not colon:
        return None
    if kind == "measured" and not colon:
        return lambda task, took_ns: took_ns
    try:
        milliseconds = float(value) if kind == "fixed" else math.nan
    except ValueError:
        milliseconds = math.nan
    if not 0.0 <= milliseconds <= _LONGEST_MS:
        raise ValueError("expected none, measured, or fixed:MS with 0 to 60000 milliseconds")
    busy_ns = seconds_to_ns(milliseconds / 1e3)
    return lambda task, took_ns: busy_ns if isinstance(task, Fuse) else 0


@dataclass(frozen=True, slots=True)
class _Running:
    """Work that is under way, with what will have come of it at its end."""

    task: Task
    result: Any
    busy_ns: int
    end_ns: int


class Worker:
    """One thread that works on a pipeline when it is woken and not busy."""

    def __init__(self, pipeline: Replayable, latency: Latency | None) -> None:
        """Begin with nothing to do.

        Args:
            pipeline: what it works on.
            latency: how long work takes; None: no time, and nothing is prepared ahead of it.
        """
        self._pipeline = pipeline
        self._latency = latency
        self._running: _Running | None = None
        self._looked_ns: int | None = None

    def wake(self, now_ns: int) -> Iterator[Prediction]:
        """Look at what has come, if there is time; otherwise it is looked at when there is."""
        if self._running is None:
            yield from self._work(now_ns)

    def work_until(self, end_ns: int) -> Iterator[Prediction]:
        """Work at every moment before ``end_ns`` at which there can be news and there is time."""
        while (moment_ns := self._next_ns()) is not None and moment_ns < end_ns:
            yield from self._finish()
            yield from self._work(moment_ns)

    def finish(self) -> Iterator[Prediction]:
        """Do what is left of the work; nothing more comes."""
        while self._running is not None:
            now_ns = self._running.end_ns
            yield from self._finish()
            yield from self._work(now_ns)

    def _next_ns(self) -> int | None:
        if self._running is not None:
            return self._running.end_ns
        wakeup_ns = self._pipeline.next_wakeup_ns()
        if wakeup_ns is None or self._latency is None or self._looked_ns is None:
            return wakeup_ns
        return max(wakeup_ns, self._looked_ns + 1)

    def _work(self, now_ns: int) -> Iterator[Prediction]:
        self._looked_ns = now_ns
        if self._latency is None:
            while (prediction := self._polled(now_ns)) is not None:
                yield prediction
            return
        while (
            self._running is None and (task := self._pipeline.begin(now_ns, ahead=True)) is not None
        ):
            started_ns = time.perf_counter_ns()
            with engine_failures_told():
                result = self._pipeline.execute(task)
            busy_ns = self._latency(task, time.perf_counter_ns() - started_ns)
            self._running = _Running(task, result, busy_ns, now_ns + busy_ns)
            if busy_ns == 0:
                yield from self._finish()

    def _polled(self, now_ns: int) -> Prediction | None:
        with engine_failures_told():
            return self._pipeline.poll(now_ns)

    def _finish(self) -> Iterator[Prediction]:
        running, self._running = self._running, None
        if running is not None:
            prediction = self._pipeline.end(running.task, running.result, running.busy_ns)
            if prediction is not None:
                yield prediction
