"""Writes a split into tar shards that webdataset reads, with an index of where everything lies.

Shards are made by worker processes, each shard whole or not at all, so that packing can be stopped
at any moment and goes on where it was.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import webdataset

from anymodal_seg_ros.written_files import forget_unfinished
from anymodal_seg_training.checkpoint import write_atomically, write_text_atomically
from anymodal_seg_training.datasets.base import Split
from anymodal_seg_training.datasets.packed_members import INDEX_DTYPE, PackedFile, pack_frame
from anymodal_seg_training.datasets.workers import begin_worker, worker_context
from anymodal_seg_training.errors import TrainingError

Progress = Callable[[int, int], None]
"""Called with the number of shards done and the number of all shards."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How a split is packed.

    Attributes:
        split: to pack.
        name: of the split, e.g. ``train``.
        folder: in which the shards come to lie.
        units: of the split in each shard.
        skips: whether a damaged frame is left out; otherwise it stops the packing.
    """

    split: Split
    name: str
    folder: Path
    units: int
    skips: bool

    @property
    def shards(self) -> int:
        """How many shards there will be."""
        return -(-self.split.units // self.units)

    def shard_file(self, number: int) -> Path:
        """A tar file."""
        return self.folder / shard_name(self.name, number)

    def note_file(self, number: int) -> Path:
        """What is in a finished shard; it goes away when all are finished."""
        return self.folder / f".{self.name}-{number:06d}.json"


def shard_name(split: str, number: int) -> str:
    """Name a shard."""
    return f"{split}-{number:06d}.tar"


def pack_split(packing: Packing, workers: int, progress: Progress) -> dict[str, Any]:
    """Write what is missing of a split, and its index.

    Returns:
        The split's entry in the manifest.

    Raises:
        TrainingError: a frame is damaged and must not be left out, frames differ in their sensors
            or encodings, or a file cannot be written.
    """
    numbers = range(packing.shards)
    missing = [number for number in numbers if not packing.note_file(number).exists()]
    stop = worker_context().Event()
    # The split goes to each worker once: of a million frames it is a large object.
    with ProcessPoolExecutor(workers, worker_context(), _begin, (packing, stop)) as pool:
        futures = {pool.submit(_pack_shard, number): number for number in missing}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                progress(packing.shards - len(missing) + done, packing.shards)
        except BrokenProcessPool as error:
            raise TrainingError(
                "a worker process died while it packed frames, perhaps for lack of memory; "
                "the finished shards are kept: start again to go on"
            ) from error
        except (OSError, ValueError) as error:
            raise TrainingError(f"cannot pack {packing.split.name}: {error}") from error
        finally:  # Ctrl-C, too, waits for the frames under way, not for the shards that they are of
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return _finish(packing)


def _finish(packing: Packing) -> dict[str, Any]:
    """Put the notes of all shards together."""
    notes = [json.loads(packing.note_file(n).read_text()) for n in range(packing.shards)]
    kinds = {json.dumps(note["members"]) for note in notes if note["index"]}
    if len(kinds) != 1:
        raise TrainingError(
            f"the shards of {packing.split.name} hold different sensors or encodings: "
            f"{' and '.join(sorted(kinds)) or 'no frame at all'}"
        )
    index = np.concatenate([np.array(n["index"], INDEX_DTYPE) for n in notes if n["index"]])

    def save(path: Path) -> None:
        with path.open("wb") as file:  # given a path, NumPy would add a suffix
            np.save(file, index)

    write_atomically(packing.folder / f"{packing.name}.npy", save)
    return {
        "title": packing.split.name,
        "members": json.loads(kinds.pop()),
        "shards": [len(note["index"]) for note in notes],
        "left_out": [sentence for note in notes for sentence in note["left_out"]],
        "index_crc": zlib.crc32(index.tobytes()),
    }


_packing: Packing | None = None
"""What this worker packs."""

_stop: Event | None = None
"""Set where nobody waits for what this worker packs any more."""


class _StoppedError(Exception):
    """A shard is given up."""


def _begin(packing: Packing, stop: Event) -> None:
    global _packing, _stop
    begin_worker()
    _packing, _stop = packing, stop


def _pack_shard(number: int) -> None:
    """Write one shard and its note; runs in a worker."""
    assert _packing is not None and _stop is not None
    packing, stop, path = _packing, _stop, _packing.shard_file(number)
    checksums: list[list[int]] = []
    left_out: list[str] = []
    kinds: set[tuple[PackedFile, ...]] = set()

    def write(temporary: Path) -> None:
        with (
            temporary.open("wb") as file,
            webdataset.TarWriter(file, encoder=False, mtime=0.0) as tar,
        ):
            for title, files in _frames(packing, number, left_out):
                kinds.add(tuple(files))
                if len(kinds) > 1:
                    raise TrainingError(
                        f"{title} has other sensors or encodings than the frames before it"
                    )
                if stop.is_set():
                    raise _StoppedError
                sample = {member.key: content for member, content in files.items()}
                tar.write({"__key__": f"{number:06d}{len(checksums):06d}", **sample})
                checksums.append([zlib.crc32(content) for content in files.values()])

    forget_unfinished(path)  # of a worker that was killed
    write_atomically(path, write)
    members = next(iter(kinds), ())
    note = {
        "members": [[m.name, m.encoding, m.suffix] for m in members],
        "index": _index(path, members, checksums),
        "left_out": left_out,
    }
    write_text_atomically(packing.note_file(number), json.dumps(note))


def _frames(
    packing: Packing, number: int, left_out: list[str]
) -> Iterator[tuple[str, dict[PackedFile, bytes]]]:
    """Give the sound frames of a shard: which one it is, and its files.

    What comes after a damaged frame in its unit is left out with it.
    """
    split = packing.split
    last = min((number + 1) * packing.units, split.units)
    for unit in range(number * packing.units, last):
        place = -1
        try:
            for place, frame in enumerate(split.frames(unit)):
                files = pack_frame(frame)
                yield f"frame {place} of unit {unit} of {split.name}", files
        except Exception as error:  # a damaged file can make its reader stumble in any way
            said = str(error) if isinstance(error, TrainingError) else repr(error)
            sentence = f"frame {place + 1} of unit {unit} of {split.name}: {said}"
            if not packing.skips:
                raise TrainingError(f"{sentence}; to leave it out, add --skip-damaged") from error
            left_out.append(sentence)


def _index(path: Path, members: tuple[PackedFile, ...], checksums: list[list[int]]) -> list[Any]:
    """Find where each member of each frame lies in a shard."""
    with tarfile.open(path) as tar:
        found = {entry.name: entry for entry in tar}
    shard = path.stem[-6:]
    rows = []
    for place, sums in enumerate(checksums):
        entries = [found[f"{shard}{place:06d}.{member.key}"] for member in members]
        rows.append([[e.offset_data, e.size, c] for e, c in zip(entries, sums, strict=True)])
    return rows
