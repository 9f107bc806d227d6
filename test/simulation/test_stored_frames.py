"""What files hold of a frame, and the hash of it."""

from __future__ import annotations

import numpy as np
import pytest

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.simulation.dataset.digest import frame_digest
from anymodal_seg_ros.simulation.dataset.stored import restored, stored

RNG = np.random.default_rng(3)


def test_counts_and_colours_are_stored_as_they_are() -> None:
    images = {
        "rgb": Image(RNG.integers(0, 256, (6, 8, 3), np.uint8), "rgb8"),
        "event": Image(RNG.integers(0, 256, (6, 8, 3), np.uint8), "8UC3"),
        "thermal": Image(RNG.integers(0, 65536, (6, 8), np.uint16), "mono16"),
    }
    for modality, image in images.items():
        again = restored(modality, stored(modality, image))
        assert again.encoding == image.encoding
        np.testing.assert_array_equal(again.pixels, image.pixels)


def test_depth_is_stored_in_millimetres_and_0_where_it_is_unknown() -> None:
    metres = np.array([[0.4, 59.9996, np.nan, np.inf, 70.0]], np.float32)
    pixels = stored("depth", Image(metres, "32FC1"))
    assert pixels.dtype == np.uint16
    assert pixels.tolist() == [[400, 60000, 0, 0, 0]]
    assert restored("depth", pixels).encoding == "16UC1"


def test_a_lidar_image_comes_back_but_for_the_last_bits() -> None:
    ranges = np.linspace(0.8, 100.0, 400, dtype=np.float32).reshape(20, 20)
    heights = np.linspace(-2.5, 10.0, 400, dtype=np.float32).reshape(20, 20)
    strength = np.linspace(0.0, 255.0, 400, dtype=np.float32).reshape(20, 20)
    image = np.stack([ranges, heights, strength], -1)
    image[3:7] = np.nan
    again = restored("lidar", stored("lidar", Image(image, "32FC3"))).pixels
    assert np.isnan(again[3:7]).all()
    error = np.abs(again - image)
    known = ~np.isnan(image[..., 0])
    # Half a step of sqrt(range): 4.3 % of a metre at 10 m, 0.43 m at 100 m.
    assert (error[known][:, 0] <= 0.0432 * np.sqrt(ranges[known] / 1.0) + 1e-3).all()
    assert error[known][:, 1].max() <= 16.0 / 254 / 2 + 1e-5
    assert error[known][:, 2].max() <= 255.0 / 254 / 2 + 1e-4


def test_what_cannot_be_stored_is_refused() -> None:
    with pytest.raises(ConfigError, match="sonar"):
        stored("sonar", Image(np.zeros((2, 2), np.uint8), "mono8"))
    with pytest.raises(ConfigError, match="mono8"):
        stored("rgb", Image(np.zeros((2, 2), np.uint8), "mono8"))


def test_the_hash_follows_every_pixel_name_and_label_and_nothing_else() -> None:
    pixels = {"rgb": np.zeros((2, 3, 3), np.uint8), "thermal": np.ones((2, 3), np.uint16)}
    labels = np.zeros((2, 3), np.uint8)
    base = frame_digest(pixels, labels)
    assert frame_digest(dict(reversed(pixels.items())), labels) == base
    assert frame_digest(pixels | {"thermal": np.ones((2, 3), ">u2")}, labels) == base
    strided = np.zeros((2, 6, 3), np.uint8)[:, ::2]
    assert frame_digest(pixels | {"rgb": strided}, labels) == base
    changed = pixels["thermal"].copy()
    changed[1, 2] += 1
    others = [
        frame_digest(pixels | {"thermal": changed}, labels),
        frame_digest(pixels, labels + np.uint8(1)),
        frame_digest({"rgb": pixels["rgb"], "warmth": pixels["thermal"]}, labels),
        frame_digest({"rgb": pixels["rgb"]}, labels),
    ]
    assert len({base, *others}) == 5
