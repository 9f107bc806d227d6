"""What a fault did: how soon it was noticed, what it cost, and when all was well again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from anymodal_seg_ros.evaluation.scorecard.cases import FaultWindow
from anymodal_seg_ros.evaluation.scorecard.runs.pixels import mean_iou
from anymodal_seg_ros.evaluation.scorecard.runs.records import MaskRecord, Transition, pooled
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run
from anymodal_seg_ros.frames import SensorState

ALARMS = frozenset(state.value for state in SensorState if state.down) | {
    "LATE",
    "SLOW",
    "DOUBTFUL",
    "DEGRADED",
}
"""States that say that something is wrong with a sensor."""

FALSE_ALARMS = ALARMS - {"LATE"}
"""Those that may not occur while a sensor is well. One overdue message is a fact, no alarm."""

_WAITING = SensorState.WAITING.value

SETTLE_S = 3.0
"""After a fault, in which its sensor's states are still of its making; and how long anything must
have had time to happen before it is said that it never did."""

AFTER_S = 2.0
"""Length of the time after a fault in which what it costs afterwards is measured."""

NEVER = math.inf
"""Instead of a time, where something should have happened and did not."""


@dataclass(frozen=True, slots=True)
class FaultOutcome:
    """What one fault of one sensor did in one run. None: it cannot be told, or does not apply.

    Attributes:
        window: the fault.
        reaction_s: from its beginning to the first mask without the sensor.
        detection_s: from its beginning to the sensor's first alarm; None if one was on already,
            or if nothing was heard of the sensor yet, neither before nor while it lasted.
        detected_as: the states that the sensor went through while it lasted.
        recovery_s: from its end to the first mask with a message of after its end.
        tainted: masks made with messages that arrived while it lasted.
        masks: masks that were due while it lasted.
        lost: masks that should have been there, see :func:`masks_lost`.
        blamed: alarms of other sensors, but for those that have a fault too.
        miou: while it lasted.
        miou_well: of the run without faults, over the same time.
        lost_during: mIoU that the fault cost while it lasted.
        lost_after: mIoU that it cost in the :data:`AFTER_S` after it.
    """

    window: FaultWindow
    reaction_s: float | None
    detection_s: float | None
    detected_as: tuple[str, ...]
    recovery_s: float | None
    tainted: int
    masks: int
    lost: int
    blamed: int
    miou: float | None
    miou_well: float | None
    lost_during: float | None
    lost_after: float | None


def fault_outcomes(run: Run, well: Run | None) -> tuple[FaultOutcome, ...]:
    """Look at every fault of a run.

    Args:
        run: with faults.
        well: the same bag without them, to compare with; None if it was not replayed.
    """
    begin_s, end_s = run.span_s
    windows = [w for w in run.windows if w.start_s < end_s and w.end_s > begin_s]
    return tuple(_outcome(run, well, window) for window in windows)


def _outcome(run: Run, well: Run | None, window: FaultWindow) -> FaultOutcome:
    records = run.records
    during = between(records, window.start_s, window.end_s)
    alarms = _alarms(run, window)
    miou, well_miou = _miou(during), None
    lost_after: float | None = None
    if well is not None:
        well_miou = _miou(between(well.records, window.start_s, window.end_s))
        after = window.end_s, window.end_s + AFTER_S
        if after[1] <= run.span_s[1] and not _any_fault(run, *after):
            lost_after = _difference(
                _miou(between(well.records, *after)), _miou(between(records, *after))
            )
    return FaultOutcome(
        window=window,
        reaction_s=_reaction(run, window),
        detection_s=_detection(run, window, alarms),
        detected_as=tuple(dict.fromkeys(t.state for t in alarms)),
        recovery_s=_recovery(run, window, bool(alarms)),
        tainted=sum(_is_tainted(record, window) for record in records),
        masks=len(during),
        lost=masks_lost(run, window.start_s, min(window.end_s, run.span_s[1])),
        blamed=_blamed(run, window),
        miou=miou,
        miou_well=well_miou,
        lost_during=_difference(well_miou, miou),
        lost_after=lost_after,
    )


def _watched_until(run: Run, window: FaultWindow) -> float:
    """Return until when what a sensor does is of this fault's making: the next one may cause it."""
    own = (w for w in run.windows if w.sensor == window.sensor)
    following = (w.start_s for w in own if w.start_s > window.start_s)
    return min([window.end_s + SETTLE_S, *following])


