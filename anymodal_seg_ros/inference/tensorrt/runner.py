"""Executes one plan: its buffers stay, each shape is captured once as a CUDA graph."""

from __future__ import annotations

import contextlib
import gc
import queue
import threading
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.inference.tensorrt.device import (
    Cuda,
    DeviceArray,
    DevicePool,
    HostArray,
    Stream,
)
from anymodal_seg_ros.inference.tensorrt.graphs import Sizes, filled
from anymodal_seg_ros.inference.tensorrt.libraries import Libraries
from anymodal_seg_ros.inference.tensorrt.log import process_log, started

LANES = 2
"""Frames of one shape that may be under way at a time: while one computes, the next is copied. More
would take memory and gain nothing, the GPU being one."""

_CAPTURING = threading.Lock()

_WARM_UP = 2
"""Runs before a CUDA graph is captured: TensorRT and its libraries allocate in the first ones."""

_DTYPES: Mapping[str, np.dtype[Any]] = {
    "FLOAT": np.dtype(np.float32),
    "HALF": np.dtype(np.float16),
    "INT64": np.dtype(np.int64),
    "INT32": np.dtype(np.int32),
    "UINT8": np.dtype(np.uint8),
    "INT8": np.dtype(np.int8),
    "BOOL": np.dtype(np.bool_),
}

Arrays = Mapping[str, npt.NDArray[Any]]
Rows = Mapping[str, Sequence[DeviceArray]]
_Key = tuple[Sizes, frozenset[str]]
"""Of a shape: its sizes, and the inputs that come from the GPU's memory."""


