"""A build in a process of its own: cancelled, limited, crashed, left alone by its starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.fake_gpu import FakeGpu

from anymodal_seg_ros.inference.tensorrt import background
from anymodal_seg_ros.inference.tensorrt.background import (
    CANCELLED,
    DONE,
    FAILED,
    TESTING,
    WAITING,
    BackgroundBuild,
    BuildLimits,
    BuildStatus,
)
from anymodal_seg_ros.inference.tensorrt.build_process import Request
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache
from anymodal_seg_ros.inference.tensorrt.locks import build_held

LONG_S = 500.0


class Started:
    """A build and everything that was told of it."""

    def __init__(self, folder: Path, limits: BuildLimits | None = None) -> None:
        self.told: list[BuildStatus] = []
        request = Request(str(folder), False, str(PlanCache().folder))
        self.build = BackgroundBuild(request, limits, self.told.append)
        self.build.start()

    def until(self, holds: Callable[[BuildStatus], Any]) -> None:
        end = time.monotonic() + LONG_S
        while not holds(self.build.status):
            assert time.monotonic() < end and not self.build.status.ended, self.build.status
            time.sleep(0.01)

    def end(self) -> BuildStatus:
        status = self.build.wait(LONG_S)
        assert status.ended, status
        return status


def test_it_builds_tests_and_tells(fake_gpu: FakeGpu, tiny_halves: Path) -> None:
    started = Started(tiny_halves)
    status = started.end()
    assert status.state == DONE, status
    assert status.percent == 100.0 and status.seconds > 0 and status.reason == ""
    assert TESTING in [told.state for told in started.told]
    percents = [told.percent for told in started.told]
    assert percents == sorted(percents)
    assert any("TensorRT 10.3.0 on Fake Orin" in note for note in status.notes)
    assert any("single takes longer" in note for note in status.notes)
    assert any(" ms a mask of all sensors; 15 subsets right" in note for note in status.notes)
    assert len([e for e in PlanCache().entries() if not e.damage]) == 3


def test_cancelling_keeps_what_was_timed(fake_gpu: FakeGpu, tiny_halves: Path) -> None:
    fake_gpu.says(steps=1000, step_s=0.02)
    started = Started(tiny_halves)
    started.until(lambda status: status.percent > 0)
    started.build.cancel(wait_s=LONG_S)
    assert started.end().state == CANCELLED
    assert [entry.path.suffix for entry in PlanCache().entries()] == [".cache"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_systemd_tells_all_processes_of_a_service_to_end(
    number: signal.Signals, fake_gpu: FakeGpu, tiny_halves: Path
) -> None:
    """What was timed is kept then, too, though the build's thread is not Python's for minutes."""
    fake_gpu.says(steps=1000, step_s=0.02)
    started = Started(tiny_halves)
    started.until(lambda status: status.percent > 0)
    assert started.build._process is not None
    started.build._process.send_signal(number)
    assert started.end().state == CANCELLED
    assert [entry.path.suffix for entry in PlanCache().entries()] == [".cache"]


def test_one_that_cannot_be_started_has_failed(
    fake_gpu: FakeGpu, tiny_halves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    status = Started(tiny_halves).end()
    assert status.state == FAILED
    assert "point XDG_CACHE_HOME to a folder that can be written" in status.reason


def test_one_that_does_not_listen_is_killed(fake_gpu: FakeGpu, tiny_halves: Path) -> None:
    fake_gpu.says(build="hangs")
    started = Started(tiny_halves)
    started.until(lambda status: "Half 0" in status.phase)
    started.build.cancel(wait_s=0.1)
    assert started.end().state == CANCELLED
    started.build.cancel()  # once more does no harm


def test_one_that_hangs_ends_at_its_time_limit(fake_gpu: FakeGpu, tiny_halves: Path) -> None:
    fake_gpu.says(build="hangs")
    status = Started(tiny_halves, BuildLimits(timeout_s=0.5)).end()
    assert status.state == FAILED
    assert "was not done after 0.5 s: raise build_timeout_s" in status.reason


def test_one_that_takes_too_much_memory_is_ended(fake_gpu: FakeGpu, tiny_halves: Path) -> None:
    fake_gpu.says(build="swells", swell_mb=400)
    status = Started(tiny_halves, BuildLimits(memory_mb=350)).end()
    assert status.state == FAILED
    assert "MB of memory, its limit is 350 MB: end other programs, add swap" in status.reason


def test_memory_for_others_is_kept(
    fake_gpu: FakeGpu, tiny_halves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "free_mb", lambda: 120)
    status = Started(tiny_halves, BuildLimits(memory_mb=10_000)).end()
    assert status.state == FAILED and "only 120 MB of memory were left" in status.reason


def test_a_crash_is_told_with_its_signal_and_its_last_words(
    fake_gpu: FakeGpu, tiny_halves: Path
) -> None:
    fake_gpu.says(build="crashes")
    status = Started(tiny_halves).end()
    assert status.state == FAILED
    assert "ended by SIGSEGV: [TRT] a line before the end" in status.reason
    assert "build.log" in status.reason


def test_a_refusal_is_told_in_one_line(fake_gpu: FakeGpu, tiny_halves: Path) -> None:
    fake_gpu.says(devices=0)
    status = Started(tiny_halves).end()
    assert status.state == FAILED and "sees no GPU" in status.reason


@pytest.mark.slow
def test_two_at_once_take_turns_and_the_second_has_nothing_left_to_do(
    fake_gpu: FakeGpu, tiny_halves: Path, tmp_path: Path
) -> None:
    held_by = tmp_path / "held"
    held_by.touch()
    fake_gpu.says(held_by=str(held_by))
    first = Started(tiny_halves)
    first.until(lambda status: status.percent > 0)
    second = Started(tiny_halves)
    second.until(lambda status: status.state == WAITING)
    held_by.unlink()
    assert first.end().state == second.end().state == DONE
    assert max(told.percent for told in second.told if told.state == WAITING) == 0
    assert not any("Half" in told.phase for told in second.told)


def test_one_that_waits_leaves_what_the_other_one_says(
    fake_gpu: FakeGpu, tiny_halves: Path
) -> None:
    folder = PlanCache().folder
    with build_held(folder, lambda: False):
        (folder / "build.log").write_text("[TRT] of the other one\n")
        started = Started(tiny_halves)
        started.until(lambda status: status.state == WAITING)
        assert (folder / "build.log").read_text() == "[TRT] of the other one\n"
    assert started.end().state == DONE


def test_it_ends_when_its_starter_is_killed(
    fake_gpu: FakeGpu, tiny_halves: Path, tmp_path: Path
) -> None:
    """A node that was killed must not leave a process behind that takes the GPU."""
    fake_gpu.says(steps=2000, step_s=0.02)
    script = f"""
import time
from anymodal_seg_ros.inference.tensorrt.background import BackgroundBuild
from anymodal_seg_ros.inference.tensorrt.build_process import Request
build = BackgroundBuild(Request({str(tiny_halves)!r}, False, {str(PlanCache().folder)!r}))
build.start()
while build.status.percent == 0:
    time.sleep(0.01)
print(build._process.pid, flush=True)
time.sleep(3600)
"""
    starter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    end = time.monotonic() + LONG_S
    while _lives(pid):
        assert time.monotonic() < end, "the build outlives its starter"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
