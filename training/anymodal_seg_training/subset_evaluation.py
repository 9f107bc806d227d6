"""How good a network is with each subset of its sensors alive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from anymodal_seg_ros.evaluation.metrics import Confusion, confusion_matrix, mean_iou
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
) -> dict[str, Confusion]:
    """Evaluate a network on frames, with each subset of modalities alone.

    Absent modalities are skipped, not zeroed. Predictions and labels are compared at the network's
    input size. The network is left in the mode that it was in.

    Returns:
        A confusion matrix for each subset, by :func:`subset_key`.
    """
    was_training = network.training
    network.eval()
    classes = network.num_classes
    totals = {subset_key(s): np.zeros((classes, classes), np.int64) for s in subsets}
    names = recipe.modality_names
    for first in range(0, len(indices), batch_size):
        planes, labels = frames.read(indices[first : first + batch_size], names)
        planes = planes.to(device).float()
        height, width = labels.shape[1:]
        for subset in subsets:
            rows = [names.index(name) for name in subset]
            ids = torch.tensor([recipe.modalities[name].id for name in subset], device=device)
            logits = upsample_logits(network(planes[:, rows], ids), height, width)
            predicted = logits.argmax(dim=1).to(torch.uint8).cpu().numpy()
            totals[subset_key(subset)] += confusion_matrix(labels.numpy(), predicted, classes)
    network.train(was_training)
    return totals


def mean_over_subsets(confusions: Mapping[str, Confusion]) -> float:
    """Return the plain mean of the mIoU of the subsets."""
    return float(np.mean([mean_iou(confusion) for confusion in confusions.values()]))
