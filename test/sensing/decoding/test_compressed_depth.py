from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fixtures.messages import compressed_message
from fixtures.pictures import png, rvl, rvl_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.encodings import to_metres
from anymodal_seg_ros.sensing.decoding.payload import as_bytes
from anymodal_seg_ros.sensing.decoding.rvl import _BLOCK_WORDS, check_rvl_size, decode_rvl

Depth = npt.NDArray[np.uint16]
MILLIMETRES = np.random.default_rng(0).integers(0, 9000, (6, 8), np.uint16)
MILLIMETRES[1:3, 2:7] = 0
NO_PARAMETERS = struct.pack("<iff", -1, 0.0, 0.0)


def decode(data: bytes, format: str) -> Image:
    return decode_image(compressed_message(data, format))


def sized_rvl(depth: Depth) -> bytes:
    return struct.pack("<II", depth.shape[1], depth.shape[0]) + rvl(depth)


def quantised(metres: npt.NDArray[np.float32], z0: float, far: float) -> tuple[bytes, Depth]:
    """Quantise inverse depth as compressed_depth_image_transport does."""
    a = z0 * (z0 + 1.0)
    b = 1.0 - a / far
    inside = metres < far  # NaN is not
    values = np.where(inside, a / np.where(inside, metres, 1.0) + b, 0).astype(np.uint16)
    return struct.pack("<iff", 0, a, b), values


@pytest.mark.parametrize("encoding", ["16UC1", "mono16"])
@pytest.mark.parametrize(
    ("format", "write"),
    [
        ("{}; compressedDepth png", png),
        ("{}; compressedDepth", png),
        ("{};compressedDepth png", png),
        ("{}; CompressedDepth PNG", png),
        ("{}; compressedDepth rvl", png),
        ("{}; compressedDepth rvl", sized_rvl),
    ],
)
def test_millimetres_come_back_exactly(format: str, write: Any, encoding: str) -> None:
    image = decode(NO_PARAMETERS + write(MILLIMETRES), format.format(encoding))
    assert (image.height, image.width, image.encoding) == (6, 8, encoding)
    np.testing.assert_array_equal(image.pixels, MILLIMETRES)


@pytest.mark.parametrize(("words", "write"), [("png", png), ("rvl", sized_rvl)])
def test_inverse_depth_comes_back_within_its_quantisation(words: str, write: Any) -> None:
    metres = np.random.default_rng(1).uniform(0.3, 12.0, (6, 8)).astype(np.float32)
    metres[0, :3] = np.nan
    parameters, values = quantised(metres, z0=100.0, far=10.0)
    image = decode(parameters + write(values), f"32FC1; compressedDepth {words}")
    assert image.encoding == "32FC1"
    assert image.pixels.dtype == np.float32
    known = metres < 10.0
    # One step of the quantisation is depth^2 / a metres.
    error = np.abs(image.pixels[known] - metres[known])
    assert np.all(error <= metres[known] ** 2 / 10100.0 * 1.01)
    assert np.isnan(image.pixels[~known]).all()
    assert np.array_equal(np.isfinite(to_metres(image)), known)


def test_a_value_at_the_pole_of_the_quantisation_is_invalid_not_a_crash() -> None:
    parameters = struct.pack("<iff", 0, 10100.0, 5.0)
    values = np.array([[0, 4, 5, 6]], np.uint16)
    image = decode(parameters + png(values), "32FC1; compressedDepth png")
    np.testing.assert_allclose(to_metres(image), [[np.nan, np.nan, np.nan, 10100.0]])


