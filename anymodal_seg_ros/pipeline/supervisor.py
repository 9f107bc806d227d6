"""Watches the engine as the watchdog watches the sensors: does it still answer, and with masks?

A call into a driver that hangs cannot be ended from within its process. So the supervisor only says
when nothing more is to be hoped for; whoever runs the pipeline ends the process then, with an exit
code by which a launch file starts it again.
"""

from __future__ import annotations

import threading
import time

from anymodal_seg_ros.pipeline.pipeline import Pipeline

SLOW_S = 2.0
"""Work that takes longer is told; nothing that a pipeline does should."""

_FEWEST_FAILURES = 3


class Supervisor:
    """Says whether a pipeline still works."""

    def __init__(self, pipeline: Pipeline, timeout_s: float) -> None:
        """Begin to watch.

        Args:
            pipeline: that threads work on.
            timeout_s: longest time that one piece of work may take, and for which inference may do
                nothing but fail; 0 means for ever.
        """
        self._pipeline, self._timeout_s = pipeline, timeout_s
        self._lock = threading.Lock()
        self._failing_since: float | None = None
        self._failures = 0
        self._failed_since_blank = False

    def succeeded(self) -> None:
        """Take note of a mask."""
        with self._lock:
            self._failing_since, self._failures = None, 0

    def passed(self) -> None:
        """Take note of a mask without labels: the network was not asked, or its encoder failed.

        If nothing has failed since the one before, there was nothing to ask it.
        """
        with self._lock:
            if not self._failed_since_blank:
                self._failing_since, self._failures = None, 0
            self._failed_since_blank = False

    def failed(self) -> None:
        """Take note of an inference that raised."""
        with self._lock:
            if self._failing_since is None:
                self._failing_since = time.monotonic()
            self._failures += 1
            self._failed_since_blank = True

    def stalled(self) -> str:
        """Say what takes longer than it should, in words; empty if nothing does."""
        what, seconds = self._pipeline.longest_work()
        return f"{what} has taken {seconds:.1f} s so far" if seconds >= SLOW_S else ""

    def hopeless(self) -> str:
        """Say why the process has to end, in words; empty while it has not."""
        if not self._timeout_s:
            return ""
        what, seconds = self._pipeline.longest_work()
        limit = f"inference_timeout_s is {self._timeout_s:g} s"
        if seconds >= self._timeout_s:
            return f"the engine hangs: {what} has taken {seconds:.1f} s; {limit}"
        with self._lock:
            since, failures = self._failing_since, self._failures
        if since is not None and failures >= _FEWEST_FAILURES:
            failing_s = time.monotonic() - since
            if failing_s >= self._timeout_s:
                return (
                    f"inference has failed {failures} times in {failing_s:.1f} s without one "
                    f"mask; {limit}"
                )
        return ""
