"""Frames of a split at the network's size, made once, memory-mapped afterwards.

The planes come from :func:`anymodal_seg_ros.inference.preprocess.planes`, so the network is trained
on exactly what the node will feed it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anymodal_seg_ros.frames import Mask
from anymodal_seg_ros.inference import preprocess
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.written_files import reserve
from anymodal_seg_training.checkpoint import name_once, write_text_atomically
from anymodal_seg_training.datasets.base import LabelledFrame, Split
from anymodal_seg_training.datasets.frame_source import FrameSource, Job, Result
from anymodal_seg_training.datasets.reading import Reading, in_workers
from anymodal_seg_training.datasets.source_hash import source_hash
from anymodal_seg_training.datasets.workers import begin_worker, worker_context
from anymodal_seg_training.errors import TrainingError

LABELS = "labels"
Progress = Callable[[int, int], None]
"""Called with the number of units done and the number of all units."""


@dataclass(frozen=True, slots=True)
class PlaneFormat:
    """How frames are stored: which modalities, normalised how, at which size."""

    modalities: Mapping[str, ModalitySpec]
    height: int
    width: int

    def shapes(self, frames: int) -> dict[str, tuple[tuple[int, ...], type]]:
        """The arrays of a cache: shape and dtype by name."""
        arrays: dict[str, tuple[tuple[int, ...], type]] = {
            name: ((frames, 3, self.height, self.width), np.float16) for name in self.modalities
        }
        arrays[LABELS] = ((frames, self.height, self.width), np.uint8)
        return arrays


class FrameCache:
    """The finished frames of one split."""

    def __init__(self, folder: Path, form: PlaneFormat, reading: Reading | None = None) -> None:
        """Map the arrays of a finished cache; without ``reading`` jobs are done here and now."""
        self.folder = folder
        self._form = form
        self._reading = reading
        self._arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in form.shapes(0)
        }

    def __reduce__(self) -> tuple[type[FrameCache], tuple[Path, PlaneFormat]]:
        """Go to another process as the name of the folder: that process maps the arrays anew."""
        return FrameCache, (self.folder, self._form)

    def __len__(self) -> int:
        """The number of frames."""
        return len(self._arrays[LABELS])

    def conditions(self) -> list[dict[str, str]] | None:
        """Under which conditions each frame was taken; see :class:`.base.LabelledFrame`.

        None if the frames were stored before conditions were: then the folder must be deleted
        for them to be made anew.
        """
        units = sorted((self.folder / "done").glob("[0-9]*"), key=lambda path: int(path.name))
        notes = [path.read_text(encoding="utf-8") for path in units]
        if not all(notes):
            return None
        return [dict(frame) for note in notes for frame in json.loads(note)]

    def read(
        self,
        indices: npt.NDArray[np.int64],
        modalities: Sequence[str],
        damaged: list[str] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`FrameSource.read`; no frame of a finished cache is damaged."""
        planes = np.stack([self._arrays[name][indices] for name in modalities], axis=1)
        return torch.from_numpy(planes), torch.from_numpy(self._arrays[LABELS][indices])

    def run(
        self, jobs: Iterable[Job], work: Callable[[FrameSource, Job], Result]
    ) -> Generator[Result, None, None]:
        """See :meth:`FrameSource.run`."""
        if self._reading is not None:
            yield from in_workers(self, jobs, work, self._reading)
        else:
            for job in jobs:
                yield work(self, job)

    def class_frequencies(self, num_classes: int, frames: int = 256) -> npt.NDArray[np.float64]:
        """See :meth:`FrameSource.class_frequencies`."""
        chosen = np.linspace(0, len(self) - 1, min(frames, len(self))).round().astype(np.int64)
        counts = np.bincount(self._arrays[LABELS][chosen].ravel(), minlength=256)[:num_classes]
        return counts / max(int(counts.sum()), 1)


def open_cache(
    split: Split,
    form: PlaneFormat,
    root: Path,
    workers: int = 2,
    progress: Progress = lambda done, total: None,
    reading: Reading | None = None,
) -> FrameCache:
    """Return the cache of a split; make what is missing of it, unit by unit, in worker processes.

    Args:
        split: whose frames.
        form: how they are stored.
        root: where caches are kept.
        workers: processes that make them.
        progress: see :data:`Progress`.
        reading: how they are read afterwards, see :class:`FrameCache`.

    Raises:
        TrainingError: a unit cannot be made or stored. What was made before is kept.
    """
    folder = root / f"{split.name}-{_digest(split, form)}"
    frames = split.units * split.frames_per_unit
    done_folder = folder / "done"
    try:
        done_folder.mkdir(parents=True, exist_ok=True)
        _allocate(folder, form, frames)
    except OSError as error:
        raise TrainingError(f"cannot store frames in {folder}: {error}") from error
    missing = [unit for unit in range(split.units) if not (done_folder / str(unit)).exists()]
    if missing:
        _make(split, form, folder, missing, workers, progress)
    return FrameCache(folder, form, reading)


