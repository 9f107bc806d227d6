"""Too few files, addresses or threads, and no place for a log: said in a line, with the mend."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from anymodal_seg_ros.errors import no_room
from anymodal_seg_ros.nodes import segmentation_node
from anymodal_seg_ros.nodes.process import limits as module
from anymodal_seg_ros.nodes.process.limits import scarce
from anymodal_seg_ros.nodes.process.log_folder import why_no_log, with_log
from anymodal_seg_ros.resources import config_dir


def limits(**found: int) -> Callable[[int], tuple[int, int]]:
    by_number = {getattr(resource, f"RLIMIT_{name}"): most for name, most in found.items()}
    return lambda number: (by_number.get(number, resource.RLIM_INFINITY),) * 2


def test_limits_that_are_too_low_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 40))
    monkeypatch.setattr(resource, "getrlimit", limits())
    assert scarce() == []
    monkeypatch.setattr(resource, "getrlimit", limits(AS=700 << 20, NOFILE=20))
    addresses, files = scarce()
    assert "limited to 700 MB (ulimit -v)" in addresses
    assert "may open 20 files (ulimit -n)" in files


@pytest.mark.parametrize(("free_mb", "told"), [(8, True), (64, False)])
def test_a_container_with_little_shared_memory_is_told(
    free_mb: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", limits())
    usage = SimpleNamespace(free=free_mb << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert [line for line in scarce() if f"/dev/shm has {free_mb} MB free" in line] or not told
    assert bool(scarce()) == told
    monkeypatch.setattr(module, "get_rmw_implementation_identifier", lambda: "rmw_cyclonedds_cpp")
    monkeypatch.setattr(resource, "getrlimit", limits())
    assert scarce() == [], "others do without"


def test_a_process_is_said_to_need_the_segment_of_our_profile_and_little_more() -> None:
    profile = (config_dir() / "fastdds.xml").read_text(encoding="utf-8")
    segment = re.search(r"<segment_size>(\d+)<", profile)
    assert segment is not None
    assert 0 < module.SEGMENT - int(segment[1]) <= 1 << 20, "with its queues"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("can't start new thread")], ids=["memory", "thread"]
)
def test_a_node_that_gets_no_thread_ends_with_a_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise error

    monkeypatch.setattr(segmentation_node, "ros_session", refused)
    monkeypatch.setattr(segmentation_node, "never_wait", lambda: None)
    assert segmentation_node.main(["node"]) == 1
    said = "".join(capfd.readouterr())
    assert "no more threads or memory" in said and "Traceback" not in said
    assert not no_room(RuntimeError("something else"))


def test_a_home_that_cannot_be_written_is_no_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ROS_LOG_DIR", "ROS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert why_no_log() == ""
    assert (tmp_path / ".ros" / "log").is_dir()
    monkeypatch.setenv("HOME", "/proc")
    assert why_no_log().startswith("no log file is written to /proc/.ros/log: ")
    monkeypatch.setenv("HOME", "")
    assert "there is no HOME; set ROS_LOG_DIR" in why_no_log()
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "elsewhere"))
    assert why_no_log() == ""
    assert with_log(["node", "--ros-args", "-p", "a:=1"], "")[-1] == "a:=1"


def test_ros_begins_without_a_log_file(project_root: Path) -> None:
    code = (
        "import os\n"
        "os.environ.update(HOME='/proc', ROS_DOMAIN_ID='103')\n"
        "os.environ.pop('ROS_LOG_DIR', None), os.environ.pop('ROS_HOME', None)\n"
        "from anymodal_seg_ros.nodes.process.shutdown import ros_session\n"
        "with ros_session(['node']):\n"
        "    print('begun')\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "begun" in said
    assert said.count("no log file is written to /proc/.ros/log") == 1
