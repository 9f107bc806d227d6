"""A continuous sequence of the rig, rendered once and kept as memory-mapped arrays.

A sequence is a folder, see ``recorded.py``. Its name is a hash of the parameters and of this
package's own source, so that a second call with the same parameters only opens the files and an
edited rig renders anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anymodal_seg_ros import __version__
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.simulation.cameras.sensors import SensorModel
from anymodal_seg_ros.simulation.recorded import INDEX, RecordedCamera, Sequence
from anymodal_seg_ros.simulation.rig import Rig, RigFrame, aligned_sensors
from anymodal_seg_ros.simulation.workers import Progress, in_parallel
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig
from anymodal_seg_ros.written_files import reserve, write_file

_CHUNK = 12


@dataclass(frozen=True, slots=True)
class SequenceConfig:
    """What to render.

    Attributes:
        scene: with a ``loop_s`` that ``duration_s`` is a multiple of, the sequence has no seam.
        duration_s: length in seconds.
        rate_hz: frames per second, for all sensors; slower sensors are had by leaving frames out.
        sensors: of the rig.
    """

    scene: SceneConfig
    duration_s: float = 8.0
    rate_hz: float = 30.0
    sensors: tuple[SensorModel, ...] = aligned_sensors()

    def __post_init__(self) -> None:
        if self.rate_hz <= 0 or self.frames < 1:
            raise ConfigError(
                f"duration_s {self.duration_s} at rate_hz {self.rate_hz} is no frame at all; "
                "both must be above 0"
            )

    @property
    def frames(self) -> int:
        """Number of frames."""
        return round(self.duration_s * self.rate_hz)

    @property
    def period_ns(self) -> int:
        """Time from frame to frame."""
        return int(1e9 / self.rate_hz)

    def key(self) -> str:
        """Name of the sequence's folder: equal for equal pictures."""
        text = f"{__version__} {_source_digest()} {self!r}"
        return hashlib.sha256(text.encode()).hexdigest()[:20]


def render_sequence(
    config: SequenceConfig, cache_dir: Path, workers: int = 2, progress: Progress | None = None
) -> Sequence:
    """Open the sequence in ``cache_dir``, rendering it first if it is not there.

    Args:
        config: what to render.
        cache_dir: folder of all cached sequences; made if missing.
        workers: processes; see ``in_parallel``. The pictures do not depend on it.
        progress: told how far it is; not called if the sequence was there.

    Raises:
        AnymodalError: a worker process was killed; nothing is left of what it had drawn.
    """
    folder = cache_dir / config.key()
    if not (folder / INDEX).exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache_dir))
        try:
            _render(config, unfinished, workers, progress)
            _publish(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return Sequence(folder)


def camera_of(sensor: SensorModel) -> RecordedCamera:
    """Return what a player of a sensor's pictures must know of it."""
    lens = sensor.camera.intrinsics
    return RecordedCamera(
        sensor.name,
        sensor.rate_hz,
        sensor.latency_ns,
        lens.width,
        lens.height,
        tuple(float(entry) for entry in lens.matrix.ravel()),
    )


def _publish(unfinished: Path, folder: Path) -> None:
    """Give the finished folder its name, unless another process was faster."""
    try:
        os.rename(unfinished, folder)
    except OSError:
        if not (folder / INDEX).exists():
            raise


def _render(config: SequenceConfig, folder: Path, workers: int, progress: Progress | None) -> None:
    label_files = _prepare(config, folder)
    chunks = [
        (first, min(first + _CHUNK, config.frames)) for first in range(0, config.frames, _CHUNK)
    ]
    done = 0
    if progress is not None:
        progress(done, config.frames)
    work = functools.partial(_render_chunk, config, folder, label_files)
    # Closed before the folder goes: nobody draws into it any more.
    with contextlib.closing(in_parallel(work, chunks, workers)) as drawn:
        for count in drawn:
            done += count
            if progress is not None:
                progress(done, config.frames)


def _prepare(config: SequenceConfig, folder: Path) -> dict[str, str]:
    """Make the empty arrays and the index; returns the label file of each sensor."""
    first = Rig(config.sensors).capture(Scene(config.scene), 0)
    cameras = {s.camera: f"labels_{s.name}.npy" for s in reversed(config.sensors)}
    label_files = {s.name: cameras[s.camera] for s in config.sensors}
    for name, image in first.images.items():
        _allocate(folder / f"{name}.npy", image.pixels, config.frames)
    for name, file in label_files.items():
        _allocate(folder / file, first.labels[name], config.frames)
    index = {
        "parameters": repr(config),
        "package_version": __version__,
        "period_ns": config.period_ns,
        "encodings": {name: image.encoding for name, image in first.images.items()},
        "labels": label_files,
        "cameras": {s.name: dataclasses.asdict(camera_of(s)) for s in config.sensors},
    }
    write_file(folder / INDEX, json.dumps(index, indent=1))
    return label_files


def _allocate(path: Path, example: Pixels, frames: int) -> None:
    if not path.exists():
        np.lib.format.open_memmap(path, "w+", example.dtype, (frames, *example.shape)).flush()
        reserve(path)


def _render_chunk(
    config: SequenceConfig, folder: Path, label_files: dict[str, str], chunk: tuple[int, int]
) -> int:
    """Render frames ``chunk[0]`` to ``chunk[1] - 1`` into the arrays; returns how many."""
    rig, scene = Rig(config.sensors), _scene(config.scene)
    frames: list[RigFrame] = [
        rig.capture(scene, index * config.period_ns) for index in range(*chunk)
    ]
    for name in frames[0].images:
        array = np.load(folder / f"{name}.npy", mmap_mode="r+")
        array[slice(*chunk)] = [frame.images[name].pixels for frame in frames]
    for name, file in label_files.items():
        array = np.load(folder / file, mmap_mode="r+")
        array[slice(*chunk)] = [frame.labels[name] for frame in frames]
    return len(frames)


@functools.lru_cache(maxsize=1)
def _scene(config: SceneConfig) -> Scene:
    return Scene(config)


@functools.cache
def _source_digest() -> str:
    """Hash of this subpackage's source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
