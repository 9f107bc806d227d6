"""What the node counts while it is active, and how ``/diagnostics`` tells it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.frames import SensorState, SensorStatus
from anymodal_seg_ros.inference.engine_protocol import described
from anymodal_seg_ros.messages.evidence import left_out
from anymodal_seg_ros.nodes.diagnostics import (
    SILENT_PERIODS,
    PipelineReport,
    no_clock,
    pipeline_health,
    sensor_health,
)
from anymodal_seg_ros.nodes.topics.topic_facts import TopicFacts
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.pipeline.supervisor import Supervisor

_WARN_AGAIN_NS = 5_000_000_000
_TELL_MOST, _TELL_WITHIN_NS = 4, 8_000_000_000
"""A sensor says so much in so long: both ends of a short outage, and no flood when it flaps."""
_TELL_LEFT_OUT_NS = 10_000_000_000
_MOST = 0.9
"""Share of the masks from which on a sensor is in them again; it was told out of them at a half."""
_CLOCKS_NS = 5_000_000_000
"""Over so long it is measured how fast a simulated clock runs."""
_LATENCIES = 300
_RATED = 512


class News(NamedTuple):
    """A line for the console.

    Attributes:
        text: what has happened.
        bad: whether somebody should look after it.
    """

    text: str
    bad: bool


class Health:
    """Counts failures and callback times, and remembers what was said last.

    The workers' threads count, the executor's thread reports. All times are a steady clock's, so
    that rates mean something in simulated time too.

    Args:
        node_name: prefix of every diagnostic's name; with its namespace, so that two robots differ.
        pipeline: whose health it is.
        topics: resolved names of the sensors' topics; without, those of the configuration.
        timeout_s: as of :class:`Supervisor`.
        threads: how many work on the pipeline.
        wanted: whether masks are to be made.
        clock_trouble: says what is wrong with the pipeline's clock, with the mend.
    """

    def __init__(
        self,
        node_name: str,
        pipeline: Pipeline,
        topics: Mapping[str, str] | None = None,
        timeout_s: float = 0.0,
        threads: int = 1,
        wanted: Callable[[], bool] = lambda: True,
        clock_trouble: Callable[[], str] = lambda: "",
    ) -> None:
        self._wanted = wanted
        self._clock_trouble = clock_trouble
        self._node_name = node_name
        self._pipeline = pipeline
        self._topics = topics or {name: s.topic for name, s in pipeline.rig.sensors.items()}
        self.supervisor = Supervisor(pipeline, timeout_s)
        self._threads = threads
        self._lock = threading.Lock()
        self._failures = 0
        self._last_failure = ""
        self._callback_max_ns = 0
        self._latencies: deque[int] = deque(maxlen=_LATENCIES)
        self._reported = _Counts(time.monotonic_ns(), *self._counts())
        self._rated = deque([(self._reported.steady_ns, self._reported.masks)], maxlen=_RATED)
        """Times of the last reports, and the masks until then."""
        self._clocks: deque[tuple[int, int]] = deque(maxlen=_RATED)
        """The pipeline's clock and the steady one at the last reports."""
        self._mask_ns = time.monotonic_ns()
        self._clock_ns, self._moved_ns, self._stood_ns = 0, self._mask_ns, 0
        """The pipeline's clock, when it was last seen to move, and how long it has stood since."""
        self._before: dict[str, SensorStatus] = {}
        """What was reported of each sensor last."""
        self._warned_ns: dict[str, int] = {}
        self._told: dict[str, SensorState] = {}
        self._told_ns: dict[str, deque[int]] = {}
        self._told_left_out: dict[str, tuple[bool, int]] = {}
        self._told_back = 0

    def mask_published(self, latency_ns: int, *, blank: bool = False) -> None:
        """Count one mask that left so long after the arrival of its reference's message.

        Args:
            latency_ns: so long.
            blank: whether it has no labels: that is no sign that the network answers.
        """
        if blank:
            self.supervisor.passed()
        else:
            self.supervisor.succeeded()
        with self._lock:
            self._latencies.append(latency_ns)

    def inference_failed(self, error: Exception) -> None:
        """Count one inference or publication that raised."""
        self.supervisor.failed()
        with self._lock:
            self._failures += 1
            self._last_failure = one_line(f"{type(error).__name__}: {error}")

    def callback_took(self, duration_ns: int) -> None:
        """Take note of how long an image callback took."""
        self._callback_max_ns = max(self._callback_max_ns, duration_ns)

    def may_warn(self, subject: str) -> bool:
        """Whether it is time to warn about a subject, after at least 5 s of silence about it."""
        now_ns = time.monotonic_ns()
        if now_ns - self._warned_ns.get(subject, -_WARN_AGAIN_NS) < _WARN_AGAIN_NS:
            return False
        self._warned_ns[subject] = now_ns
        return True

    def news(self, now_ns: int) -> list[News]:
        """Return a line for each that has changed since it was told last.

        Of a sensor that is its state, or that masks are made without it although it is alive, or
        are so no more. Each sensor has its say four times in eight seconds at most, with the state
        that it is in then. Of the masks, that their stamps have gone back.
        """
        if not now_ns:
            return []
        lines, steady_ns = [], time.monotonic_ns()
        sensors = self._pipeline.status(now_ns)
        for status in sensors:
            before = self._told.get(status.sensor)
            told_ns = self._told_ns.setdefault(status.sensor, deque(maxlen=_TELL_MOST))
            often = len(told_ns) == _TELL_MOST and steady_ns - told_ns[0] < _TELL_WITHIN_NS
            if status.state is before or often:
                continue
            self._told[status.sensor] = status.state
            if before is not None or status.state is not SensorState.WAITING:
                told_ns.append(steady_ns)
                lines.append(News(self._line(status, before), status.state.down))
        lines += [line for s in sensors if (line := self._left_out_news(s, steady_ns))]
        if (trouble := self._clock_trouble()) and self.may_warn("clock trouble"):
            lines.append(News(trouble, True))
        record = self._pipeline.record
        if record.went_back > self._told_back and self.may_warn("went back"):
            self._told_back = record.went_back
            lines.append(News(_went_back(record.went_back_by_ns), True))
        return lines

    def report(self, now_ns: int, facts: Mapping[str, TopicFacts] | None = None) -> list[Any]:
        """Make the statuses of one ``/diagnostics`` message.

        Args:
            now_ns: on the pipeline's clock; 0 while that is not running.
            facts: what the graph says of the sensors' topics, by sensor.
        """
        if not now_ns:
            return [no_clock(self._node_name)]
        statuses = []
        sensors = self._pipeline.status(now_ns)
        for status in sensors:
            before = self._before.get(status.sensor)
            self._before[status.sensor] = status
            topic = self._topics[status.sensor]
            expected_hz = self._pipeline.rig.sensors[status.sensor].promised_hz
            seen = (facts or {}).get(status.sensor)
            statuses.append(
                sensor_health(self._node_name, status, topic, before, expected_hz, seen)
            )
        states = [status.state for status in sensors]
        report, lacking = self._pipeline_report(now_ns), self._pipeline.shortfall(now_ns)
        statuses.append(pipeline_health(self._node_name, report, states, lacking))
        return statuses

    def _left_out_news(self, status: SensorStatus, steady_ns: int) -> News | None:
        """Say that masks begin or end to be made without a sensor that is alive."""
        told, told_ns = self._told_left_out.get(status.sensor, (False, -_TELL_LEFT_OUT_NS))
        words = left_out(status)
        if bool(words) is told or steady_ns - told_ns < _TELL_LEFT_OUT_NS:
            return None
        fused = status.fused
        if told and not (status.state.alive and fused.used > _MOST * fused.masks):
            return None
        self._told_left_out[status.sensor] = bool(words), steady_ns
        what = f"is {status.state.value}, but {words}" if words else "is in the masks again"
        return News(f"sensor {status.sensor} {what}", bool(words))

    def _line(self, status: SensorStatus, before: SensorState | None) -> str:
        came = "" if before is None else f" (was {before.value})"
        fine = status.state is SensorState.OK
        why = f": {status.fault}" if status.fault and not fine else ""
        return f"sensor {status.sensor} is {status.state.value}{came}{why}"

    def _counts(self) -> tuple[int, int, int, int, int, int]:
        pipeline, record = self._pipeline, self._pipeline.record
        made = record.masks, record.blank, record.went_back
        return *made, pipeline.superseded, self._failures, pipeline.worked_ns

    def _slowness(self, now_ns: int, steady_ns: int) -> float:
        """Return how many seconds pass here in one of the pipeline's, at least 1.

        A simulator or a bag may run slower than the world: masks come as much more rarely. Where
        its clock stands still or goes back, nothing can be said.
        """
        self._clocks.append((now_ns, steady_ns))
        while len(self._clocks) > 2 and steady_ns - self._clocks[1][1] >= _CLOCKS_NS:
            self._clocks.popleft()
        began_now_ns, began_ns = self._clocks[0]
        passed_ns = now_ns - began_now_ns
        return max(1.0, (steady_ns - began_ns) / passed_ns) if passed_ns > 0 else 1.0

    def _look_at_the_clock(self, now_ns: int, steady_ns: int) -> None:
        """Note how long a simulated clock stands still: once it goes on, that was no silence."""
        if now_ns != self._clock_ns:
            self._mask_ns += self._stood_ns
            self._clock_ns, self._moved_ns = now_ns, steady_ns
        self._stood_ns = steady_ns - self._moved_ns

    def _pipeline_report(self, now_ns: int) -> PipelineReport:
        steady_ns = time.monotonic_ns()
        manifest = self._pipeline.model.manifest
        with self._lock:
            before, now = self._reported, _Counts(steady_ns, *self._counts())
            self._reported = now
            callback_max_ns, self._callback_max_ns = self._callback_max_ns, 0
            latencies = np.array(self._latencies) / 1e6
        if now.masks > before.masks:
            self._mask_ns = steady_ns
        self._look_at_the_clock(now_ns, steady_ns)
        period_ns = round(self._pipeline.mask_period_ns() * self._slowness(now_ns, steady_ns))
        elapsed_ns = max(steady_ns - before.steady_ns, 1)
        back_ns = self._pipeline.record.went_back_by_ns
        p50, p99 = np.percentile(latencies, (50, 99)) if latencies.size else (0.0, 0.0)
        return PipelineReport(
            engine=described(self._pipeline.engine),
            model=f"{manifest.name} {manifest.version}",
            masks=now.masks,
            masks_now=now.masks - before.masks,
            masks_per_second=self._rate(now, SILENT_PERIODS * period_ns),
            blank=now.blank,
            blank_now=now.blank - before.blank,
            superseded=now.superseded,
            superseded_now=now.superseded - before.superseded,
            went_back=now.went_back,
            went_back_now=_went_back(back_ns) if now.went_back > before.went_back else "",
            failures=now.failures,
            failed_now=now.failures > before.failures,
            last_failure=self._last_failure,
            wanted=self._wanted(),
            stalled=self.supervisor.stalled(),
            silent_s=max(steady_ns - self._mask_ns, 0) / 1e9,
            clock_stood_s=self._stood_ns / 1e9,
            clock_trouble=self._clock_trouble(),
            mask_period_s=period_ns / 1e9,
            latency_ms=(float(p50), float(p99)) if latencies.size else None,
            load=(now.worked_ns - before.worked_ns) / (elapsed_ns * self._threads),
            callback_max_ms=callback_max_ns / 1e6,
        )

    def _rate(self, now: _Counts, window_ns: int) -> float:
        """Return the masks per second since the last report that is at least so long ago."""
        rated = self._rated
        while len(rated) > 1 and now.steady_ns - rated[1][0] >= window_ns:
            rated.popleft()
        began_ns, masks = rated[0]
        rated.append((now.steady_ns, now.masks))
        return (now.masks - masks) * 1e9 / max(now.steady_ns - began_ns, 1)


class _Counts(NamedTuple):
    """What had happened when the last report was made."""

    steady_ns: int
    masks: int
    blank: int
    went_back: int
    superseded: int
    failures: int
    worked_ns: int


def _went_back(by_ns: int) -> str:
    return (
        f"the stamps of the masks went back by {by_ns / 1e9:.2f} s: a clock was set, a bag began "
        "again, or a sensor whose clock was ahead leads no more"
    )