def _digest(split: Split, form: PlaneFormat) -> str:
    """Tell caches apart: by what the frames depend on, and by how they are preprocessed."""
    parts = {
        "split": [split.key, split.units, split.frames_per_unit],
        "format": asdict(form),
        "preprocess": source_hash(preprocess),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _allocate(folder: Path, form: PlaneFormat, frames: int) -> None:
    """Make the empty arrays, unless they are there.

    Runs that begin at the same time all make them, and all fill those of the first one.
    """
    for name, (shape, dtype) in form.shapes(frames).items():
        path = folder / f"{name}.npy"
        if path.exists():
            continue
        temporary = path.with_suffix(f".{os.getpid()}")
        try:
            np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape).flush()
            reserve(temporary)
            name_once(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _make(
    split: Split,
    form: PlaneFormat,
    folder: Path,
    units: Sequence[int],
    workers: int,
    progress: Progress,
) -> None:
    pool = ProcessPoolExecutor(workers, worker_context(), begin_worker)
    try:
        futures: dict[Future[None], int] = {
            pool.submit(_make_unit, split, form, folder, unit): unit for unit in units
        }
        done = split.units - len(units)
        progress(done, split.units)
        for future in as_completed(futures):
            try:
                future.result()
            except BrokenProcessPool as error:
                raise TrainingError(
                    "a worker process died while it made frames, perhaps for lack of memory, or of "
                    f"room for {folder}; the finished ones are kept: start again to go on, with "
                    "fewer --workers or another --cache-dir"
                ) from error
            except Exception as error:
                raise TrainingError(
                    f"cannot make the frames of unit {futures[future]} of {split.name}: "
                    f"{type(error).__name__}: {error}; what was made is kept: mend it or take it "
                    "out of its split, then start again"
                ) from error
            done += 1
            progress(done, split.units)
    finally:  # Ctrl-C, too, waits for what is under way and for no more
        pool.shutdown(wait=True, cancel_futures=True)


def _make_unit(split: Split, form: PlaneFormat, folder: Path, unit: int) -> None:
    """Store the frames of one unit and mark it as done; runs in a worker."""
    arrays: dict[str, Any] = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="r+")
        for name in form.shapes(0)
    }
    first = unit * split.frames_per_unit
    count, conditions = 0, []
    for count, frame in enumerate(_checked(split, form, unit), start=1):
        position = first + count - 1
        for name, spec in form.modalities.items():
            image = frame.images[name]
            arrays[name][position] = preprocess.planes(image, spec, form.height, form.width)
        conditions.append(dict(frame.conditions))
        arrays[LABELS][position] = resize_label(frame.label, form.height, form.width)
    if count != split.frames_per_unit:
        raise ValueError(f"{count} frames came, {split.frames_per_unit} were promised")
    for array in arrays.values():
        array.flush()
    # What marks the unit as done holds the conditions: there is never one without the other.
    write_text_atomically(folder / "done" / str(unit), json.dumps(conditions))


def _checked(split: Split, form: PlaneFormat, unit: int) -> Iterator[LabelledFrame]:
    """Pass on at most the promised frames, so that no unit writes into its neighbour's place."""
    for number, frame in enumerate(split.frames(unit)):
        missing = sorted(set(form.modalities) - set(frame.images))
        if missing:
            raise ValueError(
                f"frame {number} has no {missing[0]} image: it has {', '.join(frame.images)}"
            )
        if number >= split.frames_per_unit:
            raise ValueError(f"more than the promised {split.frames_per_unit} frames came")
        yield frame


def resize_label(label: Mask, height: int, width: int) -> Mask:
    """Bring class ids ``[H, W]`` to the network's size.

    Raises:
        ValueError: they are no uint8 ``[H, W]``.
    """
    if label.dtype != np.uint8 or label.ndim != 2:
        raise ValueError(f"a label is {label.dtype} {label.shape}: expected uint8 [H, W]")
    if label.shape == (height, width):
        return label
    # INTER_NEAREST_EXACT samples pixel centres, as the bilinear resizing of the images does.
    return np.asarray(
        cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8
    )
