"""What the machine refuses while a command runs: one line, the right exit code, nothing halved."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fixtures.bag_files import IMAGE, images, write_bag
from fixtures.manifests import small_manifest

from anymodal_seg_ros.cli import faults
from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.cli.os_errors import told
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.results import ResultFolder


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "bag", {"/rgb/image": (IMAGE, images(5))})


def command(project_root: Path, *arguments: object, **options: object) -> tuple[int, str]:
    """Exit code and errors of the command in a process of its own."""
    line = [sys.executable, "-m", "anymodal_seg_ros.cli.main", *map(str, arguments)]
    process = subprocess.Popen(line, cwd=project_root, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def test_what_ctrl_c_ends_has_the_exit_code_of_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def endless() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(faults, "command", endless)
    result = CliRunner().invoke(main, ["faults"])
    assert (result.exit_code, result.stderr) == (130, "Stopped.\n")


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 1), (["inspect"], 2)])
def test_an_output_that_is_full_is_an_error_of_one_line(
    project_root: Path, bag: Path, arguments: list[str], code: int
) -> None:
    """Of ``inspect``, 1 would mean that there is something wrong with the bag."""
    given = [*arguments, bag] if arguments == ["inspect"] else arguments
    with open("/dev/full", "w") as full:
        found, errors = command(project_root, *given, stdout=full)
    assert found == code
    assert errors.splitlines()[-1].startswith("Error: the disk is full")
    assert "Traceback" not in errors


def test_half_a_rig_is_not_left_behind(project_root: Path, bag: Path, tmp_path: Path) -> None:
    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    rig = tmp_path / "rig.yaml"
    found, errors = command(
        project_root, "inspect", bag, "--init", rig, stdout=subprocess.DEVNULL, preexec_fn=no_room
    )
    assert (found, rig.exists()) == (2, False)
    assert f"Error: cannot write {rig}" in errors


def test_a_file_that_may_not_grow_is_told_with_the_mend() -> None:
    assert "ulimit -f" in told(OSError(errno.EFBIG, "File too large"))


@pytest.mark.parametrize("odd", ["pipe", "folder", "link", "masks", "overlays"])
def test_results_go_into_the_folder_and_nowhere_else(tmp_path: Path, odd: str) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    out.mkdir()
    kept = elsewhere / "1.png"
    kept.write_bytes(b"not ours")
    lines = out / "predictions.jsonl"
    if odd == "pipe":
        os.mkfifo(lines)
    elif odd == "folder":
        lines.mkdir()
    elif odd == "link":
        lines.symlink_to(kept)
    else:
        lines.write_text("")
        (out / odd).symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="is a link or no file: choose another folder"):
        ResultFolder(out, small_manifest())
    assert kept.read_bytes() == b"not ours"
