"""What the evaluator of a live node hears may be anybody's: it is refused in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.evaluation.scorecard.replays.live import LiveRun
from anymodal_seg_ros.nodes.replay.evaluator import refusing

MASK = np.zeros((6, 8), np.uint8)
ABOUT = {"reference": "rgb", "sensors": "rgb", "latency_ms": "1", "network_ms": "1"}
RGB = {"state": "OK", "age_ms": "1.0", "offset_ms": "0.0", "contribution": "1.0"}
ODD = [
    "",
    "x",
    "nan",
    "inf",
    "1e400",
    "-1e300",
    "9" * 5000,
    "\x1b[31m\n[FATAL]" * 1000,
    "rgb,rgb,x",
]


def run(folder: Path) -> LiveRun:
    return LiveRun(folder, RigConfig({"rgb": SensorConfig("rgb", "rgb")}), 16, 0)


def told(take: Any, *values: Any) -> list[AnymodalError]:
    found: list[AnymodalError] = []
    refusing("/segmentation_node/mask", lambda _: take(*values), found.append)(None)
    return found


def test_what_a_node_says_is_taken(tmp_path: Path) -> None:
    live = run(tmp_path)
    assert not told(live.take_mask, 5, MASK, "camera", 10)
    assert not told(live.take_evidence, 5, {"mask": ABOUT, "rgb": RGB})
    assert not told(live.take_health, "pipeline", {"superseded": "3"})
    assert (live.masks, live.superseded) == (1, 3)


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("field", [*ABOUT, *RGB])
def test_no_word_of_the_evidence_is_believed(tmp_path: Path, field: str, odd: str) -> None:
    about, rgb = dict(ABOUT), dict(RGB)
    (about if field in ABOUT else rgb)[field] = odd
    live = run(tmp_path)
    errors = told(live.take_mask, 5, MASK, "camera", 10)
    errors += told(live.take_evidence, 5, {"mask": about, "rgb": rgb})
    assert live.masks or errors
    assert all(len(str(error)) < 500 and str(error).isprintable() for error in errors)


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("key", ["rejected", "received", "superseded"])
def test_no_count_is_believed(tmp_path: Path, key: str, odd: str) -> None:
    live, name = run(tmp_path), "pipeline" if key == "superseded" else "sensor rgb"
    (error,) = told(live.take_health, name, {"rejected": "1", key: odd})
    assert "/segmentation_node/mask" in str(error) and len(str(error)) < 500
    assert str(error).isprintable()


def test_a_full_disk_is_not_taken_for_words_of_somebody(tmp_path: Path) -> None:
    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        refusing("/a", full, lambda error: None)(None)
