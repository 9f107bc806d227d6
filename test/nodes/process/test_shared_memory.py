"""Only segments of dead processes are removed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from anymodal_seg_ros.nodes.process.shared_memory import remove_dead_segments

DEAD, ALIVE, YOUNG = (f"fastdds_{digit * 16}" for digit in "abc")


def test_removes_what_nobody_holds(tmp_path: Path) -> None:
    for name in (DEAD, ALIVE, YOUNG):
        (tmp_path / name).write_bytes(bytes(1000))
        (tmp_path / f"{name}_el").touch()
        if name != YOUNG:
            os.utime(tmp_path / f"{name}_el", (1.0, 1.0))
    others = ["fastdds_port7400", "fastdds_port7400_el", "sem.robot_el", "fastdds_short_el"]
    for name in others:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1.0, 1.0))
    with (tmp_path / f"{ALIVE}_el").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert remove_dead_segments(tmp_path) == 1000
        assert remove_dead_segments(tmp_path) == 0
    left = {ALIVE, f"{ALIVE}_el", YOUNG, f"{YOUNG}_el", *others}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_a_lock_left_without_its_segment_goes_too(tmp_path: Path) -> None:
    (tmp_path / f"{DEAD}_el").touch()
    os.utime(tmp_path / f"{DEAD}_el", (1.0, 1.0))
    assert remove_dead_segments(tmp_path) == 0
    assert not list(tmp_path.iterdir())


def test_no_shared_memory_folder_is_no_error(tmp_path: Path) -> None:
    assert remove_dead_segments(tmp_path / "missing") == 0
