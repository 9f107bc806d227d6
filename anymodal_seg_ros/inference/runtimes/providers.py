"""What ONNX Runtime executes on: asked for by name, and believed only when it has really loaded.

ONNX Runtime leaves a provider out without a word where its libraries are missing or its driver is
too old, and computes on the processor.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anymodal_seg_ros.config import did_you_mean
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.resources import user_cache_dir

AUTO = "auto"
"""CUDA where it is installed and there is a GPU, else the CPU. TensorRT's provider builds for
minutes before the first frame, so it must be asked for."""

CPU = "cpu"
_NVIDIA = ("tensorrt", "cuda")


def wanted_providers(
    asked: str, available: Sequence[str], has_gpu: Callable[[], bool]
) -> tuple[str, ...]:
    """Return the providers to ask for, by preference, as ``cuda``, ``cpu``, and so on.

    Args:
        asked: the parameter: ``auto``, or names with commas between them.
        available: as of ``onnxruntime.get_available_providers()``.
        has_gpu: whether there is an NVIDIA GPU.

    Raises:
        ConfigError: a provider is asked for that is not installed, or needs a GPU that is absent.
    """
    known = {short(name): name for name in available}
    if asked.strip() == AUTO:
        return ("cuda", CPU) if "cuda" in known and has_gpu() else (CPU,)
    names = tuple(name.strip().lower() for name in asked.split(",") if name.strip())
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"providers is {asked!r:.80}: expected auto, or names, each once")
    for name in names:
        if name not in known:
            near = did_you_mean(name, [*known, *_NVIDIA])
            hint = ": install onnxruntime-gpu in place of onnxruntime"
            hint = hint if name in _NVIDIA else near and f": {near.strip()}"
            raise ConfigError(
                f"providers is {asked!r:.80}, but this ONNX Runtime has only "
                f"{', '.join(known)}{hint}"
            )
        if name in _NVIDIA and not has_gpu():
            raise ConfigError(
                f"providers is {asked!r:.80}, but the NVIDIA driver sees no GPU here: does "
                "nvidia-smi, on a Jetson tegrastats? a container needs --runtime nvidia"
            )
    return names


def with_options(
    names: Sequence[str], available: Sequence[str], half: bool
) -> list[tuple[str, dict[str, str]]]:
    """Return the providers of :func:`wanted_providers` as a session takes them.

    Args:
        names: of the providers.
        available: as of ``onnxruntime.get_available_providers()``.
        half: whether the graph is typed in half precision.
    """
    known = {short(name): name for name in available}
    return [(known[name], dict(_options(name, half))) for name in names]


def fallen_away(asked: Sequence[str], used: Sequence[str]) -> tuple[str, ...]:
    """Return which of the providers that were asked for have not loaded.

    Args:
        asked: names of :func:`wanted_providers`.
        used: as of ``InferenceSession.get_providers()``.
    """
    loaded = {short(name) for name in used}
    return tuple(name for name in asked if name not in loaded)


def short(provider: str) -> str:
    """Return ``cuda`` for ``CUDAExecutionProvider``."""
    return provider.removesuffix("ExecutionProvider").lower()


def _options(name: str, half: bool) -> Mapping[str, Any]:
    if name != "tensorrt":
        return {}
    # Its engines are kept between starts. The types are those of the graph where it has its own.
    folder = user_cache_dir() / "onnxruntime_tensorrt"
    # It makes no folder within one that is not there, and then does not load.
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": "0" if half else "1",
    }
