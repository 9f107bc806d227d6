"""The loss between logits and labels that every strategy begins with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.config import choice, did_you_mean, names, number
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.networks import upsample_logits
from anymodal_seg_training.fabric import mean_of_processes
from anymodal_seg_training.losses.ohem import ohem_cross_entropy
from anymodal_seg_training.strategies.base import Setting


@dataclass(frozen=True, slots=True)
class CriterionOptions:
    """What a recipe says about the loss between logits and labels."""

    loss: str = choice(
        ("cross_entropy", "ohem"), "Over all labelled pixels, or over the hard ones, unweighted"
    )
    class_balance: float = number(
        0.0,
        0.0,
        1.0,
        "For cross_entropy: weight of a class is its frequency to the power of minus this",
    )
    emphasised: tuple[str, ...] = names(
        "For cross_entropy: classes that count more, whatever their frequency: those that must not "
        "be missed"
    )
    emphasis: float = number(1.6, 1.0, 100.0, "How many times as much")


class Criterion:
    """Compares logits at a quarter of the resolution with labels at the full one."""

    def __init__(self, options: CriterionOptions, setting: Setting) -> None:
        """Work out the weights of the classes.

        Raises:
            ConfigError: a class to emphasise is not one of the run's.
        """
        self._hard_only = options.loss == "ohem"
        # A class that never occurs must not get an infinite weight, nor make those of others small.
        weights = np.maximum(setting.frequencies, 1e-4) ** -options.class_balance
        for name in options.emphasised:
            if name not in setting.classes:
                raise ConfigError(
                    f"strategy.criterion.emphasised has {name!r}: no class is called that; "
                    f"{did_you_mean(name, setting.classes)}there are {', '.join(setting.classes)}"
                )
            weights[setting.classes.index(name)] *= options.emphasis
        occurs = setting.frequencies > 0.0
        usual = weights[occurs].mean() if occurs.any() else weights.mean()
        self._weights = torch.tensor(weights / usual, dtype=torch.float32)
        self._unknown = {name: torch.ones(len(weights)) > 0 for name in setting.known}
        for name, classes in setting.known.items():
            self._unknown[name][list(classes)] = False

    def __call__(self, logits: Tensor, labels: Tensor, dataset: str = "") -> Tensor:
        """Return a scalar; 0, with a gradient of 0, where no pixel is labelled.

        A process may have more labelled pixels than another. Cross entropy is the weighted mean of
        those of all processes, as it would be of the whole batch in one.

        Args:
            logits: ``[B, K, h, w]``, of any floating type.
            labels: int64 ``[B, H, W]``, 255 where there is none.
            dataset: which of several mixed data sets the frames are of; of the logits of classes
                that it does not know nothing is learned.
        """
        whole = upsample_logits(logits.float(), labels.shape[1], labels.shape[2])
        if dataset:
            unknown = self._unknown[dataset].to(logits.device)
            whole = whole.masked_fill(unknown[:, None, None], -torch.inf)
        if self._hard_only:
            return ohem_cross_entropy(whole, labels)
        weights = self._weights.to(logits.device)
        total = F.cross_entropy(whole, labels, weights, ignore_index=UNLABELED, reduction="sum")
        counted = mean_of_processes(weights[labels[labels != UNLABELED]].sum())
        return total / counted.clamp(min=torch.finfo(counted.dtype).tiny)

    def soft(self, logits: Tensor, taught: Tensor) -> Tensor:
        """Return the cross entropy with a teacher's probabilities, weighted by class as labels are.

        Args:
            logits: ``[B, K, h, w]``, of any floating type.
            taught: logits of the teacher, of the same shape; no gradient reaches them.
        """
        weights = self._weights.to(logits.device)
        return F.cross_entropy(logits.float(), taught.detach().float().softmax(dim=1), weights)
