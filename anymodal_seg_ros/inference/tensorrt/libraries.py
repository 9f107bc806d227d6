"""TensorRT and the CUDA runtime as Python sees them, loaded only where they can work."""

from __future__ import annotations

import importlib
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.inference.hardware.gpu import Gpu, find_gpu

OLDEST = (10, 3)
"""The TensorRT of JetPack 6.1. Of those before it, 10.0 to 10.2 are on no Jetson, and 8 and 9 do
not read operators of opset 20."""


_WHEEL = re.compile(r"tensorrt[-_](cu\d+)[-_](?:bindings|libs)")
"""Wheels of one version of TensorRT are made for several versions of CUDA; JetPack's is none."""


UNFIT = (AttributeError, RuntimeError, ValueError)
"""What calls of the CUDA runtime raise where its bindings do not fit the driver: a function that is
missing, a library of CUDA's that is loaded only when it is needed, an error code that is newer than
the bindings. Everything else they return as a code."""


@dataclass(frozen=True, slots=True)
class Libraries:
    """What plans are built and executed with.

    Attributes:
        trt: the module ``tensorrt``.
        cudart: the module ``cuda.bindings.runtime``.
        version: of TensorRT.
        gpu: that both use.
        cuda: version of the CUDA runtime, and for which CUDA the wheel of TensorRT was made, where
            it is one: ``12.6 cu12``. Plans of one are not for the other.
    """

    trt: Any
    cudart: Any
    version: str
    gpu: Gpu
    cuda: str = ""

    @property
    def words(self) -> str:
        """All versions in one line, for logs and reports."""
        gpu = self.gpu
        return (
            f"TensorRT {self.version} on {gpu.name} (compute capability {gpu.capability}, driver "
            f"{gpu.driver}, {platform.system()} {platform.machine()})"
        )


def load_libraries() -> Libraries:
    """Load TensorRT and the CUDA runtime, after the driver has been found to work.

    Raises:
        ConfigError: something is missing or too old; one line with the mend.
    """
    gpu = find_gpu()  # before anything of TensorRT is touched
    trt = _imported(
        "tensorrt",
        "on a Jetson apt install python3-libnvinfer, and make the virtual environment with "
        "--system-site-packages; elsewhere install anymodal_seg_ros[tensorrt]",
    )
    version = str(getattr(trt, "__version__", ""))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        raise ConfigError(
            f"TensorRT is {version or 'of no known version'}: expected at least "
            f"{'.'.join(map(str, OLDEST))}, which JetPack 6.1 has; choose the torch engine"
        )
    if not hasattr(trt, "Builder") or not hasattr(trt, "OnnxParser"):
        raise ConfigError(
            f"TensorRT {version} has no builder: it is the lean or dispatch runtime; install the "
            "whole of TensorRT"
        )
    wanted = f"pip install 'cuda-bindings=={gpu.cuda[0]}.*'"
    cudart = _imported("cuda.bindings.runtime", wanted)
    code, devices = _status(cudart)
    if code or devices < 1:
        raise ConfigError(
            f"the CUDA runtime of cuda-bindings sees no GPU ({code or 'no device'}), the driver is "
            f"one for CUDA {gpu.cuda[0]}.{gpu.cuda[1]}: {wanted}"
        )
    return Libraries(trt, cudart, version, gpu, _cuda(cudart))


def lack() -> str:
    """Say why TensorRT cannot be used here, in one line with the mend; empty if it can."""
    try:
        load_libraries()
    except ConfigError as error:
        return str(error)
    return ""


def _imported(module: str, mend: str) -> Any:
    try:
        return importlib.import_module(module)
    except Exception as error:  # one that was built for another NumPy may raise anything
        raise ConfigError(f"{module} cannot be imported ({one_line(error)}): {mend}") from error


def _cuda(cudart: Any) -> str:
    """Return the CUDA of the runtime and of the wheels of TensorRT that are installed."""
    _, number = cudart.cudaRuntimeGetVersion()
    names = {str(found.metadata["Name"]) for found in metadata.distributions()}
    wheels = {made[1] for name in names if (made := _WHEEL.fullmatch(name))}
    return " ".join([f"{number // 1000}.{number % 1000 // 10}", *sorted(wheels)])


def _status(cudart: Any) -> tuple[str, int]:
    """Return what the runtime complains of, empty if of nothing, and how many GPUs it sees."""
    try:
        error, count = cudart.cudaGetDeviceCount()
    except UNFIT as unfit:
        return one_line(unfit), 0
    return ("" if int(error) == 0 else str(getattr(error, "name", error))), int(count or 0)
