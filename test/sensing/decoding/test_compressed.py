from __future__ import annotations

import array
import os
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from fixtures.messages import compressed_message
from fixtures.pictures import chunk, jpeg_header, png, png_of

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import DeferredImage, Image
from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.encodings import to_rgb

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (7, 9), np.uint8)
GREY16 = RANDOM.integers(0, 65536, (7, 9), np.uint16)
RGB = RANDOM.integers(0, 256, (7, 9, 3), np.uint8)
RGB16 = RANDOM.integers(0, 65536, (7, 9, 3), np.uint16)
MEGABYTE = 1 << 20


def smooth(height: int = 48, width: int = 64) -> npt.NDArray[np.uint8]:
    """Return RGB that JPEG keeps nearly as it is."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 3, y * 4, 255 - x * 2], axis=-1).astype(np.uint8)


def jpeg(bgr: npt.NDArray[np.uint8], *options: int) -> bytes:
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 98, *options])[1].tobytes()


def naming(value: object) -> str:
    return value if isinstance(value, str) else "data"


def decode(data: bytes, format: str) -> Image:
    return decode_image(compressed_message(data, format))


def refusal(data: bytes, format: str = "png") -> str:
    with pytest.raises(DecodeError) as caught:
        _ = decode(data, format).pixels
    return str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "format", "encoding", "expected"),
    [
        # what compressed_image_transport writes
        (RGB, "rgb8; png compressed bgr8", "bgr8", RGB[..., ::-1]),
        (RGB, "bgr8; png compressed bgr8", "bgr8", RGB[..., ::-1]),
        (RGB16, "rgb16; png compressed bgr16", "bgr16", RGB16[..., ::-1]),
        (GREY, "mono8; png compressed ", "mono8", GREY),
        (GREY16, "mono16; png compressed ", "mono16", GREY16),
        (GREY16, "16UC1; png compressed ", "16UC1", GREY16),
        (GREY, "8UC1; png compressed ", "8UC1", GREY),
        (RGB, "8UC3; png compressed ", "8UC3", RGB[..., ::-1]),
        # what others write
        (RGB, "png", "bgr8", RGB[..., ::-1]),
        (GREY, "png", "mono8", GREY),
        (GREY16, "png", "mono16", GREY16),
        (RGB16, "png", "bgr16", RGB16[..., ::-1]),
        (RGB, "", "bgr8", RGB[..., ::-1]),
        (RGB, "jpeg", "bgr8", RGB[..., ::-1]),  # drivers lie; the data do not
        (RGB, "my_camera; png", "bgr8", RGB[..., ::-1]),
        # alpha is dropped, not blended
        (np.dstack([RGB, GREY]), "rgba8; png compressed bgr8", "bgr8", RGB[..., ::-1]),
        (np.dstack([GREY, GREY[::-1]]), "png", "mono8", GREY),
    ],
)
def test_png_is_decoded_without_a_change(
    pixels: npt.NDArray[Any], format: str, encoding: str, expected: npt.NDArray[Any]
) -> None:
    image = decode(png(pixels), format)
    assert isinstance(image, DeferredImage)
    assert (image.height, image.width, image.encoding) == (7, 9, encoding)
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.pixels.dtype == expected.dtype


@pytest.mark.parametrize(
    "format",
    [
        "rgb8; jpeg compressed bgr8",
        "bgr8; jpeg compressed bgr8",
        "bgra8; jpeg compressed bgr8",
        "yuv422_yuy2; jpeg compressed bgr8",
        "bayer_rggb8; jpeg compressed bgr8",
        "jpeg",
        "jpg",
        "mjpeg",
        "",
    ],
)
@pytest.mark.parametrize("progressive", [0, 1])
def test_jpeg_colours_are_those_of_the_file(format: str, progressive: int) -> None:
    rgb = smooth()
    image = decode(jpeg(rgb[..., ::-1], cv2.IMWRITE_JPEG_PROGRESSIVE, progressive), format)
    assert (image.height, image.width, image.encoding) == (48, 64, "bgr8")
    np.testing.assert_allclose(to_rgb(image).astype(int), rgb, atol=24)
    assert np.abs(to_rgb(image).astype(int) - rgb).mean() < 3


def test_compressed_rgb8_means_swapped_in_the_file_as_image_transport_reads_it() -> None:
    rgb = smooth()
    image = decode(jpeg(rgb), "rgb8; jpeg compressed rgb8")  # red was handed over as blue
    assert image.encoding == "rgb8"
    assert np.abs(to_rgb(image).astype(int) - rgb).mean() < 3


def test_grey_jpeg_is_mono8() -> None:
    grey = smooth()[..., 1]
    image = decode(jpeg(grey), "mono8; jpeg compressed mono8")
    assert image.encoding == "mono8"
    np.testing.assert_allclose(image.pixels.astype(int), grey, atol=4)


def test_a_bayer_png_is_demosaiced() -> None:
    tile = np.array([[200, 100], [100, 50]], np.uint8)
    image = decode(png(np.tile(tile, (4, 5))), "bayer_rggb8; png compressed ")
    assert image.encoding == "rgb8"
    assert np.unique(image.pixels.reshape(-1, 3), axis=0).tolist() == [[200, 100, 50]]


def test_a_bayer_jpeg_is_demosaiced() -> None:
    tile = np.array([[200, 100], [100, 50]], np.uint8)
    image = decode(jpeg(np.tile(tile, (24, 32))), "bayer_rggb8; jpeg compressed ")
    assert image.encoding == "rgb8"
    np.testing.assert_allclose(image.pixels.reshape(-1, 3), [[200, 100, 50]] * (48 * 64), atol=8)


def test_exif_orientation_does_not_turn_a_camera() -> None:
    plain = jpeg(smooth()[..., ::-1])
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    assert decode(turned, "jpeg").pixels.shape == (48, 64, 3)


def test_the_end_of_a_thumbnail_is_not_that_of_the_picture() -> None:
    plain, thumbnail = jpeg(smooth()[..., ::-1]), b"Exif\0\0" + jpeg(smooth()[::4, ::4, ::-1])
    exif = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = plain[:2] + exif + plain[2:]
    assert decode(whole, "jpeg").pixels.shape == (48, 64, 3)
    with pytest.raises(DecodeError, match="without an end: it was cut off"):
        _ = decode(whole[: -len(plain) // 2], "jpeg").pixels


@pytest.mark.parametrize("kind", [bytes, lambda d: array.array("B", d), memoryview, np.frombuffer])
def test_any_kind_of_payload_is_taken(kind: Any) -> None:
    data = png(GREY)
    payload = np.frombuffer(data, np.uint8) if kind is np.frombuffer else kind(data)
    np.testing.assert_array_equal(decode_image(compressed_message(payload, "png")).pixels, GREY)


def test_nothing_is_unpacked_before_the_pixels_are_used() -> None:
    damaged = bytearray(png(GREY))
    damaged[50] ^= 0xFF
    image = decode(bytes(damaged), "png")
    assert (image.height, image.width, image.encoding) == (7, 9, "mono8")
    for _ in range(2):
        with pytest.raises(DecodeError, match="data is a damaged png"):
            _ = image.pixels


def test_pixels_are_made_once_and_cannot_be_written() -> None:
    image = decode(png(GREY), "png")
    assert image.pixels is image.pixels
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 1


@pytest.mark.parametrize(
    ("data", "format", "says"),
    [
        (b"", "jpeg", "data begins with nothing: expected a jpeg or png picture"),
        (b"GIF89a" + bytes(40), "gif", "data is a gif picture: expected a jpeg or png"),
        (b"\0\0\0\1gB\0\x1f" * 5, "h264", "expected a jpeg or png picture"),
        (jpeg(smooth())[:-2], "jpeg", "data is a jpeg picture without an end"),
        (jpeg(smooth())[:100], "jpeg", "data is a jpeg picture whose header is damaged"),
        (png(GREY)[:-12], "png", "data is a png picture without an end"),
        (png(GREY)[:30], "png", "data is a png picture whose header is damaged"),
        (png_of(9, 7, 8, 5, b""), "png", "data is a png picture of colour type 5"),
        (png_of(9, 7, 8, 0, b"junk"), "png", "data is a damaged png"),
        (png(GREY)[:33] + chunk(b"acTL", bytes(8)) + png(GREY)[33:], "png", "is an animated png"),
        (png(GREY)[:33] + chunk(b"zTXt", b"a") * 17 + png(GREY)[33:], "png", "more than 16 packed"),
        (jpeg(smooth())[:-2] + b"\xff\xda" * 150_000 + b"\xff\xd9", "jpeg", "of 150001 scans of"),
        (jpeg_header(64, 48), "jpeg", "data is a damaged jpeg"),
        (jpeg_header(64, 48, marker=0xC9), "jpeg", "data is a jpeg picture of type 0xc9"),
        (jpeg_header(64, 48, channels=2), "jpeg", "of 2 channels of 8 bits"),
        (jpeg_header(64, 0), "jpeg", "size is 64x0"),
        (jpeg(smooth()), "16UC1; jpeg compressed ", "a picture that holds 16UC1"),
        (jpeg(smooth()[..., 0]), "mono16; jpeg compressed mono8", "a picture that holds mono16"),
        (png(GREY), "16UC1; png compressed ", "a picture that holds 16UC1"),
        (png(GREY16), "32FC1; png compressed ", "a picture that holds 32FC1"),
        (png(GREY16), "bayer_rggb8; png compressed ", "a picture that holds bayer_rggb8"),
        (jpeg(GREY), "bayer_rggb16; jpeg compressed ", "16 bits, jpeg does not"),
        (png(GREY[:2, :2]), "bayer_rggb8; png compressed ", "size is 2x2: expected at least 3"),
    ],
    ids=naming,
)
def test_what_cannot_be_decoded_is_named(data: bytes, format: str, says: str) -> None:
    assert says in refusal(data, format)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (png_of(60_000, 60_000, 8, 2, b""), "size is 60000x60000: expected 1 to 16384"),
        (png_of(16_000, 16_000, 16, 6, b""), "size is 16000x16000: expected at most 33554432"),
        (
            png_of(5_000, 5_000, 8, 2, zlib.compress(bytes(99))),
            "data has 69 bytes: expected at least 72115",
        ),
        (png_of(2**32 - 1, 1, 8, 0, b""), "size is 4294967295x1"),
        (png(GREY)[:33] + b"\xff" * 8 + png(GREY)[41:], "data is a png picture without an end"),
        (png(GREY)[:33] + (bytes(4) + b"none" + bytes(4)) * 20_000, "more than 16384 chunks"),
        (jpeg_header(60_000, 60_000), "size is 60000x60000"),
        (jpeg_header(5_000, 5_000), "expected at least 12207 for a jpeg picture of 5000x5000"),
    ],
    ids=naming,
)
def test_a_bomb_is_refused_before_anything_is_allocated(data: bytes, says: str) -> None:
    tracemalloc.start()
    try:
        assert says in refusal(data)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()


def test_the_worst_that_passes_allocates_what_its_header_says_and_no_more() -> None:
    deflated = zlib.compress(bytes(2000 * (2000 * 3 + 1)), 9)  # black, 1 : 1030
    data = png_of(2000, 2000, 8, 2, deflated)
    tracemalloc.start()
    try:
        assert decode(data, "png").pixels.max() == 0
        claimed = 2000 * 2000 * 3
        assert claimed <= tracemalloc.get_traced_memory()[1] < claimed + MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.shared_data
def test_real_camera_pictures_are_decoded() -> None:
    default = Path(__file__).resolve().parents[4] / "shared" / "data"
    folder = Path(os.environ.get("ANYMODAL_TEST_DATA", default)) / "rgbt_street" / "rgb"
    files = sorted(folder.glob("*.jpg"))[:5]
    if not files:
        pytest.skip(f"no pictures in {folder}")
    for file in files:
        image = decode(file.read_bytes(), "rgb8; jpeg compressed bgr8")
        np.testing.assert_array_equal(image.pixels, cv2.imread(str(file), cv2.IMREAD_COLOR))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\0\0\0\1\x67" + bytes(90), "data is h264 or h265 video"),
        (b"RIFF" + bytes(90), "a webp picture"),
        (b"II*\0" + bytes(90), "a tiff picture"),
        (b"OggS" + bytes(90), "data is theora video"),
        (b"\0\0\0\x20ftypavif" + bytes(90), "an avif picture"),
        (bytes(12) + png(GREY), "behind the header of compressedDepth"),
    ],
)
def test_what_else_is_sent_as_a_compressed_image_is_named(data: bytes, says: str) -> None:
    said = refusal(data, "x")
    assert says in said
    assert "expected a jpeg or png picture" in said


def test_a_transport_that_packs_raw_pixels_is_named_by_its_format() -> None:
    """zstd_image_transport: size, step and encoding before what is packed, so no first bytes."""
    said = refusal(bytes(90), "zstd")
    assert "as zstd_image_transport sends: take the raw topic" in said