@pytest.mark.parametrize(
    ("data", "format", "says"),
    [
        (png(MILLIMETRES), "32FC1; compressedDepth png", "data is a png without the header of c"),
        (NO_PARAMETERS, "16UC1; compressedDepth png", "data has 12 bytes: expected a compressed"),
        (NO_PARAMETERS + png(MILLIMETRES), "; compressedDepth png", "format is '; compressedDepth"),
        (NO_PARAMETERS + png(MILLIMETRES), "rgb8; compressedDepth", "expected '16UC1; compressedD"),
        (
            NO_PARAMETERS + png(MILLIMETRES.astype(np.uint8)),
            "16UC1; compressedDepth png",
            "data is a png of 1 channels of 8 bits: expected a grey 16-bit png",
        ),
        (
            struct.pack("<iff", 0, np.nan, 0) + png(MILLIMETRES),
            "32FC1; compressedDepth png",
            "data says depth is nan / (value - 0.0): expected finite numbers",
        ),
        (NO_PARAMETERS + struct.pack("<II", 0, 4), "16UC1; compressedDepth rvl", "size is 0x4"),
        (
            NO_PARAMETERS + struct.pack("<II", 60_000, 60_000),
            "16UC1; compressedDepth rvl",
            "size is 60000x60000",
        ),
        (
            NO_PARAMETERS + struct.pack("<II", 4000, 4000),
            "16UC1; compressedDepth rvl",
            "size is 4000x4000: expected at most 8388608 pixels in an rvl picture",
        ),
    ],
)
def test_what_cannot_be_decoded_is_named(data: bytes, format: str, says: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError) as caught:
            _ = decode(data, format).pixels
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert says in str(caught.value)


@given(
    arrays.arrays(
        np.uint16,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.one_of(st.just(0), st.integers(0, 12), st.integers(0, 65535)),
    )
)
def test_rvl_comes_back_exactly(depth: Depth) -> None:
    np.testing.assert_array_equal(decode_rvl(as_bytes(rvl(depth)), *depth.shape), depth)


def test_rvl_longer_than_a_block_comes_back_exactly() -> None:
    random = np.random.default_rng(2)
    depth = random.integers(0, 65536, (500, 900), np.uint16)
    depth[random.random(depth.shape) < 0.1] = 0
    stream = as_bytes(rvl(depth))
    assert stream.size > 2 * 4 * _BLOCK_WORDS
    np.testing.assert_array_equal(decode_rvl(stream, 500, 900), depth)


def test_an_empty_rvl_image_takes_a_few_bytes() -> None:
    assert not decode_rvl(as_bytes(rvl(np.zeros((480, 640), np.uint16))), 480, 640).any()


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ([], "ends after 0 of 8 pixels"),
        ([0, 1, 8**5], "ends after 1 of 8 pixels"),
        ([4, 0, 0, 0], "a run in it is empty"),
        ([9, 0], "its runs do not fill 8 pixels"),
        ([0, 20, 2, 2, 2], "its runs do not fill 8 pixels"),
        ([0, 8, 2, 2], "its runs do not fill 8 pixels"),
        ([1 << 29, 1 << 29], "its runs do not fill 8 pixels"),
        ([1 << 40], "a number in it has 14 nibbles"),
    ],
)
def test_damaged_rvl_is_refused(numbers: list[int], says: str) -> None:
    stream = rvl_of(numbers)
    with pytest.raises(DecodeError, match=says):
        decode_rvl(as_bytes(stream), 2, 4)


@given(data=st.binary(max_size=400), height=st.integers(-2, 70_000), width=st.integers(-2, 70_000))
def test_any_rvl_bytes_give_an_image_or_a_clear_error(data: bytes, height: int, width: int) -> None:
    tracemalloc.start()
    try:
        check_rvl_size(height, width)
        assert decode_rvl(as_bytes(data), height, width).shape == (height, width)
    except DecodeError as error:
        assert str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < (1 << 20) + 32 * max(0, height * width) * (height * width <= 1 << 23)


@pytest.mark.parametrize("form", ["16UC1; compressedDepth", "mono16; compressedDepth png"])
def test_counts_packed_by_hand_without_the_parameters(form: str) -> None:
    picture = png(MILLIMETRES)
    np.testing.assert_array_equal(decode(picture, form).pixels, MILLIMETRES)
    with pytest.raises(DecodeError, match="without the header of compressedDepth: expected 12"):
        decode(picture, "32FC1; compressedDepth png")
