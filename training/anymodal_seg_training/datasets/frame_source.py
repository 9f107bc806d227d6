"""What training and validation read frames from, wherever these are kept."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

Job = TypeVar("Job")
Result = TypeVar("Result")


class FrameSource(Protocol):
    """The frames of one split at the network's size, by number."""

    def __len__(self) -> int:
        """The number of frames."""
        ...

    def read(
        self,
        indices: npt.NDArray[np.int64],
        modalities: Sequence[str],
        damaged: list[str] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Read frames.

        Args:
            indices: of the frames.
            modalities: whose planes to read.
            damaged: takes a sentence for each damaged frame that another one stands in for.

        Returns:
            Planes float16 ``[B, M, 3, H, W]`` and labels uint8 ``[B, H, W]``.
        """
        ...

    def run(
        self, jobs: Iterable[Job], work: Callable[[FrameSource, Job], Result]
    ) -> Generator[Result, None, None]:
        """Do jobs on the frames and give the results in the order of the jobs.

        Jobs may be taken long before their results are asked for, and done in other processes:
        ``work`` and the results can be pickled, and a result depends on its job alone.
        """
        ...

    def conditions(self) -> list[dict[str, str]] | None:
        """Under which conditions each frame was taken; see :class:`.base.LabelledFrame`.

        None if they are not known.
        """
        ...

    def class_frequencies(self, num_classes: int, frames: int = 256) -> npt.NDArray[np.float64]:
        """Share of each class among the labelled pixels, from frames spread over the split."""
        ...


def read_frames(
    source: FrameSource, indices: npt.NDArray[np.int64], modalities: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Read frames as a job of :meth:`FrameSource.run`."""
    return source.read(indices, modalities)
