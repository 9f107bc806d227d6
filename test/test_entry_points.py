"""Ctrl-C while a command still reads its libraries ends it quietly, with a shell's exit code."""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMANDS = {
    "anymodal-seg": "click",
    "segmentation_node": "rclpy",
    "fault_injector": "rclpy",
    "rig_node": "rclpy",
}
"""A library of each, by the command's name."""

INTERRUPTED = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass
except BaseException as error:
    raise ImportError("a library that takes Ctrl-C for a fault of its own") from error
print("read on")
raise SystemExit(3)
"""


def started_by(root: Path) -> dict[str, str]:
    """What installers make of each command: a call."""
    (listed,) = re.findall(r'"console_scripts": (\[.+?\])', (root / "setup.py").read_text(), re.S)
    return dict(entry.split(" = ") for entry in ast.literal_eval(listed))


def test_every_command_is_looked_at_here(project_root: Path) -> None:
    assert set(started_by(project_root)) == set(COMMANDS)


def run(root: Path, command: str, libraries: Path, signal_is: signal.Handlers, after: str) -> Any:
    module, function = started_by(root)[command].split(":")
    script = f"import signal, sys; sys.path[:0] = {[str(libraries), str(root)]}\n"
    script += f"from {module} import {function} as main\n{after}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal_is),
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_while_libraries_are_read_ends_a_command_without_a_word(
    project_root: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / f"{COMMANDS[command]}.py").write_text(INTERRUPTED)
    done = run(project_root, command, tmp_path, signal.SIG_DFL, "sys.exit(main())")
    assert done == (130, "", "")


def test_what_a_script_runs_in_the_background_goes_on(project_root: Path, tmp_path: Path) -> None:
    """There the shell has Ctrl-C ignored."""
    (tmp_path / "click.py").write_text(INTERRUPTED)
    done = run(project_root, "anymodal-seg", tmp_path, signal.SIG_IGN, "sys.exit(main())")
    assert done == (3, "read on\n", "")


AFTERWARDS = """
try:
    main()
finally:
    print(signal.getsignal(signal.SIGINT).__name__)
"""


def test_once_they_are_read_ctrl_c_is_the_commands_own(project_root: Path, tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit(4)")
    done = run(project_root, "anymodal-seg", tmp_path, signal.SIG_DFL, AFTERWARDS)
    assert done == (4, "default_int_handler\n", "")
