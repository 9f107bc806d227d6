"""What is written: whole or not at all, where it belongs, and named where it cannot be."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anymodal_seg_ros import written_files
from anymodal_seg_ros.written_files import (
    forget_unfinished,
    is_unfinished,
    naming,
    put_in_place,
    reserve,
    write_file,
)


def test_text_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_file(path, "grün\n")
    assert path.read_bytes() == b"gr\xc3\xbcn\n"
    write_file(path, b"\0\xff")
    assert path.read_bytes() == b"\0\xff" and list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    write_file(tmp_path / "ours", b"")
    (tmp_path / "usual").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_is_private_is_the_owners_alone(tmp_path: Path) -> None:
    write_file(tmp_path / "plan", b"", private=True, lasting=True)
    assert (tmp_path / "plan").stat().st_mode & 0o777 == 0o600


def test_what_is_lent_is_new_and_never_a_link_of_somebody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes up a folder can guess its name."""
    elsewhere, number = tmp_path / "elsewhere", 7
    elsewhere.write_text("not ours")
    monkeypatch.setattr(written_files, "_numbers", iter([number]))
    (tmp_path / f".last.pt.{os.getpid()}-{number}.unfinished").symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"last\.pt"):
        write_file(tmp_path / "last.pt", "ours")
    assert elsewhere.read_text() == "not ours"


def test_what_a_killed_process_left_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    long = tmp_path / ("a[b]" * 60)
    with put_in_place(long) as unfinished:
        assert is_unfinished(unfinished)
        left = unfinished.read_bytes()
    unfinished.write_bytes(left)  # as if it had been killed
    kept = [long, tmp_path / ".other.1-1.unfinished"]
    kept[1].touch()
    forget_unfinished(long)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_way_is_replaced_and_leads_nowhere(tmp_path: Path, there: bool) -> None:
    path, elsewhere = tmp_path / "report.html", tmp_path / "elsewhere"
    if there:
        elsewhere.write_text("not ours")
    path.symlink_to(elsewhere)
    write_file(path, "ours")
    assert path.read_text() == "ours" and not path.is_symlink()
    assert (elsewhere.read_text() if there else elsewhere.exists()) == (
        "not ours" if there else False
    )


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = Path(os.devnull) if kind == "device" else tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(OSError, match="no regular file") as told:
        write_file(path, "x")
    assert told.value.filename == str(path)


def test_a_folder_that_is_not_there_is_told_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a"
    with pytest.raises(FileNotFoundError) as told:
        write_file(path, "x")
    assert str(told.value) == f"[Errno 2] No such file or directory: '{path}'"


def test_what_may_not_grow_is_named_and_what_was_there_stays(tmp_path: Path) -> None:
    """In a process of its own: whatever else it writes would be cut short, too."""
    path = tmp_path / "a"
    path.write_text("before")

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    code = (
        "import sys, pathlib\n"
        "from anymodal_seg_ros.written_files import write_file\n"
        "try:\n"
        "    write_file(pathlib.Path(sys.argv[1]), 'x' * 100)\n"
        "except OSError as error:\n"
        "    print(error.filename)\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, path], capture_output=True, text=True, preexec_fn=no_room
    )
    assert done.stdout.strip() == str(path), done.stderr
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_an_error_that_names_no_file_gets_its_name_and_others_keep_theirs() -> None:
    with pytest.raises(OSError) as told, naming(Path("/a/b")):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert told.value.filename == "/a/b" and "/a/b" in str(told.value)
    with pytest.raises(OSError) as told, naming(Path("/a/b")):
        raise OSError(errno.ENOSPC, "No space left on device", "/c")
    assert told.value.filename == "/c"


def test_the_room_of_a_sparse_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 20)
    reserve(path)
    assert path.stat().st_size == 1 << 20
    assert path.stat().st_blocks * 512 >= 1 << 20


def test_room_that_there_is_not_is_told_before_anything_is_written_through_a_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*of: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "sparse"
    path.write_bytes(b"x")
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError) as told:
        reserve(path)
    assert told.value.filename == str(path)
