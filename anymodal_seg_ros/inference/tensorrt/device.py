"""Memory and streams of the GPU through cuda-python, with errors instead of error codes."""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.inference.tensorrt.libraries import UNFIT


class Cuda:
    """The calls of the CUDA runtime that an engine needs."""

    def __init__(self, cudart: Any) -> None:
        """Use the module ``cuda.bindings.runtime``."""
        self.runtime = cudart
        self._kind = cudart.cudaMemcpyKind

    def call(self, name: str, *args: Any) -> Any:
        """Call a function of the runtime and return what it returns beside the error code.

        Raises:
            EngineError: the code says that something is wrong, or the bindings do not fit.
        """
        try:
            error, *values = getattr(self.runtime, name)(*args)
        except UNFIT as unfit:
            raise EngineError(
                f"{name} failed: {one_line(unfit)}; install the cuda-bindings of the driver's CUDA"
            ) from unfit
        if int(error) != 0:
            _, text = self.runtime.cudaGetErrorString(error)
            said = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
            raise EngineError(f"{name} failed: {said} ({int(error)})")
        return values[0] if values else None

    def to_device(self, target: int, source: int, count: int, stream: Any) -> None:
        """Let bytes be copied from host to device memory."""
        kind = self._kind.cudaMemcpyHostToDevice
        self.call("cudaMemcpyAsync", target, source, count, kind, stream)

    def to_host(self, target: int, source: int, count: int, stream: Any) -> None:
        """Let bytes be copied from device to host memory."""
        kind = self._kind.cudaMemcpyDeviceToHost
        self.call("cudaMemcpyAsync", target, source, count, kind, stream)

    def on_device(self, target: int, source: int, count: int, stream: Any) -> None:
        """Let bytes be copied within device memory."""
        kind = self._kind.cudaMemcpyDeviceToDevice
        self.call("cudaMemcpyAsync", target, source, count, kind, stream)


class Stream:
    """A stream of its own, and a way to wait for it that leaves the processor to others."""

    def __init__(self, cuda: Cuda) -> None:
        """Make it; not the default stream, which would wait for everybody's work."""
        runtime = cuda.runtime
        self._cuda = cuda
        self.handle = cuda.call("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking)
        flags = runtime.cudaEventBlockingSync | runtime.cudaEventDisableTiming
        self._event = cuda.call("cudaEventCreateWithFlags", flags)
        weakref.finalize(self, _destroy, runtime, self._event, self.handle).atexit = False

    def wait(self) -> None:
        """Wait until all is done that was asked for so far.

        Raises:
            EngineError: some of it failed.
        """
        self._cuda.call("cudaEventRecord", self._event, self.handle)
        self._cuda.call("cudaEventSynchronize", self._event)


def _destroy(runtime: Any, event: Any, stream: Any) -> None:
    runtime.cudaEventDestroy(event)
    runtime.cudaStreamDestroy(stream)


class HostArray:
    """An array in pinned host memory, which the GPU reads and writes by itself."""

    def __init__(self, cuda: Cuda, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        """Allocate it, filled with zeros."""
        self.nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        self.address: int = cuda.call("cudaHostAlloc", max(1, self.nbytes), 0)
        raw = (ctypes.c_uint8 * self.nbytes).from_address(self.address)
        self.array: npt.NDArray[Any] = np.ctypeslib.as_array(raw).view(dtype).reshape(shape)
        self.array.fill(0)
        weakref.finalize(self, cuda.runtime.cudaFreeHost, self.address).atexit = False


@dataclass(frozen=True, eq=False)
class DeviceArray:
    """An array in the GPU's memory: where it is and what it holds. It stays there.

    Attributes:
        address: of its first byte.
        shape: of the array.
        dtype: of its values.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * self.dtype.itemsize


class DevicePool:
    """Device memory that is used again: to allocate anew for each image would stop the GPU.

    An array goes back by itself when nobody holds it any more.
    """

    def __init__(self, cuda: Cuda) -> None:
        """Begin with nothing."""
        self._cuda = cuda
        self._lock = threading.RLock()  # a collection of garbage may come between
        self._idle: dict[int, list[int]] = defaultdict(list)
        weakref.finalize(self, _free, cuda.runtime, self._idle).atexit = False

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> DeviceArray:
        """Return an array of any content.

        Raises:
            EngineError: there is no memory left.
        """
        size = max(1, math.prod(shape) * dtype.itemsize)
        with self._lock:
            idle = self._idle[size]
            address = idle.pop() if idle else None
        if address is None:
            address = self._cuda.call("cudaMalloc", size)
        array = DeviceArray(int(address), shape, dtype)
        weakref.finalize(array, self._back, size, int(address)).atexit = False
        return array

    def _back(self, size: int, address: int) -> None:
        with self._lock:
            self._idle[size].append(address)


def _free(runtime: Any, idle: dict[int, list[int]]) -> None:
    for addresses in idle.values():
        for address in addresses:
            runtime.cudaFree(address)
