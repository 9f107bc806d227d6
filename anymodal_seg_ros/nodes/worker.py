"""The threads of the node that prepare samples, infer and publish.

The executor's callbacks only hand messages to the pipeline and wake these threads, so that a slow
network never delays a message's arrival time. As many threads work as there are cores to use: a
network that encodes its sensors one by one gains nothing from threads inside of one inference.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import cv2

from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.hardware.processors import engine_threads
from anymodal_seg_ros.nodes import stop_limits
from anymodal_seg_ros.pipeline import Pipeline

_NAME = "pipeline worker"


def any_worker_lives() -> bool:
    """Whether a worker's thread of this process has not ended."""
    return any(thread.name.startswith(_NAME) for thread in threading.enumerate())


class PipelineWorker:
    """Work on a pipeline whenever it can have news, in threads of its own.

    Args:
        pipeline: what to work on.
        now_ns: the clock that the pipeline's messages are timed with; 0 while it is not running,
            then the pipeline is let alone.
        publish: called with every prediction, in order, by whichever thread made it.
        failed: called with an exception that inference or ``publish`` raised; the workers go on.
        longest_wait_s: look for work at least this often. A simulated clock needs it, because
            nothing here can sleep in its time; None waits for news as long as it takes.
        threads: how many work side by side; 0 means one per processor that this
            process may use, at most 4.
        wanted: whether masks are to be made; if not, the sensors are watched all the same.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        now_ns: Callable[[], int],
        publish: Callable[[Prediction], None],
        failed: Callable[[Exception], None],
        longest_wait_s: float | None = None,
        threads: int = 0,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._pipeline = pipeline
        self._now_ns = now_ns
        self._publish = publish
        self._failed = failed
        self._longest_wait_s = longest_wait_s
        self._wanted = wanted
        self._wake = threading.Condition()
        self._news = 0
        self._stopping = False
        count = engine_threads(threads)
        # Daemons: an engine that hangs must not keep the process.
        self._threads = [
            threading.Thread(target=self._run, name=f"{_NAME} {n}", daemon=True)
            for n in range(count)
        ]

    @property
    def threads(self) -> int:
        """How many threads work side by side."""
        return len(self._threads)

    @property
    def lives(self) -> bool:
        """Whether one of the threads has not ended."""
        return any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Start the threads."""
        # Cores are used by sensors side by side. OpenCV's own threads would have to be woken for
        # every small picture, and wait for one another in a busy loop.
        cv2.setNumThreads(1)
        steady = self._longest_wait_s is None
        self._pipeline.attach(len(self._threads), self.notify, self._failed, steady=steady)
        for thread in self._threads:
            thread.start()

    def notify(self) -> None:
        """Say that the pipeline has a new message. Wakes one thread: it wakes the next, if any."""
        with self._wake:
            self._news += 1
            self._wake.notify()

    def stop(self, limit_s: float = stop_limits.WORKER_S) -> bool:
        """Let the work under way end, then end the threads. May be called twice.

        Args:
            limit_s: how long to wait for that.

        Returns:
            Whether they have ended. If the engine hangs, only the end of the process ends them.
        """
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        until = time.monotonic() + limit_s
        self._pipeline.detach()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        return not self.lives

    def _run(self) -> None:
        while not self._stopping:
            with self._wake:
                news = self._news
            try:
                # Before the first /clock nothing is done: a start-up grace from 0 would be over.
                now_ns = self._now_ns()
                worked = bool(now_ns) and self._work(now_ns)
            except Exception as error:
                worked = True
                self._failed(error)
            if not worked:
                self._wait(news)

    def _work(self, now_ns: int) -> bool:
        wanted = self._wanted()
        if not wanted:
            self._pipeline.pass_over(now_ns)
        # Whoever has begun a piece of work wakes another one, for there may be more; whoever has
        # ended one looks for the next by itself. So none is woken for nothing but the last.
        progress = self._pipeline.work(
            now_ns, ahead=wanted, deliver=self._deliver, begun=self.notify
        )
        return progress.worked

    def _deliver(self, prediction: Prediction) -> None:
        if not self._stopping:
            self._publish(prediction)

    def _wait(self, seen: int) -> None:
        """Sleep until there can be news later than what has been seen."""
        with self._wake:
            # A message that came meanwhile has counted up already: no wake-up is lost.
            if self._news <= seen and not self._stopping:
                self._wake.wait(self._timeout_s())

    def _timeout_s(self) -> float | None:
        due_ns = self._pipeline.next_wakeup_ns()
        waits = [] if self._longest_wait_s is None else [self._longest_wait_s]
        if due_ns is not None:
            waits.append(max(0.0, (due_ns - self._now_ns()) / 1e9))
        return min(waits, default=None)
