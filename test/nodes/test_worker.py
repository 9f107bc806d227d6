"""The worker thread against a pipeline whose every move the test decides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from anymodal_seg_ros.nodes.worker import PipelineWorker
from anymodal_seg_ros.pipeline.tasks import Progress

SOON_S = 60.0
"""Long enough for a machine that has no time for us."""


class ScriptedPipeline:
    """Hands out what the test puts in, and says when it was asked."""

    def __init__(self) -> None:
        self.ready: list[Any] = []
        self.wakeup_ns: int | None = None
        self.polls = 0
        self.polled = threading.Semaphore(0)
        self.asleep = threading.Semaphore(0)
        self.hangs = threading.Event()
        self.lock = threading.Lock()

    def work(
        self,
        now_ns: int,
        *,
        ahead: bool = False,
        deliver: Callable[[Any], None],
        begun: Callable[[], None],
    ) -> Progress:
        assert ahead, "a robot prepares samples before they are asked for"
        with self.lock:
            self.polls += 1
            self.polled.release()
            if not self.ready:
                return Progress(False)
            made = self.ready.pop(0)
            if isinstance(made, Exception):
                raise made
            if isinstance(made, threading.Event):
                self.hangs.set()
                made.wait()
                return Progress(True)
            deliver(made)
            return Progress(True, made)

    def attach(
        self,
        threads: int,
        notify: Callable[[], None],
        failed: Callable[[Exception], None],
        *,
        steady: bool,
    ) -> None:
        assert threads >= 1
        self.steady = steady

    def detach(self) -> bool:
        return True

    def next_wakeup_ns(self) -> int | None:
        # Asked under the lock that only sleeping gives back: no word can come in between.
        self.asleep.release()
        return self.wakeup_ns


class Harness:
    """A worker with everything it publishes and every failure it tells."""

    def __init__(self, longest_wait_s: float | None = None) -> None:
        self.pipeline = ScriptedPipeline()
        self.published: list[Any] = []
        self.failures: list[Exception] = []
        self.said = threading.Semaphore(0)
        self.worker = PipelineWorker(
            self.pipeline,  # type: ignore[arg-type]
            time.monotonic_ns,
            self._publish,
            self._fail,
            longest_wait_s,
            threads=1,
        )
        self.worker.start()

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.stop()

    def _publish(self, prediction: Any) -> None:
        self.published.append(prediction)
        self.said.release()

    def _fail(self, error: Exception) -> None:
        self.failures.append(error)
        self.said.release()


def test_publishes_everything_that_is_ready_after_one_wake_up() -> None:
    with Harness() as harness:
        harness.pipeline.ready = ["a", "b", "c"]
        harness.worker.notify()
        for _ in range(3):
            assert harness.said.acquire(timeout=SOON_S)
        assert harness.published == ["a", "b", "c"]


def test_wakes_at_the_deadline_without_a_message() -> None:
    with Harness() as harness:
        due_ns = time.monotonic_ns() + 50_000_000
        harness.pipeline.wakeup_ns = due_ns
        harness.worker.notify()
        until = time.monotonic() + SOON_S
        while time.monotonic_ns() < due_ns and time.monotonic() < until:
            assert harness.pipeline.polled.acquire(timeout=SOON_S), "no wake-up before the deadline"
        assert time.monotonic_ns() >= due_ns


def test_sleeps_while_there_is_nothing_to_wait_for() -> None:
    with Harness() as harness:
        assert harness.pipeline.polled.acquire(timeout=SOON_S)
        assert not harness.pipeline.polled.acquire(timeout=0.1)
        assert harness.pipeline.steady


def test_looks_at_a_simulated_clock_now_and_then() -> None:
    with Harness(longest_wait_s=0.01) as harness:
        for _ in range(3):
            assert harness.pipeline.polled.acquire(timeout=SOON_S)
        assert not harness.pipeline.steady, "it may jump ahead, and nobody has stood still"


def test_goes_on_after_a_failure() -> None:
    with Harness() as harness:
        harness.pipeline.ready = [RuntimeError("out of memory")]
        harness.worker.notify()
        assert harness.said.acquire(timeout=SOON_S)
        harness.pipeline.ready = ["fine"]
        harness.worker.notify()
        assert harness.said.acquire(timeout=SOON_S)
        assert [str(e) for e in harness.failures] == ["out of memory"]
        assert harness.published == ["fine"]


def test_stops_at_once_and_twice() -> None:
    harness = Harness()
    harness.pipeline.wakeup_ns = time.monotonic_ns() + 3600 * 10**9
    started = time.monotonic()
    harness.worker.stop()
    harness.worker.stop()
    assert time.monotonic() - started < SOON_S


def test_a_thread_that_hangs_does_not_keep_the_caller() -> None:
    harness, hang = Harness(), threading.Event()
    harness.pipeline.ready = [hang]
    harness.worker.notify()
    assert harness.pipeline.hangs.wait(SOON_S)
    assert not harness.worker.stop(limit_s=0.1), "it says that the engine hangs"
    hang.set()
    assert harness.worker.stop(SOON_S)


@pytest.mark.parametrize("threads", [1, 3])
def test_several_threads_do_all_that_there_is_to_do(threads: int) -> None:
    pipeline, published = ScriptedPipeline(), []
    pipeline.ready = list(range(50))
    worker = PipelineWorker(
        pipeline,  # type: ignore[arg-type]
        time.monotonic_ns,
        published.append,
        lambda error: None,
        threads=threads,
    )
    worker.start()
    until = time.monotonic() + SOON_S
    while len(published) < 50 and time.monotonic() < until:
        time.sleep(0.005)
    assert worker.stop(SOON_S)
    assert published == list(range(50)), "in order"


def test_a_message_that_is_work_for_one_wakes_one() -> None:
    pipeline = ScriptedPipeline()
    worker = PipelineWorker(
        pipeline,  # type: ignore[arg-type]
        time.monotonic_ns,
        lambda prediction: None,
        lambda error: None,
        threads=3,
    )
    worker.start()
    try:
        for _ in range(3):
            assert pipeline.polled.acquire(timeout=SOON_S)
            assert pipeline.asleep.acquire(timeout=SOON_S)
        worker.notify()
        assert pipeline.polled.acquire(timeout=SOON_S)
        assert not pipeline.polled.acquire(timeout=0.1), "another one was woken for nothing"
    finally:
        worker.stop()


def test_a_pipeline_is_let_alone_until_its_clock_runs() -> None:
    pipeline, times, published = ScriptedPipeline(), [0], []
    pipeline.ready.append("mask")
    worker = PipelineWorker(
        pipeline,  # type: ignore[arg-type]
        lambda: times[0],
        published.append,
        lambda error: None,
        longest_wait_s=0.001,
    )
    worker.start()
    try:
        assert not pipeline.polled.acquire(timeout=0.05)
        times[0] = 1_000_000_000
        assert pipeline.polled.acquire(timeout=SOON_S)
    finally:
        worker.stop()
    assert published == ["mask"]


def test_events_that_take_long_to_decode_are_no_engine_that_hangs() -> None:
    with Harness() as harness:
        harness.pipeline.detach = lambda: False  # type: ignore[method-assign]
        assert harness.worker.stop(SOON_S)
        assert not harness.worker.lives
