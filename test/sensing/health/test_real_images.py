"""What real sensors saw, by day and by night: no alarm on it, and one on what is damaged in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.kinds import (
    Covered,
    Grain,
    Hanging,
    InjectedFault,
    StuckLines,
    Torn,
)
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker

S = 1_000_000_000
FRAME_NS = 33_333_333
RGB, DEPTH = ("rgb", "rgbd_stream/*.color.jpg"), ("depth", "rgbd_stream/*.depth.png")


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


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("recording", "fault", "name"),
    [
        (RGB, Torn(severity=0.5), "torn"),
        (RGB, Hanging(how="clock"), "frozen"),
        (DEPTH, Covered(how="hand", severity=0.5), "lost"),
        (DEPTH, Covered(how="mud", severity=0.5), "lost"),
        (DEPTH, Covered(how="black", severity=0.5), "lost"),
        (DEPTH, StuckLines(how="rows", severity=0.25), "stuck_rows"),
        (DEPTH, StuckLines(how="columns", severity=0.25), "stuck_rows"),
        (DEPTH, Grain(how="salt", severity=0.1), "speckle"),
    ],
    ids=lambda case: getattr(case, "kind", None),
)
def test_damage_to_a_hand_held_camera_is_told_within_a_second(
    recording: tuple[str, str], fault: InjectedFault, name: str, shared_data: Path
) -> None:
    modality, pattern = recording
    paths = sorted(shared_data.glob(pattern))
    assert len(paths) >= 30
    fault = replace(fault, sensor="one", start_s=1.8)
    injector = Injector[Image](FaultTimeline(1, (fault,)), {"one": modality})
    checker, told = ContentChecker(modality, ChecksConfig()), set()
    for number, path in enumerate(paths[:29]):
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert pixels is not None, path
        image = Image(pixels, "bgr8" if modality == "rgb" else "16UC1")
        delivery = injector.push("one", number * S // 10, image)
        assert delivery is not None
        found = checker.inspect(delivery.payload, number * S // 10)
        assert number >= 18 or found is None
        if found is not None and found.lasting:
            told.add(found.kind)
    assert name in told
