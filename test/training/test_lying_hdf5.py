"""HDF5 files that lie: one error that names them, and never all memory of the machine."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymodal_seg_training.datasets.bounded_hdf5 import opened, rows, stored
from anymodal_seg_training.datasets.event_files import dsec_image
from anymodal_seg_training.datasets.layout import ImageLayout
from anymodal_seg_training.errors import TrainingError

h5py = pytest.importorskip("h5py")
hdf5plugin = pytest.importorskip("hdf5plugin")

DSEC = ImageLayout("", "dsec", height=8, width=8, window_s=0.05)
Change = Callable[[Any], None]
"""Alters an open file."""


def dsec_files(folder: Path, change: Change) -> list[Path]:
    events, places, times = (folder / n for n in ("events.h5", "map.h5", "times.txt"))
    with h5py.File(events, "w") as file:
        file["ms_to_idx"] = np.zeros(200, np.int64)
        for name in "xytp":
            file[f"events/{name}"] = np.arange(10)
        change(file)
    with h5py.File(places, "w") as file:
        file["rectify_map"] = np.zeros((8, 8, 2), np.float32)
    times.write_text("100000\n")
    return [events, places, times]


def test_hdf5_that_asks_for_too_much_or_leads_elsewhere(tmp_path: Path) -> None:
    def many(file: Any) -> None:
        del file["ms_to_idx"]
        index = np.zeros(200, np.int64)
        index[100:] = 10**9
        file["ms_to_idx"] = index

    def elsewhere(file: Any) -> None:
        del file["events/x"]
        file["events/x"] = h5py.ExternalLink("map.h5", "rectify_map")

    def short(file: Any) -> None:
        del file["events/p"], file["ms_to_idx"]
        file["events/p"] = np.arange(3)
        file["ms_to_idx"] = np.array([0] * 100 + [10] * 100)

    def wide(file: Any) -> None:  # gigabytes are claimed, and none are there
        del file["events/x"]
        file.create_dataset("events/x", (200,), "S10000000", chunks=(1,))

    def deep(file: Any) -> None:
        del file["events/y"]
        file.create_dataset("events/y", (10, 10**9), np.int64, chunks=(1, 1000))

    def late(file: Any) -> None:
        file.create_dataset("t_offset", (10**9,), np.int64, chunks=(1000,))

    def coarse(file: Any) -> None:
        del file["events/t"]
        file.create_dataset("events/t", (10**9,), np.int64, chunks=(10**8,))

    for change, said in (
        (many, "expected at most"),
        (elsewhere, "x is missing, or a link"),
        (short, "different lengths"),
        (wide, r"x is \|S10000000 .*: expected numbers, 1 axes"),
        (deep, r"y is int64 .*: expected numbers, 1 axes"),
        (late, r"t_offset is int64 .*: expected numbers, 0 axes"),
        (coarse, "t has chunks of more than 256 MB"),
    ):
        folder = tmp_path / change.__name__
        folder.mkdir()
        with pytest.raises(TrainingError, match=rf"events\.h5 .*{said}"):
            dsec_image(dsec_files(folder, change), DSEC, "0")
    paths = dsec_files(tmp_path, lambda file: None)
    with h5py.File(paths[1], "w") as file:
        file.create_dataset("rectify_map", (50_000, 50_000, 2), np.float32, chunks=(64, 64, 2))
    with pytest.raises(TrainingError, match=r"map\.h5 .*50000"):
        dsec_image(paths, DSEC, "0")


def packed_otherwise(**packing: Any) -> Change:
    def change(file: Any) -> None:
        del file["events/t"]
        file.create_dataset("events/t", data=np.arange(10), chunks=(4,), **packing)

    return change


@pytest.mark.parametrize(
    "packing",
    [
        {},
        {"compression": "gzip"},
        {"compression": "lzf", "shuffle": True},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        dict(hdf5plugin.Blosc("zstd")),
    ],
    ids=str,
)
def test_hdf5_is_read_however_it_is_packed(packing: dict[str, Any], tmp_path: Path) -> None:
    paths = dsec_files(tmp_path, packed_otherwise(**packing))
    with opened(paths[0]) as file:
        np.testing.assert_array_equal(rows(stored(file, "events/t", 1), 3, 9), np.arange(3, 9))


def endless(packing: dict[str, Any], chunk: bytes) -> Change:
    def change(file: Any) -> None:
        del file["events/t"], file["ms_to_idx"]
        file["ms_to_idx"] = np.array([0] * 100 + [10] * 100)
        made = file.create_dataset("events/t", (10,), np.int64, chunks=(10,), **packing)
        made.id.write_direct_chunk((0,), chunk)

    return change


def chunk_of_blosc() -> bytes:
    """What Blosc makes of 64 MB, in some hundred bytes."""
    with h5py.File(io.BytesIO(), "w") as file:
        size = (1 << 23,)
        made = file.create_dataset("z", size, np.int64, chunks=size, **hdf5plugin.Blosc("zstd"))
        made[...] = 0
        return bytes(made.id.read_direct_chunk((0,))[1])


@pytest.mark.parametrize(
    ("packing", "chunk", "said"),
    [
        ({"compression": "gzip"}, zlib.compress(bytes(1 << 26)), "more than the 80 bytes"),
        (dict(hdf5plugin.Blosc("zstd")), chunk_of_blosc(), "more than the 80 bytes"),
        ({"compression": "lzf"}, bytes(4_000_000), "more than the 80 bytes"),
        ({}, bytes(1000), "more than the 80 bytes"),
        (dict(hdf5plugin.Zstd()), b"any", r"filters \[32015\]: expected gzip, LZF or Blosc"),
    ],
    ids=["gzip", "blosc", "lzf", "plain", "zstd"],
)
def test_a_chunk_of_hdf5_that_unpacks_to_more_than_a_chunk(
    packing: dict[str, Any], chunk: bytes, said: str, tmp_path: Path
) -> None:
    paths = dsec_files(tmp_path, endless(packing, chunk))
    with pytest.raises(TrainingError, match=said):
        dsec_image(paths, DSEC, "0")