class Plan:
    """A plan that is ready to run. May be used by several threads at once.

    Attributes:
        dtypes: of all inputs and outputs, by name.
        captured: sizes that run as a CUDA graph.
        uncaptured: sizes that could not be captured, and are launched kernel by kernel.
    """

    def __init__(
        self,
        libraries: Libraries,
        role: str,
        content: bytes,
        pool: DevicePool,
        stay: Collection[str] = (),
        both: Collection[str] = (),
        most: int | None = None,
    ) -> None:
        """Load a plan.

        Args:
            libraries: what to run it with.
            role: of its graph, for what is told.
            content: the plan.
            pool: whose memory it uses.
            stay: outputs that stay in the GPU's memory.
            both: outputs that do, and come to the host as well.
            most: shapes whose buffers stay, those that were made last; None: all.

        Raises:
            EngineError: TensorRT refuses it: it is damaged, or of another version or GPU.
        """
        self._trt, self.role = libraries.trt, role
        self.cuda, self.pool = Cuda(libraries.cudart), pool
        self.stay, self.both, self._most = frozenset(stay), frozenset(both), most
        self._log = process_log(libraries.trt)
        self._log.forget()
        # It must outlive the engine.
        self._runtime = started(libraries, libraries.trt.Runtime)
        self.engine = self._runtime.deserialize_cuda_engine(content)
        if self.engine is None:
            raise EngineError(
                f"TensorRT {libraries.version} refuses the plan of {role!r}: "
                f"{self._log.errors or 'it does not say why'}"
            )
        names = [self.engine.get_tensor_name(n) for n in range(self.engine.num_io_tensors)]
        inputs = libraries.trt.TensorIOMode.INPUT
        self.inputs = tuple(n for n in names if self.engine.get_tensor_mode(n) == inputs)
        self.outputs = tuple(n for n in names if n not in self.inputs)
        self.dtypes = {name: self._dtype(name) for name in names}
        self.captured: set[Sizes] = set()
        self.uncaptured: set[Sizes] = set()
        self._lanes: dict[_Key, _Lanes] = {}
        self._making = threading.Lock()

    def run(
        self, sizes: Sizes, arrays: Arrays, features: Rows
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, list[DeviceArray]]]:
        """Compute once.

        Args:
            sizes: of the dynamic dimensions: of ``M`` rows, or of a mask.
            arrays: inputs from the host, by name; they are cast to what the plan takes.
            features: inputs that are in the GPU's memory, by name: one array after the other, none
                where nothing is ever read but the shape.

        Returns:
            The outputs for the host, and those that stay in the GPU's memory, row by row where the
            number of rows is dynamic.

        Raises:
            EngineError: the plan is not made for these sizes, or the GPU fails.
        """
        lanes = self.ready(sizes, features)
        lane = lanes.take()
        try:
            return lane.run(arrays, features)
        finally:
            lanes.give_back(lane)

    def ready(self, sizes: Sizes, features: Collection[str]) -> _Lanes:
        """Make the buffers of a shape, unless they are there; see :meth:`run`."""
        key = sizes, frozenset(features)
        return self._lanes.get(key) or self._add(key)

    def is_ready(self, sizes: Sizes, features: Collection[str]) -> bool:
        """Whether the buffers of a shape are there."""
        return (sizes, frozenset(features)) in self._lanes

    def profile(self, sizes: Sizes) -> int:
        """Return the index of the profile for some sizes, the narrowest one.

        Raises:
            EngineError: there is none.
        """
        name = self.inputs[0]
        dynamic = [n for n, size in enumerate(self.engine.get_tensor_shape(name)) if size < 0]
        most: Sizes = (0,) * len(sizes)
        fitting = []
        for index in range(self.engine.num_optimization_profiles):
            shapes = self._shapes(name, index)
            low, _, high = (tuple(shape[n] for n in dynamic or (0,)) for shape in shapes)
            most = max(most, high)
            if all(a <= b <= c for a, b, c in zip(low, sizes, high, strict=True)):
                fitting.append((high, index))
        if not fitting:
            mend = ": use another engine for so many sensors" if len(sizes) == 1 else ""
            raise EngineError(
                f"the plan of {self.role!r} is made for at most {_words(most)}, not for "
                f"{_words(sizes)}{mend}"
            )
        return min(fitting)[1]

    def context(self, sizes: Sizes, stream: Stream) -> Any:
        """Return an execution context for a shape, with memory for no more than its profile."""
        self._log.forget()
        strategy = self._trt.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
        context = self.engine.create_execution_context(strategy)
        index = self.profile(sizes)
        if context is None or not context.set_optimization_profile_async(index, int(stream.handle)):
            raise EngineError(
                f"no memory for {_words(sizes)} of {self.role!r}: "
                f"{self._log.errors or 'out of memory'}"
            )
        stream.wait()
        for name in self.inputs:
            shape = filled(self.engine.get_tensor_shape(name), sizes)
            if not context.set_input_shape(name, shape):
                raise EngineError(f"the plan of {self.role!r} refuses {name} {shape}")
        if lacking := context.infer_shapes():
            raise EngineError(f"the plan of {self.role!r} lacks the shapes of {', '.join(lacking)}")
        return context

    def failure(self) -> EngineError:
        """Return what to raise when a call has said no."""
        return EngineError(f"{self.role!r} cannot be executed: {self._log.errors or 'no reason'}")

    def _add(self, key: _Key) -> _Lanes:
        # The only lock that is held over work: nobody can compute before it is done anyway.
        with self._making:
            if key not in self._lanes:
                while self._most is not None and len(self._lanes) >= self._most:
                    del self._lanes[next(iter(self._lanes))]
                self._lanes[key] = _Lanes(self, key)
            return self._lanes[key]

    def _shapes(self, name: str, profile: int) -> Sequence[tuple[int, ...]]:
        return [tuple(s) for s in self.engine.get_tensor_profile_shape(name, profile)]

    def _dtype(self, name: str) -> np.dtype[Any]:
        dtype = self.engine.get_tensor_dtype(name).name
        if dtype not in _DTYPES:
            raise EngineError(f"the plan of {self.role!r} has {name} as {dtype}: export it anew")
        return _DTYPES[dtype]


