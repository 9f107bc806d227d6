"""The cache is shared: by a builder that writes, by another one, and by who clears it away."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from fixtures.fake_gpu import FakeGpu

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.inference.tensorrt import locks
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache, machine_parts
from anymodal_seg_ros.inference.tensorrt.kept_files import read_kept, write_kept
from anymodal_seg_ros.inference.tensorrt.libraries import load_libraries
from anymodal_seg_ros.inference.tensorrt.locks import LockedError, build_held, files_held
from anymodal_seg_ros.written_files import is_unfinished

WRITER = """
import json, os, sys, time
from pathlib import Path
from anymodal_seg_ros.inference.tensorrt import kept_files
path, go, key = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
sync, turns = os.fsync, []
def slow(handle):
    sync(handle)
    turns.append(handle)
    if len(turns) == int(sys.argv[4]):
        print("half", flush=True)
        while not go.exists():
            time.sleep(0.01)
os.fsync = slow
kept_files.write_kept(path, b"the plan", {"key": key})
print("done", flush=True)
"""
"""Writes a plan, and stands still with its first or its second temporary file until told to go."""


class Writer:
    """Another process that is in the middle of writing a plan."""

    def __init__(self, folder: Path, go: Path, turn: int) -> None:
        self._go = go
        key = json.dumps(machine_parts(load_libraries()))
        command = [sys.executable, "-c", WRITER, str(folder / "a.plan"), str(go), key, str(turn)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "half\n"

    def go_on(self) -> None:
        self._go.touch()

    def end(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.read() == "done\n" and self._process.wait() == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@pytest.fixture(params=[1, 2], ids=["the plan", "what is known of it"])
def writer(request: pytest.FixtureRequest, fake_gpu: FakeGpu, tmp_path: Path) -> Iterator[Writer]:
    made = Writer(fake_gpu.cache, tmp_path / "go", request.param)
    yield made
    made.go_on()
    made.kill()


def test_what_a_living_writer_is_at_is_never_cleared_away(
    writer: Writer, fake_gpu: FakeGpu
) -> None:
    """It waits for the writer, and then finds a plan that is whole."""
    told = []
    pruning = threading.Thread(
        target=lambda: told.append(CliRunner().invoke(main, ["engines", "prune"]))
    )
    pruning.start()
    assert any(is_unfinished(path) for path in fake_gpu.cache.iterdir())
    writer.go_on()
    writer.end()
    pruning.join()
    assert told[0].exit_code == 0 and "0 files" in told[0].output, told[0].output
    assert read_kept(fake_gpu.cache / "a.plan")[0] == b"the plan"


def test_what_a_writer_that_was_killed_has_left_is_cleared_away(
    writer: Writer, fake_gpu: FakeGpu
) -> None:
    writer.kill()
    result = CliRunner().invoke(main, ["engines", "prune"])
    assert result.exit_code == 0 and "left by a writer" in result.output
    assert list(fake_gpu.cache.iterdir()) == []


def test_a_process_that_was_stopped_with_the_folder_in_its_hands_is_not_waited_for(
    writer: Writer, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = pytest.raises(LockedError, match=r"another process has .*: is it stopped\? try")
    with refused, files_held(fake_gpu.cache, patience_s=0.0):
        pass
    later = iter(range(0, 10**6, 100)).__next__
    monkeypatch.setattr(locks, "time", SimpleNamespace(monotonic=later, sleep=time.sleep))
    result = CliRunner().invoke(main, ["engines", "prune"])
    assert result.exit_code == 1 and "Error: another process has " in result.output
    assert any(is_unfinished(path) for path in fake_gpu.cache.iterdir())
    with pytest.raises(EngineError, match="another process has"):
        write_kept(fake_gpu.cache / "b.plan", b"x", {})
    assert CliRunner().invoke(main, ["engines", "list"]).exit_code == 0, "to look does no harm"


def test_where_there_are_no_locks_what_may_be_of_a_living_writer_stays(
    fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on some network file systems."""

    def unknown(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    write_kept(fake_gpu.cache / "a.plan", b"x", {"key": machine_parts(load_libraries())})
    (fake_gpu.cache / ".1.unfinished").write_bytes(b"half")
    assert "0 files" in CliRunner().invoke(main, ["engines", "prune"]).output
    assert (fake_gpu.cache / ".1.unfinished").exists()


@pytest.mark.parametrize("how", [["--all"], ["--older-than", "0"]])
def test_plans_are_not_taken_from_a_build_that_is_running(
    how: list[str], fake_gpu: FakeGpu
) -> None:
    write_kept(fake_gpu.cache / "a.plan", b"x", {"key": machine_parts(load_libraries())})
    week = time.time() - 8 * 86400
    os.utime(fake_gpu.cache / "a.plan.json", (week, week))
    with build_held(fake_gpu.cache, lambda: False):
        result = CliRunner().invoke(main, ["engines", "prune", *how])
        assert result.exit_code == 1 and "Error: a build is running" in result.output
        assert (
            "would remove a.plan"
            in CliRunner().invoke(main, ["engines", "prune", "--dry-run", *how]).output
        )
    assert "removed a.plan" in CliRunner().invoke(main, ["engines", "prune", *how]).output


def test_writers_of_one_plan_leave_one_that_is_whole(fake_gpu: FakeGpu, tmp_path: Path) -> None:
    """Whatever two processes write at the same time, plan and words about it are of one of them."""
    script = (
        "import sys; from pathlib import Path\n"
        "from anymodal_seg_ros.inference.tensorrt.kept_files import write_kept\n"
        "path, who = Path(sys.argv[1]), int(sys.argv[2])\n"
        "for turn in range(100): write_kept(path, bytes([who]) * (100 + who), {'who': who})\n"
    )
    path = fake_gpu.cache / "a.plan"
    command = [sys.executable, "-c", script, str(path)]
    both = [subprocess.Popen([*command, str(who)]) for who in (1, 2)]
    assert [process.wait() for process in both] == [0, 0]
    content, about = read_kept(path)
    assert content == bytes([about["who"]]) * (100 + about["who"])
    assert list(PlanCache().leftovers()) == []


def test_notes_of_processes_that_begin_at_the_same_time_are_all_there(fake_gpu: FakeGpu) -> None:
    """Else a process that is ended without a word would not be counted."""
    script = (
        "import sys; from pathlib import Path\n"
        "from anymodal_seg_ros.inference.tensorrt.service_record import ServiceRecord\n"
        "record = ServiceRecord(Path(sys.argv[1]))\n"
        "for turn in range(60): record.begin(); record.end()\n"
        "record.begin(); print(flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(fake_gpu.cache / "a.plan")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in both:
        process.stdout.readline()
    _, about = read_kept(fake_gpu.cache / "a.service")
    assert set(about["processes"]) == {str(process.pid) for process in both}
    for process in both:
        process.communicate()
