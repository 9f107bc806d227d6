"""Sensors that see another picture than the mask's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fixtures.manifests import small_manifest
from fixtures.messages import image_message
from fixtures.pipelines import MS, RIG, START, CountingEngine, message, pipeline

from anymodal_seg_ros.config import RegistrationConfig, RigConfig, SensorConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import ModalityBatch, Prediction, Segmentation
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline

REGISTERED = RigConfig(
    {
        "rgb": SensorConfig(
            "rgb/image",
            "rgb",
            expected_hz=10.0,
            registration=RegistrationConfig(camera_info="rgb/info"),
        ),
        "depth": SensorConfig(
            "depth/image",
            "depth",
            expected_hz=10.0,
            registration=RegistrationConfig(
                "depth", camera_info="depth/info", extrinsics="0.3 0 0 0 0 0 1"
            ),
        ),
    },
    content_checks=False,  # a wall at one distance is easy to reckon with, but looks blocked
)


PADDED = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)


def info(width: int, height: int, focal: float) -> SimpleNamespace:
    return SimpleNamespace(
        width=width,
        height=height,
        distortion_model="plumb_bob",
        d=[],
        k=[focal, 0.0, width / 2, 0.0, focal, height / 2, 0.0, 0.0, 1.0],
    )


def test_sensors_are_registered_once_their_cameras_are_known() -> None:
    class KeepingEngine(CountingEngine):
        def run(self, batch: ModalityBatch) -> Segmentation:
            self.batch = batch
            return super().run(batch)

    engine = KeepingEngine()
    pipe = Pipeline(REGISTERED, Model(Path("nowhere"), small_manifest(classes=32)), engine)

    def predict(now: int) -> Prediction:
        pipe.push_message("rgb", message("rgb", START + now), now)
        wall = image_message(np.ones((10, 15), np.float32), "32FC1", START + now)
        pipe.push_message("depth", wall, now)
        prediction = pipe.poll(now + 30 * MS)
        assert prediction is not None
        return prediction

    before = predict(0)
    assert before.sensors == tuple(before.frame_set.samples) == ("rgb",)
    assert "no CameraInfo has come on depth/info" in before.frame_set.missing["depth"]
    error = pipe.push_camera_info("depth", info(15, 10, -12.0))
    assert error is not None
    assert "depth/info: camera_matrix has the focal lengths -12, -12" in error
    assert pipe.status(0)[1].rejected == {"camera_info": 1}
    assert pipe.push_camera_info("depth", info(15, 10, 12.0)) is None
    assert pipe.push_camera_info("rgb", info(30, 20, 24.0)) is None
    after = predict(100 * MS)
    assert after.sensors == ("rgb", "depth")
    valid = engine.batch.images[1, 2]
    # One metre away, 0.3 m are 0.3 * 24 * 12 / 30 = 2.9 of the model's 12 columns.
    assert not valid[:, 0].any()
    assert valid[2:-2, 4:].all()


def test_a_decoder_that_leaves_an_encoders_padding_costs_no_sensor() -> None:
    """A camera of 30x20 pixels whose pictures come as blocks of 8: 32x24."""
    model = Model(Path("nowhere"), small_manifest(classes=32))
    pipe = Pipeline(REGISTERED, model, CountingEngine())
    assert pipe.push_camera_info("depth", info(15, 10, 12.0)) is None
    assert pipe.push_camera_info("rgb", info(30, 20, 24.0)) is None
    for number in range(3):
        now = number * 100 * MS
        pipe.push_message("rgb", image_message(PADDED, "rgb8", START + now), now)
        wall = image_message(np.ones((10, 15), np.float32), "32FC1", START + now)
        pipe.push_message("depth", wall, now)
        prediction = pipe.poll(now + 30 * MS)
        assert prediction is not None
        assert prediction.sensors == ("rgb", "depth"), prediction.frame_set.missing
        assert prediction.mask.shape == (24, 32)


def test_a_calibration_that_cannot_be_used_stops_the_start() -> None:
    wrong = RegistrationConfig("homography", homography="1 2 3")
    rig = RigConfig({**RIG.sensors, "depth": SensorConfig("d", "depth", registration=wrong)})
    with pytest.raises(ConfigError, match=r"rig\.sensors\.depth\.registration\.homography has 3"):
        pipeline(rig)
