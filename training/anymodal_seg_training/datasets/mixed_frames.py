"""The frames that a run learns from: of one data set, or of several that are mixed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anymodal_seg_ros.networks.label_space import LabelSpace
from anymodal_seg_training.datasets.frame_source import FrameSource, Job, Result


@dataclass(frozen=True, slots=True)
class Share:
    """What one data set gives to a run.

    Attributes:
        source: its frames, with its own classes.
        modalities: of its frames, in the order of their ids.
        name: of the data set among those that are mixed; empty for one alone.
        classes: for each of its classes the one of the union; None for a data set alone.
        chance: with which probability a step's frames come from it.
        first: number of its first frame among those of all.
    """

    source: FrameSource
    modalities: tuple[str, ...]
    name: str = ""
    classes: tuple[int, ...] | None = None
    chance: float = 1.0
    first: int = 0


class MixedFrames:
    """The frames of several data sets, one after the other, with the labels of the union.

    Attributes:
        shares: of the data sets, ``first`` counting up.
    """

    def __init__(self, shares: Sequence[Share], space: LabelSpace) -> None:
        """Take the shares, in the order of their first frames."""
        self.shares = tuple(shares)
        self._space = space

    def __len__(self) -> int:
        """The number of frames of all data sets."""
        return sum(len(share.source) for share in self.shares)

    def read(
        self,
        indices: npt.NDArray[np.int64],
        modalities: Sequence[str],
        damaged: list[str] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`FrameSource.read`; all frames are of one data set, since others lack sensors.

        Raises:
            TrainingError: a frame is damaged and none stands in for it.
        """
        starts = [share.first for share in self.shares]
        share = self.shares[int(np.searchsorted(starts, indices[0], side="right")) - 1]
        planes, labels = share.source.read(indices - share.first, modalities, damaged)
        return planes, self._space.to_union(labels, share.name).to(torch.uint8)

    def run(
        self, jobs: Iterable[Job], work: Callable[[FrameSource, Job], Result]
    ) -> Generator[Result, None, None]:
        """See :meth:`FrameSource.run`; done in the way of the first data set's frames."""
        return self.shares[0].source.run(jobs, _OnAll(self, work))

    def conditions(self) -> list[dict[str, str]] | None:
        """See :meth:`FrameSource.conditions`; those of all data sets, one after the other."""
        found: list[dict[str, str]] = []
        for share in self.shares:
            noted = share.source.conditions()
            if noted is None:
                return None
            found += noted
        return found

    def class_frequencies(self, num_classes: int, frames: int = 256) -> npt.NDArray[np.float64]:
        """See :meth:`FrameSource.class_frequencies`; a set counts as often as it is drawn."""
        shares = np.zeros(num_classes)
        for share in self.shares:
            assert share.classes is not None
            own = share.source.class_frequencies(len(share.classes), frames)
            shares[list(share.classes)] += share.chance * own
        return shares


def shares_of(source: FrameSource, modalities: tuple[str, ...]) -> tuple[Share, ...]:
    """Return the data sets in a source: its shares, or itself with all modalities of the run."""
    return source.shares if isinstance(source, MixedFrames) else (Share(source, modalities),)


@dataclass(frozen=True, slots=True)
class _OnAll(Generic[Job, Result]):
    """Does a job on the frames of all data sets, whichever one's are offered."""

    frames: MixedFrames
    work: Callable[[FrameSource, Job], Result]

    def __call__(self, source: FrameSource, job: Job) -> Result:
        return self.work(self.frames, job)
