"""Any bytes give an image or a clear error: no crash, no unbounded memory, nothing unexpected."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace

import numpy as np
from fixtures.damage import GOOD, damaged
from fixtures.manifests import small_manifest
from fixtures.messages import compressed_message
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.inference.preprocess import check_encoding, planes
from anymodal_seg_ros.sensing.decoding.camera_formats import CAMERA_FORMATS
from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.encodings import LAYOUTS

SPECS = small_manifest().modalities
MEGABYTE = 1 << 20


def decode_all_the_way(message: SimpleNamespace) -> None:
    """Decode, make the pixels and use them as every modality that takes them."""
    try:
        image = decode_image(message)
        pixels = image.pixels
    except DecodeError as error:
        assert 0 < len(str(error)) < 500  # it ends up in diagnostics
        return
    layout = LAYOUTS[image.encoding]
    channels = () if layout.channels == 1 else (layout.channels,)
    assert pixels.shape == (image.height, image.width, *channels)
    assert pixels.dtype.newbyteorder("=") == layout.dtype
    pixels.copy()  # reads every byte that the view covers
    for spec in SPECS.values():
        try:
            check_encoding(image, spec)
        except DecodeError:
            continue
        assert np.isfinite(planes(image, spec, 5, 6)).all()


def test_the_undamaged_messages_decode() -> None:
    for form, data in GOOD:
        assert decode_image(compressed_message(data, form)).pixels.shape[:2] == (9, 12)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(damaged())
def test_damaged_pictures_give_an_image_or_a_clear_error(message: tuple[str, bytes]) -> None:
    form, data = message
    tracemalloc.start()
    try:
        decode_all_the_way(compressed_message(data, form))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # What a header may claim is bounded by the data, but for RVL, which has a fixed bound.
    assert peak < 2 * MEGABYTE + max(20_000 * len(data), ("rvl" in form) * 200 * MEGABYTE)


@settings(max_examples=300, deadline=None)
@given(form=st.text(max_size=40) | st.sampled_from([f for f, _ in GOOD]), data=st.binary())
@example(form="", data=b"")
@example(form="x" * 9999 + "; compressedDepth", data=b"")
@example(form="; ; ;", data=b"\x89PNG\r\n\x1a\n")
@example(form="32FC1; compressedDepth rvl", data=bytes(20))
def test_any_format_and_bytes_give_an_image_or_a_clear_error(form: str, data: bytes) -> None:
    decode_all_the_way(compressed_message(data, form))


@settings(max_examples=300, deadline=None)
@given(
    encoding=st.sampled_from([*LAYOUTS, *CAMERA_FORMATS]),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    padding=st.integers(0, 9),
    endian=st.booleans(),
    start=st.integers(0, 7),
    data=st.binary(min_size=1, max_size=64),
)
def test_any_raw_bytes_give_usable_pixels(
    encoding: str, height: int, width: int, padding: int, endian: bool, start: int, data: bytes
) -> None:
    camera_format = CAMERA_FORMATS.get(encoding)
    layout = camera_format.layout if camera_format else LAYOUTS[encoding]
    step = width * layout.dtype.itemsize * layout.channels + padding
    size = int(step * height * (camera_format.rows if camera_format else 1))
    buffer = np.frombuffer((data * (size + 8))[: start + size], np.uint8)
    decode_all_the_way(
        SimpleNamespace(
            encoding=encoding,
            height=height,
            width=width,
            step=step,
            is_bigendian=endian,
            data=buffer[start:],  # not aligned, as in a bag
        )
    )
