"""LiDAR points on their way to a mask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.calibrations import write_camera_info
from fixtures.clouds import cloud_message
from fixtures.manifests import ZERO, small_manifest
from fixtures.pipelines import MS, START, CountingEngine, message, pipeline

from anymodal_seg_ros.config import RegistrationConfig, RigConfig, SensorConfig, load_config
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import UNLABELED, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.inference.masks.visualize import viewable
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.geometry.cameras import Camera

AHEAD = "0 0 0  0.5 -0.5 0.5 0.5"
"""A LiDAR, x ahead and z up, at the place of a camera, z ahead and y down."""


def lidar_rig(tmp_path: Path) -> RigConfig:
    camera = Camera(30, 20, np.array([[30.0, 0, 14.5], [0, 30.0, 9.5], [0, 0, 1]]))
    calibration = write_camera_info(camera, tmp_path / "rgb.yaml")
    return RigConfig(
        {
            "rgb": SensorConfig(
                "rgb",
                "rgb",
                expected_hz=10.0,
                registration=RegistrationConfig(calibration=calibration),
            ),
            "lidar": SensorConfig(
                "points",
                "lidar",
                expected_hz=10.0,
                type="point_cloud",
                registration=RegistrationConfig("cameras", extrinsics=AHEAD),
            ),
        }
    )


def scan(stamp_ns: int) -> Any:
    """A wall, ten metres ahead and three metres wide, with a little noise."""
    y, z = np.meshgrid(np.linspace(-1.5, 1.5, 40), np.linspace(-1.0, 1.0, 30))
    x = np.full(y.shape, 10.0) + np.random.default_rng(stamp_ns % 2**32).normal(0, 0.01, y.shape)
    columns = {n: v.astype(np.float32).ravel() for n, v in (("x", x), ("y", y), ("z", z))}
    intensity = np.full(1200, 50.0, np.float32)
    return cloud_message({**columns, "intensity": intensity}, stamp_ns=stamp_ns)


class KeepingEngine(CountingEngine):
    """Keeps what it was given."""

    def run(self, batch: ModalityBatch) -> Segmentation:
        self.batch = batch
        return super().run(batch)


def test_points_of_a_lidar_reach_the_network_where_the_camera_sees_them(tmp_path: Path) -> None:
    engine = KeepingEngine()
    pipe = Pipeline(lidar_rig(tmp_path), Model(Path("nowhere"), small_manifest(classes=32)), engine)
    for frame in range(3):
        now = frame * 100 * MS
        assert pipe.push_message("lidar", scan(START + now), now) is None
        assert pipe.push_message("rgb", message("rgb", START + now), now) is None
        prediction = pipe.poll(now + 50 * MS)
    assert prediction is not None
    assert prediction.sensors == ("rgb", "lidar"), prediction.frame_set.missing
    assert prediction.mask.shape == (20, 30)
    nearness, height, intensity = engine.batch.images[engine.batch.modality_ids == 4][0]
    seen = nearness > 0
    rows, columns = np.nonzero(seen)
    # f = 30 pixels of 30: the wall of 3 x 2 m at 10 m takes 9 of 30 columns and 6 of 20 rows.
    assert (columns.min(), columns.max()) == (4, 7), "of 12 columns"
    assert (rows.min(), rows.max()) == (2, 5), "of 8 rows"
    np.testing.assert_allclose(nearness[seen], 0.8, atol=0.02)
    np.testing.assert_allclose(intensity[seen], 0.5)
    assert height[2, 5] > height[5, 5] > 0, "up is up"


CONFIGURED = """
/**:
  ros__parameters:
    model: {model}
    rig:
      sensors:
        rgb:
          topic: rgb
          modality: rgb
          expected_hz: 10.0
          registration: {{calibration: {calibration}}}
        lidar:
          topic: points
          type: point_cloud
          modality: lidar
          expected_hz: 10.0
          registration: {{method: cameras, extrinsics: {extrinsics}}}
"""


def test_a_lidar_is_configured_in_the_parameter_file(tmp_path: Path, tiny_model: Path) -> None:
    calibration = lidar_rig(tmp_path).sensors["rgb"].registration.calibration
    path = tmp_path / "robot.yaml"
    path.write_text(CONFIGURED.format(model=tiny_model, calibration=calibration, extrinsics=AHEAD))
    pipe = Pipeline.from_config(load_config(path))
    for frame in range(2):
        now = frame * 100 * MS
        assert pipe.push_message("lidar", scan(START + now), now) is None
        assert pipe.push_message("rgb", message("rgb", START + now), now) is None
        prediction = pipe.poll(now + 50 * MS)
    assert prediction is not None
    assert prediction.sensors == ("rgb", "lidar"), prediction.frame_set.missing
    assert prediction.mask.shape == (20, 30)


def test_a_lidar_that_is_left_alone_gives_masks_in_the_first_cameras_picture(
    tmp_path: Path,
) -> None:
    pipe = pipeline(lidar_rig(tmp_path))
    camera = message("rgb", START)
    camera.header.frame_id = "rgb_optical_frame"
    pipe.push_message("rgb", camera, 0)
    for frame in range(1, 40):
        now = frame * 100 * MS
        assert pipe.push_message("lidar", scan(START + now), now) is None
        prediction = pipe.poll(now)
    assert prediction is not None
    assert prediction.sensors == ("lidar",)
    assert np.unique(prediction.mask).tolist() == [2**4]
    reference = prediction.frame_set.reference_sample
    assert (reference.sensor, reference.frame_id) == ("lidar", "rgb_optical_frame")
    assert prediction.mask.shape == (20, 30), "the camera's, dead or alive"
    assert reference.image.pixels.shape[:2] == (8, 12)
    assert viewable(reference.image).shape == (8, 12, 3)


def test_a_lidar_before_the_first_cameras_calibration_gives_unlabeled_masks(
    tmp_path: Path,
) -> None:
    rig = lidar_rig(tmp_path)
    uncalibrated = replace(
        rig.sensors["rgb"], registration=RegistrationConfig(camera_info="rgb/camera_info")
    )
    pipe = pipeline(replace(rig, sensors={**rig.sensors, "rgb": uncalibrated}))
    assert pipe.push_message("lidar", scan(START), 0) is None
    prediction = pipe.poll(0)
    assert prediction is not None
    assert (prediction.mask == UNLABELED).all()
    assert "no CameraInfo has come on rgb/camera_info" in prediction.frame_set.missing["lidar"]
    assert prediction.frame_set.reference_sample.sensor == "lidar"


def test_points_that_cannot_be_used_are_rejected_and_counted(tmp_path: Path) -> None:
    pipe = pipeline(lidar_rig(tmp_path))
    error = pipe.push_message("rgb", scan(START), 0)
    assert error is not None and "encoding PointCloud2 cannot be used as color" in error
    flat = cloud_message({"x": np.ones(3, np.float32)}, stamp_ns=START)
    error = pipe.push_message("lidar", flat, 0)
    assert error is not None and "expected y among them" in error
    (_, lidar) = pipe.status(0)
    assert sum(lidar.rejected.values()) == 1


def test_only_events_and_lidar_come_as_points(tmp_path: Path) -> None:
    rig = lidar_rig(tmp_path)
    wrong = replace(rig.sensors["lidar"], modality="depth")
    with pytest.raises(ConfigError, match=r"lidar.type is 'point_cloud', but the model small"):
        pipeline(replace(rig, sensors={**rig.sensors, "lidar": wrong}))


def test_a_model_of_muses_takes_points_painted_at_the_cameras_size(tmp_path: Path) -> None:
    """The picture is that of 30x20 pixels, brought to the model's size like any other."""
    made = small_manifest(10, 15, classes=64)
    spec = ModalitySpec(4, "muses_lidar", ZERO, (1 / 255, 1 / 255, 1 / 255))
    made = replace(made, modalities={**made.modalities, "lidar": spec})
    engine = KeepingEngine()
    pipe = Pipeline(lidar_rig(tmp_path), Model(Path("nowhere"), made), engine)
    assert pipe.push_message("rgb", message("rgb", START), 0) is None
    assert pipe.push_message("lidar", scan(START), 0) is None
    prediction = pipe.poll(30 * MS)
    assert prediction is not None
    assert prediction.sensors == ("rgb", "lidar"), prediction.frame_set.missing
    lidar = np.rint(engine.batch.images[1])
    # In the middle there is a point in every pixel: 10 m away, (110 * 150) >> 8 = 64; 50: 87.
    assert (lidar[2, 4:6, 6:9] == 64).all() and (lidar[1, 4:6, 6:9] == 87).all()
    assert (lidar[:, 0] == 58).all(), "nothing above the wall"
