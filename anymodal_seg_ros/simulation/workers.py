"""Work in parallel: spawned processes with one thread each, results in order."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.worker_processes import end_with_parent

Job = TypeVar("Job")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all frames."""

_AHEAD = 3
"""Jobs per worker that are under way or waiting to be fetched: what bounds the memory."""


def in_parallel(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int
) -> Generator[Result, None, None]:
    """Yield the results of ``work`` for every job, in the order of the jobs.

    Args:
        work: a function of a module, so that it can be sent to another process.
        jobs: what it is called with.
        workers: processes, started by spawn: call this under ``if __name__ == "__main__"``. With 1,
            no process is started.

    Raises:
        AnymodalError: a process was killed. What its fellows had finished has been yielded.
    """
    if workers == 1:
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin)
    waiting: deque[Future[Result]] = deque()
    wanted = True
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        wanted = False
    except BrokenProcessPool as error:
        raise AnymodalError(
            "a worker process died, perhaps for lack of memory: make some free, or take fewer "
            "--workers, and start again"
        ) from error
    finally:
        if wanted:
            _give_up(pool)
        pool.shutdown(wait=True, cancel_futures=True)


def _give_up(pool: ProcessPoolExecutor) -> None:
    """End the processes where nobody takes what is under way: it may be minutes."""
    for process in list((pool._processes or {}).values()):
        process.terminate()


def _begin() -> None:
    # Ctrl-C reaches the whole group: the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    cv2.setNumThreads(1)
