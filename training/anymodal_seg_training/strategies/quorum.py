"""Quorum, our own: one encoding, all and some and each of the sensors decoded, liars among them.

Proposal of this project. Every step encodes all modalities once and decodes them: all together, so
that nothing is lost while everything works; each alone, so that none is neglected beside the strong
ones (CHARM, arXiv 2508.03060, does so with one); and some, so that any rest will do. In some steps
sensors lie, and weight given to them is a loss; in some sensors suffer, and the network has to make
the best of it. The logits of all can teach the others (AnySeg's prediction-level distillation,
arXiv 2411.17141, without a second network).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from anymodal_seg_ros.config import choice, number, text
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.data.sampling import draw_subset
from anymodal_seg_training.data.spoiling import lie, suffer
from anymodal_seg_training.losses.distillation import prediction_distillation
from anymodal_seg_training.strategies.all_modalities import AllModalities, refuse_mixing
from anymodal_seg_training.strategies.base import Setting, StepLoss
from anymodal_seg_training.strategies.criterion import Criterion, CriterionOptions
from anymodal_seg_training.strategies.teacher import load_teacher


@dataclass(frozen=True, slots=True)
class QuorumOptions:
    """What a recipe says about this strategy."""

    parts: str = choice(
        ("each_and_some", "random_subset"),
        "Beside all modalities, a step decodes each alone and some of them; or one random subset",
    )
    whole_weight: float = number(1.0, 0.0, 1e3, "Of the loss with all modalities")
    part_weight: float = number(1.0, 0.0, 1e3, "Of the mean loss of the parts")
    prediction_weight: float = number(
        0.0, 0.0, 1e3, "Of the divergence per pixel from the whole's to the parts' predictions"
    )
    teacher: str = text("", "Run folder of a network that teaches the whole; nobody does if empty")
    teacher_weight: float = number(
        1.0, 0.0, 1e3, "Of the whole's loss with the teacher's probabilities as labels"
    )
    scorer_rate: float = number(
        0.1, 0.0, 10.0, "Times the learning rate, of what predicts reliability"
    )
    lying: float = number(0.1, 0.0, 1.0, "Probability that modalities of a step lie")
    trust_weight: float = number(0.2, 0.0, 1e3, "Of the weight that lying modalities are given")
    suffering: float = number(
        0.1, 0.0, 1.0, "Probability that modalities of a step have noise or lost pixels"
    )
    criterion: CriterionOptions = field(default_factory=CriterionOptions)


class QuorumStrategy(AllModalities):
    """See the module."""

    def __init__(self, options: QuorumOptions, setting: Setting) -> None:
        """Set up."""
        self._options = options
        self._criterion = Criterion(options.criterion, setting)
        self._teacher = load_teacher(options.teacher, setting) if options.teacher else None

    def rate_of(self, parameter: str) -> float:
        """See :meth:`Strategy.rate_of`.

        Judging learns slower than seeing: a sensor that is disbelieved before it has learned gets
        no gradient to learn from.
        """
        return self._options.scorer_rate if parameter.startswith("scorers.") else 1.0

    def loss(
        self, network: AnyModalNetwork, batch: Batch, generator: np.random.Generator
    ) -> StepLoss:
        """See :meth:`Strategy.loss`.

        Raises:
            ConfigError: the network does not keep the modalities apart.
        """
        refuse_mixing("quorum", network)
        options, ids = self._options, batch.modality_ids
        liars = self._draw_liars(generator, len(ids))
        images = self._spoil(batch.images, liars, generator)
        features = network.forward_features(images, ids)
        whole = network.decode(features, ids)
        found = []
        for part in self._draw_parts(generator, len(ids), liars):
            rows = torch.as_tensor(part, device=ids.device)
            stages = [stage.index_select(1, rows) for stage in features]
            found.append(network.decode(stages, ids[rows]).logits)
        learned = [self._criterion(logits, batch.labels) for logits in found]
        terms = {
            "whole": options.whole_weight * self._criterion(whole.logits, batch.labels),
            "part": options.part_weight * torch.stack(learned).mean(),
        }
        if options.prediction_weight:
            taught = [prediction_distillation(each.float(), whole.logits.float()) for each in found]
            # Per pixel, where AnySeg's mean over elements is a K-th of it.
            weight = options.prediction_weight * network.num_classes
            terms["prediction"] = weight * torch.stack(taught).mean()
        if self._teacher is not None:
            with torch.no_grad():
                example = self._teacher(batch.images, ids)
            terms["teacher"] = options.teacher_weight * self._criterion.soft(whole.logits, example)
        if liars and whole.contributions is not None:
            share = whole.contributions[:, liars].sum(dim=1)
            terms["trust"] = options.trust_weight * _misplaced(share)
        return StepLoss.sum_of(terms)

    def _draw_parts(
        self, generator: np.random.Generator, modalities: int, liars: list[int]
    ) -> list[list[int]]:
        """Draw the rows of each part; where all would lie, the honest take their place."""
        honest = [row for row in range(modalities) if row not in liars]
        if self._options.parts == "random_subset":
            drawn = [list(draw_subset(generator, range(modalities)))]
        else:
            drawn = [[row] for row in honest]
            if modalities > 2:
                size = int(generator.integers(2, modalities))
                drawn.append(sorted(generator.choice(modalities, size, replace=False).tolist()))
        return [honest if set(part) <= set(liars) else part for part in drawn]

    def _draw_liars(self, generator: np.random.Generator, modalities: int) -> list[int]:
        """Draw who lies in this step: mostly nobody, never everybody."""
        if modalities == 1 or generator.random() >= self._options.lying:
            return []
        return list(draw_subset(generator, range(modalities), largest=modalities - 1))

    def _spoil(self, images: Tensor, liars: list[int], generator: np.random.Generator) -> Tensor:
        """Return the images that the network gets to see."""
        if liars:
            images = lie(images, liars, generator)
        if generator.random() < self._options.suffering:
            images = suffer(images, draw_subset(generator, range(images.shape[1])), generator)
        return images


def _misplaced(share: Tensor) -> Tensor:
    """The surprise at the votes not going to the honest, of the liars' share ``[B, h, w]``."""
    # Written out, because torch refuses its binary cross entropy under autocast on a GPU.
    return -torch.log1p(-share.float().clamp(0.0, 1.0 - 1e-4)).mean()
