"""What becomes of jobs that fail, and of the processes of an evaluation that is stopped."""

from __future__ import annotations

import errno
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anymodal_seg_ros.config import SegConfig
from anymodal_seg_ros.evaluation.scorecard.cases import Case
from anymodal_seg_ros.evaluation.scorecard.replays import fleet
from anymodal_seg_ros.evaluation.scorecard.replays.fleet import (
    deaf_to_ctrl_c,
    ended_if_stopped,
    run_jobs,
)
from anymodal_seg_ros.evaluation.scorecard.replays.job import Job, Subject

SPAWN = multiprocessing.get_context("spawn")


def jobs_in(folder: Path, *names: str) -> list[Job]:
    subject = Subject(folder, "drive", SegConfig())
    return [Job(subject, Case(name), folder / name, ()) for name in names]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "locked.mcap"), "locked.mcap"),
        (MemoryError(), "--workers"),
    ],
)
def test_a_bag_that_cannot_be_read_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def run(job: Job, progress: object) -> None:
        if job.case.name == "locked":
            raise error
        done.append(job.case.name)

    done: list[str] = []
    monkeypatch.setattr(fleet, "run_job", run)
    (failure,) = run_jobs(jobs_in(tmp_path, "locked", "sound"), 1, lambda *told: None)
    assert failure.job.case.name == "locked" and said in failure.reason
    assert done == ["sound"]


def test_a_full_disk_ends_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(job: Job, progress: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fleet, "run_job", run)
    with pytest.raises(OSError, match="No space left"):
        run_jobs(jobs_in(tmp_path, "one", "other"), 1, lambda *told: None)


def test_what_is_stopped_leaves_no_process_and_nothing_half_written(tmp_path: Path) -> None:
    job = Job(Subject(tmp_path, "drive", SegConfig()), Case("healthy"), tmp_path / "healthy", ())
    half = tmp_path / "healthy.partial"
    half.mkdir()
    somebody_elses = SPAWN.Process(target=time.sleep, args=(3600,))
    own = SPAWN.Process(target=time.sleep, args=(3600,))
    somebody_elses.start()
    try:
        with pytest.raises(KeyboardInterrupt), ended_if_stopped([job]):
            own.start()
            raise KeyboardInterrupt
        assert not own.is_alive()
        assert somebody_elses.is_alive()
        assert not half.exists()
    finally:
        somebody_elses.terminate()
        somebody_elses.join()


def test_workers_leave_ctrl_c_to_the_one_that_started_them() -> None:
    before = signal.getsignal(signal.SIGINT)
    ask = [
        sys.executable,
        "-S",
        "-c",
        "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)",
    ]
    with deaf_to_ctrl_c():
        answer = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    assert answer.strip() == "True"
    assert signal.getsignal(signal.SIGINT) is before
