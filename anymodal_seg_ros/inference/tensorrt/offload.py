"""What of the work around a network is done on the GPU, and how? Timed here after each build."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.preprocess import ByteBatch, BytePlanes
from anymodal_seg_ros.inference.tensorrt.builder import BuildCancelledError, build_plan
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache, plan_key
from anymodal_seg_ros.inference.tensorrt.engine import TensorRtEngine
from anymodal_seg_ros.inference.tensorrt.graphs import GraphSpec
from anymodal_seg_ros.inference.tensorrt.libraries import Libraries
from anymodal_seg_ros.inference.tensorrt.mask_graph import mask_graphs
from anymodal_seg_ros.inference.tensorrt.planes_graph import planes_graphs
from anymodal_seg_ros.inference.verification.self_test import EXACT, HALF, frame_of_all

SIZE = (480, 640)
"""At which masks are timed: of most cameras. What is faster here is so at other sizes, too."""

ROUNDS = 10
"""The shortest of so many counts: another engine may be serving beside."""

PROCESSOR = "processor"

Classes = npt.NDArray[Any]
Work = Callable[[], Classes]


@dataclass(frozen=True)
class Offload:
    """One thing that the processor can do, or the GPU by a plan.

    Attributes:
        what: is done, in words.
        graphs: the forms that a plan for it may have, by name.
        work: lets an engine do it with a plan, or without where that is None; what is returned is
            timed, and returns classes.
        needed: share of the pixels in which they must be those of the processor.
    """

    what: str
    graphs: Callable[[Manifest], Mapping[str, GraphSpec]]
    work: Callable[[TensorRtEngine, Model, bytes | None], Work]
    needed: float


def _masks(engine: TensorRtEngine, model: Model, plan: bytes | None) -> Work:
    engine.use_masks(plan)
    result = engine.run(frame_of_all(model))
    logits, mask_at = result.logits, result.mask_at
    assert logits is not None
    if engine.masks is None or mask_at is None:
        return lambda: lazy_argmax(logits, *SIZE)
    engine.masks.prepare(SIZE)
    return lambda: mask_at(*SIZE)


def _planes(engine: TensorRtEngine, model: Model, plan: bytes | None) -> Work:
    engine.use_planes(plan)
    manifest = model.manifest
    spec = next(spec for spec in manifest.modalities.values() if spec.planes == "color")
    shape = (3, manifest.height, manifest.width)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def classes() -> Classes:
        # A batch of its own each time: it keeps what it has normalised.
        logits = engine.fuse(engine.encode(ByteBatch([BytePlanes(pixels, spec)]))).logits
        assert logits is not None
        found: Classes = logits.argmax(axis=0)
        return found

    return classes


def _planes_where_encoded(manifest: Manifest) -> Mapping[str, GraphSpec]:
    """Return the graphs of planes where sensors are encoded apart, and one of them in colour."""
    apart = {"encode", "fuse"} <= manifest.files.keys()
    colored = any(spec.planes == "color" for spec in manifest.modalities.values())
    return planes_graphs(manifest) if apart and colored else {}


OFFLOADS = (
    Offload(f"masks of {SIZE[0]}x{SIZE[1]}", mask_graphs, _masks, EXACT),
    Offload("a mask of one camera of 8 bits", _planes_where_encoded, _planes, HALF),
)


def keep_fastest(
    offload: Offload,
    engine: TensorRtEngine,
    model: Model,
    libraries: Libraries,
    cache: PlanCache,
    cancelled: Callable[[], bool],
) -> str:
    """Build the forms of a graph, and keep the plan of the fastest if it beats the processor.

    One that cannot be built, or is wrong, is none. The plans of the network stay.

    Args:
        offload: what is to be done.
        engine: of the model, proven.
        model: that it runs.
        libraries: to build with.
        cache: where the plan is kept.
        cancelled: asked after every step of a build.

    Returns:
        What was found, in words.

    Raises:
        BuildCancelledError: ``cancelled`` said so.
    """
    graphs = offload.graphs(model.manifest)
    if not graphs:
        return f"{offload.what}: the processor, for this model"
    work = offload.work(engine, model, None)
    expected, times = work(), {PROCESSOR: _best_ms(work)}
    plans, said = dict[str, bytes](), []
    for form, graph in graphs.items():
        cache.drop(plan_key(graph, libraries))
        try:
            plan = build_plan(graph, libraries, cache, lambda share, phase: None, cancelled)
            work = offload.work(engine, model, plan)
            _demand(work(), expected, offload.needed)
        except BuildCancelledError:
            raise
        except EngineError as error:
            said.append(f"{form} is of no use here ({error})")
            continue
        plans[form], times[form] = plan, _best_ms(work)
    fastest = min(times, key=lambda form: times[form])
    if fastest in plans:
        named = f"{model.manifest.name} {model.manifest.version}"
        key = plan_key(graphs[fastest], libraries)
        try:
            cache.keep(key, plans[fastest], model=named, form=fastest, machine=libraries.words)
        except EngineError as error:  # such as that the disk is full
            said.append(f"{fastest} cannot be kept ({error})")
            fastest = PROCESSOR
    found = [f"{form} {ms:.2f} ms" for form, ms in times.items()]
    return f"{offload.what}: {', '.join(found + said)}; {fastest} is taken"


def _demand(found: Classes, expected: Classes, needed: float) -> None:
    share = float(np.mean(found == expected))
    if share < needed:
        raise EngineError(f"only {share:.2%} of the pixels are those of the processor")


def _best_ms(work: Work) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3
