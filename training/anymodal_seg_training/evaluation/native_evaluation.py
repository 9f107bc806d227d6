"""mIoU at the size of the labels, as the data sets have them and as a robot's mask is read.

Elsewhere labels are brought to the network's input size, which makes fine things easier to miss
without cost. Here logits are brought to the labels' size, and a picture may be seen piece by piece.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.evaluation.metrics import Confusion
from anymodal_seg_ros.frames import UNLABELED, Image
from anymodal_seg_ros.inference.preprocess import planes
from anymodal_seg_ros.networks import AnyModalNetwork, upsample_logits
from anymodal_seg_training.datasets.base import Split
from anymodal_seg_training.evaluation.case_evaluation import Progress
from anymodal_seg_training.evaluation.cases import ProtocolRow
from anymodal_seg_training.evaluation.encoded_once import EncodedOnce
from anymodal_seg_training.recipe import Recipe

OVERLAP = 1 / 3
"""Share of a window that the next one sees, too, as in the tools of mmsegmentation."""


@torch.inference_mode()
def native_confusions(
    network: AnyModalNetwork,
    split: Split,
    recipe: Recipe,
    device: torch.device,
    cases: Sequence[ProtocolRow],
    sliding: bool = False,
    progress: Progress = lambda done, total: None,
) -> dict[str, Confusion]:
    """Evaluate a network on all frames of a split, frame by frame, at the size of their labels.

    Args:
        network: to evaluate; it is left in evaluation mode.
        split: whose frames are read, not from a cache.
        recipe: of the run.
        device: where the network is.
        cases: how to feed the network; none of them may change planes.
        sliding: whether windows of the network's input size move over a picture of the label's
            size, logits averaged where they overlap; else the whole picture is scaled to the input.
        progress: see :data:`.Progress`.

    Returns:
        A confusion matrix for each case, by its key.

    Raises:
        TrainingError: a frame cannot be read.
    """
    network.eval()
    totals = {case.key: np.zeros((network.num_classes,) * 2, np.int64) for case in cases}
    total, done = split.units * split.frames_per_unit, 0
    for unit in range(split.units):
        for frame in split.frames(unit):
            label = frame.label
            height, width = label.shape
            size = (height, width) if sliding else (recipe.input.height, recipe.input.width)
            parts = _parts(frame.images, recipe, size, device)
            for key, logits in _logits(network, parts, cases).items():
                found = upsample_logits(logits, height, width).argmax(dim=1)[0].cpu().numpy()
                known = label != UNLABELED
                pairs = label[known].astype(np.int64) * network.num_classes + found[known]
                counts = np.bincount(pairs, minlength=network.num_classes**2)
                totals[key] += counts.reshape(totals[key].shape)
            done += 1
            progress(done, total)
    return totals


@dataclass(frozen=True, slots=True)
class _Part:
    """A window of a picture: where it is, and its planes ``[1, M, 3, H, W]``."""

    top: int
    left: int
    images: Tensor


def _parts(
    images: Mapping[str, Image], recipe: Recipe, size: tuple[int, int], device: torch.device
) -> list[_Part]:
    """Cut the planes of a frame, brought to ``size`` or to no less than a window, into windows."""
    rows, columns = recipe.input.height, recipe.input.width
    larger = max(1.0, rows / size[0], columns / size[1])
    height, width = (
        max(least, round(side * larger)) for least, side in zip((rows, columns), size, strict=True)
    )
    whole = np.stack(
        [
            planes(images[name], recipe.modalities[name], height, width)
            for name in recipe.modality_names
        ]
    )
    stacked = torch.from_numpy(whole)[None].to(device)
    return [
        _Part(top, left, stacked[..., top : top + rows, left : left + columns])
        for top in _starts(height, rows)
        for left in _starts(width, columns)
    ]


def _starts(length: int, window: int) -> Iterator[int]:
    """Yield where windows begin: evenly, the last one ending where the picture ends."""
    count = 1 + math.ceil((length - window) / (window * (1 - OVERLAP)))
    for place in range(count):
        yield round(place * (length - window) / max(count - 1, 1))


def _logits(
    network: AnyModalNetwork, parts: list[_Part], cases: Sequence[ProtocolRow]
) -> dict[str, Tensor]:
    """Return the logits of the whole picture in each case, averaged where windows overlap."""
    height = max(part.top + part.images.shape[3] for part in parts)
    width = max(part.left + part.images.shape[4] for part in parts)
    sums: dict[str, Tensor] = {}
    seen = torch.zeros(1, 1, height, width, device=parts[0].images.device)
    for part in parts:
        rows, columns = part.images.shape[3:]
        place = (..., slice(part.top, part.top + rows), slice(part.left, part.left + columns))
        seen[place] += 1.0
        encoded = EncodedOnce(network, part.images)
        for case in cases:
            logits = encoded.logits(case.rows)
            if len(parts) == 1:  # nothing overlaps: brought to the label's size in one step
                sums[case.key] = logits.float()
                continue
            whole = F.interpolate(logits.float(), (rows, columns), mode="bilinear")
            if case.key not in sums:
                sums[case.key] = whole.new_zeros(1, whole.shape[1], height, width)
            sums[case.key][place] += whole
    return sums if len(parts) == 1 else {key: logits / seen for key, logits in sums.items()}
