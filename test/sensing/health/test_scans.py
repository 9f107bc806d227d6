from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.faults.image_faults import apply_image_fault
from anymodal_seg_ros.faults.kinds import BrokenScan
from anymodal_seg_ros.frames import Image, SensorState
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker

S = 1_000_000_000


def scan(number: int, beside_m: float = 6.0) -> Image:
    """What a LiDAR with eight rings sees between two walls, empty returns included."""
    dice = np.random.default_rng(number)
    azimuth = np.tile(np.linspace(-np.pi, np.pi, 600, endpoint=False), 8)
    elevation = np.repeat(np.deg2rad(np.linspace(-15, 10, 8)), 600)
    ground = np.where(elevation < 0, 1.8 / np.maximum(-np.sin(elevation), 1e-3), 1e9)
    ranges = np.minimum(beside_m / np.maximum(np.abs(np.sin(azimuth)), 1e-3), ground)
    ranges = np.where(ranges > 80, 0.0, ranges + dice.normal(0, 0.02, ranges.shape))
    points: Any = np.zeros((1, ranges.size), [(axis, np.float32) for axis in "xyz"])
    points["x"] = ranges * np.cos(elevation) * np.cos(azimuth)
    points["y"] = ranges * np.cos(elevation) * np.sin(azimuth)
    points["z"] = ranges * np.sin(elevation)
    return Image(points, POINT_CLOUD)


@pytest.mark.parametrize(
    ("how", "name", "state"),
    [
        ("random_points", "scrambled", SensorState.INVALID),
        ("random_bytes", "implausible", SensorState.INVALID),
        ("missing", "missing", SensorState.DEGRADED),
        ("blocked", "close", SensorState.INVALID),
    ],
)
def test_what_is_no_scan_is_told_by_name(how: str, name: str, state: SensorState) -> None:
    checker, dice = ContentChecker("lidar", ChecksConfig()), np.random.default_rng(0)
    for number in range(15):
        assert checker.inspect(scan(number, 6.0 + number / 5), number * S // 10) is None
    fault = None
    for number in range(15, 20):
        broken = apply_image_fault(BrokenScan("x", how=how, severity=0.7), scan(number), dice)
        fault = checker.inspect(broken, number * S // 10)
    assert fault is not None
    assert fault.state is state
    assert fault.reason.startswith(f"{name}: ")
    for number in range(20, 24):
        fault = checker.inspect(scan(number), number * S // 10)
    assert fault is None


def test_points_in_any_order_are_healthy_where_they_always_come_like_that() -> None:
    checker = ContentChecker("lidar", ChecksConfig())
    for number in range(30):
        image = scan(number)
        order = np.random.default_rng(number).permutation(image.pixels.size)
        shuffled = Image(image.pixels.reshape(-1)[order][None], POINT_CLOUD)
        assert checker.inspect(shuffled, number * S // 10) is None


def test_clouds_with_other_fields_or_numbers_are_not_judged() -> None:
    checker = ContentChecker("lidar", ChecksConfig())
    for dtype in ([("x", "f4"), ("y", "f4")], [("x", "f4"), ("y", "f8"), ("z", "i2")]):
        points = np.ones((2, 500), dtype)
        points["x"] = np.random.default_rng(1).uniform(1, 9, points.shape)
        checker.forget()
        checker.inspect(Image(points, POINT_CLOUD), 0)
