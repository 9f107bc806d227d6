from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fixtures.manifests import small_manifest
from fixtures.messages import image_message

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.preprocess import batch, check_encoding, planes
from anymodal_seg_ros.sensing.decode import decode_image

MANIFEST = small_manifest()
SPECS = MANIFEST.modalities
RGB = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)


def test_colour_order_does_not_depend_on_the_encoding() -> None:
    expected = planes(Image(RGB, "rgb8"), SPECS["rgb"], 8, 12)
    assert expected.shape == (3, 8, 12)
    assert expected.dtype == np.float32
    bgr = decode_image(image_message(RGB[..., ::-1], "bgr8", padding=2))
    np.testing.assert_array_equal(planes(bgr, SPECS["rgb"], 8, 12), expected)


def test_colour_is_scaled_and_normalised_per_plane() -> None:
    spec = replace(SPECS["rgb"], mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    result = planes(Image(RGB, "rgb8"), spec, 16, 24)
    expected = (RGB / 255.0 - [0.1, 0.2, 0.3]) / [0.5, 1.0, 2.0]
    np.testing.assert_allclose(result, expected.transpose(2, 0, 1), atol=1e-6)


def test_thermal_counts_become_a_share_of_the_kelvin_range_whatever_the_byte_order() -> None:
    counts = np.array([[20_000, 25_000, 30_000, 35_000, 40_000]], np.uint16)
    for big_endian in (False, True):
        image = decode_image(image_message(counts, "mono16", big_endian=big_endian))
        result = planes(image, SPECS["thermal"], 1, 5)
        np.testing.assert_allclose(result, [[[0.0, 0.0, 0.5, 1.0, 1.0]]] * 3, atol=1e-5)


def test_big_endian_images_may_be_resized() -> None:
    counts = np.full((16, 24), 30_000, np.uint16)
    image = decode_image(image_message(counts, "mono16", big_endian=True))
    np.testing.assert_allclose(planes(image, SPECS["thermal"], 8, 12), 0.5, atol=1e-5)


def test_eight_bit_thermal_is_taken_as_it_is() -> None:
    grey = np.array([[0, 51, 255]], np.uint8)
    result = planes(Image(grey, "mono8"), SPECS["thermal"], 1, 3)
    np.testing.assert_allclose(result, [[[0.0, 0.2, 1.0]]] * 3, atol=1e-6)


def test_depth_gives_linear_inverse_and_valid_planes() -> None:
    metres = np.array([[25.0, 100.0, np.nan, 1.0]], np.float32)
    result = planes(Image(metres, "32FC1"), SPECS["depth"], 1, 4)
    np.testing.assert_allclose(result[0], [[0.5, 1.0, 0.0, 0.02]], atol=1e-6)
    np.testing.assert_allclose(result[1], [[1 / 26, 1 / 101, 0.0, 0.5]], atol=1e-6)
    np.testing.assert_array_equal(result[2], [[1, 1, 0, 1]])
    millimetres = np.array([[25_000, 65_535, 0, 1_000]], np.uint16)
    result = planes(Image(millimetres, "16UC1"), SPECS["depth"], 1, 4)
    np.testing.assert_array_equal(result[2], [[1, 0, 0, 1]])


def test_resizing_depth_invents_no_surface_between_near_and_far() -> None:
    metres = np.where(np.arange(24) % 2, 2.0, 40.0).astype(np.float32) * np.ones(
        (16, 1), np.float32
    )
    linear = planes(Image(metres, "32FC1"), SPECS["depth"], 5, 7)[0]
    assert np.all(np.isclose(linear, 0.04) | np.isclose(linear, 0.8))


def test_a_batch_keeps_the_order_and_the_ids() -> None:
    grey = Image(np.zeros((16, 24), np.uint8), "mono8")
    result = batch([("event", Image(RGB, "8UC3")), ("thermal", grey)], MANIFEST)
    assert result.images.shape == (2, 3, 8, 12)
    assert result.modality_ids.tolist() == [3, 1]
    expected = planes(Image(RGB, "8UC3"), SPECS["event"], 8, 12)
    np.testing.assert_array_equal(result.images[0], expected)


@pytest.mark.parametrize(
    ("modality", "encoding", "shape", "dtype"),
    [
        ("rgb", "mono16", (4, 4), np.uint16),
        ("rgb", "32FC1", (4, 4), np.float32),
        ("depth", "rgb8", (4, 4, 3), np.uint8),
        ("depth", "mono8", (4, 4), np.uint8),
        ("thermal", "32FC1", (4, 4), np.float32),
    ],
)
def test_an_encoding_that_cannot_serve_is_refused_at_the_edge(
    modality: str, encoding: str, shape: tuple[int, ...], dtype: type
) -> None:
    with pytest.raises(DecodeError, match=f"encoding {encoding} cannot be used"):
        check_encoding(Image(np.zeros(shape, dtype), encoding), SPECS[modality])
