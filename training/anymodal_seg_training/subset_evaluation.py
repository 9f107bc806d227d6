"""How good a network is with each subset of its sensors alive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from anymodal_seg_ros.evaluation.metrics import Confusion, mean_iou
from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.networks import AnyModalNetwork, upsample_logits
from anymodal_seg_training.datasets.frame_cache import FrameCache
from anymodal_seg_training.recipe import Recipe
from anymodal_seg_training.sampling import Indices, subset_key


@torch.inference_mode()
def subset_confusions(
    network: AnyModalNetwork,
    frames: FrameCache,
    indices: Indices,
    subsets: Sequence[Sequence[str]],
    recipe: Recipe,
    device: torch.device,
    batch_size: int = 8,
    gather: Callable[[Tensor], Tensor] = lambda counts: counts,
) -> dict[str, Confusion]:
    """Evaluate a network on frames, with each subset of modalities alone.

    Absent modalities are skipped, not zeroed. Predictions and labels are compared at the network's
    input size. The network is left in the mode that it was in.

    Args:
        network: to evaluate.
        frames: of a split.
        indices: of the frames to use.
        subsets: of the modalities.
        recipe: of the run.
        device: where the network is.
        batch_size: frames at a time.
        gather: adds up the counts ``[S, K, K]`` of several processes.

    Returns:
        A confusion matrix for each subset, by :func:`subset_key`.
    """
    was_training = network.training
    network.eval()
    classes = network.num_classes
    totals = torch.zeros((len(subsets), classes, classes), dtype=torch.int64, device=device)
    names = recipe.modality_names
    for first in range(0, len(indices), batch_size):
        planes, labels = frames.read(indices[first : first + batch_size], names)
        planes, labels = planes.to(device).float(), labels.to(device).long()
        height, width = labels.shape[1:]
        for number, subset in enumerate(subsets):
            rows = [names.index(name) for name in subset]
            ids = torch.tensor([recipe.modalities[name].id for name in subset], device=device)
            logits = upsample_logits(network(planes[:, rows], ids), height, width)
            totals[number] += multiclass_confusion_matrix(
                logits.argmax(dim=1), labels, classes, ignore_index=UNLABELED, validate_args=False
            )
    network.train(was_training)
    counts = gather(totals).cpu().numpy().astype(np.int64)
    return {subset_key(subset): counts[number] for number, subset in enumerate(subsets)}


def mean_over_subsets(confusions: Mapping[str, Confusion]) -> float:
    """Return the plain mean of the mIoU of the subsets."""
    return float(np.mean([mean_iou(confusion) for confusion in confusions.values()]))
