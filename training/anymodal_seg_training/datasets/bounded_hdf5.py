"""HDF5 files that are not to be trusted: what is claimed is checked before it is read.

A data set lies in chunks that are unpacked as a whole, to read one number of them. HDF5 compares
what comes out with nothing, and takes all memory for a chunk of some kilobytes that goes on and on.
"""

from __future__ import annotations

import itertools
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_training.datasets.bounded import check_file
from anymodal_seg_training.errors import TrainingError

MAX_CHUNK_BYTES = 1 << 28
"""Of a chunk; h5py itself makes 1 MB."""

_SHUFFLE, _CHECKSUM = 2, 3
_GZIP, _LZF, _BLOSC = 1, 32000, 32001
"""Numbers of filters, as the HDF Group registers them. DSEC's files are packed with Blosc."""

_LZF_MOST = 88
"""To how many times its bytes LZF unpacks at the most: 264 of three."""


def opened(path: Path) -> Any:
    """Open an HDF5 file for reading.

    Raises:
        TrainingError: it is missing or damaged, or h5py is not installed.
    """
    # Imported only when asked for: no other data set needs these two.
    try:
        import h5py
        import hdf5plugin  # noqa: F401  Blosc is in it
    except ImportError as error:
        raise TrainingError(
            f"reading {path} needs h5py and hdf5plugin: pip install 'anymodal_seg_training[events]'"
        ) from error
    check_file(path)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise TrainingError(f"{path} cannot be read as HDF5: {error}") from error


def stored(file: Any, name: str, axes: int) -> Any:
    """Return a data set of numbers of an HDF5 file, and of this file alone.

    Raises:
        ValueError: it is kept elsewhere (whoever made the file does not choose what else is read),
            or holds something else than so many axes of numbers: a few bytes can claim gigabytes.
    """
    import h5py

    place = file
    for part in name.split("/"):
        if not isinstance(place.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is missing, or a link")
        place = place[part]
    if not isinstance(place, h5py.Dataset) or place.external or place.is_virtual:
        raise ValueError(f"{name} is no data set of this file")
    if place.ndim != axes or place.dtype.kind not in "biuf":
        raise ValueError(f"{name} is {place.dtype} {place.shape}: expected numbers, {axes} axes")
    if place.chunks and _chunk_bytes(place) > MAX_CHUNK_BYTES:
        raise ValueError(f"{name} has chunks of more than {MAX_CHUNK_BYTES >> 20} MB")
    return place


def rows(place: Any, first: int, last: int) -> npt.NDArray[Any]:
    """Read the rows from ``first`` on and before ``last`` of what :func:`stored` returned.

    Raises:
        ValueError: a chunk that they lie in unpacks to more than a chunk has, or it cannot be told.
    """
    if place.chunks:
        packing = _packing(place)
        high, *sides = place.chunks
        last = min(last, place.shape[0])
        across = [range(0, size, side) for size, side in zip(place.shape[1:], sides, strict=True)]
        for corner in itertools.product(range(first - first % high, last, high), *across):
            _check_chunk(place, corner, packing)
    return np.asarray(place[first:last])


def _chunk_bytes(place: Any) -> int:
    return math.prod(place.chunks) * int(place.dtype.itemsize)


def _packing(place: Any) -> tuple[int, int] | None:
    """Return the filter that packs the chunks of a data set, and which one in their order it is."""
    steps = place.id.get_create_plist()
    filters = [steps.get_filter(number)[0] for number in range(steps.get_nfilters())]
    packings = [number for number in filters if number not in (_SHUFFLE, _CHECKSUM)]
    if not packings:
        return None
    order = filters.index(packings[0])
    # Of two, one would unpack to what the other unpacks.
    if len(packings) > 1 or packings[0] not in (_GZIP, _LZF, _BLOSC) or _SHUFFLE in filters[order:]:
        raise ValueError(
            f"{place.name} goes through the filters {filters}: expected gzip, LZF or Blosc at the "
            "most; pack it anew, as with 'h5repack -f GZIP=4'"
        )
    return packings[0], order


def _check_chunk(place: Any, corner: tuple[int, ...], packing: tuple[int, int] | None) -> None:
    chunk = place.id.get_chunk_info_by_coord(corner)
    if chunk.byte_offset is None:  # never written
        return
    most = _chunk_bytes(place) + 4  # a checksum may be packed with it
    size = chunk.size
    if size <= MAX_CHUNK_BYTES and packing and not chunk.filter_mask >> packing[1] & 1:
        size = _unpacked(packing[0], place.id.read_direct_chunk(corner)[1], most)
    if size > most:
        raise ValueError(
            f"{place.name} has a chunk that unpacks to more than the {most - 4} bytes of a chunk"
        )


def _unpacked(packing: int, packed: bytes, most: int) -> int:
    """Tell to how many bytes a chunk unpacks, at the most; of more than ``most`` any number."""
    if packing == _GZIP:
        return len(zlib.decompressobj().decompress(packed, most + 1))
    if packing == _BLOSC:
        return int.from_bytes(packed[4:8], "little")  # by which the memory is taken
    return most if len(packed) * _LZF_MOST <= MAX_CHUNK_BYTES else most + 1
