"""Events whose times cannot be those of the others in their message.

A bit that flipped on its way gives one event a time of its own. Taken for true, it would put the
time of the camera ahead, and every window until then would be empty.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anymodal_seg_ros.sensing.events.values import DecodedEvents, Events, Times

_NEAR_NS = 100_000_000
"""So far from the middle of a message its events may lie, however close most of them are."""

_WIDER = 2
"""As many times what nine in ten of them span they may lie from it, where that is more."""

_FEWEST = 5
"""Fewer events say nothing of one another."""


def in_one_time(events: Events) -> Events:
    """Return the events of a message without those whose times cannot be."""
    span = _span(events.time_ns)
    return events if span is None else _within(events, *span)


def of_one_time(decoded: DecodedEvents) -> DecodedEvents:
    """Return what was decoded without the events whose times cannot be, nor their times."""
    span = _span(decoded.events.time_ns)
    if span is None:
        return decoded
    first_ns, last_ns = span
    events, until_ns = _within(decoded.events, first_ns, last_ns), decoded.until_ns
    begin_ns, end_ns = int(events.time_ns.min()), int(events.time_ns.max())
    return replace(
        decoded,
        events=events,
        anchors=tuple(
            a if first_ns <= a.sensor_ns <= last_ns else replace(a, sensor_ns=begin_ns)
            for a in decoded.anchors
        ),
        until_ns=until_ns if until_ns and first_ns <= until_ns <= last_ns else end_ns,
    )


def _span(times: Times) -> tuple[int, int] | None:
    """Return the first and the last time that an event can have; None if all fit."""
    if times.size < _FEWEST or int(times.max()) - int(times.min()) <= _NEAR_NS:
        return None
    # Towards the middle, so that a single odd one among few is in neither.
    first = int(np.percentile(times, 5, method="higher"))
    last = int(np.percentile(times, 95, method="lower"))
    middle, far_ns = int(np.median(times)), max(_NEAR_NS, _WIDER * (last - first))
    return middle - far_ns, middle + far_ns


def _within(events: Events, first_ns: int, last_ns: int) -> Events:
    return events.chosen((events.time_ns >= first_ns) & (events.time_ns <= last_ns))
