"""Size and kind of a JPEG or PNG picture from its first bytes, long before anything is unpacked.

What a header claims is held against what the data could possibly hold, so that a few bytes cannot
make a decoder allocate for a picture that is not there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.decoding.payload import Bytes, check_decompressed_size

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_MAX_CHUNKS = 1 << 14
_PNG_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_PNG_PACKED_NOTES = (b"zTXt", b"iTXt", b"iCCP")
_PNG_MOST_NOTES = 16
"""Each may unpack to megabytes, which OpenCV does for nobody: 40 to 130 ms of a processor."""
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = b"\xff\xda"
_JPEG_MOST_WORK, _JPEG_SCAN_WORK = 1 << 30, 1 << 12
"""Pixels of all scans together, which are passed one by one, and what a scan takes by itself.

A scan of 50 bytes may refine a picture of 33 megapixels, in 30 ms. Encoders write about ten."""

_PNG_CHANNELS = {0: (1, 1), 2: (3, 3), 3: (1, 3), 4: (2, 1), 6: (4, 3)}
"""Channels in the file, and unpacked without alpha, by PNG's colour type."""

# Deflate cannot do better than 1032 to 1. A block of a JPEG, 64 pixels, takes a bit at least; the 4
# is room for chroma that is sampled finer than luma, which nobody does.
_PNG_MOST_BYTES_PER_BYTE = 1040
_JPEG_MOST_PIXELS_PER_BYTE = 4 * 64 * 8

