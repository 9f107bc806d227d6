"""A recipe: one YAML file that holds everything needed to repeat a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import build, choice, count, names, number, read_yaml, switch, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.manifest import ModalitySpec, check_ids, modality_spec, names_by_id
from anymodal_seg_training.names import check_name

PRECISIONS = ("fp32", "bf16")
_NODES_OWN = ("muses_event", "muses_lidar")
"""Planes whose pictures the node paints at a camera's own size, registered as the data set was."""

_FREE_SECTIONS = ("architecture", "modalities", "data", "strategy")
"""Sections whose fields depend on a name inside them; each is checked by what it names."""


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """What a recipe says about the beginning of a run; nothing of it means random weights."""

    model: str = text(
        "",
        "Model folder, or name of a bundled model, of this architecture; its classifier is "
        "taken if the number of classes is the same",
    )
    like: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "doc": "For modalities that the model does not know: one of its own, to begin as"
        },
    )
    encoder: str = text(
        "",
        "File (.safetensors, .pth) with public weights of the Mix Transformer or of a timm "
        "backbone; or timm, which fetches those of a timm backbone",
    )
    keep_statistics: bool = switch(
        False,
        "Batch norms of a timm backbone keep the means and variances that they began with; few "
        "frames would spoil those of many",
    )

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            ConfigError: a model and an encoder are named, or ``like`` without a model.
        """
        if self.model and self.encoder:
            raise ConfigError(
                f"initial_weights has the model {self.model!r} and the encoder {self.encoder!r}: "
                "name one of them; a model has an encoder"
            )
        if self.like and not self.model:
            raise ConfigError("initial_weights.like needs initial_weights.model")
        if self.keep_statistics and not (self.model or self.encoder):
            raise ConfigError(
                "initial_weights.keep_statistics needs initial_weights.encoder or "
                "initial_weights.model: random weights have no statistics to keep"
            )


@dataclass(frozen=True, slots=True)
class InputOptions:
    """What the network sees."""

    height: int = count(192, 32, 4096, "Rows of the network's input")
    width: int = count(256, 32, 4096, "Columns of the network's input")
    store: str = choice(
        ("cache", "stream"), "Frames are prepared once on disk, or read anew whenever needed"
    )
    prefetch: int = count(2, 1, 64, "Batches that each worker keeps ready; of a stream")
    on_damage: str = choice(
        ("stop", "replace"),
        "A damaged training frame stops the run, or the next good one stands in; of a stream",
    )
    mix_shards: int = count(
        0, 0, 1_000_000, "Shards of a packed set whose frames are mixed at a time; 0: all of them"
    )


@dataclass(frozen=True, slots=True)
class AugmentationOptions:
    """How training frames are varied; validation and test frames never are."""

    crop_height: int = count(160, 32, 4096, "Rows of a training crop")
    crop_width: int = count(192, 32, 4096, "Columns of a training crop")
    flip: float = number(0.5, 0.0, 1.0, "Probability of a horizontal flip")
    max_zoom: float = number(1.5, 1.0, 8.0, "Crops are enlarged by a factor from 1 to this")
    jitter: float = number(
        0.2, 0.0, 1.0, "Largest change of gain, and of offset in standard deviations; not for depth"
    )
    min_zoom: float = number(
        1.0, 0.125, 1.0, "Crops are shrunk down to this factor, and padded if they must be"
    )
    color_modality: str = text("rgb", "The modality whose colours are varied and which is blurred")
    color_jitter: float = number(
        0.0, 0.0, 1.0, "Probability that its brightness, contrast and saturation are changed"
    )
    color_range: float = number(0.5, 0.0, 1.0, "Each by a factor from 1 - this to 1 + this")
    blur: float = number(0.0, 0.0, 1.0, "Probability that it is blurred, by a Gaussian of 3x3")
    camera: float = number(
        0.0, 0.0, 1.0, "Probability that a colour image has another camera's response to light"
    )
    contrast: float = number(
        0.0, 0.0, 1.0, "Probability that a thermal image has its contrast stretched, as cameras do"
    )
    surfaces: float = number(
        0.0, 0.0, 1.0, "Probability that the surfaces of a colour image have other paint and light"
    )
    grain: float = number(
        0.0, 0.0, 1.0, "Largest noise of colour and thermal images, in standard deviations"
    )


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The optimiser, its schedule, and how often things happen."""

    steps: int = count(
        2000, 0, 10_000_000, "Optimiser steps, where epochs is 0; 0: the initial weights are kept"
    )
    epochs: float = number(
        0.0, 0.0, 1e6, "Times that every training frame is learned from, in place of steps; 0: none"
    )
    batch_size: int = count(16, 1, 4096, "Frames in a step")
    learning_rate: float = number(1e-3, 0.0, 10.0, "Peak learning rate of AdamW")
    weight_decay: float = number(0.01, 0.0, 1.0, "On weights; never on biases and norms")
    warmup_steps: int = count(100, 0, 1_000_000, "Steps of linear warm-up from a tenth of the peak")
    new_rate: float = number(
        1.0, 0.0, 1e3, "Times the learning rate, of all but what initial_weights.encoder fills"
    )
    frozen: tuple[str, ...] = names(
        "What of the network learns nothing: what the names of its parameters begin with, such as "
        "encoder.model."
    )
    poly_power: float = number(0.9, 0.0, 10.0, "Exponent of the decay to zero after the warm-up")
    accumulate: int = count(1, 1, 4096, "Parts in which a step's frames are computed, one by one")
    ema: float = number(0.0, 0.0, 0.9999, "Decay of the averaged weights that are kept; 0: none")
    gradient_clip: float = number(1.0, 0.0, 1e6, "Largest gradient norm; 0 means no clipping")
    precision: str = text("fp32", "fp32, or bf16 where the processor has it in hardware")
    log_every: int = count(10, 1, 1_000_000, "Steps between two lines of the log")
    checkpoint_every: int = count(100, 1, 1_000_000, "Steps between two checkpoints")
    validate_every: int = count(500, 1, 1_000_000, "Steps between two validations")
    validation_frames: int = count(48, 1, 1_000_000, "Frames of one, spread over the split")
    evaluation_batch: int = count(16, 1, 4096, "Frames at a time when a network is measured")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything needed to repeat a run.

    Attributes:
        name: of the model that comes out, e.g. ``rig-nano``.
        version: of that model.
        description: one sentence for the model's manifest.
        seed: of the weights, the batches, the augmentation and the subsets.
        architecture: what ``build_network`` takes.
        modalities: by name: how images become planes.
        data: what ``open_dataset`` takes.
        strategy: what ``build_strategy`` takes.
        initial_weights: what the network begins with; random by default.
        input: size of the network's input.
        augmentation: see there.
        training: see there.
    """

    name: str = text("", "Name of the model; required")
    version: str = text("0.1.0", "Version of the model")
    description: str = text("", "One sentence about the model")
    seed: int = count(1, 0, 2**31 - 1, "Seed of everything random")
    architecture: Mapping[str, Any] = field(default_factory=dict)
    modalities: Mapping[str, ModalitySpec] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    strategy: Mapping[str, Any] = field(default_factory=dict)
    initial_weights: InitialWeights = field(default_factory=InitialWeights)
    input: InputOptions = field(default_factory=InputOptions)
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)

    @property
    def modality_names(self) -> tuple[str, ...]:
        """The modalities in the order of their ids, in which subsets are written."""
        return names_by_id(self.modalities)

    @property
    def learns(self) -> bool:
        """Whether there is a step to do."""
        return bool(self.training.steps or self.training.epochs)

    def for_frames(self, count: int) -> Recipe:
        """Return the recipe with its epochs, if it has any, as steps on ``count`` frames."""
        training = self.training
        if not training.epochs:
            return self
        steps = max(1, math.ceil(training.epochs * count / training.batch_size))
        return dataclasses.replace(self, training=dataclasses.replace(training, steps=steps))

    def plain(self) -> dict[str, Any]:
        """Return the recipe, defaults filled in, in YAML's own types."""
        values: dict[str, Any] = _untuple(dataclasses.asdict(self))
        return values


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: the file cannot be read, or an entry is unknown, missing or out of range.
    """
    content = read_yaml(path, "recipe")
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path} must hold named entries, such as 'name:' and 'training:'")
    try:
        return parse_recipe(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_recipe(content: Mapping[str, Any]) -> Recipe:
    """Build a recipe from nested mappings, strictly.

    Raises:
        ConfigError: an entry is unknown, missing or out of range.
    """
    for section in _FREE_SECTIONS:
        if not isinstance(content.get(section), Mapping) or not content[section]:
            raise ConfigError(f"{section} is {content.get(section)!r}: expected named entries")
    rest = {key: value for key, value in content.items() if key not in _FREE_SECTIONS}
    recipe = dataclasses.replace(
        build(Recipe, rest, ""),
        architecture=dict(content["architecture"]),
        modalities=_modalities(content["modalities"]),
        data=dict(content["data"]),
        strategy=dict(content["strategy"]),
    )
    if not recipe.name:
        raise ConfigError("name is missing: give the model a name, e.g. rig-nano")
    check_name(recipe.name, "name")
    for modality in recipe.modalities:
        check_name(modality, "the name of a modality")
    if recipe.training.precision not in PRECISIONS:
        raise ConfigError(
            f"training.precision is {recipe.training.precision!r}: "
            f"expected one of {', '.join(PRECISIONS)}"
        )
    recipe.initial_weights.check()
    _check_input(recipe)
    _check_planes(recipe)
    return recipe


def _check_input(recipe: Recipe) -> None:
    """Refuse options of input and augmentation that do not go together."""
    crop, whole = recipe.augmentation, recipe.input
    if crop.crop_height > whole.height or crop.crop_width > whole.width:
        raise ConfigError(
            f"augmentation crops {crop.crop_height}x{crop.crop_width} from an input of "
            f"{whole.height}x{whole.width}: a crop must fit inside"
        )
    if whole.on_damage == "replace" and whole.store != "stream":
        raise ConfigError(
            "input.on_damage is replace, but a cache holds whole frames only: "
            "set input.store to stream"
        )
    spec = recipe.modalities.get(crop.color_modality)
    if (crop.color_jitter or crop.blur) and (spec is None or spec.planes != "color"):
        raise ConfigError(
            f"augmentation.color_modality is {crop.color_modality!r}: expected a modality with "
            f"'planes: color', of {', '.join(recipe.modalities)}"
        )


def _check_planes(recipe: Recipe) -> None:
    """Refuse planes that recordings do not give: the node's pictures of them would be others."""
    if recipe.data.get("dataset") != "bag":
        return
    for name, spec in recipe.modalities.items():
        if spec.planes in _NODES_OWN:
            raise ConfigError(
                f"modalities.{name}.planes is {spec.planes!r}, which of messages only the node "
                f"makes: train from pictures in folders (data: {{dataset: folders}}), or with "
                f"other planes"
            )


def _modalities(section: Mapping[str, Any]) -> dict[str, ModalitySpec]:
    try:
        specs = {str(name): modality_spec(str(name), entry) for name, entry in section.items()}
        check_ids(specs)
    except ValueError as error:
        raise ConfigError(f"modalities: {error}") from error
    return specs


def _untuple(value: Any) -> Any:
    """Turn tuples into lists, which every YAML reader knows."""
    if isinstance(value, Mapping):
        return {key: _untuple(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_untuple(entry) for entry in value]
    return value
