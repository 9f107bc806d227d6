"""Decompression with a limit: some kilobytes may stand for more than a machine can hold."""

from __future__ import annotations

import bz2
import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import lz4.frame  # type: ignore[import-untyped]

from anymodal_seg_ros.evaluation.bag_storage.recording import BagError
from anymodal_seg_ros.written_files import naming

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_UNPACKED = 512 * 1024**2
"""Bytes of one message or chunk: an image of 13 000 x 13 000 pixels in three colours."""
MAX_TOTAL, MAX_TOTAL_RATIO = 4 * 1024**3, 1000
"""Bytes of all chunks of a file together, where that is more than so many times its size: masks of
one class shrink to a hundredth."""
MAX_FILE = 1024**3
"""Bytes of a compressed file, where that is more than MAX_RATIO times its size."""
MAX_RATIO = 50
"""Pictures shrink to a tenth when they are packed, and to less only if they show nothing."""

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 20


class _Decompressor(Protocol):
    eof: bool
    needs_input: bool
    unused_data: bytes | None

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


_DECOMPRESSORS: dict[str, Any] = {
    "zstd": zstd.ZstdDecompressor,
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "bz2": bz2.BZ2Decompressor,
}


class UnpackError(Exception):
    """Packed bytes are damaged, of an unknown kind, or stand for too much."""


def unpack(
    data: bytes, compression: str, limit: int = MAX_UNPACKED, *, cut_off: bool = False
) -> bytes:
    """Return what packed bytes stand for.

    Args:
        data: one frame or more.
        compression: ``zstd``, ``lz4`` or ``bz2``; '' returns the bytes themselves.
        limit: most bytes of the result.
        cut_off: the end is missing; what can be unpacked without it is returned.

    Raises:
        UnpackError: they are damaged, or the result would be larger.
    """
    if not compression:
        return data
    if compression not in _DECOMPRESSORS:
        raise UnpackError(f"the compression {compression[:20]!r} is none of zstd, lz4 and bz2")
    parts: list[bytes] = []
    size = 0
    try:
        while data:
            frame: _Decompressor = _DECOMPRESSORS[compression]()
            while not frame.eof:
                part = frame.decompress(data, limit + 1 - size)
                size += len(part)
                if size > limit:
                    raise UnpackError(f"it unpacks to more than {limit} bytes")
                if not part and frame.needs_input and not frame.eof:
                    if cut_off:
                        return b"".join(parts)
                    raise UnpackError("its compressed data end too early")
                parts.append(part)
                data = b""
            data = frame.unused_data or b""
    except (zstd.ZstdError, RuntimeError, OSError, EOFError, ValueError) as error:
        if cut_off:
            return b"".join(parts)
        raise UnpackError(f"its compressed data are damaged ({error})") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def most_of_chunks(size: int) -> int:
    """Return how many bytes the chunks of a file may unpack to, all together.

    Args:
        size: of the file, in bytes.
    """
    return max(MAX_TOTAL, MAX_TOTAL_RATIO * size)


def unpack_file(packed: Path, into: Path) -> None:
    """Unpack a ``.zstd`` file.

    Raises:
        BagError: it is damaged, or unpacks to more than can be meant or than fits on the disk.
    """
    meant = max(MAX_FILE, MAX_RATIO * packed.stat().st_size)
    room = shutil.disk_usage(into.parent).free // 2
    limit = min(meant, room)
    refusal = f"{packed} unpacks to more than {limit // 1024**2} MiB"
    if room < meant:
        refusal += f", half of what is free in {into.parent.parent}: make room, or set TMPDIR"
    else:
        refusal += ": if that is right, unpack it yourself (zstd -d) and give the result"
    size = 0
    try:
        # A small file: what it stands for is soon known, without writing it.
        if meant == MAX_FILE and _size_unpacked(packed, limit) > limit:
            raise BagError(refusal)
        with packed.open("rb") as source, naming(into), into.open("wb") as target:
            for piece in _pieces(source):
                size += len(piece)
                if size > limit:
                    raise BagError(refusal)
                target.write(piece)
    except BagError:
        into.unlink(missing_ok=True)
        raise
    except zstd.ZstdError as error:
        if not size:
            raise BagError(f"{packed} is damaged: {error}") from error
        # What was unpacked before the damage is a recording that was cut off.


def _size_unpacked(packed: Path, limit: int) -> int:
    """Return how many bytes a file stands for, as far as it is whole; it ends beyond a limit."""
    size = 0
    with packed.open("rb") as source, contextlib.suppress(zstd.ZstdError):
        for piece in _pieces(source):
            size += len(piece)
            if size > limit:
                break
    return size


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    """Unpack as far as there is something, piece by piece."""
    frame, data = zstd.ZstdDecompressor(), b""
    while True:
        if frame.eof:
            frame, data = zstd.ZstdDecompressor(), frame.unused_data
        if not data and frame.needs_input and not (data := source.read(_PIECE)):
            return
        yield frame.decompress(data, _PIECE)
        data = b""
