from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fixtures.manifests import small_manifest
from fixtures.messages import compressed_message, image_message, raw_message
from fixtures.pictures import png

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.masks.visualize import viewable
from anymodal_seg_ros.inference.preprocess import (
    ByteBatch,
    batch,
    byte_planes,
    check_encoding,
    planes,
)
from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.encodings import LAYOUTS

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


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8", "rgba8", "rgb16", "bgr16"])
def test_pictures_of_8_bits_are_normalised_later_to_the_same_bit(encoding: str) -> None:
    dtype = np.uint16 if encoding.endswith("16") else np.uint8
    channels = {"mono8": (), "rgba8": (4,)}.get(encoding, (3,))
    pixels = np.random.default_rng(1).integers(0, 256, (48, 72, *channels)).astype(dtype)
    image, spec = Image(pixels, encoding), replace(SPECS["rgb"], mean=(0.4,) * 3, std=(0.2,) * 3)
    made = byte_planes(image, spec, 16, 24)
    assert made is not None and made.pixels.dtype == np.uint8
    expected = planes(image, spec, 16, 24)
    np.testing.assert_array_equal(made.normalised(), expected)
    several = ByteBatch([made, made])
    np.testing.assert_array_equal(several.images, np.stack([expected] * 2))
    assert several.images is several.images, "once"
    assert several.modality_ids.tolist() == [spec.id] * 2


def test_planes_that_are_no_picture_of_8_bits() -> None:
    counts = Image(np.full((8, 12), 30_000, np.uint16), "mono16")
    grey = Image(np.full((8, 12), 30, np.uint8), "mono8")
    assert byte_planes(counts, SPECS["thermal"], 8, 12) is None
    assert byte_planes(grey, SPECS["thermal"], 8, 12) is None
    assert byte_planes(counts, SPECS["depth"], 8, 12) is None
    with pytest.raises(DecodeError, match="mono16 cannot be used as color"):
        byte_planes(counts, SPECS["rgb"], 8, 12)
    for make in (planes, byte_planes):
        with pytest.raises(DecodeError, match="with the intrinsics of their camera"):
            make(counts, replace(SPECS["depth"], planes="hha"), 8, 12)


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


def test_raw_thermal_is_a_share_of_all_counts() -> None:
    spec = replace(SPECS["thermal"], thermal_mode="raw")
    counts = Image(np.array([[0, 13_107, 65_535]], np.uint16), "16UC1")
    np.testing.assert_allclose(planes(counts, spec, 1, 3), [[[0.0, 0.2, 1.0]]] * 3, atol=1e-6)
    grey = Image(np.array([[0, 51, 255]], np.uint8), "mono8")
    np.testing.assert_allclose(planes(grey, spec, 1, 3), [[[0.0, 0.2, 1.0]]] * 3, atol=1e-6)


@pytest.mark.parametrize(("dtype", "encoding"), [(np.uint16, "mono16"), (np.uint8, "mono8")])
def test_percentile_thermal_depends_on_order_and_not_on_gain_or_offset(
    dtype: type, encoding: str
) -> None:
    spec = replace(SPECS["thermal"], thermal_mode="percentile", percentiles=(10.0, 90.0))
    ramp = np.arange(101, dtype=dtype).reshape(1, -1)
    expected = np.clip((np.arange(101) - 10) / 80, 0, 1)
    for values in (ramp, ramp + dtype(77), ramp * dtype(2)):
        result = planes(Image(values, encoding), spec, 1, 101)
        np.testing.assert_allclose(result, [[expected]] * 3, atol=1e-5)


def test_percentile_thermal_makes_no_noise_of_an_even_image() -> None:
    spec = replace(SPECS["thermal"], thermal_mode="percentile")
    result = planes(Image(np.full((8, 12), 30_000, np.uint16), "mono16"), spec, 8, 12)
    np.testing.assert_array_equal(result, 0.0)


