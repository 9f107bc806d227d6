"""The one thread of the node that polls the pipeline, infers and publishes.

The executor's callbacks only hand messages to the pipeline and wake this thread, so a slow network
never delays a message's arrival time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.nodes.on_demand import OnDemand
from anymodal_seg_ros.pipeline import Pipeline


class PipelineWorker:
    """Poll a pipeline whenever it can have news, in a thread of its own.

    Args:
        pipeline: what to poll.
        now_ns: the clock that the pipeline's messages are timed with; 0 while it is not running,
            then the pipeline is let alone.
        publish: called with every prediction, in the worker's thread.
        failed: called with an exception that inference or ``publish`` raised; the worker goes on.
        longest_wait_s: poll at least this often. A simulated clock needs it, because nothing here
            can sleep in its time; None waits for news as long as it takes.
    """

    def __init__(
        self,
        pipeline: Pipeline | OnDemand,
        now_ns: Callable[[], int],
        publish: Callable[[Prediction], None],
        failed: Callable[[Exception], None],
        longest_wait_s: float | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._now_ns = now_ns
        self._publish = publish
        self._failed = failed
        self._longest_wait_s = longest_wait_s
        self._wake = threading.Condition()
        self._news = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="pipeline worker")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def notify(self) -> None:
        """Say that the pipeline has a new message."""
        with self._wake:
            self._news = True
            self._wake.notify()

    def stop(self) -> None:
        """Let the inference under way end, then end the thread. May be called twice."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while self._wait():
            try:
                while (prediction := self._poll()) is not None:
                    self._publish(prediction)
                    if self._stopping:
                        break
            except Exception as error:
                self._failed(error)

    def _poll(self) -> Prediction | None:
        """Poll, unless it is before the first ``/clock``: a start-up grace from 0 would be over."""
        now_ns = self._now_ns()
        return self._pipeline.poll(now_ns) if now_ns else None

    def _wait(self) -> bool:
        """Sleep until there can be news; False when it is time to end."""
        with self._wake:
            # A message that came while polling has set _news already: no wake-up is lost.
            if not self._news and not self._stopping:
                self._wake.wait(self._timeout_s())
            self._news = False
            return not self._stopping

    def _timeout_s(self) -> float | None:
        due_ns = self._pipeline.next_wakeup_ns()
        waits = [] if self._longest_wait_s is None else [self._longest_wait_s]
        if due_ns is not None:
            waits.append(max(0.0, (due_ns - self._now_ns()) / 1e9))
        return min(waits, default=None)
