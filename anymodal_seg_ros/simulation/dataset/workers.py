"""Scenes in parallel: spawned processes with one thread each, and a word about every one done."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2

from anymodal_seg_ros.errors import AnymodalError

Job = TypeVar("Job")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all frames."""


def in_parallel(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[Result]:
    """Yield the results of ``work`` for every job, in the order in which they are done.

    Args:
        work: a function of a module, so that it can be sent to another process.
        jobs: what it is called with.
        workers: processes, started by spawn: call this under ``if __name__ == "__main__"``. With 1,
            no process is started and the order is that of the jobs.

    Raises:
        AnymodalError: a process was killed. What its fellows had finished has been yielded.
    """
    if workers == 1:
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, max(len(jobs), 1)), context, initializer=_one_thread)
    try:
        for future in as_completed([pool.submit(work, job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool as error:
        raise AnymodalError(
            "a worker process died, perhaps for lack of memory; what is finished is kept: start "
            "again to go on, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one_thread() -> None:
    cv2.setNumThreads(1)