_JPEG_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive; Huffman-coded
_JPEG_OTHER_FRAMES = frozenset({0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_JPEG_MAX_SEGMENTS = 1000

_VIDEO = "h264 or h265 video (let the driver or image_transport send single pictures)"
_OTHER_KINDS = {
    b"\0\0\0\1": _VIDEO,
    b"\0\0\1": _VIDEO,
    b"RIFF": "a webp picture",
    b"II*\0": "a tiff picture",
    b"MM\0*": "a tiff picture",
    b"BM": "a bmp picture",
    b"GIF8": "a gif picture",
    b"\0\0\0\x0cjP": "a jpeg 2000 picture",
    b"\0\0\0\x0cJXL": "a jpeg xl picture",
    b"\xff\x0a": "a jpeg xl picture",
    b"\0\0\0\x1cftypavif": "an avif picture",
    b"\0\0\0\x20ftypavif": "an avif picture",
    b"OggS": "theora video (let image_transport send 'compressed')",
}
"""What drivers and transports send as CompressedImage as well, by its first bytes."""


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a picture says about itself.

    Attributes:
        codec: ``jpeg`` or ``png``.
        height: rows.
        width: columns.
        channels: 1 or 3; alpha is not counted, nobody here uses it.
        bits: 8 or 16 per channel once unpacked.
    """

    codec: str
    height: int
    width: int
    channels: int
    bits: int


def read_header(data: Bytes) -> PictureHeader:
    """Read the header of a JPEG or PNG picture and bound what it claims.

    Raises:
        DecodeError: it is neither, its header is damaged, or it claims an impossible size.
    """
    start = data[:8].tobytes()
    if start == PNG_SIGNATURE:
        header, least = _png(data)
    elif start.startswith(_JPEG_SIGNATURE):
        header = _jpeg(data)
        least = header.height * header.width // _JPEG_MOST_PIXELS_PER_BYTE
    else:
        kind = _other_kind(data)
        # Of a known kind, what is told is the same for every picture: the counts are to add up.
        what = f"is {kind}" if kind else f"begins with {start.hex(' ') or 'nothing'}"
        raise DecodeError(f"data {what}: expected a jpeg or png picture", "data")
    check_decompressed_size(header.height, header.width)
    if data.size < least:
        raise DecodeError(
            f"data has {data.size} bytes: expected at least {least} for a {header.codec} picture "
            f"of {header.width}x{header.height}",
            "data",
        )
    return header


def _other_kind(data: Bytes) -> str:
    """Return what else data are, in words; empty if that cannot be told."""
    begin = data[:32].tobytes()
    if begin[12:].startswith(PNG_SIGNATURE):
        return (
            "a png behind the header of compressedDepth (let format say so: '16UC1; "
            "compressedDepth png')"
        )
    return next((what for sign, what in _OTHER_KINDS.items() if begin.startswith(sign)), "")


def check_complete(data: Bytes, height: int, width: int) -> None:
    """Check what OpenCV does not: that a JPEG or PNG goes on to its end and takes no minutes.

    OpenCV 5 fills with grey what is missing of a JPEG, allocates 4 GB for a PNG of 400 bytes if the
    length of a chunk in it is damaged, dies of damaged animations, and unpacks any number of texts
    and scans. Pictures of other kinds pass.

    Args:
        data: of the picture.
        height: rows, as its header says.
        width: columns.

    Raises:
        DecodeError: the picture was cut off, its chunks do not fit one another, it moves, or it
            would take seconds to unpack.
    """
    begin = data[: len(PNG_SIGNATURE)].tobytes()
    if begin == PNG_SIGNATURE:
        _check_chunks(data.data)
    elif begin.startswith(_JPEG_SIGNATURE):
        # What comes before its frame may hold a thumbnail, which has an end of its own.
        _check_scans(data[_jpeg_frame(data) :].tobytes(), height * width)


def _check_scans(data: bytes, pixels: int) -> None:
    """Look for the end of a JPEG, and how often its pixels are passed."""
    if data.rfind(_JPEG_END) < 0:
        raise DecodeError("data is a jpeg picture without an end: it was cut off", "data")
    # In what is coded, 0xff is followed by other bytes.
    scans = data.count(_JPEG_SCAN)
    if scans * (pixels + _JPEG_SCAN_WORK) > _JPEG_MOST_WORK:
        raise DecodeError(
            f"data is a jpeg picture of {scans} scans of {pixels} pixels: expected about ten scans",
            "data",
        )


def _check_chunks(data: memoryview) -> None:
    """Walk from chunk to chunk of a PNG to the last one."""
    at, notes = len(PNG_SIGNATURE), 0
    for _ in range(_PNG_MAX_CHUNKS):
        name = data[at + 4 : at + 8].tobytes()
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if at > len(data):
            raise DecodeError(
                "data is a png picture without an end: it was cut off or damaged", "data"
            )
        if name == b"IEND":
            return
        if name in _PNG_ANIMATION:
            raise DecodeError("data is an animated png: expected a single picture", "data")
        notes += name in _PNG_PACKED_NOTES
        if notes > _PNG_MOST_NOTES:
            raise DecodeError(
                f"data is a png picture with more than {_PNG_MOST_NOTES} packed texts", "data"
            )
    raise DecodeError(f"data is a png picture of more than {_PNG_MAX_CHUNKS} chunks", "data")


def _png(data: Bytes) -> tuple[PictureHeader, int]:
    """Return the header, and how many bytes the picture takes at the very least."""
    if data.size < 33 or data[8:16].tobytes() != b"\0\0\0\rIHDR":
        raise DecodeError("data is a png picture whose header is damaged or cut off", "data")
    width, height, bits, kind = struct.unpack(">IIBB", data[16:26].tobytes())
    if kind not in _PNG_CHANNELS:
        raise DecodeError(
            f"data is a png picture of colour type {kind}: expected 0, 2, 3, 4 or 6", "data"
        )
    stored, channels = _PNG_CHANNELS[kind]
    least = height * (width * stored * bits // 8) // _PNG_MOST_BYTES_PER_BYTE
    return PictureHeader("png", height, width, channels, 16 if bits == 16 else 8), least


def _jpeg(data: Bytes) -> PictureHeader:
    """Read the segment that describes the frame."""
    _, marker, _, bits, height, width, channels = struct.unpack(
        ">BBHBHHB", data[(at := _jpeg_frame(data)) : at + 10].tobytes()
    )
    if marker not in _JPEG_FRAMES:
        raise DecodeError(
            f"data is a jpeg picture of type {marker:#x}: "
            "expected a baseline or progressive Huffman-coded one",
            "data",
        )
    if bits != 8 or channels not in (1, 3, 4):
        raise DecodeError(
            f"data is a jpeg picture of {channels} channels of {bits} bits: "
            "expected 1, 3 or 4 of 8",
            "data",
        )
    return PictureHeader("jpeg", height, width, 1 if channels == 1 else 3, 8)


def _jpeg_frame(data: Bytes) -> int:
    """Walk from segment to segment until the one that describes the frame, and return its place.

    Raises:
        DecodeError: there is none.
    """
    at = 2
    for _ in range(_JPEG_MAX_SEGMENTS):
        segment = data[at : at + 10].tobytes()
        if len(segment) < 10 or segment[0] != 0xFF:
            break
        marker = segment[1]
        if marker in _JPEG_FRAMES or marker in _JPEG_OTHER_FRAMES:
            return at
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD9:  # these have no length
            at += 2
        else:
            at += 2 + int.from_bytes(segment[2:4], "big")
    raise DecodeError("data is a jpeg picture whose header is damaged or cut off", "data")
