"""AnySeg (arXiv 2411.17141): a student with random subsets learns from a teacher that sees all."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from anymodal_seg_ros.config import choice, number, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.data.sampling import draw_subset
from anymodal_seg_training.losses.distillation import (
    CROSS_MODAL_FEATURES,
    UNIMODAL_AXES,
    cross_modal_distillation,
    prediction_distillation,
    unimodal_distillation,
)
from anymodal_seg_training.strategies.all_modalities import (
    AllModalities,
    of_rows,
    refuse_mixing,
)
from anymodal_seg_training.strategies.base import Setting, StepLoss
from anymodal_seg_training.strategies.criterion import Criterion, CriterionOptions
from anymodal_seg_training.strategies.teacher import load_teacher


@dataclass(frozen=True, slots=True)
class AnySegOptions:
    """What a recipe says about this strategy.

    The weights are the authors', but that of the relations: under their weight of 10 the code
    has the loss of one sample, divided by the 4 of a process; ours has the mean over samples.
    """

    teacher: str = text("", "Run folder of the teacher, trained with all modalities; required")
    prediction_weight: float = number(50.0, 0.0, 1e6, "Of the distillation of predictions (MaD)")
    unimodal_weight: float = number(5.0, 0.0, 1e6, "Of the distillation of features (UMD)")
    cross_modal_weight: float = number(2.5, 0.0, 1e6, "Of the distillation of relations (CMD)")
    unimodal_axis: str = choice(UNIMODAL_AXES, "Softmax of UMD; height repeats the authors' code")
    cross_modal_features: str = choice(
        CROSS_MODAL_FEATURES, "What CMD compares; softmax repeats the authors' code"
    )
    criterion: CriterionOptions = field(default_factory=CriterionOptions)


class AnySegStrategy(AllModalities):
    """Each step draws one subset for the whole batch; the teacher sees all modalities."""

    def __init__(self, options: AnySegOptions, setting: Setting) -> None:
        """Load the teacher.

        Raises:
            ConfigError: the teacher's folder is missing, its modalities differ, or its encoder
                mixes them.
            TrainingError: it has no weights yet.
        """
        if not options.teacher:
            raise ConfigError(
                "strategy.teacher is missing: train one first, with the strategy supervised and "
                "modality_dropout none, and give its run folder"
            )
        self._teacher = load_teacher(options.teacher, setting)
        refuse_mixing("anyseg", self._teacher)
        self._options = options
        self._criterion = Criterion(options.criterion, setting)

    def loss(
        self, network: AnyModalNetwork, batch: Batch, generator: np.random.Generator
    ) -> StepLoss:
        """See :meth:`Strategy.loss`.

        Raises:
            ConfigError: the network does not keep the modalities apart.
        """
        refuse_mixing("anyseg", network)
        options = self._options
        rows = list(draw_subset(generator, range(batch.images.shape[1])))
        with torch.no_grad():
            whole = self._teacher.forward_features(batch.images, batch.modality_ids)
            taught = self._teacher.decode(whole, batch.modality_ids).logits
            example = [stage[:, rows] for stage in whole]
        part = of_rows(batch, rows)
        features = network.forward_features(part.images, part.modality_ids)
        logits = network.decode(features, part.modality_ids).logits
        terms = {
            "segmentation": self._criterion(logits, batch.labels),
            "prediction": options.prediction_weight
            * prediction_distillation(logits.float(), taught.float()),
            "unimodal": options.unimodal_weight
            * unimodal_distillation(features, example, options.unimodal_axis),
            "cross_modal": options.cross_modal_weight
            * cross_modal_distillation(features, example, options.cross_modal_features),
        }
        return StepLoss.sum_of(terms)
