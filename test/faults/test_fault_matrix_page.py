"""The table of the fault matrix: what the machine held up stands in brackets, not among ours."""

from __future__ import annotations

import os
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from benchmarks.fault_matrix import page

ROW: dict[str, Any] = {
    "frames": 9,
    "lost": 0,
    "starved": 0,
    "bound_s": 4.95,
    "starved_right": False,
    "false_states": {},
    "starved_states": 0,
    "well_again_s": 0.7,
    "rss_mb": (1, 1),
    "threads": (1, 1),
    "descriptors": (1, 1),
    "failed": [],
    "load": 1.0,
}


def right(*times: tuple[float | None, bool]) -> str:
    rows = {
        f"rgb: stuck, {number}": {**ROW, "right_s": right_s, "starved_right": starved}
        for number, (right_s, starved) in enumerate(times)
    }
    (line,) = [line for line in page(rows).splitlines() if line.startswith("| stuck")]
    return line.split("|")[6].strip()


def test_what_was_measured_quietly_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    row = {**ROW, "right_s": 1.0}
    quiet, busy = {"rgb: stuck, steady": row}, {"rgb: stuck, start": {**row, "load": 9.0}}
    assert "1 cases measured, 0 not as promised.\n" in page(quiet)
    bad = {"rgb: black, start": {**row, "load": 9.0, "right_s": 8.0, "failed": ["late"]}}
    text = page({**quiet, **busy, **bad})
    assert "3 cases measured, 1 not as promised; of these 1 quietly, at a load of 3 or less" in text
    assert "0 not as promised, right states after 1.00 s." in text
    assert "* rgb: black, start (load 9): late" in text


def test_the_worst_time_of_the_node_and_that_of_the_machine() -> None:
    assert right((1.0, False), (2.0, True)) == "2.00 s", "it was in time all the same"
    assert right((1.0, False), (13.21, True)) == "1.00 s (13.21 s)"
    assert right((6.67, False)) == "6.67 s"
    assert right((1.0, False), (None, False)) == "never"
