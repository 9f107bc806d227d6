"""RVL, the run-length coding of 16-bit depth (Wilson 2017) that compressedDepth can carry.

The stream is numbers of 3 bits per nibble, least first, the fourth bit saying that more follow;
eight nibbles to a little-endian word, highest first. The numbers are: how many zero pixels, how
many others, then the differences of those others, again and again. All numbers are cut out at once
with NumPy; only the runs are walked one by one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.decoding.payload import Bytes, check_size

MAX_PIXELS = 1 << 23
"""Most pixels that are believed, more than 3840 x 2160: RVL spends no bytes on empty ones."""

_MOST_NIBBLES = 10
"""Longest number, 30 bits: more than any run or difference needs."""

_MOST_BYTES_PER_PIXEL = 3
_BLOCK_WORDS = 1 << 17

Numbers = npt.NDArray[np.int32]


def check_rvl_size(height: int, width: int) -> None:
    """Raise :class:`DecodeError` if the size that stands before a stream cannot be believed."""
    check_size(height, width)
    if height * width > MAX_PIXELS:
        raise DecodeError(
            f"size is {width}x{height}: expected at most {MAX_PIXELS} pixels in an rvl picture",
            "size",
        )


def decode_rvl(data: Bytes, height: int, width: int) -> npt.NDArray[np.uint16]:
    """Unpack an RVL stream.

    Args:
        data: the stream, without the size that stands before it.
        height: rows; checked by :func:`check_rvl_size`.
        width: columns.

    Returns:
        uint16 ``[height, width]``.

    Raises:
        DecodeError: the stream ends early, or its runs do not fill the image exactly.
    """
    wanted = height * width
    numbers = _numbers(data[: wanted * _MOST_BYTES_PER_PIXEL + 64])
    starts: list[int] = []
    positions: list[int] = []
    lengths: list[int] = []
    at = pixel = 0
    walk = numbers.data  # gives plain integers, three times as fast as the array
    while pixel < wanted:
        if at + 2 > numbers.size:
            raise DecodeError(
                f"data is an rvl picture that ends after {pixel} of {wanted} pixels", "data"
            )
        zeros, length = walk[at], walk[at + 1]
        if zeros == length == 0:  # no encoder writes that, and it would cost time for nothing
            raise DecodeError("data is a damaged rvl picture: a run in it is empty", "data")
        pixel += zeros
        if length:
            starts.append(at + 2)
            positions.append(pixel)
            lengths.append(length)
        pixel += length
        at += 2 + length
    if pixel > wanted or at > numbers.size:
        raise DecodeError(
            f"data is a damaged rvl picture: its runs do not fill {wanted} pixels", "data"
        )
    pixels = np.zeros(wanted, np.uint16)
    zigzag = numbers[:at][_ranges(starts, lengths, at)]
    differences = ((zigzag >> 1) ^ -(zigzag & 1)).astype(np.uint16)  # modulo 65536, as all is
    pixels[_ranges(positions, lengths, wanted)] = np.cumsum(differences, dtype=np.uint16)
    return pixels.reshape(height, width)


def _numbers(data: Bytes) -> Numbers:
    """Cut the stream into its numbers, block by block so that little memory is needed at a time."""
    words = data[: data.size // 4 * 4].view("<u4")
    blocks: list[Numbers] = []
    begun = np.empty(0, np.uint8)  # nibbles of a number that goes on in the next block
    for first in range(0, words.size, _BLOCK_WORDS):
        stream = np.concatenate([begun, _nibbles(words[first : first + _BLOCK_WORDS])])
        ends = np.flatnonzero(stream < 8)
        blocks.append(_join(stream, ends))
        begun = stream[ends[-1] + 1 :] if ends.size else stream
        _check_length(begun.size)
    return np.concatenate([*blocks, np.empty(0, np.int32)])


def _nibbles(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Return the nibbles of words, highest first."""
    bytes_ = words.astype(">u4").view(np.uint8)
    nibbles = np.empty((bytes_.size, 2), np.uint8)
    np.right_shift(bytes_, 4, out=nibbles[:, 0])
    np.bitwise_and(bytes_, 15, out=nibbles[:, 1])
    return nibbles.reshape(-1)


def _join(stream: npt.NDArray[np.uint8], ends: npt.NDArray[np.intp]) -> Numbers:
    """Put numbers together from their nibbles; ``ends`` are the places of the last ones."""
    lengths = np.diff(ends, prepend=-1)
    longest = int(lengths.max(initial=0))
    _check_length(longest)
    numbers = stream[ends].astype(np.int32)
    open_ = np.flatnonzero(lengths > 1)  # numbers with more nibbles in front of those joined
    for before in range(1, longest):
        numbers[open_] = numbers[open_] << 3 | stream[ends[open_] - before] & 7
        open_ = open_[lengths[open_] > before + 1]
    return numbers


def _check_length(nibbles: int) -> None:
    if nibbles > _MOST_NIBBLES:
        raise DecodeError(
            f"data is a damaged rvl picture: a number in it has {nibbles} nibbles", "data"
        )


def _ranges(starts: list[int], lengths: list[int], size: int) -> npt.NDArray[np.bool_]:
    """Return bool ``[size]``, true in every range; ranges do not touch one another."""
    edges = np.zeros(size + 1, np.int8)
    first = np.array(starts, np.int64)
    edges[first] = 1
    edges[first + np.array(lengths, np.int64)] -= 1
    return np.cumsum(edges[:-1], dtype=np.int8).astype(np.bool_)
