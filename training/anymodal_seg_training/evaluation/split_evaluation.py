"""How good a network is on one split of a data set, under the protocols of the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from anymodal_seg_ros.evaluation.metrics import Confusion, class_iou
from anymodal_seg_ros.evaluation.robustness import (
    FAILURE_PROBABILITIES,
    Subset,
    expected_score,
    robustness_score,
    summarise,
)
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.datasets.base import Dataset, Split
from anymodal_seg_training.datasets.frame_source import FrameSource
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.evaluation.calibration import ConfidenceCalibration
from anymodal_seg_training.evaluation.case_evaluation import Progress, case_confusions
from anymodal_seg_training.evaluation.cases import (
    ProtocolRow,
    combinations,
    noise_levels,
    random_missing,
)
from anymodal_seg_training.evaluation.conditions import ConditionTally
from anymodal_seg_training.evaluation.corruption import MISSING_RATIOS, SCORED_RATIO
from anymodal_seg_training.evaluation.native_evaluation import native_confusions
from anymodal_seg_training.recipe import Recipe

ABSENT_CLASSES = ("skip", "zero")
"""A class that is neither in the labels nor predicted: left out of the mean, or counted as 0."""


class Evaluation:
    """Measures one network on one split.

    Scores are mIoU from 0 to 1, of one confusion matrix over all frames, at the network's input
    size.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: AnyModalNetwork,
        frames: FrameSource,
        device: torch.device,
        absent: str = "skip",
        progress: Progress = lambda done, total: None,
        batch: int = 0,
    ) -> None:
        """Take what is to be measured.

        Args:
            recipe: of the run.
            network: to measure.
            frames: of the split.
            device: where the network is.
            absent: one of :data:`ABSENT_CLASSES`.
            progress: told how many frames are done.
            batch: frames at a time; 0: as many as the recipe says.
        """
        self._recipe = recipe
        self._network = network
        self._frames = frames
        self._device = device
        self._absent = absent
        self._batch = batch or recipe.training.evaluation_batch
        self._progress = progress

    def combinations(self, dataset: Dataset, split: str, drop: str = "skip") -> dict[str, Any]:
        """Measure all subsets of the modalities; see :mod:`..evaluation.robustness`."""
        names = self._recipe.modality_names
        cases = combinations(names, drop)
        classes, temperature = self._network.num_classes, float(self._network.temperature)
        calibrations = {case.key: ConfidenceCalibration(classes, temperature) for case in cases}
        noted = self._frames.conditions() or []
        # Frame by frame takes longer: only where there is something to tell apart.
        tally = ConditionTally(noted, classes) if any(noted) else None
        confusions = self._confusions(cases, calibrations, tally)
        scores = {case.present: self._score(confusions[case.key]) for case in cases}
        summary = summarise(scores, names)
        named = [entry.name for entry in dataset.classes]
        return {
            "split": split,
            "frames": len(self._frames),
            "protocol": self._protocol(drop),
            "mean_over_subsets": round(summary.mean, 4),
            "top_1": round(summary.top, 4),
            "last_1": round(summary.last, 4),
            "miou": {case.key: round(scores[case.present], 4) for case in cases},
            "calibration_error": {k: round(v.error(), 4) for k, v in calibrations.items()},
            "temperature": round(temperature, 4),
            "class_iou": {key: _by_class(matrix, named) for key, matrix in confusions.items()},
            "conditions": {} if tally is None else tally.scores(cases, self._score, names),
        }

    def native(self, split: Split, sliding: bool) -> dict[str, Any]:
        """Measure all subsets of the modalities at the size of the labels.

        Args:
            split: whose frames are read, not from a cache.
            sliding: see :func:`.native_confusions`.
        """
        names = self._recipe.modality_names
        cases = combinations(names)
        confusions = native_confusions(
            self._network, split, self._recipe, self._device, cases, sliding, self._progress
        )
        scores = {case.present: self._score(confusions[case.key]) for case in cases}
        summary = summarise(scores, names)
        how = "windows of the input size, a third overlapping" if sliding else "the whole picture"
        return {
            "protocol": f"at the size of the labels; the network sees {how}",
            "mean_over_subsets": round(summary.mean, 4),
            "miou": {case.key: round(scores[case.present], 4) for case in cases},
        }

    def benchmark(self, split: str, ratios: Sequence[float] = MISSING_RATIOS) -> dict[str, Any]:
        """Measure EMM, RMM and NM (arXiv 2503.18445) and the robustness score (2509.24505).

        Args:
            split: name of the split, for the result.
            ratios: of RMM; that of the score is among them.
        """
        names = self._recipe.modality_names
        missing = self._scores(combinations(names, "zero"))
        randomly = {ratio: self._scores(random_missing(names, ratio)) for ratio in ratios}
        sparse = [name for name in names if self._recipe.modalities[name].sparse]
        noisy = self._confusions(noise_levels(names, sparse))
        noise = {key: self._score(matrix) for key, matrix in noisy.items()}
        clean = missing[frozenset(names)]
        score = robustness_score(clean, missing, randomly[SCORED_RATIO], noise, names)
        return {
            "split": split,
            "frames": len(self._frames),
            "protocol": f"{self._protocol('zero')}; noise in batches of {self._batch}, "
            f"Gaussian on all but {', '.join(sparse) or 'none'}",
            "clean": round(clean, 4),
            "emm": self._expectations(missing),
            "rmm": {str(ratio): self._expectations(found) for ratio, found in randomly.items()},
            "nm": {key: round(value, 4) for key, value in noise.items()},
            "robustness_score": round(score, 4),
        }

    def _confusions(
        self,
        cases: list[ProtocolRow],
        calibrations: Mapping[str, ConfidenceCalibration] | None = None,
        tally: ConditionTally | None = None,
    ) -> dict[str, Confusion]:
        found = case_confusions(
            self._network,
            self._frames,
            np.arange(len(self._frames)),
            cases,
            self._recipe,
            self._device,
            self._batch,
            meters=calibrations,
            tally=tally,
            progress=self._progress,
        )
        if not any(matrix.any() for matrix in found.values()):
            raise TrainingError(
                f"no pixel of the {len(self._frames)} frames has a label, so there is no score: "
                "name another split with --split, or look at label.ignore and label.renumber of "
                "the data set's layout"
            )
        return found

    def _scores(self, cases: list[ProtocolRow]) -> dict[Subset, float]:
        confusions = self._confusions(cases)
        return {case.present: self._score(confusions[case.key]) for case in cases}

    def _score(self, confusion: Confusion) -> float:
        iou = class_iou(confusion)
        return float(np.nan_to_num(iou).mean() if self._absent == "zero" else np.nanmean(iou))

    def _expectations(self, scores: Mapping[Subset, float]) -> dict[str, float]:
        names = self._recipe.modality_names
        expected = {f"E({p})": expected_score(scores, names, p) for p in FAILURE_PROBABILITIES}
        return {
            key: round(value, 4)
            for key, value in {"average": summarise(scores, names).mean, **expected}.items()
        }

    def _protocol(self, drop: str) -> str:
        absent = "skipped, not passed" if drop == "skip" else "passed as zeros after normalisation"
        classes = "left out of the mean" if self._absent == "skip" else "counted as 0 in the mean"
        size = f"{self._recipe.input.height}x{self._recipe.input.width}"
        return (
            f"absent modalities {absent}; one confusion matrix over all frames, at {size}, the "
            f"network's input size; classes absent from labels and predictions {classes}"
        )


def over_sets(results: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Put the results of several data sets side by side, with their plain means.

    Args:
        results: of :meth:`Evaluation.combinations`, by the names of the data sets.
    """
    first, *_ = results.values()
    means = [found["mean_over_subsets"] for found in results.values()]
    whole = [list(found["miou"].values())[-1] for found in results.values()]
    return {
        "split": first["split"],
        "frames": sum(found["frames"] for found in results.values()),
        "protocol": f"{first['protocol']}; each data set with its own sensors and classes alone, "
        "means are over the data sets",
        "mean_over_subsets": round(float(np.mean(means)), 4),
        "all_sensors": round(float(np.mean(whole)), 4),
        "sets": dict(results),
    }


def _by_class(confusion: Confusion, classes: list[str]) -> dict[str, float]:
    return {
        name: round(float(iou), 4)
        for name, iou in zip(classes, class_iou(confusion), strict=True)
        if np.isfinite(iou)
    }
