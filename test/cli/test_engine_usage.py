"""The engine commands for somebody who mistypes, has no GPU, or cannot write where they want to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fixtures.fake_gpu import FakeGpu

from anymodal_seg_ros.cli.main import main

COMMANDS = ("verify-engine", "benchmark", "build-engine", "engines list", "engines prune")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_is(command: str) -> None:
    """An option of the help whose second column holds nothing but its range says nothing."""
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    options = result.output.partition("Options:\n")[2].split("\n  -")
    for option in options:
        words = [word for word in option.split() if word.isalpha() and word.islower()]
        assert len(words) >= 2, option


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["verify-engine", "--engine", "opnvino"], "'opnvino': did you mean openvino? expected"),
        (["benchmark", "--engine", "onxruntime"], "'onxruntime': did you mean onnxruntime?"),
        (["benchmark", "--engine", "auto"], "'auto': expected one of onnxruntime, openvino, torch"),
        (["evaluate", "x", "--pipeline", "\x1b[2J"], "'?[2J': expected one of"),
    ],
)
def test_a_wrong_name_is_told_with_the_right_one(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2 and says in result.output, result.output


def test_a_wrong_provider_is_told_with_the_right_one() -> None:
    result = run("verify-engine", "--engine", "onnxruntime", "--providers", "cdua")
    assert result.exit_code == 1 and "did you mean cuda?" in result.output


def test_a_group_without_a_command_shows_its_help() -> None:
    result = run("engines")
    assert "Commands:\n  list" in result.output and "Error" not in result.output


@pytest.mark.parametrize("command", ["verify-engine", "benchmark"])
def test_a_report_that_could_not_be_written_is_told_before_the_work(
    command: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "report.json"
    result = run(command, "--model", "no-such-model", "--out", str(out))
    assert result.exit_code == 1 and "nothing can be written into" in result.output
    (tmp_path / "folder").mkdir()
    result = run(command, "--model", "no-such-model", "--out", str(tmp_path / "folder"))
    assert result.exit_code == 2 and "is a directory" in result.output


def test_a_picture_of_no_known_kind_and_a_page_without_marks_are_told_before_the_work(
    tmp_path: Path,
) -> None:
    result = run("benchmark", "--model", "none", "--picture", str(tmp_path / "engines.gif"))
    assert result.exit_code == 2 and "does not end with .png or .svg" in result.output
    page = tmp_path / "page.md"
    page.write_text("no marks")
    result = run("benchmark", "--model", "no-such-model", "--into", str(page))
    assert result.exit_code == 1 and "lacks the lines" in result.output


def test_a_benchmark_of_nothing_is_none(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(
        sys.modules, "anymodal_seg_ros.inference.runtimes.openvino_engine", raising=False
    )
    result = run("benchmark", "--model", str(tiny_model), "--engine", "openvino")
    assert result.exit_code == 1 and "openvino is left out: " in result.output
    assert "Error: no engine can run the model tiny here" in result.output


def test_a_cache_that_cannot_be_written_is_told_with_the_mend(
    fake_gpu: FakeGpu, tiny_halves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    result = run("build-engine", "--model", str(tiny_halves))
    assert result.exit_code == 1 and "point XDG_CACHE_HOME to a folder that can" in result.output
    for command in ("list", "prune"):
        result = run("engines", command)
        assert result.exit_code == 0, result.output
