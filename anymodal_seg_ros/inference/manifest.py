"""``model.yaml``: what a model folder says about itself, read strictly and written back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from anymodal_seg_ros.config import build, choice, given, number, numbers, read_yaml, switch
from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.frames import OUTPUTS
from anymodal_seg_ros.written_files import write_file

FORMAT = 1
PLANES = ("color", "thermal", "depth", "hha", "lidar", "muses_lidar", "muses_event")
"""The ways an image becomes three planes; see :mod:`anymodal_seg_ros.inference.preprocess`."""

THERMAL_MODES = ("kelvin_range", "percentile", "raw")
"""What 0 and 1 mean in a thermal plane; see :class:`ModalitySpec`."""

PYRAMID = ("stride_4", "stride_8", "stride_16", "stride_32")
"""What the encoding half of a graph returns and the fusing one takes, beside ``modality_ids``:
float32 ``[k, C_i, H/s, W/s]``."""


def half_role(role: str) -> str:
    """Return the role of the file that has a graph in half precision, ``onnx_fp16`` for ``onnx``.

    Such a graph takes and returns what the other one does, but the maps :data:`PYRAMID`, that pass
    from one half of a network to the other, are float16.
    """
    return f"{role}_fp16"


IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
"""What models, versions, kinds of sensors and roles of files may be called."""


@dataclass(frozen=True, slots=True)
class ClassSpec:
    """One semantic class; its id is its place in the list."""

    name: str = given("what it is called")
    color: tuple[int, int, int] = given("RGB", 0, 255)


@dataclass(frozen=True, slots=True)
class ModalitySpec:
    """How one kind of sensor becomes three normalised planes.

    ``thermal_mode`` says what becomes 0 and 1 of a thermal image. ``kelvin_range``: two fixed
    temperatures of a radiometric 16-bit image. ``percentile``: two percentiles of each image, for
    16-bit cameras that are not radiometric. ``raw``: 0 and 65535. In ``kelvin_range`` and ``raw``,
    8-bit images are taken as 0 to 255.
    """

    id: int = given("row in the network's modality axis vocabulary", 0, 254)
    planes: str = given("how an image becomes three planes", options=PLANES)
    mean: tuple[float, float, float] = given(
        "per plane, subtracted after scaling to 0..1", -1e6, 1e6
    )
    std: tuple[float, float, float] = given("per plane, divided by", 1e-6, 1e6)
    thermal_mode: str = choice(THERMAL_MODES, "what becomes 0 and 1 (thermal only)")
    kelvin_range: tuple[float, float] = numbers(
        (250.0, 330.0), 0.0, 1e5, "temperatures that become 0 and 1 (mode kelvin_range only)"
    )
    kelvin_per_count: float = number(0.01, 1e-6, 1e3, "of a count (mode kelvin_range only)")
    percentiles: tuple[float, float] = numbers(
        (1.0, 99.0), 0.0, 100.0, "of the counts that become 0 and 1 (mode percentile only)"
    )
    far_m: float = number(60.0, 1e-3, 1e6, "distance that becomes 1 (depth), or 0 (lidar)")
    height_range_m: tuple[float, float] = numbers(
        (-3.0, 5.0), -1e5, 1e5, "heights over the LiDAR that become 0 and 1 (lidar only)"
    )
    intensity_max: float = number(
        255.0, 1e-6, 1e12, "intensity that becomes 1, in the driver's own unit (lidar only)"
    )
    sparse: bool = switch(
        False,
        "most pixels say nothing, as of events: the benchmark of noisy sensors adds none to them",
    )


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file of the model folder."""

    path: str = given("relative to the folder, and in it")
    sha256: str = given("hexadecimal")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of ``model.yaml``.

    Attributes:
        name: of the model, e.g. ``rig-nano``.
        version: of the model.
        description: one sentence.
        architecture: what the trainer needs to build the network again.
        height: rows of the network's input.
        width: columns of the network's input.
        classes: in the order of their ids.
        modalities: by name.
        files: by role: ``onnx`` and ``weights``; ``encode`` and ``fuse``, the halves of the graph,
            where the network splits; :func:`half_role` of these, in half precision, for GPUs;
            ``self_test``.
        outputs: what the ONNX graphs return, some of :data:`OUTPUTS`.
        recipe: what repeats the training.
        metrics: what was measured, on what.
    """

    name: str
    version: str
    description: str
    architecture: Mapping[str, Any]
    height: int
    width: int
    classes: tuple[ClassSpec, ...]
    modalities: Mapping[str, ModalitySpec]
    files: Mapping[str, FileSpec]
    outputs: tuple[str, ...] = ("mask",)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Content:
    """``model.yaml``, entry by entry; see :class:`Manifest`."""

    format: int = given("of the file")
    name: str = given("of the model")
    version: str = given("of the model")
    description: str = given("one sentence")
    architecture: Mapping[str, Any] = given("of the network")
    input: Mapping[str, int] = given("height and width of the images", 1, 8192)
    classes: tuple[ClassSpec, ...] = given("in the order of their ids")
    modalities: Mapping[str, ModalitySpec] = given("by name")
    files: Mapping[str, FileSpec] = given("by role")
    outputs: tuple[str, ...] = field(default=("mask",), metadata={"choices": OUTPUTS})
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)


def names_by_id(modalities: Mapping[str, ModalitySpec]) -> tuple[str, ...]:
    """Return the names of modalities in the order of their ids."""
    return tuple(sorted(modalities, key=lambda name: modalities[name].id))


def check_ids(modalities: Mapping[str, ModalitySpec]) -> None:
    """Check that the ids count up from 0: an id is a place in the network's vocabulary.

    Raises:
        ValueError: there is no modality, or the ids have gaps or repeat.
    """
    ids = sorted(spec.id for spec in modalities.values())
    if not ids or ids != list(range(len(ids))):
        raise ValueError(f"modalities have the ids {ids}: expected 0, 1, 2 … without a gap")


def load_manifest(folder: Path) -> Manifest:
    """Read and check ``model.yaml`` of a model folder. The files' hashes are not checked here.

    Raises:
        ModelError: the file is missing, unreadable, or says something impossible.
    """
    path = folder / "model.yaml"
    try:
        content = read_yaml(path, "model manifest")
    except ConfigError as error:
        raise ModelError(str(error)) from error
    try:
        return _manifest(content)
    except (ConfigError, ValueError, OverflowError) as error:
        raise ModelError(f"{path} is not a valid model manifest: {error}") from error


def dump_manifest(manifest: Manifest, folder: Path) -> None:
    """Write ``model.yaml`` into a model folder, in the form that :func:`load_manifest` reads."""
    plain = {
        "format": FORMAT,
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "architecture": dict(manifest.architecture),
        "input": {"height": manifest.height, "width": manifest.width},
        "classes": [{"name": c.name, "color": list(c.color)} for c in manifest.classes],
        "modalities": {name: _plain(spec) for name, spec in manifest.modalities.items()},
        "files": {role: _plain(spec) for role, spec in manifest.files.items()},
        "outputs": list(manifest.outputs),
        "recipe": dict(manifest.recipe),
        "metrics": dict(manifest.metrics),
    }
    text = yaml.safe_dump(plain, sort_keys=False, width=100, default_flow_style=None)
    write_file(folder / "model.yaml", text)


def _plain(spec: Any) -> dict[str, Any]:
    """Turn a dataclass into YAML's own types."""
    values = dataclasses.asdict(spec)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _manifest(content: Any) -> Manifest:
    """Turn the YAML tree into a manifest; errors say what is wrong inside it."""
    if not isinstance(content, Mapping):
        raise ValueError("expected named entries")
    if content.get("format") != FORMAT:
        raise ValueError(f"format is {content.get('format')!r:.40}: this version reads {FORMAT}")
    # Written by hand, an entry without a value is an entry left away.
    values = build(_Content, {k: v for k, v in content.items() if v is not None}, "")
    if set(values.input) != {"height", "width"}:
        raise ValueError(f"input has {sorted(values.input)}: expected height and width")
    _check_names([spec.name for spec in values.classes], "classes")
    if not 1 <= len(values.classes) <= 255:
        raise ValueError(f"classes has {len(values.classes)} entries: expected 1 to 255")
    for name in (values.name, values.version, *values.modalities, *values.files):
        if not IDENTIFIER.fullmatch(name):
            raise ValueError(
                f"{name!r:.80} cannot be a name here: expected letters, digits, . _ + -"
            )
    for entry in values.classes:
        if not (entry.name.isprintable() and 0 < len(entry.name) <= 80):
            raise ValueError(f"{entry.name!r:.80} cannot be the name of a class")
    for name, spec in values.modalities.items():
        _check_ranges(spec, f"modalities.{name}")
    check_ids(values.modalities)
    _check_names(values.outputs, "outputs")
    if not {"mask", "logits"} & set(values.outputs):
        raise ValueError(f"outputs is {list(values.outputs)}: expected logits or mask among them")
    return Manifest(
        name=values.name,
        version=values.version,
        description=values.description,
        architecture=values.architecture,
        height=values.input["height"],
        width=values.input["width"],
        classes=values.classes,
        modalities=values.modalities,
        files=values.files,
        outputs=values.outputs,
        recipe=values.recipe,
        metrics=values.metrics,
    )


def modality_spec(name: str, values: Mapping[str, Any]) -> ModalitySpec:
    """Read one entry of ``modalities``, in a manifest or in a recipe.

    Raises:
        ConfigError: it says something of the wrong kind, unknown or out of range.
        ValueError: it contradicts itself.
    """
    spec = build(ModalitySpec, values, f"modalities.{name}")
    _check_ranges(spec, f"modalities.{name}")
    return spec


def _check_ranges(spec: ModalitySpec, where: str) -> None:
    """Check that what becomes 0 lies below what becomes 1."""
    for name in ("kelvin_range", "percentiles", "height_range_m"):
        low, high = getattr(spec, name)
        if not low < high:
            raise ValueError(f"{where}.{name} is {[low, high]}: expected low < high")


def _check_names(names: Sequence[str], where: str) -> None:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise ValueError(f"{where} has {twice!r:.80} twice")
