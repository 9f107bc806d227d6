"""What an engine does on this machine: is it right, how long does it take, and on what machine."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anymodal_seg_ros.frames import ModalityBatch
from anymodal_seg_ros.inference.engines import Engine, SplitEngine, can_split
from anymodal_seg_ros.inference.manifest import names_by_id
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.processors import usable_processors
from anymodal_seg_ros.inference.self_test import agreements, frame_of, read_self_test

WARM_UP = 2
POWER_MODE = Path("/var/lib/nvpmodel/status")
"""Where a Jetson remembers its power mode; it is read and never changed."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one stage takes for some number of sensors.

    Attributes:
        stage: ``whole``, ``encode`` or ``fuse``.
        sensors: number of sensors M; 1 for ``encode``.
        wall_ms: median of the time that passes.
        cpu_ms: median of the processor time of all threads of this process.
    """

    stage: str
    sensors: int
    wall_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What was found about one engine.

    Attributes:
        name: engine and device.
        agreement: share of pixels with the right class, by subset; empty without a self-test.
        timings: of each stage.
        resident_mb: largest resident memory of the process so far.
    """

    name: str
    agreement: Mapping[str, float]
    timings: tuple[Timing, ...]
    resident_mb: float

    @property
    def worst(self) -> float | None:
        """The smallest agreement, None without a self-test."""
        return min(self.agreement.values()) if self.agreement else None


def inspect_engine(engine: Engine, model: Model, repeats: int = 15) -> EngineReport:
    """Hold an engine to the self-test of its model, and time its stages.

    Args:
        engine: to look at.
        model: that it runs.
        repeats: runs of each stage, after two that are not counted.
    """
    names, test = names_by_id(model.manifest.modalities), read_self_test(model)
    shares = {} if test is None else agreements(engine, test)
    if test is not None:
        whole = frame_of(test.images, tuple(range(len(names))))
    else:
        shape = (len(names), 3, model.manifest.height, model.manifest.width)
        whole = ModalityBatch(np.zeros(shape, np.float32), np.arange(len(names)))
    return EngineReport(
        engine.name,
        {"+".join(names[row] for row in subset): share for subset, share in shares.items()},
        tuple(_timings(engine, whole, repeats)),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _timings(engine: Engine, frame: ModalityBatch, repeats: int) -> list[Timing]:
    def first(count: int) -> ModalityBatch:
        return ModalityBatch(frame.images[:count], frame.modality_ids[:count])

    counts = range(1, len(frame.modality_ids) + 1)
    found = []
    if can_split(engine):
        split: SplitEngine = engine
        features = split.encode(frame)
        found.append(_timed("encode", 1, partial(split.encode, first(1)), repeats))
        for count in counts:
            part = features[:count]
            found.append(_timed("fuse", count, partial(split.fuse, part), repeats))
    for count in counts:
        found.append(_timed("whole", count, partial(engine.run, first(count)), repeats))
    return found


def _timed(stage: str, sensors: int, run: Callable[[], object], repeats: int) -> Timing:
    wall, cpu = [], []
    for turn in range(WARM_UP + repeats):
        started, used = time.perf_counter(), time.process_time()
        run()
        if turn >= WARM_UP:
            wall.append((time.perf_counter() - started) * 1e3)
            cpu.append((time.process_time() - used) * 1e3)
    return Timing(stage, sensors, statistics.median(wall), statistics.median(cpu))


def machine() -> dict[str, Any]:
    """Describe this machine, as far as speed depends on it."""
    about: dict[str, Any] = {
        "system": platform.platform(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "processors": usable_processors(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }
    if POWER_MODE.is_file():
        about["power_mode"] = POWER_MODE.read_text(errors="replace").strip()[:80]
    return about


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
