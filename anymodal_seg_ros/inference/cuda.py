"""Is there an NVIDIA GPU? Asked of the driver alone, before any library that needs one is loaded.

Some of those libraries end the process where there is no driver, instead of raising an error.
"""

from __future__ import annotations

import ctypes


def has_gpu() -> bool:
    """Whether the CUDA driver is installed, starts, and sees a device."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        return (
            driver.cuInit(0) == 0
            and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
            and count.value > 0
        )
    except (OSError, AttributeError):  # no driver, or something else of that name
        return False
