"""Depth-based reprojection on a recorded stream of a hand-held camera with known poses.

One camera at two instants stands in for two cameras on a rig: what it saw at one, brought to the
place of the other, must be what it saw there.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fixtures.calibrations import as_text, write_camera_info

from anymodal_seg_ros.config import RegistrationConfig, SensorConfig
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.encodings import to_metres
from anymodal_seg_ros.sensing.geometry.cameras import Camera
from anymodal_seg_ros.sensing.geometry.extrinsics import Transform, invert, rigid
from anymodal_seg_ros.sensing.geometry.registration import Registrar

pytestmark = pytest.mark.shared_data

HERE, THERE = 10, 50
HEIGHT, WIDTH = 240, 320


def depth_at(folder: Path, frame: int) -> Image:
    pixels = cv2.imread(str(folder / f"frame-{frame:06d}.depth.png"), cv2.IMREAD_UNCHANGED)
    return Image(np.asarray(pixels), "16UC1")


def grey_at(folder: Path, frame: int) -> Image:
    pixels = cv2.imread(str(folder / f"frame-{frame:06d}.color.jpg"), cv2.IMREAD_GRAYSCALE)
    return Image(np.asarray(pixels), "mono8")


def pose_at(folder: Path, frame: int) -> Transform:
    return rigid(np.loadtxt(folder / f"frame-{frame:06d}.pose.txt"), f"pose {frame}")


@pytest.fixture
def folder(shared_data: Path) -> Path:
    return shared_data / "rgbd_stream"


@pytest.fixture
def calibration(folder: Path, tmp_path: Path) -> str:
    matrix = np.loadtxt(folder / "camera-intrinsics.txt")
    return write_camera_info(Camera(640, 480, matrix), tmp_path / "kinect.yaml")


def registered(
    calibration: str, here_from_there: Transform, method: str, images: dict[str, Image]
) -> dict[str, Image]:
    """Register what was seen there to what was seen here; a sensor for each image."""
    sensors = {}
    for name in images:
        there = name.startswith("there")
        sensors[name] = SensorConfig(
            name,
            "depth",
            registration=RegistrationConfig(
                method if there else "resize",
                calibration=calibration,
                extrinsics=as_text(here_from_there) if there else "",
            ),
        )
    depths = [name for name in images if name.endswith("depth")]
    made = Registrar(sensors, HEIGHT, WIDTH, depths=depths)
    done = made.register(next(iter(images)), images)
    assert done.missing == {}
    return dict(done.images)


def test_depth_seen_there_is_depth_seen_here(folder: Path, calibration: str) -> None:
    images = {"here depth": depth_at(folder, HERE), "there depth": depth_at(folder, THERE)}
    here = cv2.resize(to_metres(images["here depth"]), (WIDTH, HEIGHT), interpolation=0)
    right = invert(pose_at(folder, HERE)) @ pose_at(folder, THERE)
    assert 0.1 < np.linalg.norm(right[:3, 3]) < 0.3
    agreement = {}
    for name, pose in (("right", right), ("wrong way", invert(right)), ("unmoved", np.eye(4))):
        there = registered(calibration, pose, "depth", images)["there depth"].pixels
        both = np.isfinite(there) & np.isfinite(here)
        assert both.mean() > 0.6
        agreement[name] = float((np.abs(there - here)[both] < 0.03 * here[both]).mean())
    assert agreement["right"] > 0.97
    assert max(agreement["wrong way"], agreement["unmoved"]) < 0.15


def test_brightness_seen_there_is_brightness_seen_here(folder: Path, calibration: str) -> None:
    images = {
        "here depth": depth_at(folder, HERE),
        "there": grey_at(folder, THERE),
    }
    here = cv2.resize(grey_at(folder, HERE).pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    right = invert(pose_at(folder, HERE)) @ pose_at(folder, THERE)
    likeness = {}
    for name, pose, method in (
        ("depth", right, "depth"),
        ("far", right, "cameras"),
        ("unmoved", np.eye(4), "cameras"),
    ):
        there = registered(calibration, pose, method, images)["there"].pixels
        seen = there > 0
        assert seen.mean() > 0.7
        likeness[name] = float(np.corrcoef(there[seen], here[seen])[0, 1])
    assert likeness["depth"] > 0.87
    assert likeness["depth"] > likeness["far"] + 0.1 > likeness["unmoved"] + 0.1