def _unseen(run: Run, window: FaultWindow) -> float | None:
    """Return what is said of what did not happen: never, unless there was no time for it."""
    until_s = min(_watched_until(run, window), run.span_s[1])
    return NEVER if until_s - window.start_s >= SETTLE_S else None


def _alarms(run: Run, window: FaultWindow) -> list[Transition]:
    """Return the alarms of the fault's sensor that are of its making.

    After the end of a bag every sensor is silent, so what is told then tells nothing.
    """
    until_s = _watched_until(run, window)
    own = (t for t in run.every_transition() if t.sensor == window.sensor and t.state in ALARMS)
    return [t for t in own if window.start_s <= t.time_s < until_s and t.time_s <= run.span_s[1]]


def _detection(run: Run, window: FaultWindow, alarms: Sequence[Transition]) -> float | None:
    if window.start_s < run.span_s[0]:
        return None  # what happened at its beginning was not replayed
    if alarms:
        return alarms[0].time_s - window.start_s
    own = [t for t in run.every_transition() if t.sensor == window.sensor]
    (before,) = [t.state for t in own if t.time_s < window.start_s][-1:] or [_WAITING]
    unheard = before == _WAITING and not any(window.start_s <= t.time_s < window.end_s for t in own)
    # An alarm that is on, and a sensor that is waited for, need no other word.
    return None if before in ALARMS or unheard else _unseen(run, window)


def _reaction(run: Run, window: FaultWindow) -> float | None:
    until_s = min(_watched_until(run, window), run.span_s[1])
    was_fused, tainted = window.start_s >= run.span_s[0], False
    for record in run.records:
        if record.time_s < window.start_s:
            was_fused = window.sensor in record.sensors
        elif not was_fused or record.time_s > until_s:
            break
        elif window.sensor not in record.sensors:
            return record.time_s - window.start_s
        else:
            tainted = tainted or _is_tainted(record, window)
    # Of what kept back every message there is nothing that should have been left out.
    return _unseen(run, window) if was_fused and tainted else None


def _is_tainted(record: MaskRecord, window: FaultWindow) -> bool:
    """Whether a mask was made with a message that arrived while a fault of its sensor lasted."""
    return window.start_s <= record.arrived_s.get(window.sensor, -1.0) < window.end_s


def _recovery(run: Run, window: FaultWindow, noticed: bool) -> float | None:
    if window.end_s >= run.span_s[1] or not noticed:
        return None
    own = [w for w in run.windows if w.sensor == window.sensor]
    if any(w.start_s <= window.end_s < w.end_s for w in own):
        return None  # it is not well yet
    until_s = min([run.span_s[1], *(w.start_s for w in own if w.start_s > window.end_s)])
    for record in run.records:
        if record.time_s > until_s:
            break
        if record.arrived_s.get(window.sensor, -1.0) >= window.end_s:
            return record.time_s - window.end_s
    # What ends, or breaks again, soon after the fault cannot tell whether it would have come back.
    return NEVER if until_s - window.end_s >= SETTLE_S else None


def _any_fault(run: Run, start_s: float, end_s: float) -> bool:
    """Whether any sensor has a fault in ``[start_s, end_s)``."""
    return any(w.start_s < end_s and w.end_s > start_s for w in run.windows)


def _blamed(run: Run, window: FaultWindow) -> int:
    return sum(
        _is_false(run, t)
        for t in run.every_transition()
        if window.start_s <= t.time_s < window.end_s
    )