class _Lanes:
    """The lanes of one shape: the first is made at once, others when they are wanted."""

    def __init__(self, plan: Plan, key: _Key) -> None:
        self._plan, self._key = plan, key
        self._making = threading.Lock()
        self._idle: queue.LifoQueue[_Lane] = queue.LifoQueue()
        self._made = 1
        self._idle.put(_Lane(plan, *key))

    def take(self) -> _Lane:
        """Return a lane that nobody uses, waiting for one if there are as many as there may be."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        with self._making:
            if self._made < LANES:
                self._made += 1  # tried once: without memory for a second one, frames take turns
                with contextlib.suppress(EngineError):
                    return _Lane(self._plan, *self._key)
        return self._idle.get()

    def give_back(self, lane: _Lane) -> None:
        """Let others use it."""
        self._idle.put(lane)


class _Lane:
    """A context with a stream and buffers of its own, for one shape."""

    def __init__(self, plan: Plan, sizes: Sizes, fed: frozenset[str]) -> None:
        self._plan, self._cuda = plan, plan.cuda
        self._stream = Stream(plan.cuda)
        self._context = plan.context(sizes, self._stream)
        self._device: dict[str, DeviceArray] = {}
        self._host: dict[str, HostArray] = {}
        for name in (*plan.inputs, *plan.outputs):
            shape, dtype = tuple(self._context.get_tensor_shape(name)), plan.dtypes[name]
            if any(size < 0 for size in shape):
                raise EngineError(
                    f"the plan of {plan.role!r} gives {name} {list(shape)}, a size that depends on "
                    "the pictures: export the model anew"
                )
            buffer = plan.pool.take(shape, dtype)
            self._device[name] = buffer
            if not self._context.set_tensor_address(name, buffer.address):
                raise plan.failure()
            if name not in plan.stay and name not in fed:
                self._host[name] = HostArray(plan.cuda, shape, dtype)
        for _ in range(_WARM_UP):
            self._enqueue()
            self._stream.wait()
        self._graph = self._captured()
        (plan.uncaptured if self._graph is None else plan.captured).add(sizes)

    def run(
        self, arrays: Arrays, features: Rows
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, list[DeviceArray]]]:
        """Compute; see :meth:`Plan.run`."""
        try:
            return self._run(arrays, features)
        except BaseException:
            # What was asked for may still write to memory that would be given to others now.
            with contextlib.suppress(EngineError):
                self._stream.wait()
            raise

    def _run(
        self, arrays: Arrays, features: Rows
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, list[DeviceArray]]]:
        plan, stream = self._plan, self._stream.handle
        for name, value in arrays.items():
            np.copyto(self._host[name].array, value, casting="same_kind")
        for name, rows in features.items():
            target = self._device[name].address
            for row in rows:
                self._cuda.on_device(target, row.address, row.nbytes, stream)
                target += row.nbytes
        if self._graph is None:
            self._enqueue()
        else:
            self._cuda.call("cudaGraphLaunch", self._graph, stream)
        staying = plan.stay | plan.both
        kept = {name: self._kept(name) for name in plan.outputs if name in staying}
        self._stream.wait()
        # The buffers are used again, so what is handed out is a copy.
        found = {n: np.array(self._host[n].array) for n in plan.outputs if n in self._host}
        return found, kept

    def _kept(self, name: str) -> list[DeviceArray]:
        """Copy an output, row by row where their number is dynamic, to where it may stay."""
        made = self._device[name]
        by_row = self._plan.engine.get_tensor_shape(name)[0] < 0
        shape, count = ((1, *made.shape[1:]), made.shape[0]) if by_row else (made.shape, 1)
        source = made.address
        rows = [self._plan.pool.take(shape, made.dtype) for _ in range(count)]
        for row in rows:
            self._cuda.on_device(row.address, source, row.nbytes, self._stream.handle)
            source += row.nbytes
        return rows

    def _enqueue(self) -> None:
        """Ask for all that is the same in every run: copy in, compute, copy out."""
        plan, stream = self._plan, self._stream.handle
        for name in plan.inputs:
            if (host := self._host.get(name)) is not None:
                self._cuda.to_device(self._device[name].address, host.address, host.nbytes, stream)
        if not self._context.execute_async_v3(int(stream)):
            raise plan.failure()
        for name in plan.outputs:
            if (host := self._host.get(name)) is not None:
                self._cuda.to_host(host.address, self._device[name].address, host.nbytes, stream)

    def _captured(self) -> Any:
        """Return all of it as a CUDA graph; None where something in it cannot be captured."""
        runtime, stream = self._cuda.runtime, self._stream.handle
        # Thread-local: what other threads allocate meanwhile does not disturb.
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        failed = False
        with _no_garbage_collected():
            self._cuda.call("cudaStreamBeginCapture", stream, mode)
            try:
                self._enqueue()
            except EngineError:
                failed = True
            error, graph = runtime.cudaStreamEndCapture(stream)
        if failed or int(error) != 0:
            runtime.cudaGetLastError()  # it is dealt with
            if int(error) == 0:
                runtime.cudaGraphDestroy(graph)
            return None
        try:
            executable = self._cuda.call("cudaGraphInstantiate", graph, 0)
        except EngineError:
            runtime.cudaGetLastError()
            return None
        finally:
            runtime.cudaGraphDestroy(graph)
        weakref.finalize(self, runtime.cudaGraphExecDestroy, executable).atexit = False
        return executable


def _words(sizes: Sizes) -> str:
    return "x".join(map(str, sizes)) + " rows" * (len(sizes) == 1)


@contextlib.contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """Let no other engine's memory be freed meanwhile: it would end the capture that is under way.

    A thread that captures may not free anything, and garbage is collected in whichever thread
    happens to allocate next. One thread at a time: the first of two that is done would let garbage
    be collected while the other still captures.
    """
    with _CAPTURING:
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.enable()
