"""Watches the engine as the watchdog watches the sensors: does it still answer, and with masks?

A call into a driver that hangs cannot be ended from within its process. So the supervisor only says
when nothing more is to be hoped for; whoever runs the pipeline ends the process then, with an exit
code by which a launch file starts it again.

How long is too long is learned: a fast network is known to hang within seconds, and one that is
slow as a rule, or that still compiles for so many sensors, is left its time.
"""

from __future__ import annotations

import threading
import time

from anymodal_seg_ros.pipeline.activity import Busy
from anymodal_seg_ros.pipeline.pipeline import Pipeline

SLOW_S = 2.0
"""Work that takes longer is told where nobody knows how long it takes usually."""

_TOLD_S, _TOLD_TIMES = 1.0, 5
"""What takes longer than this, and than so many times what such work hardly ever takes, is told."""
_HANGS_S, _HANGS_TIMES = 3.0, 50
"""The same for what will not come back: no machine is busy with other things for so long."""

_LONGEST_STEP_S = 1.0
"""What counts at most between two looks. If nobody looked for longer, the whole process or machine
has stood still (stopped by a debugger, suspended, starved), and the engine with it."""

_FEWEST_FAILURES = 3


class Supervisor:
    """Says whether a pipeline still works."""

    def __init__(self, pipeline: Pipeline, timeout_s: float) -> None:
        """Begin to watch.

        Args:
            pipeline: that threads work on.
            timeout_s: longest time that one piece of work may take, and for which inference may do
                nothing but fail; 0 means for ever.

        Somebody has to look at least once in a second, by :meth:`stalled` or :meth:`hopeless`.
        """
        self._pipeline, self._timeout_s = pipeline, timeout_s
        self._lock = threading.Lock()
        self._looked_s = time.monotonic()
        self._seen = Busy()
        self._seen_s = 0.0
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
        busy, seconds = self._look()
        usual_s = busy.usual_s
        limit_s = SLOW_S if usual_s is None else max(_TOLD_S, _TOLD_TIMES * usual_s)
        return f"{busy.what} has taken {seconds:.1f} s so far" if seconds >= limit_s else ""

    def hopeless(self) -> str:
        """Say why the process has to end, in words; empty while it has not."""
        busy, seconds = self._look()
        if not self._timeout_s:
            return ""
        limit = f"inference_timeout_s is {self._timeout_s:g} s"
        if seconds >= self._timeout_s:
            return f"the engine hangs: {busy.what} has taken {seconds:.1f} s; {limit}"
        usual_s = busy.usual_s
        if usual_s is not None and seconds >= max(_HANGS_S, _HANGS_TIMES * usual_s):
            return (
                f"the engine hangs: {busy.what} has taken {seconds:.1f} s, of late never more than "
                f"{usual_s:.2f} s"
            )
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

    def _look(self) -> tuple[Busy, float]:
        """Return what has been worked on for longest, and for how long that has been watched."""
        with self._lock:
            now_s, busy = time.monotonic(), self._pipeline.longest_work()
            step_s = min(now_s - self._looked_s, _LONGEST_STEP_S)
            if busy != self._seen:
                self._seen, self._seen_s = busy, 0.0
                step_s = min(now_s - busy.since_s, _LONGEST_STEP_S)
            self._looked_s = now_s
            self._seen_s = self._seen_s + step_s if busy.what else 0.0
            return busy, self._seen_s
