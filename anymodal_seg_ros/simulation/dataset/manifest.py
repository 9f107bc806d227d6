"""The manifest of a data set: a hash per frame and what machine made it; writing and comparing."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from anymodal_seg_ros import __version__
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.dataset.deliver_layout import frame_path, read_frame
from anymodal_seg_ros.simulation.dataset.digest import frame_digest
from anymodal_seg_ros.simulation.dataset.plan import ScenePlan
from anymodal_seg_ros.simulation.dataset.stored import MODALITIES
from anymodal_seg_ros.simulation.dataset.writer import DatasetConfig
from anymodal_seg_ros.simulation.workers import Progress, in_parallel
from anymodal_seg_ros.written_files import write_file

_LIBRARIES = ("numpy", "opencv-python-headless", "embreex", "trimesh")


@dataclass(frozen=True, slots=True)
class DatasetManifest:
    """What a data set must hold.

    Attributes:
        machine: on what it was made: processor, system, and versions of what computes, by name.
        digests: of the frames, by name, in the order of the plans.
    """

    machine: Mapping[str, str]
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a data set differs from a manifest.

    Attributes:
        equal: number of frames that are the same to the last bit.
        different: names of frames that are not.
        missing: names of frames that the data set lacks.
        surplus: names of frames that the manifest does not know.
    """

    equal: int
    different: tuple[str, ...]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the data set is exactly what the manifest says."""
        return not (self.different or self.missing or self.surplus)


def this_machine() -> dict[str, str]:
    """What the last bits of a floating-point result can depend on, here and now."""
    found = {"processor": _processor(), "system": f"{platform.system()} {platform.machine()}"}
    found |= {"python": platform.python_version(), "anymodal_seg_ros": __version__}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "unknown"
    return found


def write_manifest(path: Path, manifest: DatasetManifest, title: str) -> None:
    """Write a manifest as text: comments with the machine, then ``HASH  NAME`` for every frame."""
    lines = [f"# {title}: SHA-256 of every frame's pixels in their stored form, and its labels"]
    lines += [f"# {key}: {value}" for key, value in manifest.machine.items()]
    lines += [f"{digest}  {name}" for name, digest in manifest.digests.items()]
    write_file(path, "\n".join(lines) + "\n")


def read_manifest(path: Path) -> DatasetManifest:
    """Read what ``write_manifest`` wrote.

    Raises:
        ConfigError: the file cannot be read or holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the manifest {path}: {error}") from error
    machine, digests = {}, {}
    for number, line in enumerate(lines, start=2):
        if line.startswith("# "):
            key, _, value = line[2:].partition(": ")
            machine[key] = value
            continue
        digest, gap, name = line.partition("  ")
        if len(digest) != 64 or not gap or not name:
            raise ConfigError(f"{path}: line {number} is {line!r}: expected 'HASH  NAME'")
        digests[name] = digest
    return DatasetManifest(machine, digests)


def compare(found: Mapping[str, str], expected: Mapping[str, str]) -> Comparison:
    """Compare the hashes of two sets of frames."""
    common = [name for name in expected if name in found]
    different = tuple(name for name in common if found[name] != expected[name])
    return Comparison(
        len(common) - len(different),
        different,
        tuple(name for name in expected if name not in found),
        tuple(name for name in found if name not in expected),
    )


def folder_digests(
    root: Path, config: DatasetConfig, workers: int = 2, progress: Progress | None = None
) -> dict[str, str]:
    """Hash the files of a data set that was written; frames with missing files are left out.

    Args:
        root: the data set's folder.
        config: what it holds.
        workers: processes; see ``in_parallel``.
        progress: told how far it is.

    Raises:
        ConfigError: ``root`` is no folder, or a file is damaged.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is no folder: expected a data set to check")
    found: dict[str, str] = {}
    done = 0
    for plan, digests in in_parallel(
        functools.partial(_scene_digests, root), config.plans, workers
    ):
        found |= digests
        done += plan.frames
        if progress is not None:
            progress(done, config.frames)
    return found


def _scene_digests(root: Path, plan: ScenePlan) -> tuple[ScenePlan, dict[str, str]]:
    digests = {}
    for index in range(plan.frames):
        if not all(frame_path(root, plan, index, p).is_file() for p in (*MODALITIES, "labels")):
            continue
        pixels, labels = read_frame(root, plan, index, MODALITIES)
        digests[f"{plan.split}/{plan.name}/{index:06d}"] = frame_digest(pixels, labels)
    return plan, digests


def _processor() -> str:
    """Name of the processor, as exact as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
