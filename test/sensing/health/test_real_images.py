"""No content check raises an alarm on what real sensors saw, by day and by night."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker

FRAME_NS = 33_333_333


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("modality", "pattern", "encoding", "fewest"),
    [
        ("rgb", "rgbt_street/rgb/*.jpg", "bgr8", 200),
        ("thermal", "rgbt_street/thermal/*.jpg", "mono8", 200),
        ("rgb", "rgbd_stream/**/*.jpg", "bgr8", 20),
        ("depth", "rgbd_stream/**/*.png", "16UC1", 20),
        ("depth", "rgbd_indoor_outdoor/**/*depth*.png", "16UC1", 1),
    ],
)
def test_real_images_pass_every_check(
    modality: str, pattern: str, encoding: str, fewest: int, shared_data: Path
) -> None:
    checker, checked = ContentChecker(modality, ChecksConfig(format=False)), 0
    flags = cv2.IMREAD_COLOR if encoding == "bgr8" else cv2.IMREAD_UNCHANGED
    for path in sorted(shared_data.glob(pattern)):
        pixels = cv2.imread(str(path), flags)
        assert pixels is not None, path
        fault = checker.inspect(Image(pixels, encoding), checked * FRAME_NS)
        assert fault is None, f"{path.name}: {fault}"
        checked += 1
    assert checked >= fewest
