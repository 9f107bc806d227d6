"""What the node counts while it is active, and how ``/diagnostics`` tells it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from anymodal_seg_ros.nodes.diagnostics import (
    PipelineReport,
    no_clock,
    pipeline_health,
    sensor_health,
)
from anymodal_seg_ros.nodes.topic_facts import TopicFacts
from anymodal_seg_ros.pipeline import Pipeline

_WARN_AGAIN_NS = 5_000_000_000


class Health:
    """Counts masks, failures and callback times, and remembers what was said last.

    The worker's thread counts, the executor's thread reports. All times are a steady clock's, so
    that rates mean something in simulated time too.
    """

    def __init__(
        self, node_name: str, pipeline: Pipeline, topics: Mapping[str, str] | None = None
    ) -> None:
        """Begin to count.

        Args:
            node_name: the prefix of every diagnostic's name; with the namespace it is the only one
                of its kind on a robot.
            pipeline: whose sensors are told of.
            topics: full names by sensor; as they are configured if None.
        """
        self._node_name = node_name
        self._pipeline = pipeline
        self._topics = topics or {name: s.topic for name, s in pipeline.rig.sensors.items()}
        self._lock = threading.Lock()
        self._masks = 0
        self._failures = 0
        self._last_failure = ""
        self._callback_max_ns = 0
        self._reported = (time.monotonic_ns(), 0, 0)
        self._rejected_before: dict[str, int] = {}
        self._warned_ns: dict[str, int] = {}

    def mask_published(self) -> None:
        """Count one mask."""
        with self._lock:
            self._masks += 1

    def inference_failed(self, error: Exception) -> None:
        """Count one inference or publication that raised."""
        with self._lock:
            self._failures += 1
            self._last_failure = f"{type(error).__name__}: {error}"

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
            rejected = sum(status.rejected.values())
            newly = rejected > self._rejected_before.get(status.sensor, 0)
            self._rejected_before[status.sensor] = rejected
            topic = self._topics[status.sensor]
            seen = (facts or {}).get(status.sensor)
            statuses.append(sensor_health(self._node_name, status, topic, newly, seen))
        any_alive = any(status.state.alive for status in sensors)
        report, lacking = self._pipeline_report(), self._pipeline.shortfall(now_ns)
        statuses.append(pipeline_health(self._node_name, report, any_alive, lacking))
        return statuses

    def _pipeline_report(self) -> PipelineReport:
        steady_ns = time.monotonic_ns()
        manifest = self._pipeline.model.manifest
        with self._lock:
            since_ns, masks_before, failures_before = self._reported
            self._reported = (steady_ns, self._masks, self._failures)
            callback_max_ns, self._callback_max_ns = self._callback_max_ns, 0
            elapsed_s = max(steady_ns - since_ns, 1) / 1e9
            return PipelineReport(
                engine=self._pipeline.engine.name,
                model=f"{manifest.name} {manifest.version}",
                masks=self._masks,
                masks_per_second=(self._masks - masks_before) / elapsed_s,
                superseded=self._pipeline.superseded,
                failures=self._failures,
                failed_now=self._failures > failures_before,
                last_failure=self._last_failure,
                callback_max_ms=callback_max_ns / 1e6,
            )
