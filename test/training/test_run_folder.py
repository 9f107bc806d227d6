from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fixtures.tiny_training import tiny_recipe

from anymodal_seg_training import checkpoint
from anymodal_seg_training.checkpoint import load_checkpoint
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.run_folder import RunFolder, checkout_state
from anymodal_seg_training.runs.log import RunLog, read_log


@pytest.fixture
def files(tmp_path: Path) -> RunFolder:
    """A run with two checkpoints."""
    folder = RunFolder(tmp_path / "a run")
    folder.create(tiny_recipe())
    for step in (2, 4):
        folder.save_last({"step": step, "network": {"w": torch.full((100,), float(step))}})
    return folder


def test_the_checkpoint_before_the_last_is_kept(files: RunFolder) -> None:
    assert files.load_last()["step"] == 4
    assert load_checkpoint(files.previous_file)["step"] == 2
    files.save_last({"step": 6})
    assert [load_checkpoint(f)["step"] for f in (files.last_file, files.previous_file)] == [6, 4]
    assert not list(files.path.glob(".*"))


def test_a_run_that_never_began_is_written_over_and_one_that_did_is_not(tmp_path: Path) -> None:
    folder, recipe = RunFolder(tmp_path / "run"), tiny_recipe()
    folder.create(recipe)
    folder.create(replace(recipe, seed=6))
    assert folder.recipe.seed == 6
    folder.log_file.touch()
    with pytest.raises(TrainingError, match=r"holds a run already: add --resume"):
        folder.create(recipe)
    assert folder.recipe.seed == 6


def test_only_one_process_trains_in_a_folder_until_it_ends(files: RunFolder) -> None:
    source = """
import sys
from pathlib import Path
from anymodal_seg_training.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", source, str(files.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(TrainingError, match=r"another process trains in .*run: wait for it"):
            files.held().__enter__()
        (files.path / f".last.pt.{other.pid}-0.unfinished").write_bytes(
            b"the first half of a gigabyte"
        )
        other.kill()
    with files.held():
        assert not list(files.path.glob(".last.pt.*")) and files.last_file.is_file()


def test_it_is_kept_where_files_cannot_have_two_names(
    files: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    files.save_last({"step": 6})
    assert [load_checkpoint(f)["step"] for f in (files.last_file, files.previous_file)] == [6, 4]


def test_a_full_disk_leaves_both_checkpoints(
    files: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.torch, "save", full)
        with pytest.raises(TrainingError, match=r"cannot write .*last\.pt.*No space left.*intact"):
            files.save_last({"step": 6})
    assert files.load_last()["step"] == 4


def test_a_broken_last_checkpoint_says_how_to_go_on(files: RunFolder) -> None:
    files.last_file.write_bytes(files.last_file.read_bytes()[:-200])
    with pytest.raises(TrainingError) as caught:
        files.load_last()
    said = str(caught.value)
    assert said.startswith(f"cannot read the checkpoint {files.last_file}")
    mend = shlex.join(("mv", str(files.previous_file), str(files.last_file)))
    assert f"of step 2, is whole: {mend} and go on with --resume" in said
    subprocess.run(shlex.split(mend), check=True)
    assert files.load_last()["step"] == 2


@pytest.mark.parametrize("previous", [None, b"rubbish"])
def test_with_no_good_checkpoint_the_run_starts_again(
    files: RunFolder, previous: bytes | None
) -> None:
    files.last_file.write_bytes(b"rubbish")
    files.previous_file.unlink()
    if previous is not None:
        files.previous_file.write_bytes(previous)
    with pytest.raises(TrainingError, match=r"last\.pt.*; start the run again in a new folder$"):
        files.load_last()


def test_a_full_disk_is_told_by_the_log_and_costs_none_of_its_lines(
    files: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RunLog(files.log_file, 0)
    log.write(0, "train", {"loss": 1.0})
    log.close()

    def no_room(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", no_room)
        with pytest.raises(TrainingError, match=r"No space left.*--resume"):
            RunLog(files.log_file, 1)
    assert read_log(files.log_file) == [{"step": 0, "kind": "train", "loss": 1.0}]
    log = RunLog(files.log_file, 1)
    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", no_room)
        with pytest.raises(TrainingError, match=r"cannot write .+log.jsonl.*checkpoint is intact"):
            log.write(1, "train", {"loss": 0.5})
    log.close()


def test_lines_of_a_log_that_are_none_are_passed_over(files: RunFolder) -> None:
    good = b'{"step": 3, "kind": "train"}\n'
    odd = b'{"step": Infinity}\n[1]\n{"step": true}\n\xff\xfe\n' + b"[" * 20_000 + b"\n"
    files.log_file.write_bytes(odd + good)
    assert read_log(files.log_file) == [{"step": 3, "kind": "train"}]
    RunLog(files.log_file, 4).close()
    assert files.log_file.read_bytes() == good
    files.log_file.unlink()
    os.mkfifo(files.log_file)
    with pytest.raises(TrainingError, match=r"cannot read the log .* it is no file"):
        RunLog(files.log_file, 0)


def test_a_folder_in_which_nobody_may_write_is_named(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with (
        pytest.raises(TrainingError, match=r"cannot write in the run folder .*--run-dir"),
        RunFolder(tmp_path).held(),
    ):
        pass


def test_the_commit_of_a_checkout_is_known(tmp_path: Path) -> None:
    assert checkout_state(tmp_path) == {}

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    package = tmp_path / "package"
    package.mkdir()
    (package / "code.py").write_text("a = 1\n")
    assert checkout_state(package) == {}  # it only lies there, as an installed package may
    git("add", ".")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert checkout_state(package) == {"commit": commit, "uncommitted": "no"}
    (package / "code.py").write_text("a = 2\n")
    assert checkout_state(package) == {"commit": commit, "uncommitted": "yes"}


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_lock_that_is_none_is_told_and_leads_nowhere(files: RunFolder, kind: str) -> None:
    """As in the run folder of a stranger."""
    files.path.mkdir(parents=True, exist_ok=True)
    precious = files.path / "precious"
    precious.write_text("not ours")
    if kind == "link":
        (files.path / ".lock").symlink_to(precious)
    else:
        os.mkfifo(files.path / ".lock")
    with pytest.raises(TrainingError, match=r"cannot write in the run folder"), files.held():
        pass
    assert precious.read_text() == "not ours"
