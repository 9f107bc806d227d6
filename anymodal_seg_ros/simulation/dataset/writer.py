"""A planned data set to a folder in the DELIVER layout: in parallel, and going on where it stopped.

A scene is done when its record lies in ``ROOT/.scenes``; a scene without one is drawn anew. The
record holds the hash of every frame, so the finished set knows its own content.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.json_files import read_json
from anymodal_seg_ros.sensing.geometry.hha import PictureRays, hha_image
from anymodal_seg_ros.simulation.dataset.deliver_layout import check_root, write_frame
from anymodal_seg_ros.simulation.dataset.digest import frame_digest
from anymodal_seg_ros.simulation.dataset.frames import SceneFrame, scene_frames, sized_sensors
from anymodal_seg_ros.simulation.dataset.plan import ScenePlan, check_disjoint
from anymodal_seg_ros.simulation.dataset.source import source_digest
from anymodal_seg_ros.simulation.workers import Progress, in_parallel
from anymodal_seg_ros.written_files import write_file

_RECORDS = ".scenes"
CONTENT = "dataset.json"
"""Says what a folder is for."""


@dataclass(frozen=True, slots=True)
class DatasetConfig:
    """What a data set holds.

    Attributes:
        title: what it is, for whoever finds the folder.
        plans: of its scenes; no seed twice.
        width: columns of every image.
        height: rows of every image.
    """

    title: str
    plans: tuple[ScenePlan, ...]
    width: int = 320
    height: int = 240

    def __post_init__(self) -> None:
        check_disjoint(self.plans)
        if not (32 <= self.width <= 4096 and 32 <= self.height <= 4096):
            raise ConfigError(
                f"the size is {self.width}x{self.height}: expected 32 to 4096 on each side"
            )

    @property
    def frames(self) -> int:
        """Number of frames."""
        return sum(plan.frames for plan in self.plans)


def write_dataset(
    root: Path, config: DatasetConfig, workers: int = 2, progress: Progress | None = None
) -> dict[str, str]:
    """Draw a data set and write it; what is already there is kept.

    Args:
        root: folder; made if missing.
        config: what to draw.
        workers: processes; see ``in_parallel``. The result does not depend on it.
        progress: told how far it is.

    Returns:
        The hash of every frame, by its name, in the order of the plans.

    Raises:
        ConfigError: the folder holds another data set, or cannot be written.
    """
    check_root(root)
    _claim(root, config)
    digests = {plan.name: _recorded(root, plan) for plan in config.plans}
    missing = [plan for plan in config.plans if digests[plan.name] is None]
    done = config.frames - sum(plan.frames for plan in missing)
    if progress is not None:
        progress(done, config.frames)
    work = functools.partial(_write_scene, root, config.width, config.height)
    for plan, made in in_parallel(work, missing, workers):
        digests[plan.name] = made
        done += plan.frames
        if progress is not None:
            progress(done, config.frames)
    whole: dict[str, str] = {}
    for plan in config.plans:
        whole |= digests[plan.name] or {}
    return whole


def with_hha(frame: SceneFrame) -> dict[str, Pixels]:
    """The pictures of a frame that are written: its sensors', and HHA made from its depth."""
    pictures = dict(frame.pixels)
    if "depth" in pictures:
        metres = pictures["depth"].astype(np.float32) / np.float32(1000.0)
        rays = PictureRays.of(frame.camera.calibration(), *metres.shape)
        pictures["hha"] = hha_image(metres, rays).pixels
    return pictures


def _write_scene(
    root: Path, width: int, height: int, plan: ScenePlan
) -> tuple[ScenePlan, dict[str, str]]:
    """Draw and write one scene; runs in a worker."""
    made: dict[str, str] = {}
    for frame in scene_frames([plan], sized_sensors(width, height)):
        write_frame(root, plan, frame.index, with_hha(frame), frame.labels)
        made[frame.name] = frame_digest(frame.pixels, frame.labels)
    write_file(root / _RECORDS / f"{plan.split}_{plan.name}.json", json.dumps(made, indent=1))
    return plan, made


def _recorded(root: Path, plan: ScenePlan) -> dict[str, str] | None:
    """The hashes of a scene that is done, None if it is not, or its record is damaged."""
    path = root / _RECORDS / f"{plan.split}_{plan.name}.json"
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return None
    done = isinstance(found, dict) and len(found) == plan.frames
    return found if done and all(isinstance(value, str) for value in found.values()) else None


def _claim(root: Path, config: DatasetConfig) -> None:
    """Write down what the folder is for, or check that it is for this.

    Raises:
        ConfigError: it is for something else.
    """
    content = {
        "title": config.title,
        "width": config.width,
        "height": config.height,
        "source": source_digest(),
        "scenes": [asdict(plan) for plan in config.plans],
    }
    path = root / CONTENT
    try:
        if path.exists():
            found = read_json(path)
            if not isinstance(found, dict):
                raise ValueError(f"{CONTENT} in it says nothing of one")
            for key, value in content.items():
                if found.get(key) != value:
                    raise ConfigError(
                        f"{root} holds a data set with another {key}: finish it with the options "
                        "and the version that began it, or choose another folder"
                    )
            return
        if root.exists() and any(root.iterdir()):
            raise ConfigError(f"{root} is not empty and holds no data set: choose another folder")
        (root / _RECORDS).mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(content, indent=1))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot use {root} for a data set: {error}") from error
