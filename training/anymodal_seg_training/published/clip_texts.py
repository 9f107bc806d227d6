"""What CLIP's text half says of each kind of sensor in each data set, from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.checkpoint import load_weights


@dataclass(frozen=True, slots=True)
class ClipTexts:
    """Embeddings of texts such as "a thermal image of a street scene".

    Attributes:
        vectors: of the different texts, float32 ``[T, E]``, of length 1.
        rows: by data set the text of each kind of sensor, int64 ``[kinds]``; -1 where there is
            none. The name of a data set alone is empty.
    """

    vectors: Tensor
    rows: dict[str, Tensor]

    def of(self, dataset: str, kinds: Tensor) -> tuple[Tensor, Tensor]:
        """Return all texts ``[T, E]`` and which of them each row means, int64 ``[N]``.

        Args:
            dataset: of all rows.
            kinds: int64 ``[N]``.

        Raises:
            ConfigError: there is no text for a kind of sensor in this data set.
        """
        meant = self.rows[dataset].to(kinds.device)[kinds]
        if (meant < 0).any():
            kind = int(kinds[meant < 0][0])
            raise ConfigError(
                f"strategy.texts has no text for the modality with id {kind} of the data set "
                f"{dataset!r}: add a vector for it"
            )
        return self.vectors.to(kinds.device), meant


def read_clip_texts(path: Path, datasets: Sequence[str], kinds: Sequence[str]) -> ClipTexts:
    """Read a safetensors file with a vector ``[E]`` by the name ``KIND``, or ``DATASET/KIND``.

    Args:
        path: of the file.
        datasets: names of the mixed data sets; empty: one alone, whose names are ``KIND``.
        kinds: names of the modalities in the order of their ids.

    Raises:
        ConfigError: a vector has another name or shape than expected, or there is none for a
            modality at all.
        TrainingError: the file cannot be read.
    """
    found = load_weights(path)
    names = {
        dataset: [f"{dataset}/{kind}" if dataset else kind for kind in kinds]
        for dataset in datasets or ("",)
    }
    known = [name for each in names.values() for name in each]
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise ConfigError(f"{path} has {unknown[0]!r}: expected names among {', '.join(known)}")
    for number, kind in enumerate(kinds):
        if not any(each[number] in found for each in names.values()):
            raise ConfigError(f"{path} has no text for the modality {kind!r}: add a vector for it")
    shapes = {tuple(vector.shape) for vector in found.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ConfigError(f"{path} has tensors of {sorted(shapes)}: expected vectors of one length")
    # Two data sets may have the same text; it must not be contrasted with itself.
    stacked = torch.stack([F.normalize(vector.float(), dim=0) for vector in found.values()])
    vectors, places = torch.unique(stacked, dim=0, return_inverse=True)
    place = dict(zip(found, places.tolist(), strict=True))
    rows = {
        dataset: torch.tensor([place.get(name, -1) for name in each])
        for dataset, each in names.items()
    }
    return ClipTexts(vectors, rows)
