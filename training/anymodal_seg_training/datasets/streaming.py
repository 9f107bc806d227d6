"""Frames read from a data set while it is trained on, for sets that no cache can hold.

The planes are those of the frame cache, to the bit, so a recipe gives the same run with either.
Worker processes read ahead; how far is bounded, and so is the memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anymodal_seg_ros.inference import preprocess
from anymodal_seg_training.data.sampling import spread_indices
from anymodal_seg_training.datasets.base import LabelledFrame, Split
from anymodal_seg_training.datasets.frame_cache import PlaneFormat, resize_label
from anymodal_seg_training.datasets.frame_source import FrameSource, Job, Result
from anymodal_seg_training.datasets.reading import Reading, in_workers
from anymodal_seg_training.errors import TrainingError

LONGEST_GAP = 100
"""So many damaged frames in a row are no accident: the run stops even if it may replace them."""


class StreamedFrames:
    """The frames of one split, read from its units whenever they are needed.

    Of a unit with several frames those before the wanted one are made in vain: a split whose units
    are single frames streams best.
    """

    def __init__(self, split: Split, form: PlaneFormat, reading: Reading) -> None:
        """Remember where the frames are; nothing is read yet."""
        self._split = split
        self._form = form
        self._reading = reading

    def __len__(self) -> int:
        """The number of frames."""
        return self._split.units * self._split.frames_per_unit

    def read(
        self,
        indices: npt.NDArray[np.int64],
        modalities: Sequence[str],
        damaged: list[str] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`FrameSource.read`.

        Raises:
            TrainingError: a frame is damaged and none stands in for it.
        """
        form = self._form
        planes = np.empty((len(indices), len(modalities), 3, form.height, form.width), np.float16)
        labels = np.empty((len(indices), form.height, form.width), np.uint8)
        for place, index in enumerate(indices):
            for tried in itertools.count():
                number = (int(index) + tried) % len(self)
                try:
                    self._put(number, modalities, planes[place], labels[place])
                    break
                except Exception as error:  # a damaged file can make its reader stumble in any way
                    said = str(error) if isinstance(error, TrainingError) else repr(error)
                    said = f"frame {number} of {self._split.name} cannot be used: {said}"
                    if not self._reading.replaces:
                        raise TrainingError(
                            f"{said}; mend it or take it out of its split, or set input.on_damage "
                            "to replace, to learn without it"
                        ) from error
                    if tried >= min(LONGEST_GAP, len(self) - 1):
                        raise TrainingError(
                            f"{tried + 1} damaged frames in a row; the last: {said}"
                        ) from error
                    if damaged is not None:
                        damaged.append(said)
        return torch.from_numpy(planes), torch.from_numpy(labels)

    def _put(
        self,
        number: int,
        modalities: Sequence[str],
        planes: npt.NDArray[np.float16],
        label: npt.NDArray[np.uint8],
    ) -> None:
        """Write one frame into ``planes`` ``[M, 3, H, W]`` and ``label`` ``[H, W]``."""
        form, frame = self._form, self._frame(number)
        for row, name in enumerate(modalities):
            if name not in frame.images:
                raise TrainingError(f"it has no {name} image, only {', '.join(frame.images)}")
            planes[row] = preprocess.planes(
                frame.images[name], form.modalities[name], form.height, form.width
            )
        label[:] = resize_label(frame.label, form.height, form.width)

    def _frame(self, number: int) -> LabelledFrame:
        unit, place = divmod(number, self._split.frames_per_unit)
        for frame in itertools.islice(self._split.frames(unit), place, None):
            return frame
        raise TrainingError(f"unit {unit} has no more than {place} frames")

    def run(
        self, jobs: Iterable[Job], work: Callable[[FrameSource, Job], Result]
    ) -> Generator[Result, None, None]:
        """See :meth:`FrameSource.run`; done in worker processes.

        Raises:
            TrainingError: a frame is damaged and none stands in for it, or a worker died.
        """
        return in_workers(self, jobs, work, self._reading)

    def conditions(self) -> list[dict[str, str]]:
        """See :meth:`FrameSource.conditions`; the split knows them without reading its images."""
        split = self._split
        return [dict(frame) for unit in range(split.units) for frame in split.conditions(unit)]

    def class_frequencies(self, num_classes: int, frames: int = 256) -> npt.NDArray[np.float64]:
        """See :meth:`FrameSource.class_frequencies`."""
        chosen = spread_indices(frames, len(self))
        counts = sum(self.run([chosen[i : i + 1] for i in range(len(chosen))], _count_labels))
        counted = np.asarray(counts, np.int64)[:num_classes]
        return counted / max(int(counted.sum()), 1)


def _count_labels(source: FrameSource, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    _, labels = source.read(indices, ())
    return np.bincount(labels.numpy().ravel(), minlength=256)
