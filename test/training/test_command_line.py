from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from fixtures.tiny_training import TinyDataset, tiny_recipe

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training import datasets, train
from anymodal_seg_training.checkpoint import load_checkpoint
from anymodal_seg_training.commands import evaluate, export
from anymodal_seg_training.fabric import open_fabric
from anymodal_seg_training.runs.command_line import run_command
from anymodal_seg_training.runs.loop import Frames


@dataclass(frozen=True)
class NoOptions:
    """The tiny data set has none."""


@pytest.fixture
def tiny_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = datasets._DatasetEntry(NoOptions, lambda options: TinyDataset())
    monkeypatch.setitem(datasets._DATASETS, "tiny", lambda: entry)


def write_recipe(path: Path, **training: object) -> Path:
    path.write_text(yaml.safe_dump(tiny_recipe(**training).plain()))
    return path


def call(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_registered")
def test_train_resume_and_evaluate(frames: Frames, tmp_path: Path) -> None:
    recipe, run = write_recipe(tmp_path / "recipe.yaml"), tmp_path / "run"
    where = ["--cache-dir", frames.train.folder.parent, "--threads", 1, "--workers", 1]
    first = call(train.main, recipe, "--run-dir", run, *where)
    assert first.exit_code == 0, first.output
    assert f"anymodal-train evaluate {run}" in first.output
    again = call(train.main, recipe, "--run-dir", run, *where)
    assert again.exit_code == 1 and "error: " in again.output and "--resume" in again.output
    assert call(train.main, recipe, "--run-dir", run, "--resume", *where).exit_code == 0
    assert load_checkpoint(run / "last.pt")["step"] == 6

    early = call(export.main, run, tmp_path / "model", *where)
    assert early.exit_code == 1 and "is not evaluated" in early.output
    measured = call(evaluate.main, run, "--split", "validation", *where)
    assert measured.exit_code == 0, measured.output
    assert "mIoU on 6 validation frames" in measured.output
    assert len(json.loads((run / "evaluation-validation.json").read_text())["miou"]) == 15


@pytest.mark.usefixtures("tiny_registered")
def test_resume_starts_a_run_that_is_not_there(frames: Frames, tmp_path: Path) -> None:
    """So that a job script can always say --resume."""
    recipe = write_recipe(tmp_path / "recipe.yaml", steps=1)
    where = ["--cache-dir", frames.train.folder.parent, "--threads", 1, "--workers", 1]
    result = call(train.main, recipe, "--run-dir", tmp_path / "run", "--resume", *where)
    assert result.exit_code == 0, result.output


def test_wrong_calls_end_with_one_line(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml")
    for command, arguments, complaint in (
        (train.main, [tmp_path / "nosuch.yaml"], "cannot read the recipe"),
        (train.main, [recipe], "data.dataset is 'tiny': expected one of rig"),
        (evaluate.main, [tmp_path / "nosuch"], "is no run folder and no model folder"),
        (export.main, [tmp_path / "nosuch", tmp_path / "out"], "is no run folder"),
    ):
        result = call(command, *arguments)
        assert result.exit_code == 1
        assert result.output.startswith("error: ") and result.output.count("\n") == 1
        assert complaint in result.output


@pytest.mark.parametrize(
    ("section", "complaint"),
    [("architecture", "architecture.surprise"), ("strategy", "strategy.surprise")],
)
def test_an_unknown_option_is_told_before_any_data_is_read(
    section: str, complaint: str, tmp_path: Path
) -> None:
    """Of a set that nobody knows here, so that to open it would be another error."""
    recipe = write_recipe(tmp_path / "recipe.yaml")
    content = yaml.safe_load(recipe.read_text())
    content[section]["surprise"] = 1
    recipe.write_text(yaml.safe_dump(content))
    result = call(train.main, recipe, "--run-dir", tmp_path / "run")
    assert result.exit_code == 1 and f"unknown parameter {complaint}" in result.output
    assert not (tmp_path / "run").exists()


def test_who_interrupts_is_told_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Training goes on with an option that the other commands do not have."""

    def stopped() -> None:
        raise KeyboardInterrupt

    for arguments, told in (
        ((), "interrupted; what was not finished is to be started again\n"),
        (("start it again",), "interrupted; start it again\n"),
    ):
        with pytest.raises(SystemExit, match="130"):
            run_command(stopped, *arguments)
        assert capsys.readouterr().err == told


def test_a_disk_that_is_full_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "model/MODEL_CARD.md")

    with pytest.raises(SystemExit, match="1"):
        run_command(full)
    said = "error: the disk is full (model/MODEL_CARD.md): make room, and give the same command"
    assert capsys.readouterr().err == f"{said} again\n"


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--device", "meta", "--device is 'meta', which cannot be used"),
        ("--device", "banana", "expected cpu, cuda, or auto"),
        ("--workers", "-2", "-2 is not in the range x>=0"),
        ("--threads", "-1", "-1 is not in the range x>=0"),
    ],
)
def test_a_machine_that_there_is_not_is_refused(
    option: str, value: str, complaint: str, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml")
    result = call(train.main, recipe, "--run-dir", tmp_path / "run", option, value)
    assert result.exit_code in (1, 2) and complaint in result.output
    assert isinstance(result.exception, SystemExit), result.exception


@pytest.mark.usefixtures("tiny_registered")
@pytest.mark.parametrize("text", ["abc", "0", "-1", "1e9", "\u0661", "9" * 5000])
def test_a_number_of_processes_that_is_none_is_named(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", text)
    with pytest.raises(ConfigError, match=r"variable WORLD_SIZE is .*: expected a number of"):
        open_fabric(torch.device("cpu"), "fp32")


def test_an_absent_device_is_named(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    recipe = write_recipe(tmp_path / "recipe.yaml")
    result = call(train.main, recipe, "--run-dir", tmp_path / "run", "--device", "cuda")
    assert result.exit_code == 1 and "--device is 'cuda', which cannot be used" in result.output
