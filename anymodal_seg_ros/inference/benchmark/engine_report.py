"""What an engine does on this machine: is it right, how long does it take, what does it need."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice

from anymodal_seg_ros.frames import ModalityBatch
from anymodal_seg_ros.inference.engine_protocol import Engine, SplitEngine, can_split
from anymodal_seg_ros.inference.hardware.machine import memory_mb
from anymodal_seg_ros.inference.manifest import names_by_id
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.verification.self_test import (
    agreements,
    frame_of_all,
    read_self_test,
    subsets,
    whole_agreements,
)

WARM_UP = 2

RATES_HZ = (30.0, 30.0, 15.0, 10.0)
"""Of the sensors, for masks per second of processor time; further ones are as fast as the last."""


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
        agreement: share of pixels with the right class, by subset, as the engine is used: in halves
            where it splits, else whole; empty without a self-test.
        timings: of each stage.
        resident_mb: largest resident memory of the process so far.
        agreement_whole: the same of the whole network in one piece, where the engine splits.
        ready_s: from nothing to the first frame, libraries included.
        ready_cpu_s: processor time of that, which other processes disturb less.
        loaded_mb: resident memory that this added.
        note: what the engine itself has to say, e.g. that a provider did not load.
    """

    name: str
    agreement: Mapping[str, float]
    timings: tuple[Timing, ...]
    resident_mb: float
    agreement_whole: Mapping[str, float] = field(default_factory=dict)
    ready_s: float = 0.0
    ready_cpu_s: float = 0.0
    loaded_mb: float = 0.0
    note: str = ""

    @property
    def worst(self) -> float | None:
        """The smallest agreement, None without a self-test."""
        shares = [*self.agreement.values(), *self.agreement_whole.values()]
        return min(shares) if shares else None

    def find(self, stage: str, sensors: int) -> Timing | None:
        """Return how long a stage takes, None if that was not timed."""
        same = (t for t in self.timings if (t.stage, t.sensors) == (stage, sensors))
        return next(same, None)

    @property
    def sensors(self) -> int:
        """The largest number of sensors that was timed."""
        return max(timing.sensors for timing in self.timings)

    @property
    def masks_per_cpu_s(self) -> float:
        """Masks for a second of processor time with sensors at :data:`RATES_HZ`.

        In halves every message is encoded once, and every one of the fastest sensor is a mask.
        """
        rates = list(islice((*RATES_HZ, *(RATES_HZ[-1] for _ in range(64))), self.sensors))
        encode, fuse = self.find("encode", 1), self.find("fuse", self.sensors)
        if encode is None or fuse is None:
            whole = self.find("whole", self.sensors)
            assert whole is not None
            return 1e3 / whole.cpu_ms
        return 1e3 * max(rates) / (sum(rates) * encode.cpu_ms + max(rates) * fuse.cpu_ms)


def inspect_engine(make: Callable[[], Engine], model: Model, repeats: int = 15) -> EngineReport:
    """Hold an engine to the self-test of its model, and time its stages.

    Args:
        make: creates it.
        model: that it runs.
        repeats: runs of each stage, after two that are not counted.

    Raises:
        AnymodalError: it cannot be created.
    """
    started, used, before = time.perf_counter(), time.process_time(), memory_mb()
    engine = make()
    ready_s, ready_cpu_s = time.perf_counter() - started, time.process_time() - used
    loaded_mb = memory_mb() - before
    names, test = names_by_id(model.manifest.modalities), read_self_test(model)

    def named(shares: Mapping[tuple[int, ...], float]) -> dict[str, float]:
        return {"+".join(names[row] for row in subset): share for subset, share in shares.items()}

    whole: Mapping[tuple[int, ...], float] = {}
    shares: Mapping[tuple[int, ...], float] = {}
    if test is not None:
        shares = agreements(engine, test)
        whole = whole_agreements(engine, test) if can_split(engine) else {}
    return EngineReport(
        name=engine.name,
        agreement=named(shares),
        timings=tuple(_timings(engine, frame_of_all(model), repeats)),
        resident_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        agreement_whole=named(whole),
        ready_s=ready_s,
        ready_cpu_s=ready_cpu_s,
        loaded_mb=loaded_mb,
        note=getattr(engine, "note", ""),
    )


def switch_subsets(engine: Engine, model: Model, switches: int) -> tuple[float, float]:
    """Make masks of one subset after the other, as on a robot whose sensors come and go.

    Returns:
        Longest time of a mask in ms, and by how many MB the process has grown since every subset
        was seen once.
    """
    frame = frame_of_all(model)
    rows = [list(subset) for subset in subsets(len(frame.modality_ids))]
    if can_split(engine):
        features = engine.encode(frame)
        works = [partial(engine.fuse, [features[row] for row in subset]) for subset in rows]
    else:
        parts = [ModalityBatch(frame.images[r], frame.modality_ids[r]) for r in rows]
        works = [partial(engine.run, part) for part in parts]
    for work in works:
        work()
    before, longest = memory_mb(), 0.0
    for work in islice(cycle(works), switches):
        started = time.perf_counter()
        work()
        longest = max(longest, time.perf_counter() - started)
    return longest * 1e3, memory_mb() - before


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
