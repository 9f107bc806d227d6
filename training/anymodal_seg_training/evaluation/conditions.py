"""Scores told apart by the conditions under which frames were taken: weather, failure, time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.evaluation.metrics import Confusion
from anymodal_seg_ros.evaluation.robustness import Subset, summarise
from anymodal_seg_training.data.sampling import Indices
from anymodal_seg_training.evaluation.cases import ProtocolRow

Condition = tuple[str, str]
"""Its name and its value, such as ``weather`` and ``fog``."""


class ConditionTally:
    """Adds up confusion matrices by condition and case, in one pass over the frames.

    A frame counts once under each of its conditions; it has one value at most for each name.
    """

    def __init__(self, conditions: Sequence[Mapping[str, str]], num_classes: int) -> None:
        """Take the conditions of every frame of a split."""
        self._frames: dict[Condition, npt.NDArray[np.bool_]] = {}
        for number, named in enumerate(conditions):
            for condition in named.items():
                if condition not in self._frames:
                    self._frames[condition] = np.zeros(len(conditions), np.bool_)
                self._frames[condition][number] = True
        self._num_classes = num_classes
        self._counts: dict[tuple[Condition, str], Confusion] = {}

    def add(self, case: str, frames: Indices, counts: npt.NDArray[np.int64]) -> None:
        """Add the confusion matrices of some frames.

        Args:
            case: its key.
            frames: their numbers in the split ``[B]``.
            counts: int64 ``[B, K, K]``.
        """
        for condition, has in self._frames.items():
            chosen = has[frames]
            if chosen.any():
                key = (condition, case)
                before = self._counts.get(key, np.zeros(counts.shape[1:], np.int64))
                self._counts[key] = before + counts[chosen].sum(axis=0)

    def confusion(self, condition: Condition, case: str) -> Confusion:
        """Return the sum ``[K, K]`` over the frames with this condition."""
        nothing = np.zeros((self._num_classes, self._num_classes), np.int64)
        return self._counts.get((condition, case), nothing)

    def scores(
        self,
        cases: Sequence[ProtocolRow],
        score: Callable[[Confusion], float],
        modalities: Sequence[str],
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """Return by name and value of the conditions: frames, and mIoU with every subset.

        Conditions whose frames have no label at all are left out.

        Args:
            cases: one for each subset.
            score: mIoU of a confusion matrix, 0 to 1.
            modalities: all of them.
        """
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for condition in sorted(self._frames):
            if not any(self.confusion(condition, case.key).any() for case in cases):
                continue
            scores: dict[Subset, float] = {
                case.present: score(self.confusion(condition, case.key)) for case in cases
            }
            summary = summarise(scores, modalities)
            name, value = condition
            found.setdefault(name, {})[value] = {
                "frames": int(self._frames[condition].sum()),
                "all_sensors": round(scores[frozenset(modalities)], 4),
                "mean_over_subsets": round(summary.mean, 4),
                "top_1": round(summary.top, 4),
                "last_1": round(summary.last, 4),
                "miou": {case.key: round(scores[case.present], 4) for case in cases},
            }
        return found