@pytest.mark.parametrize("mode", ["kelvin_range", "percentile", "raw"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_thermal_modes_give_shares_for_any_count(mode: str, big_endian: bool) -> None:
    spec = replace(SPECS["thermal"], thermal_mode=mode)
    counts = np.random.default_rng(1).integers(0, 65536, (16, 24), np.uint16)
    image = decode_image(image_message(counts, "16UC1", padding=1, big_endian=big_endian))
    result = planes(image, spec, 8, 12)
    assert np.array_equal(result, planes(Image(counts, "16UC1"), spec, 8, 12))
    assert result.min() >= 0.0
    assert result.max() <= 1.0


def test_sixteen_bit_colours_serve_as_colour() -> None:
    wide = RGB.astype(np.uint16) * 257
    expected = planes(Image(RGB, "rgb8"), SPECS["rgb"], 16, 24)
    for encoding, pixels in {
        "rgb16": wide,
        "bgr16": wide[..., ::-1],
        "rgba16": np.dstack([wide, wide[..., 0]]),
        "bgra16": np.dstack([wide[..., ::-1], wide[..., 0]]),
    }.items():
        for padding in (0, 1, 2):  # a step that is no multiple of two misleads OpenCV
            message = image_message(pixels, encoding, padding=padding, big_endian=padding == 2)
            result = planes(decode_image(message), SPECS["rgb"], 16, 24)
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_resizing_reads_the_same_pixels_whatever_the_padding(padding: int) -> None:
    counts = np.random.default_rng(2).integers(27_000, 32_000, (16, 24), np.uint16)
    image = decode_image(image_message(counts, "mono16", padding=padding))
    expected = planes(Image(counts, "mono16"), SPECS["thermal"], 8, 12)
    np.testing.assert_array_equal(planes(image, SPECS["thermal"], 8, 12), expected)


def test_a_bayer_image_is_demosaiced_before_it_is_resized() -> None:
    tile = np.array([[200, 100], [100, 50]], np.uint8)
    rows = np.tile(tile, (8, 12))
    image = decode_image(raw_message(rows, 16, 24, "bayer_rggb8"))
    check_encoding(image, SPECS["rgb"])
    result = planes(image, SPECS["rgb"], 5, 7)
    for plane, value in zip(result, (200, 100, 50), strict=True):
        np.testing.assert_allclose(plane, value / 255, atol=1e-6)


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


def lidar_image(*pixels: tuple[float, float, float]) -> Image:
    return Image(np.array([pixels], np.float32), "32FC3")


def test_lidar_gives_nearness_height_and_intensity_and_nothing_where_nothing_returned() -> None:
    nothing = (np.nan, np.nan, np.nan)
    image = lidar_image((25.0, 1.0, 50.0), nothing, (80.0, -9.0, 200.0), (5.0, 5.0, 0.0))
    result = planes(image, SPECS["lidar"], 1, 4)
    np.testing.assert_allclose(result[0], [[0.5, 0.0, 0.0, 0.9]], atol=1e-6)
    np.testing.assert_allclose(result[1], [[0.5, 0.0, 0.0, 1.0]], atol=1e-6)
    np.testing.assert_allclose(result[2], [[0.5, 0.0, 1.0, 0.0]], atol=1e-6)
    spec = replace(SPECS["lidar"], mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    np.testing.assert_allclose(planes(image, spec, 1, 4), 2 * result - 1, atol=1e-6)


def test_lidar_takes_what_is_no_number_as_nothing() -> None:
    strange = lidar_image(
        (np.inf, 1.0, 1.0), (-1.0, 1.0, 1.0), (0.0, 1.0, 1.0), (25.0, np.nan, np.inf)
    )
    result = planes(strange, SPECS["lidar"], 1, 4)
    np.testing.assert_array_equal(result[:, :, :3], 0.0)
    np.testing.assert_allclose(result[:, 0, 3], [0.5, 0.0, 1.0])


def test_resizing_lidar_mixes_no_return_with_its_neighbour() -> None:
    """Each pixel that comes out was there before: neither averages nor edges of NaN."""
    rng = np.random.default_rng(0)
    pixels = rng.uniform(1.0, 40.0, (16, 24, 3)).astype(np.float32)
    pixels[rng.random((16, 24)) < 0.7] = np.nan
    whole = planes(Image(pixels, "32FC3"), SPECS["lidar"], 16, 24)
    known = {column.tobytes() for column in whole.reshape(3, -1).T}
    for size in ((8, 12), (5, 7), (32, 48)):
        small = planes(Image(pixels, "32FC3"), SPECS["lidar"], *size)
        assert {column.tobytes() for column in small.reshape(3, -1).T} <= known


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
        ("thermal", "32FC3", (4, 4, 3), np.float32),
        ("thermal", "16UC3", (4, 4, 3), np.uint16),
        ("rgb", "8SC1", (4, 4), np.int8),
        ("rgb", "8UC2", (4, 4, 2), np.uint8),
        ("rgb", "8UC4", (4, 4, 4), np.uint8),
        ("lidar", "32FC1", (4, 4), np.float32),
        ("lidar", "rgb8", (4, 4, 3), np.uint8),
        ("depth", "32FC3", (4, 4, 3), np.float32),
        ("depth", "16SC1", (4, 4), np.int16),
        ("depth", "32SC1", (4, 4), np.int32),
    ],
)
def test_an_encoding_that_cannot_serve_is_refused_at_the_edge(
    modality: str, encoding: str, shape: tuple[int, ...], dtype: type
) -> None:
    with pytest.raises(DecodeError, match=f"encoding {encoding} cannot be used"):
        check_encoding(Image(np.zeros(shape, dtype), encoding), SPECS[modality])


@pytest.mark.parametrize("modality", ["rgb", "thermal", "depth", "lidar"])
@pytest.mark.parametrize("encoding", sorted(LAYOUTS))
def test_whatever_the_check_lets_pass_becomes_finite_planes(encoding: str, modality: str) -> None:
    layout = LAYOUTS[encoding]
    shape = (6, 8) if layout.channels == 1 else (6, 8, layout.channels)
    random = np.random.default_rng(3)
    pixels = random.integers(0, 256, (*shape, layout.dtype.itemsize), np.uint8).view(layout.dtype)
    image = Image(pixels.reshape(shape), encoding)
    try:
        check_encoding(image, SPECS[modality])
    except DecodeError:
        with pytest.raises(DecodeError):
            planes(image, SPECS[modality], 4, 5)
    else:
        assert np.isfinite(planes(image, SPECS[modality], 4, 5)).all()
        assert viewable(image).shape == (6, 8, 3)


def test_the_check_does_not_unpack() -> None:
    image = decode_image(compressed_message(png(RGB)[:-30] + png(RGB)[-12:], "png"))
    check_encoding(image, SPECS["rgb"])
    with pytest.raises(DecodeError, match="cannot be used as depth"):
        check_encoding(image, SPECS["depth"])
    with pytest.raises(DecodeError, match="data is a png picture without an end"):
        planes(image, SPECS["rgb"], 8, 12)
