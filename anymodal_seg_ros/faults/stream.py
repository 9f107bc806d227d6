"""Deliveries in the order of their times: delayed messages are sorted in where they arrive."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from anymodal_seg_ros.faults.injector import Injector

P = TypeVar("P")
"""A payload."""


class DelayLine(Generic[P]):
    """What is on its way; things with the same time leave in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, str, P]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, sensor: str, time_ns: int, payload: P) -> None:
        """Take something that is to leave at a time."""
        heapq.heappush(self._waiting, (time_ns, next(self._numbers), sensor, payload))

    def take(self, now_ns: int | None = None) -> Iterator[tuple[str, int, P]]:
        """Yield sensor, time and payload of all that is due; of everything if no time is given."""
        while self._waiting and (now_ns is None or self._waiting[0][0] <= now_ns):
            time_ns, _, sensor, payload = heapq.heappop(self._waiting)
            yield sensor, time_ns, payload


def inject(
    injector: Injector[P],
    arrivals: Iterable[tuple[str, int, P]],
    start_ns: int = 0,
    spared: Callable[[P], bool] = lambda payload: False,
) -> Iterator[tuple[str, int, P]]:
    """Yield what is delivered of a recording.

    Args:
        injector: one that has seen nothing of it yet.
        arrivals: sensor, time of arrival and payload, in order of time.
        start_ns: the time at which the timeline starts.
        spared: which payloads no fault concerns.

    Yields:
        Sensor, time of delivery and payload, in order of time.

    Raises:
        ConfigError: as :meth:`Injector.push`.
    """
    line = DelayLine[P]()
    for sensor, time_ns, payload in arrivals:
        yield from line.take(time_ns)
        if spared(payload):
            yield sensor, time_ns, payload
            continue
        delivery = injector.push(sensor, time_ns - start_ns, payload)
        if delivery is not None:
            line.put(sensor, start_ns + delivery.time_ns, delivery.payload)
    yield from line.take()
