"""Which form of the mask's graph is the fastest here, or is the processor? Timed after a build."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.frames import Mask, Segmentation
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.tensorrt.builder import BuildCancelledError, build_plan
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache, plan_key
from anymodal_seg_ros.inference.tensorrt.engine import TensorRtEngine
from anymodal_seg_ros.inference.tensorrt.libraries import Libraries
from anymodal_seg_ros.inference.tensorrt.mask_graph import mask_graphs
from anymodal_seg_ros.inference.verification.self_test import EXACT, frame_of_all

SIZE = (480, 640)
"""At which they are timed: of most cameras. What takes longer here does so at other sizes, too."""

ROUNDS = 10
"""The shortest of so many counts: another engine may be serving beside."""

PROCESSOR = "processor"


def keep_fastest(
    engine: TensorRtEngine,
    model: Model,
    libraries: Libraries,
    cache: PlanCache,
    cancelled: Callable[[], bool],
) -> str:
    """Build the forms of the graph, and keep the plan of the fastest if it beats the processor.

    One that cannot be built, or makes other masks, is none. The plans of the network stay.

    Args:
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
    frame = frame_of_all(model)
    logits = engine.run(frame).logits
    assert logits is not None
    expected = lazy_argmax(logits, *SIZE)
    times = {PROCESSOR: _best_ms(lambda: lazy_argmax(logits, *SIZE))}
    plans, said = dict[str, bytes](), []
    graphs = mask_graphs(model.manifest)
    for form, graph in graphs.items():
        cache.drop(plan_key(graph, libraries))
        try:
            plan = build_plan(graph, libraries, cache, lambda share, phase: None, cancelled)
            engine.masks = engine.mask_maker(plan)
            engine.masks.prepare(SIZE)
            result = engine.run(frame)
            _demand_equal(_made(result), expected)
        except BuildCancelledError:
            raise
        except EngineError as error:
            said.append(f"{form} is of no use here ({error})")
            continue
        finally:
            engine.masks = None
        plans[form], times[form] = plan, _best_ms(lambda found=result: _made(found))  # type: ignore[misc]
    fastest = min(times, key=lambda form: times[form])
    if fastest in plans:
        named = f"{model.manifest.name} {model.manifest.version}"
        key = plan_key(graphs[fastest], libraries)
        cache.keep(key, plans[fastest], model=named, form=fastest, machine=libraries.words)
    found = [f"{form} {ms:.2f} ms" for form, ms in times.items()]
    return f"masks of {SIZE[0]}x{SIZE[1]}: {', '.join(found + said)}; {fastest} makes them"


def _made(result: Segmentation) -> Mask:
    assert result.mask_at is not None
    return result.mask_at(*SIZE)


def _demand_equal(found: Mask, expected: Mask) -> None:
    share = float(np.mean(found == expected))
    if share < EXACT:
        raise EngineError(f"only {share:.2%} of the pixels are those of the processor")


def _best_ms(work: Callable[[], Mask]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3
