"""Jobs on the machines of a Dask cluster: one code path, and the results of one process.

A worker needs this package and sees the bags, models and labels at the paths that the client sees;
the scorecard's folder it need not see: a run is small, and travels back whole.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client, KilledWorker, LocalCluster, as_completed

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.scorecard.replays.job import Job
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import adopt

LOCAL = "local:"
"""Instead of the address of a scheduler: so many workers on this machine."""

_AHEAD = 4
"""Jobs given out for each worker: so that none waits, and results do not pile up."""

_CONNECT_S = 30


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a job.

    Attributes:
        reason: why it could not be done; empty if it was.
        files: of the run's folder, by their paths in it.
    """

    reason: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)


def run_on_cluster(
    jobs: Sequence[Job],
    address: str,
    attempt: Callable[[Job], str],
    tell: Callable[[Job, str], None],
) -> None:
    """Do jobs on a cluster.

    Args:
        jobs: with folders of their own each; the folders are made here.
        address: of the scheduler, or :data:`LOCAL` with a number.
        attempt: does a job, and returns why it could not be done; called on the workers.
        tell: called here when a job is done, with the reason if it could not be.

    Raises:
        ConfigError: there is no cluster at the address.
    """
    with _client(address) as client:
        left = iter(jobs)
        first = max(1, len(client.scheduler_info()["workers"])) * _AHEAD
        given = {}
        running = as_completed(loop=client.loop)

        def give_out() -> None:
            job = next(left, None)
            if job is not None:
                future = client.submit(remote, job, attempt, pure=False)
                given[future.key] = job
                running.add(future)

        for _ in range(first):
            give_out()
        for future in running:
            job = given.pop(future.key)
            try:
                done = future.result()
                if done.files:
                    adopt(job.folder, done.files)
                reason = done.reason
            except KilledWorker:
                reason = "the workers that tried it died: is their memory full?"
            except (Exception, CancelledError) as error:  # whatever a worker's machine can do
                reason = f"{type(error).__name__}: {error}"
            tell(job, reason)
            give_out()


def remote(job: Job, attempt: Callable[[Job], str]) -> Done:
    """Do a job in a folder that lasts as long as it takes to read it; runs on a worker."""
    with tempfile.TemporaryDirectory(prefix="anymodal_seg_") as place:
        folder = Path(place) / "run"
        reason = attempt(dataclasses.replace(job, folder=folder))
        if reason or not folder.is_dir():
            return Done(reason)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return Done(files={str(path.relative_to(folder)): path.read_bytes() for path in files})


@contextmanager
def _client(address: str) -> Iterator[Client]:
    if not address.startswith(LOCAL):
        try:
            client = Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"--cluster is {address!r}, where no Dask scheduler answers ({error}): start one "
                f"with 'dask scheduler', or give {LOCAL}N for N workers on this machine"
            ) from error
        with client:
            yield client
        return
    number = address.removeprefix(LOCAL)
    if not number.isdigit() or not 1 <= int(number) <= 256:
        raise ConfigError(f"--cluster is {address!r}: expected {LOCAL}N with N from 1 to 256")
    with (
        LocalCluster(int(number), threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
