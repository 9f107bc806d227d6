"""The GPU of this machine. Asked of the driver alone, before any library that needs one is loaded.

Some of those end the process where there is no driver, instead of raising an error.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

from anymodal_seg_ros.errors import ConfigError

DRIVER = "libcuda.so.1"
_DRIVER_VERSIONS = (Path("/etc/nv_tegra_release"), Path("/proc/driver/nvidia/version"))
"""Where a Jetson and where a PC says which driver it runs."""

_MULTIPROCESSORS, _INTEGRATED, _MAJOR, _MINOR = 16, 18, 75, 76  # CUdevice_attribute


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU that the driver shows.

    Attributes:
        name: as the driver calls it, e.g. ``Orin``.
        capability: compute capability, e.g. ``8.7``.
        multiprocessors: that are switched on. The GPUs of all Orin boards have one name and one
            capability; a power mode may switch some of them off.
        driver: version of the driver, or the release of a Jetson's L4T.
        cuda: newest CUDA that the driver knows, major and minor.
        memory_mb: its memory; of all of the machine where it has none of its own.
        integrated: whether it shares the memory of the processor, as on a Jetson.
    """

    name: str
    capability: str
    multiprocessors: int
    driver: str
    cuda: tuple[int, int]
    memory_mb: int
    integrated: bool


def gpu_name() -> str:
    """Return what the GPU is called, with its compute capability; empty if there is none."""
    try:
        gpu = find_gpu()
    except ConfigError:
        return ""
    return f"{gpu.name} {gpu.capability}"


def has_gpu() -> bool:
    """Whether the CUDA driver is installed, starts, and sees a device."""
    return bool(gpu_name())


def find_gpu() -> Gpu:
    """Return the GPU.

    Raises:
        ConfigError: there is none that can be used; it says what is missing, and the mend.
    """
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError as error:
        raise ConfigError(
            f"no NVIDIA driver: {DRIVER} cannot be loaded ({error}); install the driver, or give "
            "the container its GPU (--runtime nvidia, --gpus all)"
        ) from error
    try:
        return _first_of(driver)
    except AttributeError as error:
        raise ConfigError(f"{DRIVER} is not NVIDIA's driver: {error}") from error


def _first_of(driver: ctypes.CDLL) -> Gpu:
    if code := driver.cuInit(0):
        raise ConfigError(
            f"the NVIDIA driver does not start (cuInit returned {code}): does nvidia-smi, on a "
            "Jetson tegrastats, see a GPU? a container needs --runtime nvidia or --gpus all"
        )
    count = ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    if count.value < 1:
        raise ConfigError(
            "the NVIDIA driver sees no GPU: is CUDA_VISIBLE_DEVICES set to none of them?"
        )
    device = ctypes.c_int(0)
    driver.cuDeviceGet(ctypes.byref(device), 0)
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, 256, device)
    memory, version = ctypes.c_size_t(0), ctypes.c_int(0)
    total = getattr(driver, "cuDeviceTotalMem_v2", None) or driver.cuDeviceTotalMem
    total(ctypes.byref(memory), device)
    driver.cuDriverGetVersion(ctypes.byref(version))
    multiprocessors, integrated, major, minor = (
        _attribute(driver, device, which)
        for which in (_MULTIPROCESSORS, _INTEGRATED, _MAJOR, _MINOR)
    )
    cuda = (version.value // 1000, version.value % 1000 // 10)
    return Gpu(
        name=name.value.decode(errors="replace").strip(),
        capability=f"{major}.{minor}",
        multiprocessors=multiprocessors,
        driver=_driver_version() or f"CUDA {cuda[0]}.{cuda[1]}",
        cuda=cuda,
        memory_mb=memory.value >> 20,
        integrated=bool(integrated),
    )


def _attribute(driver: ctypes.CDLL, device: ctypes.c_int, which: int) -> int:
    value = ctypes.c_int(0)
    driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return value.value


def _driver_version() -> str:
    for path in _DRIVER_VERSIONS:
        try:
            line = path.read_text(errors="replace").partition("\n")[0]
        except OSError:
            continue
        if release := re.search(r"R(\d+) .*REVISION: ([\d.]+)", line):
            return f"L4T {release[1]}.{release[2]}"
        if version := re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", line):
            return version[1]
    return ""
