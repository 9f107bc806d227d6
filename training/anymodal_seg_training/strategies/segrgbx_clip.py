"""SegRGB-X (arXiv 2603.28023), first phase: MA-CLIP learns kinds of sensors and scenes.

That CLIP is tuned by low-rank additions is known; the rest is a proposal: these alone learn, from
texts such as "a thermal image of a street scene" and from a linear classifier of the kinds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.config import number, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_ros.networks.ma_clip import MaClip, load_clip_weights
from anymodal_seg_ros.networks.modality_layers import ids_of_rows
from anymodal_seg_ros.networks.segrgbx import SegRGBX
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.fabric import of_all_processes
from anymodal_seg_training.losses.contrast import text_contrast
from anymodal_seg_training.published.clip_texts import ClipTexts, read_clip_texts
from anymodal_seg_training.published.clip_weights import read_clip_weights
from anymodal_seg_training.strategies.all_modalities import AllModalities
from anymodal_seg_training.strategies.base import Setting, StepLoss

RANDOM = "random"
"""What one writes for a file of weights to say that there is none, on purpose."""

_SHARPEST = 100.0
"""CLIP never multiplies similarities by more."""


@dataclass(frozen=True, slots=True)
class SegRGBXClipOptions:
    """What a recipe says about this strategy; all numbers are a proposal."""

    clip_weights: str = text(
        "", "File with the weights of CLIP, or random: the tower stays as it was drawn; required"
    )
    texts: str = text("", "File with the embeddings of texts; required if text_weight is not 0")
    text_weight: float = number(1.0, 0.0, 1e3, "Of the contrast with the texts; 0: kinds alone")
    kind_weight: float = number(1.0, 0.0, 1e3, "Of the classifier of kinds")
    temperature: float = number(
        0.01, 1.0 / _SHARPEST, 1.0, "Of the contrast in the beginning; it is learned, as in CLIP"
    )


class SegRGBXClipStrategy(AllModalities):
    """See the module; nothing but MA-CLIP's additions learns, and no mask comes out."""

    def __init__(self, options: SegRGBXClipOptions, setting: Setting) -> None:
        """Set up.

        Raises:
            ConfigError: a file is not named.
        """
        if not options.clip_weights:
            raise ConfigError(
                "strategy.clip_weights is missing: expected the file with the weights of CLIP, or "
                f"{RANDOM} for a tower of random weights, which only shows that training runs"
            )
        if options.text_weight and not options.texts:
            raise ConfigError(
                "strategy.texts is missing: expected the file with the embeddings of texts, or "
                "strategy.text_weight 0, so that only kinds are learned"
            )
        self._options = options
        self._setting = setting
        self._texts: ClipTexts | None = None
        self._own: _Anchors | None = None

    def prepare(self, network: AnyModalNetwork) -> None:
        """See :meth:`Strategy.prepare`: only MA-CLIP's additions learn.

        Raises:
            ConfigError: the network has no MA-CLIP, or a text is missing or of another size.
            ModelError: the weights are not those of this tower.
            TrainingError: a file cannot be read.
        """
        encoder, options = _ma_clip(network), self._options
        if options.clip_weights != RANDOM:
            path = Path(options.clip_weights).expanduser()
            if not path.is_file():
                raise ConfigError(
                    f"strategy.clip_weights is {options.clip_weights!r}, which is no file: "
                    f"expected the weights of CLIP's image tower, or {RANDOM}"
                )
            load_clip_weights(encoder, read_clip_weights(str(path)))
        network.requires_grad_(False)
        for additions in (encoder.query, encoder.value):
            additions.requires_grad_(True)
        kinds = self._setting.modalities
        self._own = _Anchors(encoder.embedding, len(kinds), options.temperature)
        if options.text_weight:
            path_of_texts = Path(options.texts).expanduser()
            read = read_clip_texts(path_of_texts, tuple(self._setting.known), kinds)
            if read.vectors.shape[1] != encoder.embedding:
                raise ConfigError(
                    f"strategy.texts has vectors of {read.vectors.shape[1]} numbers: expected "
                    f"{encoder.embedding}, from the text half of the CLIP of architecture.clip"
                )
            self._texts = read

    def own_parts(self) -> nn.Module:
        """See :meth:`Strategy.own_parts`: the classifier and the temperature."""
        return self._anchors

    @property
    def _anchors(self) -> _Anchors:
        assert self._own is not None, "prepare comes first"
        return self._own

    def loss(
        self, network: AnyModalNetwork, batch: Batch, generator: np.random.Generator
    ) -> StepLoss:
        """See :meth:`Strategy.loss`; nothing is drawn.

        Raises:
            ConfigError: the network has no MA-CLIP.
        """
        encoder, options = _ma_clip(network), self._options
        ids = ids_of_rows(batch.modality_ids, batch.images.shape[0])
        # Of the whole batch, so that the contrast does not depend on how it is split.
        embeddings = of_all_processes(encoder(batch.images.flatten(0, 1), ids).float())
        kinds = of_all_processes(ids)
        # Normalised as the control prompts will see them.
        told = self._anchors.classifier(F.layer_norm(embeddings, embeddings.shape[1:]))
        terms = {"kind": options.kind_weight * F.cross_entropy(told, kinds)}
        if self._texts is not None:
            texts, meant = self._texts.of(batch.dataset, kinds)
            images = F.normalize(embeddings, dim=-1)
            contrast = text_contrast(images, texts, meant, self._anchors.scale())
            terms["text"] = options.text_weight * contrast
        return StepLoss.sum_of(terms)

    def validation_subsets(self, available: Sequence[str]) -> list[tuple[str, ...]]:
        """None: see :meth:`Strategy.validation_subsets`."""
        return []

    def state(self) -> dict[str, Tensor]:
        """See :meth:`Strategy.state`."""
        return self._anchors.state_dict()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See :meth:`Strategy.restore`."""
        self._anchors.load_state_dict(state)


class _Anchors(nn.Module):
    """What holds the embeddings in place while they learn: kinds, and how sharp texts are told."""

    def __init__(self, embedding: int, kinds: int, temperature: float) -> None:
        super().__init__()
        self.classifier = nn.Linear(embedding, kinds)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def scale(self) -> Tensor:
        # The parameter itself is limited, as in CLIP: beyond the limit it would have no gradient.
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(_SHARPEST))
        return self.log_scale.exp()


def _ma_clip(network: AnyModalNetwork) -> MaClip:
    if not isinstance(network, SegRGBX) or network.ma_clip is None:
        raise ConfigError(
            f"strategy.name is 'segrgbx_clip': {type(network).__name__} has no MA-CLIP here, "
            "expected architecture.network segrgbx with control clip"
        )
    return network.ma_clip
