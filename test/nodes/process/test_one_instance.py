"""Two processes cannot have one name; whoever dies lets go of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.nodes.process.one_instance import hold_name

HOLD = """
import sys
from anymodal_seg_ros.nodes.process.one_instance import hold_name
kept = hold_name(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("ROS_DOMAIN_ID", "5")
    return tmp_path


def test_a_name_is_held_until_its_process_ends_in_whatever_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "/robot1/segmentation_node"
    root = str(Path(__file__).resolve().parents[3])
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, name],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match=rf"runs already .* \(process {other.pid}\)"):
        hold_name(name)
    assert hold_name("/robot2/segmentation_node") is not None
    monkeypatch.setenv("ROS_DOMAIN_ID", "6")
    assert hold_name(name) is not None, "another domain is another graph"
    monkeypatch.setenv("ROS_DOMAIN_ID", "5")
    other.kill()
    other.communicate()
    held = hold_name(name)
    assert held is not None
    with pytest.raises(ConfigError):
        hold_name(name)
    held.close()
    assert hold_name(name) is not None


def test_where_no_lock_can_be_made_nothing_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "anymodal_seg_ros").write_text("a file where the folder would be")
    assert hold_name("/segmentation_node") is None


def test_a_link_in_the_place_of_the_lock_is_not_written_through(folder: Path) -> None:
    """In /tmp, whoever is faster may lay one out."""
    precious = folder / "precious"
    precious.write_text("not ours")
    held = hold_name("/robot1/segmentation_node")
    assert held is not None
    lock = next(folder.rglob("*.lock"))
    held.close()
    lock.unlink()
    lock.symlink_to(precious)
    assert hold_name("/robot1/segmentation_node") is None
    assert precious.read_text() == "not ours"


def test_a_folder_of_somebody_else_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    assert hold_name("/robot1/segmentation_node") is None
    assert not list(folder.rglob("*.lock"))
