"""Pictures of MUSES, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fixtures.calibrations import write_camera_info

from anymodal_seg_ros.config import RegistrationConfig, SensorConfig
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.inference.preprocess import planes
from anymodal_seg_ros.sensing.events.render import COUNT_LEVELS
from anymodal_seg_ros.sensing.geometry.cameras import Camera
from anymodal_seg_ros.sensing.geometry.muses import muses_event_picture, muses_lidar_picture
from anymodal_seg_ros.sensing.geometry.registration import Registrar

EMPTY = 58
"""100 * 150 in 16 bits is 15000, the upper byte of which is 58."""


def one_point(reach: float, height: float, intensity: float) -> Image:
    pixels = np.full((6, 8, 3), np.nan, np.float32)
    pixels[2, 3] = reach, height, intensity
    return Image(pixels, "32FC3")


def test_height_intensity_and_range_are_the_upper_bytes_of_what_the_sdk_stores() -> None:
    picture = muses_lidar_picture(one_point(20.0, -1.5, 30.0), 255.0)
    assert picture.encoding == "rgb8"
    # 98.5 * 150 = 14775, 130 * 150 = 19500, 120 * 150 = 18000
    assert picture.pixels[2, 3].tolist() == [57, 76, 70]
    picture.pixels[2, 3] = EMPTY
    assert (picture.pixels == EMPTY).all()


def test_an_intensity_of_another_unit_is_brought_to_the_data_sets() -> None:
    ours, theirs = (
        muses_lidar_picture(one_point(20.0, 0.0, strength), most)
        for strength, most in ((0.5, 1.0), (127.5, 255.0))
    )
    assert np.array_equal(ours.pixels, theirs.pixels)


def test_what_is_nearer_than_a_metre_is_left_out() -> None:
    assert (muses_lidar_picture(one_point(0.9, 0.1, 90.0), 255.0).pixels == EMPTY).all()


def test_no_lone_point_is_lost_where_the_picture_shrinks() -> None:
    spec = ModalitySpec(0, "muses_lidar", (0, 0, 0), (1 / 255, 1 / 255, 1 / 255))
    for column in range(30):
        pixels = np.full((32, 30, 3), np.nan, np.float32)
        pixels[10, column] = 60.0, 1.0, 250.0
        made = planes(Image(pixels, "32FC3"), spec, 32, 16)
        assert made[1].max() > EMPTY + 30, column
        np.testing.assert_allclose(np.median(made, axis=(1, 2)), EMPTY, atol=1e-4)


def rendered(on: np.ndarray, off: np.ndarray) -> Image:
    recent = np.where((on > 0) | (off > 0), 200, 0)
    return Image(
        np.stack([COUNT_LEVELS[on], COUNT_LEVELS[off], recent], 2).astype(np.uint8), "8UC3"
    )


def test_the_nodes_image_of_events_tells_how_many_there_were() -> None:
    on, off = np.array([[0, 1, 2, 11, 40]]), np.array([[3, 0, 10, 1, 0]])
    picture = muses_event_picture(rendered(on, off))
    assert picture.encoding == "rgb8"
    assert not picture.pixels[..., 0].any()
    assert picture.pixels[0, :, 1].tolist() == [3, 0, 10, 1, 0]
    assert picture.pixels[0, :, 2].tolist() == [0, 1, 2, 11, 13], "more cannot be told apart"
    assert muses_event_picture(picture) is picture


def test_events_are_added_up_where_the_colour_camera_sees_them(tmp_path: Path) -> None:
    """The event camera has twice the pixels in the same view: four of them are one of the other."""
    cameras = {
        "rgb": Camera(8, 6, np.array([[8.0, 0, 3.5], [0, 8.0, 2.5], [0, 0, 1]])),
        "event": Camera(16, 12, np.array([[16.0, 0, 7.5], [0, 16.0, 5.5], [0, 0, 1]])),
    }
    sensors = {}
    for name, camera in cameras.items():
        calibration = write_camera_info(camera, tmp_path / f"{name}.yaml")
        method, extrinsics = ("resize", "") if name == "rgb" else ("cameras", "0 0 0 0 0 0 1")
        registration = RegistrationConfig(method, calibration=calibration, extrinsics=extrinsics)
        sensors[name] = SensorConfig(name, name, registration=registration)
    registrar = Registrar(sensors, 4, 4, counted=["event"])
    on = np.arange(192).reshape(12, 16) % 5
    picture = muses_event_picture(rendered(on, np.zeros_like(on)))
    brought = registrar.bring("event", picture, "rgb")
    assert brought.covered == 1.0
    expected = on.reshape(6, 2, 8, 2).sum((1, 3))
    np.testing.assert_array_equal(brought.image.pixels[..., 2], expected)
    assert not brought.image.pixels[..., :2].any()
