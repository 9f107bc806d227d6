"""Only what dead processes leave is removed: their segments, and ports that they were making."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import pytest

from anymodal_seg_ros.nodes.process import shared_memory
from anymodal_seg_ros.nodes.process.shared_memory import (
    remove_dead_segments,
    remove_half_made_ports,
)

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
    assert remove_half_made_ports(tmp_path / "missing") == []


def word(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder) + bytes(996)


def test_ports_go_that_are_empty_or_not_made_to_the_end(tmp_path: Path) -> None:
    half_made = {
        "fastdds_port7411": b"",
        "fastdds_port7413": bytes(1000),
        "fastrtps_port7415": word(1),
    }
    others = {
        "fastdds_port7417": word(2),  # of a process that lives, or was killed later on
        "fastdds_port7411_el": b"",
        "sem.fastdds_port7411_mutex": b"",
        DEAD: b"",
    }
    for name, content in (half_made | others).items():
        (tmp_path / name).write_bytes(content)
    assert {port.name for port in remove_half_made_ports(tmp_path)} == set(half_made)
    assert {path.name for path in tmp_path.iterdir()} == set(others)


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_port_that_is_being_made_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_anew: bool
) -> None:
    port = tmp_path / "fastdds_port7411"
    port.touch()

    def meanwhile(_: float) -> None:
        other = tmp_path / "other"
        other.write_bytes(b"" if made_anew else word(2))
        other.replace(port)

    monkeypatch.setattr(shared_memory.time, "sleep", meanwhile)
    assert remove_half_made_ports(tmp_path) == []
    assert port.exists()
