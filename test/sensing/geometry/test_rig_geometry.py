"""What a rig makes of CameraInfo messages that come again and again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anymodal_seg_ros.config import RegistrationConfig, SensorConfig
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.geometry.rig_geometry import RigGeometry


def geometry() -> RigGeometry:
    registration = RegistrationConfig(camera_info="rgb/camera_info")
    return RigGeometry({"rgb": SensorConfig("rgb", "rgb", registration=registration)})


def info(focal: float = 500.0, cx: float = 320.0, **changes: Any) -> SimpleNamespace:
    fields = {
        "width": 640,
        "height": 480,
        "distortion_model": "plumb_bob",
        "d": [-0.2, 0.05, 0.0, 0.0, 0.0],
        "k": [focal, 0.0, cx, 0.0, focal, 240.0, 0.0, 0.0, 1.0],
        "r": [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
        "p": [focal, 0, cx, 0, 0, focal, 240, 0, 0, 0, 1, 0],
    }
    return SimpleNamespace(**{**fields, **changes})


def test_a_camera_that_jitters_within_a_tenth_of_a_pixel_is_one_camera() -> None:
    rig, dice = geometry(), np.random.default_rng(3)
    rig.take_camera_info("rgb", info())
    kept = rig.camera("rgb")
    for jitter in dice.uniform(-0.03, 0.03, (50, 2)):
        rig.take_camera_info("rgb", info(500.0 + jitter[0], 320.0 + jitter[1]))
    assert (rig.generation, rig.camera("rgb")) == (1, kept)


def test_slow_drift_is_followed_once_it_has_added_up() -> None:
    rig = geometry()
    for step in range(100):
        rig.take_camera_info("rgb", info(cx=320.0 + 0.01 * step))
        assert abs(rig.camera("rgb").matrix[0, 2] - (320.0 + 0.01 * step)) <= 0.1 + 1e-9
    assert 8 <= rig.generation <= 11


def test_a_real_change_is_taken_and_a_broken_message_changes_nothing() -> None:
    rig = geometry()
    for message in (info(), info(focal=502.0), info(width=641), info(d=[0.0] * 5)):
        rig.take_camera_info("rgb", message)
    assert rig.generation == 4
    for broken in (info(k=[float("nan")] * 9), info(d=[1e155] * 8), info(d=[0.1] * 10**6)):
        for _ in range(2):
            with pytest.raises(CalibrationError):
                rig.take_camera_info("rgb", broken)
    assert rig.generation == 4


def test_a_message_of_another_type_is_refused_as_a_calibration() -> None:
    with pytest.raises(CalibrationError, match="width is missing"):
        geometry().take_camera_info("rgb", SimpleNamespace(data="hello"))


FULL_HD = {"width": 1920, "height": 1080, "k": [900.0, 0, 960, 0, 900, 540, 0, 0, 1]}


@pytest.mark.parametrize("size_first", [True, False])
def test_a_picture_that_an_encoder_padded_has_the_same_camera_and_more_rows(
    size_first: bool,
) -> None:
    rig, message = geometry(), info(**FULL_HD)
    steps = [
        lambda: rig.take_camera_info("rgb", message),
        lambda: rig.take_size("rgb", 1088, 1920),
    ]
    for step in reversed(steps) if size_first else steps:
        step()
    rig.check_shape("rgb", 1088, 1920)
    camera, generation = rig.camera("rgb"), rig.generation
    assert (camera.width, camera.height) == (1920, 1088)
    assert camera.matrix.ravel().tolist() == FULL_HD["k"]
    rig.take_size("rgb", 1088, 1920)
    rig.take_camera_info("rgb", message)
    assert rig.generation == generation, "nothing is made anew for pictures like those before"
    rig.take_size("rgb", 1080, 1920)  # now its decoder cuts them
    assert (rig.camera("rgb").height, rig.generation) == (1080, generation + 1)


@pytest.mark.parametrize("size", [(544, 960), (1088, 1936), (1096, 1920), (1072, 1920), (1, 1)])
def test_pictures_of_other_sizes_were_not_padded(size: tuple[int, int]) -> None:
    rig = geometry()
    rig.take_camera_info("rgb", info(**FULL_HD))
    rig.take_size("rgb", *size)
    assert (rig.camera("rgb").height, rig.generation) == (1080, 1)


def test_a_lens_that_shows_nothing_where_the_padding_would_be_keeps_its_size() -> None:
    """Of a camera that cannot be, but that anybody can tell of: no mask is to fail of it."""
    rig = geometry()
    tiny = {"width": 9, "height": 9, "k": [9.0, 0, 4, 0, 9, 4, 0, 0, 1]}
    rig.take_camera_info("rgb", info(**tiny, d=[-0.2, 0, 0, 0, 0]))
    rig.take_size("rgb", 16, 16)
    assert (rig.camera("rgb").height, rig.generation) == (9, 1)


def test_what_a_camera_sends_stays_known_when_the_parameters_change() -> None:
    rig, after = geometry(), geometry()
    rig.take_camera_info("rgb", info(**FULL_HD))
    rig.take_size("rgb", 1088, 1920)
    after.take_cameras_of(rig)
    assert after.camera("rgb").height == 1088
    after.take_size("rgb", 1080, 1920)
    assert after.camera("rgb").height == 1080
