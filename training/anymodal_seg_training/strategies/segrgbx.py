"""SegRGB-X (arXiv 2603.28023), second phase: the network learns, MA-CLIP is frozen.

The paper's losses are not known: those beside cross entropy and their weights are a proposal, so is
training on other subsets than its pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from anymodal_seg_ros.config import build, choice, number, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_ros.networks.segrgbx import SegRGBX, SegRGBXArchitecture
from anymodal_seg_training.checkpoint import load_weights
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.data.sampling import all_subsets, draw_subset
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.losses.prompts import gate_supervision, prompt_alignment
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.strategies.base import Setting, StepLoss, Strategy
from anymodal_seg_training.strategies.criterion import Criterion, CriterionOptions
from anymodal_seg_training.strategies.segrgbx_clip import RANDOM

_ALIKE = ("clip", "lora_rank", "lora_alpha")
"""What MA-CLIP depends on in the architecture of both phases."""

_CLIP, _BACKBONE = "ma_clip.", "encoder."


@dataclass(frozen=True, slots=True)
class SegRGBXOptions:
    """What a recipe says about this strategy; the weights are a proposal."""

    ma_clip: str = text(
        "", "Run folder of the first phase, or random: MA-CLIP as drawn; not with control learned"
    )
    modalities: str = choice(
        ("pairs", "random_subset", "all"),
        "Of a step: 'main' with one other as published, a random subset, or all",
    )
    main: str = text("rgb", "The modality that each pair has, and that experts do not count")
    align_weight: float = number(0.1, 0.0, 1e3, "Of the distance of aligned and control prompts")
    gate_weight: float = number(0.05, 0.0, 1e3, "Of the experts' cross entropy; soft gating only")
    new_rate: float = number(
        1.0, 1e-3, 1e3, "Learning rate of all but the backbone, times the recipe's"
    )
    criterion: CriterionOptions = field(default_factory=CriterionOptions)


class SegRGBXStrategy(Strategy):
    """See the module; a step's frames all have the same subset of modalities."""

    def __init__(self, options: SegRGBXOptions, setting: Setting) -> None:
        """Set up.

        Raises:
            ConfigError: the main modality is none of the recipe's.
        """
        if options.main not in setting.modalities:
            raise ConfigError(
                f"strategy.main is {options.main!r}: expected one of the recipe's modalities, "
                f"{', '.join(setting.modalities)}"
            )
        self._options = options
        self._setting = setting
        self._main = setting.modalities.index(options.main)
        self._criterion = Criterion(options.criterion, setting)

    def prepare(self, network: AnyModalNetwork) -> None:
        """See :meth:`Strategy.prepare`: load MA-CLIP and freeze it.

        Raises:
            ConfigError: the network is not SegRGB-X or has too few experts, or the run of the
                first phase is missing or does not fit.
            TrainingError: that run has no weights yet.
        """
        options, network = self._options, _segrgbx(network)
        if options.gate_weight and _gated(network):
            self._check_experts(network)
        if network.ma_clip is None:
            if options.ma_clip:
                raise ConfigError(
                    f"strategy.ma_clip is {options.ma_clip!r}, but with architecture.control "
                    "learned there is no MA-CLIP: leave it away"
                )
            return
        if not options.ma_clip:
            raise ConfigError(
                "strategy.ma_clip is missing: train it first, with the strategy segrgbx_clip, and "
                f"give its run folder; or {RANDOM} to go without; or architecture.control learned"
            )
        if options.ma_clip != RANDOM:
            self._load(network, RunFolder(Path(options.ma_clip).expanduser()))
        network.ma_clip.requires_grad_(False)

    def rate_of(self, parameter: str) -> float:
        """See :meth:`Strategy.rate_of`: the backbone learns at the recipe's rate."""
        return 1.0 if parameter.startswith(_BACKBONE) else self._options.new_rate

    def modalities(
        self, generator: np.random.Generator, available: Sequence[str]
    ) -> tuple[str, ...]:
        """See :meth:`Strategy.modalities`."""
        if self._options.modalities == "random_subset":
            return draw_subset(generator, available)
        subsets = self.validation_subsets(available)
        return subsets[int(generator.integers(len(subsets)))]

    def loss(
        self, network: AnyModalNetwork, batch: Batch, generator: np.random.Generator
    ) -> StepLoss:
        """See :meth:`Strategy.loss`; nothing is drawn.

        Raises:
            ConfigError: the network is not SegRGB-X.
        """
        options, network, ids = self._options, _segrgbx(network), batch.modality_ids
        encoded = network.encode(batch.images, ids)
        logits = network.decode([fused[:, None] for fused in encoded.pyramid], ids).logits
        terms = {"segmentation": self._criterion(logits, batch.labels, batch.dataset)}
        if options.align_weight and network.architecture.aligned_prompts:
            terms["align"] = options.align_weight * prompt_alignment(
                encoded.aligned, encoded.control
            )
        if options.gate_weight and _gated(network):
            others = ids[ids != self._main]
            kinds = others if len(others) else ids
            terms["gate"] = options.gate_weight * gate_supervision(encoded.gates, kinds)
        return StepLoss.sum_of(terms)

    def validation_subsets(self, available: Sequence[str]) -> list[tuple[str, ...]]:
        """The pairs, all subsets, or the full one: what it trains for.

        Raises:
            ConfigError: pairs are wanted, and there is no main modality.
        """
        wanted, main = self._options.modalities, self._options.main
        if wanted == "random_subset":
            return all_subsets(available)
        if wanted == "all" or tuple(available) == (main,):
            return [tuple(available)]
        if main not in available:
            raise ConfigError(
                f"strategy.modalities is pairs, but a data set has only {', '.join(available)}: "
                f"expected strategy.main, {main!r}, among them, or random_subset"
            )
        return [
            tuple(name for name in available if name in (main, other))
            for other in available
            if other != main
        ]

    def _check_experts(self, network: SegRGBX) -> None:
        experts, kinds = network.architecture.experts, len(network.modalities)
        if experts < kinds:
            raise ConfigError(
                f"architecture.experts is {experts}, for {kinds} modalities: expected {kinds} or "
                "more, for expert i to serve kind i; or strategy.gate_weight 0"
            )

    def _load(self, network: SegRGBX, run: RunFolder) -> None:
        recipe, wanted = run.recipe, network.architecture
        if recipe.modality_names != network.modalities:
            raise ConfigError(
                f"strategy.ma_clip has the modalities {', '.join(recipe.modality_names)}: "
                f"expected {', '.join(network.modalities)}"
            )
        section = {key: value for key, value in recipe.architecture.items() if key != "network"}
        found = build(SegRGBXArchitecture, section, f"{run.recipe_file}: architecture")
        for name in _ALIKE:
            if getattr(found, name) != getattr(wanted, name):
                raise ConfigError(
                    f"strategy.ma_clip was trained with architecture.{name} "
                    f"{getattr(found, name)!r}: expected {getattr(wanted, name)!r}, as here"
                )
        if not run.best_file.exists():
            raise TrainingError(f"{run.path} has no weights yet: train past a validation first")
        weights = load_weights(run.best_file)
        own = {k.removeprefix(_CLIP): v for k, v in weights.items() if k.startswith(_CLIP)}
        assert network.ma_clip is not None
        try:
            network.ma_clip.load_state_dict(own)
        except RuntimeError as error:
            raise TrainingError(f"{run.best_file} does not fit its recipe: {error}") from error


def _segrgbx(network: AnyModalNetwork) -> SegRGBX:
    if not isinstance(network, SegRGBX):
        raise ConfigError(
            f"strategy.name is 'segrgbx': {type(network).__name__} has no control prompts, "
            "expected architecture.network segrgbx"
        )
    return network


def _gated(network: SegRGBX) -> bool:
    """Whether there are experts whose weights are learned."""
    return network.architecture.refinement != "none" and network.architecture.gating == "soft"
