"""One label space for several data sets, as SegRGB-X trains on (arXiv 2603.28023, section 3.5).

The paper remaps the classes of its data sets to common ones; the rest is a proposal: the network
has an output for every class of the union, and the trainer's criterion masks, for each sample, the
logits of classes that its data set does not know, so that nothing is learned from what nobody
labelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import UNLABELED


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """The union of the classes of several data sets.

    Attributes:
        classes: names of the K classes of the union.
        members: for each data set the class of the union of each of its own classes, by id.
    """

    classes: tuple[str, ...]
    members: Mapping[str, tuple[int, ...]]

    @classmethod
    def unite(
        cls, datasets: Mapping[str, Sequence[str]], synonyms: Mapping[str, str] | None = None
    ) -> LabelSpace:
        """Unite the classes of data sets; equal names are one class.

        Args:
            datasets: names of the classes of each data set, in the order of their ids.
            synonyms: names of classes that mean another one, e.g. ``{"pedestrian": "person"}``.

        Raises:
            ConfigError: there is no data set, one has two classes of one meaning, a synonym is of
                no use, or there are more classes than a label image can tell.
        """
        synonyms = synonyms or {}
        names = {name for classes in datasets.values() for name in classes}
        unused = sorted(set(synonyms) - names)
        if unused:
            raise ConfigError(f"synonym {unused[0]!r} is no class of any data set: remove it")
        union: dict[str, int] = {}
        members = {}
        for dataset, classes in datasets.items():
            meant = [synonyms.get(name, name) for name in classes]
            twice = sorted({name for name in meant if meant.count(name) > 1})
            if twice:
                raise ConfigError(
                    f"data set {dataset!r} has two classes that mean {twice[0]!r}: give each class "
                    "of a data set a meaning of its own"
                )
            members[dataset] = tuple(union.setdefault(name, len(union)) for name in meant)
        if not 0 < len(union) <= UNLABELED:
            raise ConfigError(
                f"the data sets have {len(union)} classes together: expected 1 to {UNLABELED}"
            )
        return cls(tuple(union), members)

    def to_union(self, labels: Tensor, dataset: str) -> Tensor:
        """Turn a data set's labels into those of the union.

        Args:
            labels: integers of any shape: ids of the data set's classes, or :data:`UNLABELED`.
            dataset: where they come from.

        Returns:
            int64 of the same shape.

        Raises:
            ConfigError: the data set is unknown, or has fewer classes than the labels tell.
        """
        if dataset not in self.members:
            raise ConfigError(
                f"data set is {dataset!r}: expected one of {', '.join(sorted(self.members))}"
            )
        table, labels = self.members[dataset], labels.long()
        wrong = (labels != UNLABELED) & ((labels < 0) | (labels >= len(table)))
        if wrong.any():
            raise ConfigError(
                f"a label is {int(labels[wrong][0])}, but data set {dataset!r} has the classes 0 "
                f"to {len(table) - 1} and {UNLABELED} for unlabelled: correct the label images"
            )
        filled = torch.full((UNLABELED + 1,), UNLABELED)
        filled[: len(table)] = torch.tensor(table)
        return filled.to(labels.device)[labels]
