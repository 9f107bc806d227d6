"""From an ONNX file to a plan: one code path for TensorRT 10.3 to 11."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.inference.tensorrt.cache import (
    OPTIMIZATION_LEVEL,
    WORKSPACE_MB,
    PlanCache,
    machine_parts,
)
from anymodal_seg_ros.inference.tensorrt.graphs import GraphSpec, Range, filled
from anymodal_seg_ros.inference.tensorrt.kept_files import read_kept, write_kept
from anymodal_seg_ros.inference.tensorrt.libraries import Libraries
from anymodal_seg_ros.inference.tensorrt.log import process_log, started
from anymodal_seg_ros.inference.tensorrt.progress import Phases, Tell, monitor


class BuildCancelledError(EngineError):
    """A build was ended before it was done, because somebody wanted it to."""


def build_plan(
    graph: GraphSpec,
    libraries: Libraries,
    cache: PlanCache,
    tell: Tell,
    cancelled: Callable[[], bool],
) -> bytes:
    """Build the plan of one graph. Takes minutes, and most of what the machine has.

    The network is strongly typed: every tensor has the type that the ONNX file gives it, so that
    what must be single precision is. What was timed is kept in the cache, of a cancelled build too.

    Args:
        graph: what to build.
        libraries: what to build it with.
        cache: knows the timing cache.
        tell: called with the share that is done and the phase.
        cancelled: asked after every step.

    Raises:
        BuildCancelledError: ``cancelled`` said so.
        EngineError: TensorRT refuses the graph, or fails.
    """
    trt, log = libraries.trt, process_log(libraries.trt)
    builder = started(libraries, trt.Builder)
    # A bit by the flag's number, which differs between versions.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(graph.content):
        said = "; ".join(parser.get_error(n).desc() for n in range(parser.num_errors))
        raise EngineError(
            f"TensorRT {libraries.version} cannot read the graph {graph.role!r}: "
            f"{said or log.errors or 'it does not say why'}"
        )
    _keep_outputs(network, graph)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_MB << 20)
    config.builder_optimization_level = OPTIMIZATION_LEVEL
    _add_profiles(builder, network, config, graph.profiles)
    watch = monitor(trt, Phases(tell), cancelled)  # it must outlive the build
    config.progress_monitor = watch
    _use_timing_cache(config, cache, libraries)
    plan = builder.build_serialized_network(network, config)
    unkept = _keep_timing_cache(config, cache, libraries)
    if cancelled():
        raise BuildCancelledError(f"the build of {graph.role!r} was cancelled")
    if plan is None:
        raise EngineError(
            f"TensorRT {libraries.version} cannot build the graph {graph.role!r}: "
            f"{log.errors or 'it does not say why'}"
        )
    if unkept:
        tell(1.0, unkept)
    return bytes(plan)


def _keep_outputs(network: Any, graph: GraphSpec) -> None:
    """Let what is not wanted not be computed: an argmax over classes is slow in TensorRT."""
    found = [network.get_output(n) for n in range(network.num_outputs)]
    for tensor in found:
        if tensor.name not in graph.outputs:
            network.unmark_output(tensor)
    if lacking := set(graph.outputs) - {tensor.name for tensor in found}:
        raise EngineError(
            f"the graph {graph.role!r} has no output {', '.join(sorted(lacking))}: export the "
            "model anew"
        )


def _add_profiles(builder: Any, network: Any, config: Any, ranges: Sequence[Range]) -> None:
    """Say for which sizes it is built; nothing where the graph has no others than its own."""
    inputs = [network.get_input(n) for n in range(network.num_inputs)]
    shapes = {tensor.name: tuple(tensor.shape) for tensor in inputs}
    if not any(size < 0 for shape in shapes.values() for size in shape):
        return
    for sizes in ranges:
        profile = builder.create_optimization_profile()
        for name, shape in shapes.items():
            smallest, usual, largest = (filled(shape, some) for some in sizes)
            profile.set_shape(name, smallest, usual, largest)
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(f"TensorRT refuses the optimisation profile {sizes}")


def _use_timing_cache(config: Any, cache: PlanCache, libraries: Libraries) -> None:
    """Give the builder what was timed on this machine before, for whatever model."""
    path = cache.timing_path(libraries)
    try:
        content, _ = read_kept(path)
    except (FileNotFoundError, EngineError):  # a damaged one is written anew after the build
        content = b""
    timing = config.create_timing_cache(content)
    if timing is None or not config.set_timing_cache(timing, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _keep_timing_cache(config: Any, cache: PlanCache, libraries: Libraries) -> str:
    """Keep what was timed; say why if that cannot be: the plan is none the worse for it."""
    timing = config.get_timing_cache()
    if timing is None:
        return ""
    content = bytes(timing.serialize())
    try:
        write_kept(cache.timing_path(libraries), content, {"key": machine_parts(libraries)})
    except EngineError as error:
        return f"the next build takes as long again, what was timed is not kept: {error}"
    return ""
