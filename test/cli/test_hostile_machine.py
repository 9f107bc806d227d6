"""What the machine refuses while a command runs: one line, the right exit code, nothing halved."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fixtures.bag_files import IMAGE, images, write_bag
from fixtures.manifests import small_manifest
from fixtures.scenes import scene

from anymodal_seg_ros.cli.console.os_errors import told
from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.cli.robot import faults
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.image_files import write_picture
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


def test_what_is_said_stays_one_line_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    PlainConsole().say("could not be evaluated: " + "a " * 100 + "[FATAL] of somebody else")
    assert len(capsys.readouterr().out.splitlines()) == 1


def may_grow_to(size: int) -> Callable[[], None]:
    """What makes files of a new process fail once they are larger than that."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def test_half_a_rig_is_not_left_behind(project_root: Path, bag: Path, tmp_path: Path) -> None:
    rig = tmp_path / "rig.yaml"
    found, errors = command(
        project_root,
        "inspect",
        bag,
        "--init",
        rig,
        stdout=subprocess.DEVNULL,
        preexec_fn=may_grow_to(10),
    )
    assert (found, rig.exists()) == (2, False)
    assert f"Error: cannot write {rig}" in errors


def test_the_reason_for_the_end_is_the_last_line(project_root: Path, tmp_path: Path) -> None:
    """A bar that goes on would be drawn over it, or after it."""
    bag = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, images(30))})
    line = [sys.executable, "-m", "anymodal_seg_ros.cli.main", "run", str(bag), "--out"]
    done = subprocess.run(
        [*line, str(tmp_path / "out")],
        cwd=project_root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=may_grow_to(20),
    )
    assert done.stdout.splitlines()[-1].startswith("Error: ")


def test_a_file_that_may_not_grow_is_named_with_the_mend() -> None:
    assert "ulimit -f" in told(OSError(errno.EFBIG, "File too large"))
    assert told(OSError(errno.EFBIG, "File too large", "/a/b.jsonl")).startswith("/a/b.jsonl ")


@pytest.mark.parametrize(
    ("arguments", "size", "named"),
    [
        (["run", "{bag}", "--no-overlays", "--out", "{out}"], 700, "predictions.jsonl"),
        (["run", "{bag}", "--no-overlays", "--out", "{out}"], 20, ".png became larger than may be"),
        (["check-alignment", "--sensor", "a={images}", "--sensor", "b={images}", "--out", "{out}"],
         20, "b_over_a"),
        (["assemble-bag", "{out}", "--sensor", "a={images}"], 2000, "out"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_on_is_named(
    project_root: Path, bag: Path, tmp_path: Path, arguments: list[str], size: int, named: str
) -> None:
    pictures = tmp_path / "images"
    pictures.mkdir()
    for index in range(3):
        write_picture(pictures / f"{index}.png", scene("rgb", index, 24, 32))
    places = {"bag": bag, "out": tmp_path / "out", "images": pictures}
    given = [argument.format(**places) for argument in arguments]
    code, errors = command(
        project_root, *given, stdout=subprocess.DEVNULL, preexec_fn=may_grow_to(size)
    )
    assert code in (1, 2), errors
    assert "Traceback" not in errors
    line = errors.splitlines()[-1]
    assert line.startswith("Error: ") and named in line and len(line) < 500


@pytest.mark.parametrize("size", [100, 40_000])
def test_a_database_without_room_is_no_bag_and_says_so(tmp_path: Path, size: int) -> None:
    """Too small for its tables, or for what is written: SQLite has errors of its own."""
    code = (
        "import sys, pathlib, numpy as np\n"
        "from anymodal_seg_ros.evaluation.bag_writer import BagError, ImageBagWriter\n"
        "from anymodal_seg_ros.frames import Image\n"
        "image = Image(np.zeros((100, 100, 3), np.uint8), 'rgb8')\n"
        "try:\n"
        "    with ImageBagWriter(pathlib.Path(sys.argv[1]), storage='sqlite3') as bag:\n"
        "        for index in range(100):\n"
        "            bag.write('/a', image, index, index, 'a')\n"
        "except BagError as error:\n"
        "    print(error)\n"
    )
    path = tmp_path / "bag"
    line = [sys.executable, "-B", "-c", code, str(path)]
    done = subprocess.run(line, capture_output=True, text=True, preexec_fn=may_grow_to(size))
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout and len(done.stdout.splitlines()) == 1
    assert not path.exists()


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
