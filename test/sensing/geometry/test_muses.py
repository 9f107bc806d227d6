"""LiDAR pictures of MUSES, counted by hand."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.inference.preprocess import planes
from anymodal_seg_ros.sensing.geometry.muses import muses_lidar_picture

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
