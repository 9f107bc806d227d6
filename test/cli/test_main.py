from __future__ import annotations

import errno
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from anymodal_seg_ros import __version__
from anymodal_seg_ros.cli.console.os_errors import told
from anymodal_seg_ros.cli.main import SUBCOMMANDS, main
from anymodal_seg_ros.cli.simulation.simulate import SimulationOutputs


def test_help_names_every_subcommand_and_each_has_help_of_its_own() -> None:
    overview = CliRunner().invoke(main, ["--help"])
    assert overview.exit_code == 0, overview.output
    for name in SUBCOMMANDS:
        assert name in overview.output
        own = CliRunner().invoke(main, [name, "--help"])
        assert own.exit_code == 0, own.output
        assert own.output.startswith("Usage: ")


def test_every_file_with_a_command_is_a_subcommand(project_root: Path) -> None:
    files = (project_root / "anymodal_seg_ros" / "cli").rglob("*.py")
    with_command = {
        (f.stem.replace("_", "-"), f.parent.name)
        for f in files
        if "\ndef command(" in f.read_text(encoding="utf-8")
    }
    assert with_command == {*SUBCOMMANDS.items(), *SimulationOutputs.rooms.items()}


def test_version() -> None:
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


def test_an_unknown_subcommand_is_refused() -> None:
    result = CliRunner().invoke(main, ["fly"])
    assert result.exit_code == 2
    assert "No such command 'fly'" in result.output


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["evalute"], "evaluate"),
        (["check_alignment"], "check-alignment"),
        (["simulate", "bg"], "bag"),
    ],
)
def test_of_a_misspelt_subcommand_the_one_that_is_meant_is_named(
    arguments: list[str], near: str
) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert f"did you mean {near}?" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--out", "TAKEN/x"],
        ["run", "X", "--out", "TAKEN"],
        ["check-alignment", "--sensor", "rgb=X", "--sensor", "t=X", "--out", "TAKEN"],
    ],
)
def test_a_place_that_cannot_be_written_is_told_in_one_line(
    arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "TAKEN").write_text("a file")
    given = [a.replace("TAKEN", str(tmp_path / "TAKEN")) for a in arguments]
    result = CliRunner().invoke(main, given)
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit), "no traceback"
    assert "Error: " in result.output.splitlines()[-1]


def test_what_is_repeated_of_the_command_line_controls_no_terminal() -> None:
    result = CliRunner().invoke(main, ["benchmark", "a\x1b[31m\x07\u202eb"], color=True)
    assert result.exit_code == 2
    assert "a?[31m??b" in result.output
    assert "\x1b" not in result.output


def test_playing_without_ros_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [n for n in sys.modules if n.startswith("anymodal_seg_ros.nodes.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rclpy", None)
    result = CliRunner().invoke(main, ["play", str(tmp_path)])
    assert result.exit_code == 1
    assert "Error: playing needs ROS 2" in result.output
    assert "anymodal_seg_ros[ros]" in result.output


def test_errors_go_to_stderr_without_a_traceback(project_root: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "anymodal_seg_ros.cli.main", "run", "nowhere", "--out", "nowhere2"],
        cwd=project_root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr == "Error: there is no bag at nowhere\n"
    assert process.stdout == ""


def test_a_full_disk_is_told_as_such() -> None:
    assert told(OSError(errno.ENOSPC, "No space left on device")).startswith("the disk is full: ")
    assert "(/data/m.png)" in told(OSError(errno.ENOSPC, "No space left", "/data/m.png"))
    assert told(OSError(errno.EACCES, "Permission denied", "/x")) == "/x: Permission denied"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("can't start new thread"), "Error: this process gets no more threads or mem"),
        (MemoryError(), "Error: this process gets no more threads or memory"),
        (ZeroDivisionError("a fault of ours"), "ZeroDivisionError: a fault of ours"),
    ],
)
@pytest.mark.parametrize(
    ("name", "module", "code"),
    [
        ("evaluate", "evaluation.evaluate", 2),
        ("inspect", "bags.inspect", 2),
        ("run", "bags.run", 1),
    ],
)
def test_what_nobody_expected_is_no_answer_of_a_command_that_gives_one(
    error: Exception, words: str, name: str, module: str, code: int, monkeypatch: Any
) -> None:
    """A gate would read "a required figure failed"; and no room is said in a line."""

    def refused(*_: object, **__: object) -> None:
        raise error

    found = importlib.import_module(f"anymodal_seg_ros.cli.{module}")
    monkeypatch.setattr(found.command, "callback", refused)
    required = ["--out", "somewhere"] if name == "run" else []
    result = CliRunner().invoke(main, [name, "a_bag", *required])
    assert result.exit_code == code
    if result.exc_info and result.exc_info[0] is not SystemExit:
        assert result.exception is error, "of a fault of ours there is a traceback"
    else:
        assert words in result.output
        assert ("Traceback" in result.output) == isinstance(error, ZeroDivisionError)
