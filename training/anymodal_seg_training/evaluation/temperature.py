"""Temperature scaling (arXiv 1706.04599): one number makes a network as sure as it is right."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.data.sampling import spread_indices
from anymodal_seg_training.datasets.frame_source import FrameSource
from anymodal_seg_training.datasets.mixed_frames import shares_of
from anymodal_seg_training.evaluation.calibration import some_pixels
from anymodal_seg_training.evaluation.case_evaluation import Progress, case_confusions
from anymodal_seg_training.evaluation.cases import combinations
from anymodal_seg_training.evaluation.member_view import seen_by
from anymodal_seg_training.recipe import Recipe

_FRAMES = 32
_PIXELS = 1024
"""Of a batch, in each case: one number needs no more."""


@dataclass(slots=True)
class _Pixels:
    """The logits and labels of some pixels."""

    logits: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        chosen, truth = some_pixels(logits, labels, _PIXELS)
        self.logits.append(chosen)
        self.labels.append(truth)


def fit_temperature(
    network: AnyModalNetwork,
    frames: FrameSource,
    recipe: Recipe,
    device: torch.device,
    progress: Progress = lambda done, total: None,
) -> float:
    """Find the temperature at which labels are least surprising, over all subsets of the sensors.

    Args:
        network: to be fitted; it is not changed.
        frames: that it was not trained on, of one data set or of several.
        recipe: of the run.
        device: where the network is.
        progress: see :data:`.Progress`.

    Returns:
        What to divide the logits by; the network's own where no pixel is labelled.
    """
    groups: list[tuple[Tensor, Tensor]] = []
    for share in shares_of(frames, recipe.modality_names):
        own, view = seen_by(share, recipe, network)
        cases, pixels = combinations(share.modalities), _Pixels()
        case_confusions(
            view,
            share.source,
            spread_indices(_FRAMES, len(share.source)),
            cases,
            own,
            device,
            meters={case.key: pixels for case in cases},
            progress=progress,
        )
        labels = torch.cat(pixels.labels)
        if len(labels):
            groups.append((torch.cat(pixels.logits), labels))
    return _least_surprising(groups) if groups else float(network.temperature)


def _least_surprising(groups: list[tuple[Tensor, Tensor]]) -> float:
    """Minimise the cross entropy of logits over T; it has one minimum in 1/T."""
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_temperature], max_iter=50, line_search_fn="strong_wolfe")

    def surprise() -> Tensor:
        optimiser.zero_grad()
        scale = torch.exp(-log_temperature)
        losses = [F.cross_entropy(logits * scale, labels) for logits, labels in groups]
        loss = torch.stack(losses).mean()
        loss.backward()
        return loss

    optimiser.step(surprise)
    return float(log_temperature.detach().exp())
