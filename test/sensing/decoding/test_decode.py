from __future__ import annotations

import array
from types import SimpleNamespace

import numpy as np
import pytest
from fixtures.messages import image_message
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.config import CountsConfig
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.decoding.encodings import LAYOUTS, in_metres, to_metres, to_rgb


def random_pixels(encoding: str, height: int, width: int, seed: int = 0) -> np.ndarray:
    layout = LAYOUTS[encoding]
    shape = (height, width) if layout.channels == 1 else (height, width, layout.channels)
    random = np.random.default_rng(seed)
    if layout.dtype.kind == "f":
        return random.uniform(-5, 80, shape).astype(layout.dtype)
    return random.integers(0, np.iinfo(layout.dtype).max, shape, layout.dtype, endpoint=True)


@given(
    encoding=st.sampled_from(sorted(LAYOUTS)),
    height=st.integers(1, 7),
    width=st.integers(1, 9),
    padding=st.integers(0, 5),
    big_endian=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_layout_gives_the_pixels_that_were_sent(
    encoding: str, height: int, width: int, padding: int, big_endian: bool, seed: int
) -> None:
    pixels = random_pixels(encoding, height, width, seed)
    message = image_message(pixels, encoding, padding=padding, big_endian=big_endian)
    image = decode_image(message)
    np.testing.assert_array_equal(image.pixels, pixels)
    assert (image.height, image.width, image.encoding) == (height, width, encoding)


@pytest.mark.parametrize("encoding", ["rgb8", "mono8", "16UC1", "rgb16", "32FC1"])
@pytest.mark.parametrize("step", ["zero", "pixels", "samples", "all the data"])
def test_a_step_that_drivers_leave_wrong_says_nothing_of_full_rows(
    encoding: str, step: str
) -> None:
    pixels = random_pixels(encoding, 5, 7)
    message = image_message(pixels, encoding)
    message.step = {
        "zero": 0,
        "pixels": 7,
        "samples": 7 * LAYOUTS[encoding].channels,
        "all the data": len(message.data),
    }[step]
    np.testing.assert_array_equal(decode_image(message).pixels, pixels)


def test_width_and_height_that_were_changed_over_are_noticed() -> None:
    message = image_message(random_pixels("rgb8", 4, 6), "rgb8")
    message.width, message.height = 4, 6
    with pytest.raises(DecodeError, match="expected step x height = 18 x 6"):
        decode_image(message)


@pytest.mark.parametrize("kind", ["bytes", "array", "ndarray", "memoryview"])
def test_decoding_copies_nothing_and_cannot_be_written_through(kind: str) -> None:
    message = image_message(random_pixels("rgb8", 4, 6), "rgb8")
    raw = np.frombuffer(message.data, np.uint8).copy()
    message.data = {
        "bytes": raw.tobytes,
        "array": lambda: array.array("B", raw.tobytes()),
        "ndarray": lambda: raw,
        "memoryview": lambda: memoryview(raw.tobytes()),
    }[kind]()
    pixels = decode_image(message).pixels
    assert np.shares_memory(pixels, np.frombuffer(message.data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"encoding": "rgb9"}, "encoding is 'rgb9': expected rgb8, bgr8"),
        ({"height": 0}, "size is 6x0"),
        ({"width": 100_000}, "size is 100000x4"),
        ({"step": 17}, "step is 17: expected at least 18"),
        ({"step": 19}, "data has 72 bytes: expected step x height = 19 x 4 = 76"),
        ({"data": b""}, "data has 0 bytes"),
        ({"data": "text"}, "data is a str: expected bytes"),
        ({"data": np.zeros(72, np.float64)}, "data is an array of float64"),
    ],
)
def test_bad_fields_are_named_with_value_and_mend(change: dict[str, object], says: str) -> None:
    message = image_message(random_pixels("rgb8", 4, 6), "rgb8")
    vars(message).update(change)
    with pytest.raises(DecodeError) as caught:
        decode_image(message)
    assert says in str(caught.value)


@given(
    encoding=st.sampled_from([*sorted(LAYOUTS), "", "yuv"]),
    height=st.integers(-3, 40),
    width=st.integers(-3, 40),
    step=st.integers(-3, 200),
    endian=st.integers(0, 255),
    data=st.binary(max_size=300),
)
def test_any_bytes_give_an_image_or_a_clear_error(
    encoding: str, height: int, width: int, step: int, endian: int, data: bytes
) -> None:
    message = SimpleNamespace(
        encoding=encoding, height=height, width=width, step=step, is_bigendian=endian, data=data
    )
    try:
        pixels = decode_image(message).pixels
    except DecodeError as error:
        assert "expected" in str(error)
    else:
        assert pixels.shape[:2] == (height, width)
        pixels.sum()  # touches every byte that the view covers


@pytest.mark.parametrize(("sec", "nanosec"), [(0, 0), (-1, 5), (3, 1_000_000_000)])
def test_impossible_stamps_are_refused(sec: int, nanosec: int) -> None:
    header = SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec))
    with pytest.raises(DecodeError, match=f"stamp is {sec} s {nanosec} ns"):
        stamp_ns(header)


def test_colour_order_is_mended_and_rgb_is_passed_through() -> None:
    rgb = random_pixels("rgb8", 3, 5)
    alpha = np.full((3, 5, 1), 7, np.uint8)
    assert to_rgb(Image(rgb, "rgb8")) is rgb
    for encoding, pixels in {
        "bgr8": rgb[..., ::-1],
        "rgba8": np.concatenate([rgb, alpha], axis=2),
        "bgra8": np.concatenate([rgb[..., ::-1], alpha], axis=2),
    }.items():
        image = decode_image(image_message(pixels, encoding, padding=3))
        np.testing.assert_array_equal(to_rgb(image), rgb)


@pytest.mark.parametrize("big_endian", [False, True])
def test_depth_becomes_metres_and_every_kind_of_invalid_becomes_nan(big_endian: bool) -> None:
    millimetres = np.array([[0, 1500, 65535]], np.uint16)
    image = decode_image(image_message(millimetres, "16UC1", big_endian=big_endian))
    np.testing.assert_allclose(to_metres(image), [[np.nan, 1.5, np.nan]])
    metres = np.array([[np.nan, 2.5, np.inf, -1.0, 0.0]], np.float32)
    image = decode_image(image_message(metres, "32FC1", big_endian=big_endian))
    np.testing.assert_allclose(to_metres(image), [[np.nan, 2.5, np.nan, np.nan, np.nan]])


@pytest.mark.parametrize(
    ("encoding", "sent", "counts"),
    [
        ("16UC1", 1500, {}),
        ("16UC1", 15000, {"per_count": 0.0001}),
        ("16UC1", 500, {"per_count": 0.001, "offset": 1.0}),
        ("32FC1", 1.5, {}),
        ("32FC1", 1500, {"per_count": 0.001}),
        ("64FC1", 15, {"per_count": 0.1}),
    ],
)
def test_depth_of_any_unit_becomes_metres(
    encoding: str, sent: float, counts: dict[str, float]
) -> None:
    pixels = np.array([[0, sent]], LAYOUTS[encoding].dtype)
    metres = to_metres(in_metres(Image(pixels, encoding), CountsConfig(**counts)))
    np.testing.assert_allclose(metres, [[np.nan, 1.5]], rtol=1e-6)
