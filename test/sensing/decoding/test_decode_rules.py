"""What decoding refuses, under which word it is counted, and what it lets through unchanged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fixtures.clouds import cloud_message
from fixtures.messages import image_message

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.decode import KNOWN_ENCODINGS, decode_image, stamp_ns
from anymodal_seg_ros.sensing.decoding.encodings import to_metres
from anymodal_seg_ros.sensing.decoding.payload import (
    MAX_DECOMPRESSED_PIXELS,
    MAX_SIDE,
    as_bytes,
    check_decompressed_size,
    check_pixels,
    check_size,
)
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)


def changed(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(image_message(GREY, "mono8")), **fields})


class Endless:
    """A field whose text never ends."""

    def __int__(self) -> int:
        raise ValueError("x" * 5000)


REFUSED = [
    (changed(encoding="mono12"), "encoding", f"encoding is 'mono12': expected {KNOWN_ENCODINGS}"),
    (changed(encoding="RGB8"), "encoding", "encoding is 'RGB8': did you mean rgb8? expected rgb8"),
    (changed(encoding="YUYV "), "encoding", "did you mean yuyv? expected"),
    (
        SimpleNamespace(text="hello"),
        "type",
        "expected an Image, a CompressedImage or a PointCloud2",
    ),
    (SimpleNamespace(point_step=4, data=b""), "type", "message is a SimpleNamespace: expected an"),
    (changed(height=None), "type", "fields of other types than it should have: int() argument"),
    (changed(height=Endless()), "type", "fields of other types"),
    (changed(height=0), "size", f"size is 4x0: expected 1 to {MAX_SIDE} on each side"),
    (changed(step=3), "step", "step is 3: expected at least 4, as 4 pixels of mono8 need"),
    (changed(data=b"short"), "data", "data has 5 bytes: expected step x height = 4 x 3 = 12"),
    (changed(data=GREY.astype(np.uint16)), "data", "an array of uint16: expected contiguous uint8"),
    (changed(data=12), "data", "data is a int: expected bytes"),
]


@pytest.mark.parametrize(("message", "kind", "reason"), REFUSED, ids=lambda v: str(v)[:24])
def test_what_is_refused_is_named_and_counted_under_its_word(
    message: Any, kind: str, reason: str
) -> None:
    with pytest.raises(DecodeError) as refused:
        decode_image(message)
    assert refused.value.kind == kind and reason in str(refused.value)
    assert len(str(refused.value)) < 500, "whatever somebody sends"


def test_an_image_that_has_a_format_as_well_is_an_image() -> None:
    found = decode_image(changed(format="jpeg"))
    assert found.encoding == "mono8"
    np.testing.assert_array_equal(found.pixels, GREY)


def test_a_cloud_keeps_its_points() -> None:
    places = {axis: np.arange(5, dtype=np.float32) + k for k, axis in enumerate("xyz")}
    found = decode_image(cloud_message(places))
    assert found.encoding == POINT_CLOUD
    for axis, values in places.items():
        np.testing.assert_array_equal(found.pixels[axis].ravel(), values)


def test_a_stamp_is_seconds_and_nanoseconds() -> None:
    def header(sec: Any, nanosec: Any) -> SimpleNamespace:
        return SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec))

    assert stamp_ns(header(3, 7)) == 3_000_000_007
    assert stamp_ns(header(0, 1)) == 1 and stamp_ns(header(5, 999_999_999)) == 5_999_999_999
    for sec, nanosec in ((0, 0), (-1, 5), (1, -1), (1, 1_000_000_000)):
        with pytest.raises(DecodeError, match=f"stamp is {sec} s {nanosec} ns") as refused:
            stamp_ns(header(sec, nanosec))
        assert refused.value.kind == "stamp"
    for sec in (None, "soon", Endless()):
        with pytest.raises(DecodeError, match="stamp is no time: ") as refused:
            stamp_ns(header(sec, 0))
        assert refused.value.kind == "stamp" and len(str(refused.value)) < 200
    for nothing in (None, SimpleNamespace(), SimpleNamespace(stamp=None)):
        with pytest.raises(DecodeError, match="no header with a stamp") as refused:
            stamp_ns(nothing)
        assert refused.value.kind == "type"


def test_sizes_are_believed_up_to_their_limits() -> None:
    for height, width in ((1, 1), (MAX_SIDE, 1), (1, MAX_SIDE)):
        check_size(height, width)
    for height, width in ((0, 1), (1, 0), (MAX_SIDE + 1, 1), (1, MAX_SIDE + 1), (-1, 5)):
        with pytest.raises(DecodeError, match=f"size is {width}x{height}: expected 1") as refused:
            check_size(height, width)
        assert refused.value.kind == "size"
    side = 1 << 12
    check_decompressed_size(MAX_DECOMPRESSED_PIXELS // side, side)
    with pytest.raises(DecodeError, match="pixels in a compressed image") as refused:
        check_decompressed_size(MAX_DECOMPRESSED_PIXELS // side + 1, side)
    assert refused.value.kind == "size"
    image = Image(GREY, "mono8")
    for most in (0, 12, 13):
        check_pixels(image, most)
    with pytest.raises(DecodeError, match="size is 4x3: expected at most max_pixels = 11") as large:
        check_pixels(image, 11)
    assert large.value.kind == "size"


def test_nothing_is_no_bytes_whatever_it_is_kept_in() -> None:
    for nothing in ([], (), b"", bytearray(), np.empty(0, np.uint8)):
        assert as_bytes(nothing).shape == (0,)
    with pytest.raises(DecodeError, match="points is a list: expected bytes") as refused:
        as_bytes([1, 2], "points")
    assert refused.value.kind == "data"


@pytest.mark.filterwarnings("error")
def test_distances_that_are_none_raise_no_warning() -> None:
    metres = np.array([[np.nan, np.inf, -np.inf, 1e300, 2.0]], np.float64)
    found = to_metres(Image(metres, "64FC1"))
    assert found.dtype == np.float32 and found[0, 4] == 2.0 and not np.isfinite(found[0, :4]).any()
