from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from fixtures.messages import raw_message
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import DeferredImage
from anymodal_seg_ros.sensing.decoding.camera_formats import CAMERA_FORMATS
from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.encodings import to_rgb

Array = npt.NDArray[np.generic]
BAYER = [name for name in CAMERA_FORMATS if name.startswith("bayer_")]
YUV = [name for name in CAMERA_FORMATS if name not in BAYER]
PACKED = {
    "uyvy": "uyvy",
    "yuv422": "uyvy",
    "yuyv": "yuyv",
    "yuv422_yuy2": "yuyv",
}


def noise(shape: tuple[int, ...], dtype: str = "u1", seed: int = 0) -> npt.NDArray[np.uint8]:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, shape, dtype, endpoint=True)


def luma(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Return what limited range allows; below 16, conversions differ in where they clip."""
    return np.random.default_rng(1).integers(16, 236, shape, np.uint8)


def padded(rows: Array, padding: int) -> npt.NDArray[np.uint8]:
    flat = np.ascontiguousarray(rows).reshape(rows.shape[0], -1).view(np.uint8)
    return np.hstack([flat, np.full((flat.shape[0], padding), 0xAB, np.uint8)])


def bilinear(mosaic: Array, pattern: str) -> Array:
    """Demosaic as the textbook says: the mean of the nearest samples of each colour, interior."""
    height, width = mosaic.shape
    rgb = np.zeros((height, width, 3), np.int64)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            near: dict[str, dict[int, list[int]]] = {"r": {}, "g": {}, "b": {}}
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    color = pattern[2 * ((y + dy) % 2) + (x + dx) % 2]
                    distance = abs(dy) + abs(dx)
                    near[color].setdefault(distance, []).append(int(mosaic[y + dy, x + dx]))
            for channel, color in enumerate("rgb"):
                values = near[color][min(near[color])]
                rgb[y, x, channel] = (sum(values) + len(values) // 2) // len(values)
    return rgb


def yuv_to_rgb(y: Array, u: Array, v: Array) -> Array:
    """Convert planes of equal size by the definition of BT.601 (limited range)."""
    luma = (y.astype(float) - 16) / 219
    blue, red = (u.astype(float) - 128) / 224, (v.astype(float) - 128) / 224
    r, b = luma + 1.402 * red, luma + 1.772 * blue
    g = (luma - 0.299 * r - 0.114 * b) / 0.587
    return np.clip(np.rint(np.stack([r, g, b], axis=-1) * 255), 0, 255)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 6])
@pytest.mark.parametrize("name", BAYER)
def test_bayer_is_demosaiced_whatever_pattern_depth_padding_and_byte_order(
    name: str, padding: int, big_endian: bool
) -> None:
    pattern, dtype = name[6:10], "u2" if name.endswith("16") else "u1"
    mosaic = noise((9, 12), dtype)
    stored = mosaic.astype(mosaic.dtype.newbyteorder(">" if big_endian else "<"))
    message = raw_message(padded(stored, padding), 9, 12, name, big_endian=big_endian)
    image = decode_image(message)
    assert image.encoding == f"rgb{8 * mosaic.dtype.itemsize}"
    inside = (slice(1, -1), slice(1, -1))
    np.testing.assert_array_equal(image.pixels[inside], bilinear(mosaic, pattern)[inside])


@pytest.mark.parametrize("name", BAYER)
def test_an_even_colour_survives_demosaicing_to_the_very_border(name: str) -> None:
    color = {"r": 200, "g": 100, "b": 50}
    dtype = np.uint16 if name.endswith("16") else np.uint8
    tile = np.array([color[c] for c in name[6:10]], dtype).reshape(2, 2)
    mosaic = np.tile(tile, (4, 5))
    pixels = decode_image(raw_message(padded(mosaic, 0), 8, 10, name)).pixels
    assert np.unique(pixels.reshape(-1, 3), axis=0).tolist() == [[200, 100, 50]]


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("name", PACKED)
def test_packed_yuv_becomes_rgb(name: str, padding: int) -> None:
    y, u, v = luma((5, 8)), noise((5, 4), seed=2), noise((5, 4), seed=3)
    order = {"uyvy": [u, y[:, ::2], v, y[:, 1::2]], "yuyv": [y[:, ::2], u, y[:, 1::2], v]}
    rows = np.stack(order[PACKED[name]], axis=-1).reshape(5, 16)
    image = decode_image(raw_message(padded(rows, padding), 5, 8, name))
    assert image.encoding == "rgb8"
    expected = yuv_to_rgb(y, u.repeat(2, axis=1), v.repeat(2, axis=1))
    np.testing.assert_allclose(image.pixels, expected, atol=1.01)


@pytest.mark.parametrize("layout", ["plain", "padded", "divided"])
@pytest.mark.parametrize("name", ["nv12", "nv21", "nv24"])
def test_planar_yuv_becomes_rgb_in_every_layout_that_drivers_choose(name: str, layout: str) -> None:
    height, width, halves = 6, 8, 1 if name == "nv24" else 2
    y = luma((height, width))
    u = noise((height // halves, width // halves), seed=2)
    v = noise(u.shape, seed=3)
    chroma = np.stack([v, u] if name == "nv21" else [u, v], axis=-1)
    rows = np.vstack([y, chroma.reshape(-1, width)])
    if layout == "padded":  # a row of nv24's chroma is twice as long, and so is its padding
        beside = padded(chroma.reshape(len(chroma), -1), 5 * (2 if name == "nv24" else 1))
        rows = np.vstack([padded(y, 5), beside.reshape(-1, width + 5)])
    message = raw_message(rows, height, width, name)
    if layout == "divided":  # the buffer's length divided by the image's height
        message.step = rows.size // height
    image = decode_image(message)
    full = [plane.repeat(halves, axis=0).repeat(halves, axis=1) for plane in (u, v)]
    np.testing.assert_allclose(image.pixels, yuv_to_rgb(y, *full), atol=1.01)


@pytest.mark.parametrize("name", CAMERA_FORMATS)
def test_nothing_is_converted_before_the_pixels_are_used(name: str) -> None:
    camera_format = CAMERA_FORMATS[name]
    step = 8 * camera_format.layout.dtype.itemsize * camera_format.layout.channels
    rows = np.zeros((int(6 * camera_format.rows), step), np.uint8)
    image = decode_image(raw_message(rows, 6, 8, name))
    assert isinstance(image, DeferredImage)
    assert (image.height, image.width) == (6, 8)
    assert image.pixels is image.pixels
    assert image.pixels.shape == (6, 8, 3)
    assert to_rgb(image).dtype == np.uint8


@pytest.mark.parametrize(
    ("name", "height", "width", "says"),
    [
        ("bayer_rggb8", 2, 8, "size is 8x2: expected at least 3 on each side"),
        ("uyvy", 4, 5, "size is 5x4: expected .* the width a multiple of 2"),
        ("nv12", 5, 4, "size is 4x5: expected .* and the height of 2"),
    ],
)
def test_sizes_that_a_format_cannot_have_are_refused(
    name: str, height: int, width: int, says: str
) -> None:
    with pytest.raises(DecodeError, match=says):
        decode_image(raw_message(np.zeros((height, 2 * width), np.uint8), height, width, name))


def test_a_missing_chroma_plane_is_named() -> None:
    message = raw_message(np.zeros((4, 6), np.uint8), 4, 6, "nv12")
    with pytest.raises(DecodeError, match="data has 24 bytes: expected step x height = 6 x 6 = 36"):
        decode_image(message)


@given(
    name=st.sampled_from(sorted(CAMERA_FORMATS)),
    height=st.integers(-1, 9),
    width=st.integers(-1, 9),
    step=st.integers(-1, 40),
    endian=st.booleans(),
    data=st.binary(max_size=200),
    fill=st.booleans(),
)
def test_any_bytes_give_rgb_or_a_clear_error(
    name: str, height: int, width: int, step: int, endian: bool, data: bytes, fill: bool
) -> None:
    if fill and step > 0 and height > 0:
        data = (data + bytes(400))[: int(step * height * CAMERA_FORMATS[name].rows)]
    message = raw_message(np.zeros((1, 1), np.uint8), height, width, name, big_endian=endian)
    message.step, message.data = step, data
    try:
        pixels = decode_image(message).pixels
    except DecodeError as error:
        assert "expected" in str(error)
    else:
        assert pixels.shape == (height, width, 3)
