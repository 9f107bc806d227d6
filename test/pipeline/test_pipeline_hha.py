"""Models that take depth as HHA: made of live depth and intrinsics, or sent as pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from fixtures.manifests import ONE, ZERO, small_manifest
from fixtures.messages import image_message
from fixtures.pipelines import MS, START, CountingEngine, message

from anymodal_seg_ros.config import CountsConfig, RegistrationConfig, RigConfig, SensorConfig
from anymodal_seg_ros.frames import ModalityBatch, Prediction, Segmentation
from anymodal_seg_ros.inference.manifest import Manifest, ModalitySpec
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.geometry.camera_info import camera_from_info
from anymodal_seg_ros.sensing.geometry.hha import PictureRays, hha_image

ROWS, COLUMNS = 48, 64
UNDER_M = 1.2


def manifest() -> Manifest:
    made = small_manifest(ROWS, COLUMNS, classes=32)
    return replace(made, modalities={**made.modalities, "depth": ModalitySpec(2, "hha", ZERO, ONE)})


class KeepingEngine(CountingEngine):
    batch: ModalityBatch

    def run(self, batch: ModalityBatch) -> Segmentation:
        self.batch = batch
        return super().run(batch)


def rig(depth: RegistrationConfig, rgb: str = "", **changes: Any) -> RigConfig:
    sensors = {
        "rgb": SensorConfig(
            "rgb/image", "rgb", expected_hz=10.0, registration=RegistrationConfig(camera_info=rgb)
        ),
        "depth": SensorConfig(
            "depth/image", "depth", expected_hz=10.0, registration=depth, **changes
        ),
    }
    return RigConfig(sensors, content_checks=True)


def info(width: int, height: int, focal: float) -> SimpleNamespace:
    return SimpleNamespace(
        width=width,
        height=height,
        distortion_model="plumb_bob",
        d=[],
        k=[focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0],
    )


def floor_ahead(height: int, width: int, focal: float) -> Any:
    """A floor under a level camera, and a wall 4 m ahead."""
    rows = np.indices((height, width))[0] - (height - 1) / 2
    with np.errstate(divide="ignore"):
        metres = np.where(rows > 0, UNDER_M * focal / rows, np.inf)
    return np.minimum(metres, 4.0).astype(np.float32)


def predict(pipe: Pipeline, now: int, pixels: Any, encoding: str) -> Prediction:
    assert pipe.push_message("rgb", message("rgb", START + now), now) is None
    depth = image_message(pixels, encoding, START + now)
    assert pipe.push_message("depth", depth, now) is None
    prediction = pipe.poll(now + 30 * MS)
    assert prediction is not None
    return prediction


def check_planes(planes: Any) -> None:
    """The floor is low and faces up, the wall is 4 m away and stands."""
    disparity, height, angle = np.rint(255 * planes)
    assert abs(np.median(disparity[: ROWS // 3]) - 310 / 4) <= 1
    assert height[-2:].max() <= 3
    assert abs(np.median(angle[-8:-4]) - 38) <= 1
    assert abs(np.median(angle[4 : ROWS // 3]) - 128) <= 1


def test_depth_becomes_hha_once_its_camera_is_known() -> None:
    engine = KeepingEngine()
    sensors = rig(RegistrationConfig(camera_info="depth/info"))
    pipe = Pipeline(sensors, Model(Path("nowhere"), manifest()), engine)
    metres = floor_ahead(ROWS, COLUMNS, 40.0)
    before = predict(pipe, 0, metres, "32FC1")
    assert before.sensors == ("rgb",)
    reason = before.frame_set.missing["depth"]
    assert "takes the intrinsics" in reason and "no CameraInfo has come on" in reason
    assert "rig.sensors.depth.registration.camera_info" in reason
    assert pipe.push_camera_info("depth", info(COLUMNS, ROWS, 40.0)) is None
    after = predict(pipe, 100 * MS, metres, "32FC1")
    assert after.sensors == ("rgb", "depth"), after.frame_set.missing
    check_planes(engine.batch.images[1])


def test_a_cameras_own_unit_holds() -> None:
    engine = KeepingEngine()
    sensors = rig(
        RegistrationConfig(camera_info="depth/info"), counts=CountsConfig(per_count=0.00025)
    )
    pipe = Pipeline(sensors, Model(Path("nowhere"), manifest()), engine)
    assert pipe.push_camera_info("depth", info(COLUMNS, ROWS, 40.0)) is None
    counts = np.rint(4000 * floor_ahead(ROWS, COLUMNS, 40.0)).astype(np.uint16)
    assert predict(pipe, 0, counts, "16UC1").sensors == ("rgb", "depth")
    check_planes(engine.batch.images[1])


def test_depth_in_the_first_cameras_picture_is_seen_through_that_camera() -> None:
    engine = KeepingEngine()
    pipe = Pipeline(
        rig(RegistrationConfig(), rgb="rgb/info"), Model(Path("nowhere"), manifest()), engine
    )
    missing = predict(pipe, 0, floor_ahead(ROWS, COLUMNS, 40.0), "32FC1").frame_set.missing
    assert "the camera of rgb is unknown: no CameraInfo has come on rgb/info" in missing["depth"]
    # Its pictures have half of the depth's size, and so half of its focal length.
    assert pipe.push_camera_info("rgb", info(COLUMNS // 2, ROWS // 2, 20.0)) is None
    found = predict(pipe, 100 * MS, floor_ahead(ROWS, COLUMNS, 40.0), "32FC1")
    assert found.sensors == ("rgb", "depth"), found.frame_set.missing
    check_planes(engine.batch.images[1])


def test_carried_depth_is_seen_through_the_camera_that_it_is_carried_to() -> None:
    engine = KeepingEngine()
    carried = RegistrationConfig("depth", camera_info="depth/info", extrinsics="0 0 0 0 0 0 1")
    pipe = Pipeline(rig(carried, rgb="rgb/info"), Model(Path("nowhere"), manifest()), engine)
    assert pipe.push_camera_info("depth", info(2 * COLUMNS, 2 * ROWS, 60.0)) is None
    assert pipe.push_camera_info("rgb", info(30, 20, 40.0 * 30 / COLUMNS)) is None
    found = predict(pipe, 0, floor_ahead(2 * ROWS, 2 * COLUMNS, 60.0), "32FC1")
    assert found.sensors == ("rgb", "depth"), found.frame_set.missing
    disparity, height, angle = np.rint(255 * engine.batch.images[1])
    # The wall begins where its foot is seen: 1.2 m under, 4 m ahead, with the rgb camera's focal.
    assert abs(np.median(disparity[: ROWS // 3]) - 310 / 4) <= 1
    assert abs(np.median(angle[-8:-4]) - 38) <= 4, "of distances in steps"
    assert np.median(height[-2:]) <= 8


def test_pictures_of_hha_pass_as_they_are() -> None:
    engine = KeepingEngine()
    pipe = Pipeline(rig(RegistrationConfig()), Model(Path("nowhere"), manifest()), engine)
    camera = camera_from_info(info(COLUMNS, ROWS, 40.0), rectified=False)
    rays = PictureRays.of(camera, ROWS, COLUMNS)
    pixels = hha_image(floor_ahead(ROWS, COLUMNS, 40.0), rays).pixels
    assert predict(pipe, 0, pixels, "rgb8").sensors == ("rgb", "depth")
    np.testing.assert_allclose(engine.batch.images[1], pixels.transpose(2, 0, 1) / 255, atol=1e-6)


def test_grey_pictures_are_no_hha() -> None:
    pipe = Pipeline(rig(RegistrationConfig()), Model(Path("nowhere"), manifest()), CountingEngine())
    grey = image_message(np.zeros((ROWS, COLUMNS), np.uint8), "mono8", START)
    refused = pipe.push_message("depth", grey, 0)
    assert refused is not None and "cannot be used as hha" in refused
