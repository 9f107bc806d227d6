"""How good a network is in each of some cases: with these sensors alive, or so much noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from anymodal_seg_ros.evaluation.metrics import Confusion, mean_iou
from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.networks import AnyModalNetwork, upsample_logits
from anymodal_seg_training.data.sampling import Indices, case_seed
from anymodal_seg_training.datasets.frame_source import FrameSource, read_frames
from anymodal_seg_training.evaluation.calibration import PixelMeter
from anymodal_seg_training.evaluation.cases import ProtocolRow
from anymodal_seg_training.evaluation.conditions import ConditionTally
from anymodal_seg_training.evaluation.encoded_once import EncodedOnce
from anymodal_seg_training.recipe import Recipe

Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all frames."""


@torch.inference_mode()
def case_confusions(
    network: AnyModalNetwork,
    frames: FrameSource,
    indices: Indices,
    cases: Sequence[ProtocolRow],
    recipe: Recipe,
    device: torch.device,
    batch_size: int = 0,
    gather: Callable[[Tensor], Tensor] = lambda counts: counts,
    meters: Mapping[str, PixelMeter] | None = None,
    tally: ConditionTally | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Confusion]:
    """Evaluate a network on frames, in each of some cases.

    Predictions and labels are compared at the network's input size. What is drawn at random depends
    on the recipe's seed, the case, the batch and the kind of device alone. Where the network
    encodes the modalities apart, whole ones are encoded once for all cases. The network is left in
    the mode that it was in.

    Args:
        network: to evaluate.
        frames: of a split.
        indices: of the frames to use.
        cases: how to feed the network.
        recipe: of the run.
        device: where the network is.
        batch_size: frames at a time, 0 for those of the recipe; the noise of NM depends on it a
            little.
        gather: adds up the counts ``[S, K, K]`` of several processes.
        meters: told the logits of the cases with these keys.
        tally: told the counts of every frame in every case; of this process alone.
        progress: see :data:`Progress`.

    Returns:
        A confusion matrix for each case, by its key.
    """
    was_training = network.training
    network.eval()
    batch_size = batch_size or recipe.training.evaluation_batch
    classes = network.num_classes
    totals = torch.zeros((len(cases), classes, classes), dtype=torch.int64, device=device)
    starts = range(0, len(indices), batch_size)
    read = partial(read_frames, modalities=recipe.modality_names)
    batches = frames.run([indices[first : first + batch_size] for first in starts], read)
    for first, (planes, labels) in zip(starts, batches, strict=True):
        progress(first, len(indices))
        labels = labels.to(device).long()
        height, width = labels.shape[1:]
        images = planes.to(device).float()
        whole = EncodedOnce(network, images)
        for number, case in enumerate(cases):
            if case.change is None:
                logits = whole.logits(case.rows)
            else:
                chance = torch.Generator(device).manual_seed(case_seed(recipe.seed, number, first))
                rows = torch.tensor(case.rows, device=device)
                logits = network(case.change(images, chance)[:, rows], rows)
            logits = upsample_logits(logits, height, width)
            found = logits.argmax(dim=1)
            if tally is None:
                totals[number] += _counts(found, labels, classes)
            else:
                pairs = zip(found, labels, strict=True)
                each = torch.stack([_counts(mask, label, classes) for mask, label in pairs])
                totals[number] += each.sum(dim=0)
                tally.add(
                    case.key,
                    indices[first : first + batch_size],
                    each.cpu().numpy().astype(np.int64),
                )
            if meters is not None and case.key in meters:
                meters[case.key].update(logits, labels)
    progress(len(indices), len(indices))
    network.train(was_training)
    counts = gather(totals).cpu().numpy().astype(np.int64)
    return {case.key: counts[number] for number, case in enumerate(cases)}


def _counts(found: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Count ``[K, K]`` predictions (columns) by label (rows)."""
    # It takes a second to import, which not every command has to wait for.
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    counts: Tensor = multiclass_confusion_matrix(
        found, labels, classes, ignore_index=UNLABELED, validate_args=False
    )
    return counts


def mean_over_cases(confusions: Mapping[str, Confusion]) -> float:
    """Return the plain mean of the mIoU of the cases."""
    return float(np.mean([mean_iou(confusion) for confusion in confusions.values()]))
