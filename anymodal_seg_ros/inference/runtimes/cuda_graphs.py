"""Functions of tensors captured as CUDA graphs, one for each set of shapes.

A network of this size has hundreds of small kernels, and to launch them takes longer than to run
them; a graph is launched at once. See the CUDA graphs section of PyTorch's CUDA semantics.
Not yet verified on hardware.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

Function = Callable[..., Sequence[Tensor]]
WARM_UP = 3
"""Runs before a capture: in the first ones libraries choose kernels and make their buffers."""


class Captured(Protocol):
    """A function that was recorded with fixed buffers."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def replay(self) -> None:
        """Compute ``outputs`` from ``inputs``; returns before it is done."""
        ...


Capture = Callable[[Function, tuple[Tensor, ...]], Captured]


class CudaCapture:
    """Records functions on one stream and with one pool of memory.

    One pool for all graphs: they are replayed one after the other, and results are copied from it
    before the next one begins.
    """

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Function, inputs: tuple[Tensor, ...]) -> Captured:
        """Record one function for tensors like these."""
        fixed = tuple(value.clone() for value in inputs)
        for _ in range(WARM_UP):
            function(*fixed)
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile; only what this one does is recorded.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            outputs = tuple(function(*fixed))
        return _CudaGraph(graph, fixed, outputs)


class _CudaGraph:
    def __init__(
        self, graph: torch.cuda.CUDAGraph, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._graph = graph

    def replay(self) -> None:
        self._graph.replay()


class Replayer:
    """Calls functions by replaying what was captured of them; safe for threads.

    A function that cannot be captured, as it looks at values on its way, is called as it is.

    Args:
        capture: records a function; None: nothing is recorded, functions are called.
    """

    def __init__(self, capture: Capture | None) -> None:
        self._capture = capture
        self._lock = threading.Lock()
        self._made: dict[tuple[object, ...], Captured] = {}
        self._refused: set[str] = set()
        self.note = ""
        """Which function could not be captured, and why, in words; empty if all could."""

    @property
    def graphs(self) -> int:
        """How many graphs there are."""
        return len(self._made)

    def __call__(self, name: str, function: Function, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what ``function`` makes of ``inputs``, in tensors of the caller's own.

        Args:
            name: of the function; with the shapes it says which graph to replay.
            function: of tensors alone; called where there is no graph yet.
            inputs: on the device.
        """
        if self._capture is None or name in self._refused:
            return tuple(function(*inputs))
        key = (name, *((value.shape, value.dtype) for value in inputs))
        # The lock is held while work is handed to the GPU, not while that computes; the buffers of
        # a graph belong to one caller until its results are copied, in the order of the stream.
        with self._lock:
            captured = self._made.get(key)
            if captured is None:
                try:
                    captured = self._made[key] = self._capture(function, inputs)
                except RuntimeError as error:
                    self._refused.add(name)
                    reason = str(error).partition("\n")[0]
                    self.note = f"no CUDA graph of {name}: {reason:.120}"
                    return tuple(function(*inputs))
            for fixed, value in zip(captured.inputs, inputs, strict=True):
                fixed.copy_(value)
            captured.replay()
            return tuple(value.clone() for value in captured.outputs)
