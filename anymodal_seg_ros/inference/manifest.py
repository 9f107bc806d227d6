"""``model.yaml``: what a model folder says about itself, read strictly and written back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from anymodal_seg_ros.config import build, read_yaml
from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.frames import OUTPUTS

FORMAT = 1
PLANES = ("color", "thermal", "depth", "lidar")
"""The ways an image becomes three planes; see :mod:`anymodal_seg_ros.inference.preprocess`."""

THERMAL_MODES = ("kelvin_range", "percentile", "raw")
"""What 0 and 1 mean in a thermal plane; see :class:`ModalitySpec`."""

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ClassSpec:
    """One semantic class; its id is its place in the list."""

    name: str
    color: tuple[int, int, int]
    """RGB, 0..255."""


@dataclass(frozen=True, slots=True)
class ModalitySpec:
    """How one kind of sensor becomes three normalised planes.

    Attributes:
        id: row in the network's modality axis vocabulary.
        planes: one of :data:`PLANES`.
        mean: per plane, subtracted after scaling to 0..1.
        std: per plane, divided by.
        thermal_mode: what becomes 0 and 1 (``thermal`` only). ``kelvin_range``: two fixed
            temperatures of a radiometric 16-bit image. ``percentile``: two percentiles of each
            image, for 16-bit cameras that are not radiometric. ``raw``: 0 and 65535. In
            ``kelvin_range`` and ``raw``, 8-bit images are taken as 0 to 255.
        kelvin_range: temperatures that become 0 and 1 (mode ``kelvin_range`` only).
        kelvin_per_count: kelvin of one count (mode ``kelvin_range`` only).
        percentiles: of the counts that become 0 and 1 (mode ``percentile`` only).
        far_m: distance in metres that becomes 1 (``depth``), or 0 (``lidar``).
        height_range_m: heights over the LiDAR in metres that become 0 and 1 (``lidar`` only).
        intensity_max: intensity that becomes 1, in the driver's own unit (``lidar`` only).
        sparse: whether most pixels say nothing, as of events; the benchmark of noisy sensors adds
            no Gaussian noise to them.
    """

    id: int
    planes: str
    mean: Triple
    std: Triple
    thermal_mode: str = "kelvin_range"
    kelvin_range: tuple[float, float] = (250.0, 330.0)
    kelvin_per_count: float = 0.01
    percentiles: tuple[float, float] = (1.0, 99.0)
    far_m: float = 60.0
    height_range_m: tuple[float, float] = (-3.0, 5.0)
    intensity_max: float = 255.0
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file of the model folder."""

    path: str
    sha256: str


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
            where the network splits.
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
        return _parse(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ConfigError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{path} is not a valid model manifest: {reason}") from error


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
    (folder / "model.yaml").write_text(text, encoding="utf-8")


def _plain(spec: Any) -> dict[str, Any]:
    """Turn a dataclass into YAML's own types."""
    values = dataclasses.asdict(spec)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _parse(content: Any) -> Manifest:
    """Turn the YAML tree into a manifest; errors say what is wrong inside it."""
    if not isinstance(content, Mapping):
        raise ValueError("expected named entries")
    if content["format"] != FORMAT:
        raise ValueError(f"format is {content['format']!r}: this version reads format {FORMAT}")
    size = content["input"]
    classes = tuple(
        ClassSpec(str(entry["name"]), _numbers(entry["color"], 3, int, "classes.color"))
        for entry in content["classes"]
    )
    if not 1 <= len(classes) <= 255:
        raise ValueError(f"classes has {len(classes)} entries: expected 1 to 255")
    modalities = {str(n): modality_spec(str(n), spec) for n, spec in content["modalities"].items()}
    check_ids(modalities)
    return Manifest(
        name=str(content["name"]),
        version=str(content["version"]),
        description=str(content["description"]),
        architecture=content["architecture"],
        height=_positive(size["height"], "input.height"),
        width=_positive(size["width"], "input.width"),
        classes=classes,
        modalities=modalities,
        files={str(k): build(FileSpec, v, f"files.{k}") for k, v in content["files"].items()},
        outputs=_outputs(content.get("outputs", ["mask"])),
        recipe=content.get("recipe") or {},
        metrics=content.get("metrics") or {},
    )


def modality_spec(name: str, values: Mapping[str, Any]) -> ModalitySpec:
    """Read one entry of ``modalities``, in a manifest or in a recipe.

    Raises:
        ValueError: it says something impossible, or something unknown.
        KeyError: an entry that it needs is missing.
        TypeError: an entry is of the wrong type.
    """
    where = f"modalities.{name}"
    known = {f.name for f in dataclasses.fields(ModalitySpec)}
    unknown = sorted(str(key) for key in values if key not in known)
    if unknown:
        raise ValueError(f"{where}.{unknown[0]} is unknown: expected {', '.join(sorted(known))}")
    spec = ModalitySpec(
        id=int(values["id"]),
        planes=str(values["planes"]),
        mean=_numbers(values["mean"], 3, float, f"{where}.mean"),
        std=_numbers(values["std"], 3, float, f"{where}.std"),
        thermal_mode=str(values.get("thermal_mode", "kelvin_range")),
        kelvin_range=_numbers(
            values.get("kelvin_range", (250.0, 330.0)), 2, float, f"{where}.kelvin_range"
        ),
        kelvin_per_count=float(values.get("kelvin_per_count", 0.01)),
        percentiles=_numbers(
            values.get("percentiles", (1.0, 99.0)), 2, float, f"{where}.percentiles"
        ),
        far_m=float(values.get("far_m", 60.0)),
        height_range_m=_numbers(
            values.get("height_range_m", (-3.0, 5.0)), 2, float, f"{where}.height_range_m"
        ),
        intensity_max=float(values.get("intensity_max", 255.0)),
        sparse=_switch(values.get("sparse", False), f"{where}.sparse"),
    )
    if spec.planes not in PLANES:
        raise ValueError(f"{where}.planes is {spec.planes!r}: expected one of {', '.join(PLANES)}")
    if min(spec.std) <= 0.0:
        raise ValueError(f"{where}.std is {spec.std}: expected positive numbers")
    if spec.thermal_mode not in THERMAL_MODES:
        raise ValueError(
            f"{where}.thermal_mode is {spec.thermal_mode!r}: expected one of "
            f"{', '.join(THERMAL_MODES)}"
        )
    if not 0.0 <= spec.percentiles[0] < spec.percentiles[1] <= 100.0:
        raise ValueError(
            f"{where}.percentiles is {spec.percentiles}: expected low < high, from 0 to 100"
        )
    if not spec.kelvin_range[0] < spec.kelvin_range[1]:
        raise ValueError(f"{where}.kelvin_range is {spec.kelvin_range}: expected low < high")
    if not spec.height_range_m[0] < spec.height_range_m[1]:
        raise ValueError(f"{where}.height_range_m is {spec.height_range_m}: expected low < high")
    if min(spec.kelvin_per_count, spec.far_m, spec.intensity_max) <= 0.0:
        raise ValueError(f"{where}: kelvin_per_count, far_m and intensity_max must be positive")
    return spec


def _outputs(names: Any) -> tuple[str, ...]:
    """Check the names of a graph's outputs."""
    known = isinstance(names, list) and all(name in OUTPUTS for name in names)
    if not known or not {"mask", "logits"} & set(names) or len(set(names)) != len(names):
        raise ValueError(
            f"outputs is {names!r}: expected logits or mask, and others of {', '.join(OUTPUTS)}"
        )
    return tuple(names)


def _numbers(values: Any, length: int, kind: type, where: str) -> Any:
    """Check a list of ``length`` finite numbers and return it as a tuple of ``kind``."""
    good = isinstance(values, (list, tuple)) and len(values) == length
    if not good or not all(isinstance(v, (int, float)) and abs(v) < 1e9 for v in values):
        raise ValueError(f"{where} is {values!r}: expected {length} numbers")
    return tuple(kind(v) for v in values)


def _switch(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{where} is {value!r}: expected true or false")
    return value


def _positive(value: Any, where: str) -> int:
    if not isinstance(value, int) or not 1 <= value <= 8192:
        raise ValueError(f"{where} is {value!r}: expected an integer from 1 to 8192")
    return value
