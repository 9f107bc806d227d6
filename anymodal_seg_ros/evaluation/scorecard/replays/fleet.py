"""Many jobs: one after the other, in several processes or on a cluster, with the same results.

What is finished is not done again; a job that fails is reported and the others go on.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from anymodal_seg_ros.errors import DISK_FULL, AnymodalError, ConfigError
from anymodal_seg_ros.evaluation.scorecard.replays.job import Job, run_job
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import forget_partial, is_finished
from anymodal_seg_ros.worker_processes import end_with_parent

FleetProgress = Callable[[str, float, int], None]
"""Told what is being done, how many jobs are done (with a part of the present one), of how many."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that could not be done.

    Attributes:
        job: which.
        reason: in words.
    """

    job: Job
    reason: str


def reasons_by_name(failures: Iterable[Failure]) -> dict[str, str]:
    """Return why jobs failed, by names for people; of one bag the same reason is told once."""
    cases: dict[tuple[str, str], list[str]] = {}
    for failure in failures:
        where = failure.job.subject.name, failure.reason
        cases.setdefault(where, []).append(failure.job.case.name)
    found = {}
    for (bag, reason), names in cases.items():
        more = f" and {len(names) - 1} more cases" if len(names) > 1 else ""
        found[f"{bag} {names[0]}{more}"] = reason
    return found


def run_jobs(
    jobs: Sequence[Job],
    workers: int = 1,
    progress: FleetProgress = lambda what, done, of: None,
    cluster: str = "",
) -> tuple[Failure, ...]:
    """Do jobs, and return those that failed.

    Args:
        jobs: with folders of their own each.
        workers: processes; 1 works in this one.
        progress: told how far it is.
        cluster: address of a Dask scheduler, or ``local:N``, to work there; empty: on this machine.

    Raises:
        ConfigError: the cluster cannot be reached, or Dask is not installed.
    """
    left = [job for job in jobs if not is_finished(job.folder, job.key)]
    done = len(jobs) - len(left)
    if cluster and left:
        return _on_cluster(left, cluster, done, len(jobs), progress)
    if workers <= 1 or len(left) <= 1:
        return _one_by_one(left, done, len(jobs), progress)
    return _in_processes(left, workers, done, len(jobs), progress)


def _in_processes(
    jobs: Sequence[Job], workers: int, done: int, total: int, progress: FleetProgress
) -> tuple[Failure, ...]:
    found: list[Failure] = []
    # Not forked: libraries that hold threads of their own do not survive it.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(min(workers, len(jobs)), context, end_with_parent) as pool,
        ended_if_stopped(jobs),
    ):
        with deaf_to_ctrl_c():
            running = {pool.submit(_attempt, job): job for job in jobs}
        for future in as_completed(running):
            job = running[future]
            try:
                reason = future.result()
            except BrokenProcessPool:
                reason = "its process died: is the memory full? Try fewer --workers"
            if reason:
                found.append(Failure(job, reason))
            done += 1
            progress(_title(job), done, total)
    return _sorted(found)


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Let processes that are started in the body inherit that SIGINT is ignored.

    A terminal sends it to all of them: each would say so in a traceback, and take its next job.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def ended_if_stopped(jobs: Sequence[Job]) -> Iterator[None]:
    """End the processes with what they are doing if the body is left before all jobs are done."""
    before = set(multiprocessing.active_children())
    try:
        yield
    except BaseException:
        started = set(multiprocessing.active_children()) - before
        for process in started:
            process.terminate()
        for process in started:
            process.join()
        for job in jobs:
            forget_partial(job.folder)
        raise


def _on_cluster(
    jobs: Sequence[Job], cluster: str, done: int, total: int, progress: FleetProgress
) -> tuple[Failure, ...]:
    try:
        from anymodal_seg_ros.evaluation.scorecard.replays.cluster import run_on_cluster
    except ImportError as error:
        raise ConfigError(
            f"--cluster needs Dask ({error}): install anymodal_seg_ros[cluster]"
        ) from error
    found: list[Failure] = []
    finished = itertools.count(done + 1)

    def tell(job: Job, reason: str) -> None:
        if reason:
            found.append(Failure(job, reason))
        progress(_title(job), next(finished), total)

    progress("", done, total)
    run_on_cluster(jobs, cluster, _attempt, tell)
    return _sorted(found)


def _sorted(failures: Sequence[Failure]) -> tuple[Failure, ...]:
    return tuple(sorted(failures, key=lambda failure: str(failure.job.folder)))


def _one_by_one(
    jobs: Sequence[Job], done: int, total: int, progress: FleetProgress
) -> tuple[Failure, ...]:
    found: list[Failure] = []
    for number, job in enumerate(jobs, start=done):
        title = _title(job)
        progress(title, number, total)

        def advance(share: float, title: str = title, number: int = number) -> None:
            progress(title, number + share, total)

        if reason := _attempt(job, advance):
            found.append(Failure(job, reason))
        progress(title, number + 1, total)
    return tuple(found)


def _attempt(job: Job, progress: Callable[[float], None] = lambda share: None) -> str:
    """Do a job; returns why it could not be done, empty if it was."""
    try:
        run_job(job, progress)
    except ConfigError as error:
        return "" if job.case.tentative else str(error)
    except AnymodalError as error:
        return str(error)
    except OSError as error:
        if error.errno in DISK_FULL:  # no job could keep anything
            raise
        return str(error)
    except MemoryError:
        return "the memory is full: try fewer --workers, or a machine with more"
    return ""


def _title(job: Job) -> str:
    return f"{job.subject.name} {job.case.name}"
