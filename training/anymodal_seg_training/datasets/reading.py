"""Worker processes that read and vary frames ahead of the network that learns from them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Generic

import torch
from torch.utils.data import DataLoader, Dataset

from anymodal_seg_training.datasets.frame_source import FrameSource, Job, Result
from anymodal_seg_training.datasets.workers import begin_worker, worker_context
from anymodal_seg_training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Reading:
    """How frames are read.

    Attributes:
        workers: processes that read, at least 1.
        prefetch: results that each of them keeps ready.
        replaces: whether the next good frame stands in for a damaged one.
        pinned: whether results lie where a GPU can fetch them by itself.
    """

    workers: int
    prefetch: int = 2
    replaces: bool = False
    pinned: bool = False


def in_workers(
    source: FrameSource,
    jobs: Iterable[Job],
    work: Callable[[FrameSource, Job], Result],
    reading: Reading,
) -> Generator[Result, None, None]:
    """Do jobs in worker processes; see :meth:`.FrameSource.run`.

    Args:
        source: can be pickled.
        jobs: what to do.
        work: does one.
        reading: how many processes, and how far they read ahead.

    Raises:
        TrainingError: a worker met one, or died.
    """
    loader: DataLoader[Result | _Failure] = DataLoader(
        _Jobs(source, work),
        batch_size=None,  # a job is a batch already
        sampler=jobs,
        num_workers=reading.workers,
        prefetch_factor=reading.prefetch,
        multiprocessing_context=worker_context(),
        worker_init_fn=_begin,
        pin_memory=reading.pinned,
        generator=torch.Generator(),  # not to draw from the one that dropout draws from
    )
    try:
        for result in loader:
            if isinstance(result, _Failure):
                raise TrainingError(result.text)
            yield result
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            "a worker process that reads frames died, perhaps for lack of memory or of shared "
            f"memory (/dev/shm): lower --workers or input.prefetch ({error})"
        ) from error


@dataclass(frozen=True, slots=True)
class _Failure:
    """What went wrong in a worker; an exception would arrive with a traceback in its text."""

    text: str


class _Jobs(Dataset["Result | _Failure"], Generic[Job, Result]):
    """Does one job when a worker asks for it."""

    def __init__(self, source: FrameSource, work: Callable[[FrameSource, Job], Result]) -> None:
        self._source = source
        self._work = work

    def __getitem__(self, job: Job) -> Result | _Failure:
        try:
            return self._work(self._source, job)
        except TrainingError as error:
            return _Failure(str(error))


def _begin(worker: int) -> None:
    begin_worker()
