"""A log that nobody reads must not stop a node, and one that is closed not speak to others."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

WRITER = (
    "import os, sys\n"
    "from anymodal_seg_ros.streams import never_wait\n"
    "never_wait()\n"
    "for stream in (1, 2):\n"
    "    for _ in range(100):\n"
    "        try:\n"
    "            os.write(stream, b'x' * 100_000)\n"
    "        except BlockingIOError:\n"
    "            pass\n"
    "sys.exit(7)\n"
)


def write_to(project_root: Path, stream: int) -> int:
    """Return the exit code of a process that writes ten megabytes to a stream twice."""
    command = [sys.executable, "-c", WRITER]
    return subprocess.run(
        command, stdout=stream, stderr=stream, cwd=project_root, timeout=120, check=False
    ).returncode


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_nobody_waits_for_a_pipe_a_socket_or_a_terminal_that_is_full(project_root: Path) -> None:
    reading, writing = os.pipe()
    ours, theirs = socket.socketpair()
    terminal, screen = os.openpty()
    for stream in (writing, theirs.fileno(), screen):
        assert write_to(project_root, stream) == 7
    assert os.get_blocking(writing) and os.get_blocking(screen), "others share them"
    assert os.read(reading, 10) == b"x" * 10
    for one in (reading, writing, terminal, screen):
        os.close(one)
    ours.close()
    theirs.close()


def test_no_file_takes_the_place_of_a_stream_that_is_closed(project_root: Path) -> None:
    """What a library says on its standard error would stand in the middle of the results."""
    code = (
        "import os\n"
        "from anymodal_seg_ros.streams import fill_closed\n"
        "os.close(1), os.close(2)\n"
        "fill_closed()\n"
        "file = os.open('/dev/null', os.O_RDONLY)\n"
        "raise SystemExit(file)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project_root, check=False)
    assert done.returncode > 2


@pytest.mark.ros
def test_a_node_whose_streams_are_closed_does_not_end_by_what_it_logs(project_root: Path) -> None:
    """The socket that signals come by got the number of the standard error."""
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    code = (
        "import os\n"
        "for stream in range(3): os.close(stream)\n"
        "from anymodal_seg_ros.nodes.process.shutdown import ros_session\n"
        "with ros_session(['node']) as stop:\n"
        "    for stream in range(3): os.write(stream, b'a line')\n"
        "    os._exit(9 if stop.wait(1.0) else 7)\n"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, cwd=project_root, timeout=120, check=False).returncode == 7


def test_files_and_closed_streams_stay_as_they_are(project_root: Path, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        assert write_to(project_root, log.fileno()) == 7
    assert (tmp_path / "log").stat().st_size == 20_000_000
    code = (
        "import os\n"
        "from anymodal_seg_ros.streams import never_wait\n"
        "os.close(1), os.close(2)\n"
        "never_wait()\n"
        "os._exit(os.open('/dev/null', os.O_RDONLY))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project_root, check=False)
    assert done.returncode == 1, "nothing has taken their place"