def false_alarms(run: Run, sensor: str = "", window: Sequence[float] = ()) -> int:
    """Count the alarms of sensors that had no fault, now or in the last :data:`SETTLE_S`.

    Args:
        run: with or without faults.
        sensor: whose; empty for all.
        window: from when to before when, in seconds after the start of the bag; empty for always.
    """
    start_s, end_s = window or (-math.inf, math.inf)
    return sum(
        _is_false(run, t)
        for t in run.every_transition()
        if sensor in ("", t.sensor) and start_s <= t.time_s < end_s
    )


def _is_false(run: Run, transition: Transition) -> bool:
    if transition.state not in FALSE_ALARMS or transition.sensor not in run.sensors:
        return False
    if transition.time_s > run.span_s[1]:  # the bag is over: every sensor is silent
        return False
    own = [w for w in run.windows if w.sensor == transition.sensor]
    return not any(w.start_s <= transition.time_s < w.end_s + SETTLE_S for w in own)


def masks_lost(run: Run, start_s: float, end_s: float) -> int:
    """Count the masks that a steady stream of the reference would have had and that did not come.

    Between two masks that are ``d`` apart there should be ``floor(d / p + 0.25) - 1`` others, ``p``
    being the period of the slower one of their two references; so a change of the reference costs
    nothing. They are compared by stamp, or by when their frames arrived if their references differ:
    the mask of a stand-in comes late, and is not lost. Masks without labels are no masks. What is
    missing counts where it was due. The first mask is due with the first frame of the reference
    that was recorded.
    """
    begin_s, begin_period = _beginning(run)
    lost, first = 0, None
    for second in (record for record in run.records if record.sensors):
        came_s, own = _arrival_s(second), run.period_s[second.reference]
        if first is None:
            apart, period = came_s - begin_s, max(begin_period, own)
            lost += _missing(apart / period + 1, begin_s - period, came_s, start_s, end_s)
        else:
            period = max(run.period_s[first.reference], own)
            apart = came_s - _arrival_s(first)
            if first.reference == second.reference:
                apart = (second.stamp_ns - first.stamp_ns) / 1e9
            lost += _missing(apart / period, first.time_s, second.time_s, start_s, end_s)
        first = second
    if first is None:
        return max(0, int((end_s - max(start_s, begin_s)) / begin_period))
    rest = (run.span_s[1] - first.time_s) / run.period_s[first.reference]
    return lost + _missing(rest, first.time_s, run.span_s[1], start_s, end_s)


def _beginning(run: Run) -> tuple[float, float]:
    """Return when the first frame of a reference arrived, and how far apart its masks are, in s."""
    found = [(run.begins_s, run.period_s[run.reference])] if run.reference else []
    if len(run.records):
        record = run.records[0]
        found.append((_arrival_s(record), run.period_s[record.reference]))
    if not found:
        slowest = max((run.period_s[name] for name in run.sensors), default=1.0)
        return run.span_s[0], slowest
    return min(found)


def _arrival_s(record: MaskRecord) -> float:
    """Return when the message of a mask's reference arrived."""
    return record.time_s - record.wait_ms / 1e3


def _missing(periods: float, a: float, b: float, start_s: float, end_s: float) -> int:
    """Return how many of the masks that are missing between a and b were due in the span.

    They were due at equal distances; a gap is longer than the fault in it, by up to a period.
    """
    missing = math.floor(periods + 0.25) - 1
    if missing <= 0 or b <= a:
        return 0
    step = (b - a) / (missing + 1)
    from_start, from_end = (math.ceil(round((t - a) / step, 6)) for t in (start_s, end_s))
    return max(0, min(missing, from_end - 1) - max(1, from_start) + 1)


def between(records: Iterable[MaskRecord], start_s: float, end_s: float) -> list[MaskRecord]:
    """Return the masks that were due in ``[start_s, end_s)``."""
    return [record for record in records if start_s <= record.time_s < end_s]


def _miou(records: Iterable[MaskRecord]) -> float | None:
    counts = pooled(record.overlap for record in records)
    return None if counts is None else mean_iou(counts)


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after
