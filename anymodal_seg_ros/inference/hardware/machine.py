"""What a machine is, as far as the speed of an engine depends on it. Looked at, never changed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anymodal_seg_ros
from anymodal_seg_ros.inference.hardware.processors import usable_processors

ROOT = Path("/")

LIBRARIES = (
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "openvino",
    "tensorrt",
    "torch",
)
"""Distributions that execute networks, by the names under which pip knows them."""

_POWER_MODE = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>")


def machine(root: Path = ROOT) -> dict[str, Any]:
    """Describe this machine and what is installed on it; a Jetson its board, release and mode.

    Args:
        root: of the file system; another one in tests.
    """
    about: dict[str, Any] = {
        "system": platform.platform(),
        "architecture": platform.machine(),
        "processor": processor(root),
        "processors": usable_processors(),
        "memory_mb": _total_mb(root),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "package": anymodal_seg_ros.__version__,
        "libraries": libraries(),
    }
    jetson = {
        "board": read_text(root / "proc/device-tree/model"),
        "l4t": read_text(root / "etc/nv_tegra_release").partition(", GCID")[0].lstrip("# "),
        "driver": read_text(root / "proc/driver/nvidia/version").partition("\n")[0],
        "power_mode": power_mode(root),
    }
    return {**about, **{name: value for name, value in jetson.items() if value}}


def fingerprint(about: Mapping[str, Any]) -> str:
    """Return a short hash of what does not change from start to start."""
    lasting = {name: value for name, value in about.items() if name != "load"}
    text = json.dumps(lasting, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _total_mb(root: Path) -> int:
    """Return the memory of the machine; 0 where it does not tell. On a Jetson the GPU shares it."""
    found = re.match(r"MemTotal:\s+(\d+) kB", read_text(root / "proc/meminfo"))
    return int(found[1]) // 1024 if found else 0


def libraries() -> dict[str, str]:
    """Return the versions of the installed :data:`LIBRARIES`."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor(root: Path = ROOT) -> str:
    """Return the name of the processor."""
    lines = read_text(root / "proc/cpuinfo", 1 << 16).splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def power_mode(root: Path = ROOT) -> str:
    """Return the power mode of a Jetson, e.g. ``0 (MAXN)``; empty elsewhere.

    ``nvpmodel`` remembers the number as ``pmode:0000``; its configuration knows the names.
    """
    found = re.match(r"pmode:(\d+)", read_text(root / "var/lib/nvpmodel/status"))
    if found is None:
        return ""
    number = int(found[1])
    names = dict(_POWER_MODE.findall(read_text(root / "etc/nvpmodel.conf", 1 << 16)))
    name = names.get(str(number))
    return f"{number} ({name})" if name else str(number)


def memory_mb() -> float:
    """Return the resident memory of this process, in MB; 0 where the system does not tell."""
    pages = read_text(Path("/proc/self/statm")).split()
    return int(pages[1]) * resource.getpagesize() / 2**20 if len(pages) > 1 else 0.0


def read_text(path: Path, most: int = 4096) -> str:
    """Return the beginning of a small system file without its last line's end; empty if absent."""
    try:
        with path.open("rb") as file:
            return file.read(most).decode(errors="replace").rstrip("\0\n ")
    except OSError:
        return ""
