"""Engines are made here, by name or by trial; programs import from here what they use of them."""

from __future__ import annotations

import sys

from anymodal_seg_ros.config import ENGINES, did_you_mean
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.inference.auto.choice import Choice, choose
from anymodal_seg_ros.inference.auto.choice_memory import ChoiceMemory, choice_key
from anymodal_seg_ros.inference.auto.trial import try_apart
from anymodal_seg_ros.inference.engine_protocol import (
    Engine,
    SplitEngine,
    WholeEngine,
    can_split,
    described,
)
from anymodal_seg_ros.inference.hardware.gpu import has_gpu
from anymodal_seg_ros.inference.hardware.processors import engine_threads
from anymodal_seg_ros.inference.model import Model

__all__ = [
    "Choice",
    "Engine",
    "SplitEngine",
    "WholeEngine",
    "can_split",
    "choose_engine",
    "create_engine",
    "described",
]


def create_engine(
    kind: str, model: Model, threads: int = 0, confidence: bool = False, providers: str = "auto"
) -> Engine:
    """Create an engine for a model; its libraries are imported only then.

    Args:
        kind: one of :data:`~anymodal_seg_ros.config.ENGINES`.
        model: an opened model folder.
        threads: CPU threads; 0 means one per processor that may be used, at most 4.
        confidence: whether it shall say how sure it is.
        providers: of ONNX Runtime, see :mod:`~anymodal_seg_ros.inference.runtimes.providers`.

    Raises:
        ConfigError: the kind is unknown or its library is not installed, a provider is not there,
            or the model cannot say how sure it is.
        ModelError: the model cannot be executed.
    """
    if kind == "auto":
        return choose_engine(model, threads, confidence, providers).engine
    threads = engine_threads(threads)
    # A library that is damaged, or was built for another NumPy, may raise anything.
    if kind == "onnxruntime":
        try:
            from anymodal_seg_ros.inference.runtimes.onnxruntime_engine import OnnxRuntimeEngine
        except Exception as error:
            raise ConfigError(
                f"engine is {kind!r}, but ONNX Runtime cannot be imported ({one_line(error)}): "
                f"pip install onnxruntime into the environment of {sys.executable}"
            ) from error
        return OnnxRuntimeEngine(model, threads, confidence, providers)
    if kind == "openvino":
        try:
            from anymodal_seg_ros.inference.runtimes.openvino_engine import OpenVinoEngine
        except Exception as error:
            raise _not_installed(kind, "OpenVINO", error) from error
        return OpenVinoEngine(model, threads, confidence)
    if kind == "torch":
        try:
            from anymodal_seg_ros.inference.runtimes.torch_engine import TorchEngine
        except Exception as error:
            raise _not_installed(kind, "PyTorch", error) from error
        return TorchEngine(model, threads, confidence)
    if kind == "tensorrt":
        from anymodal_seg_ros.inference.tensorrt.engine import TensorRtEngine

        return TensorRtEngine(model, confidence)
    near = did_you_mean(kind, ENGINES)
    raise ConfigError(f"engine is {kind!r:.60}: {near}expected one of {', '.join(ENGINES)}")


def choose_engine(
    model: Model,
    threads: int = 0,
    confidence: bool = False,
    providers: str = "auto",
    but: str = "",
) -> Choice:
    """Return the fastest engine that is installed and right here, and why it was taken.

    On a machine that has not seen the model yet, every engine is tried out in a process of its own,
    which takes some seconds; what was found is remembered. :func:`described` tells the reason.

    Args:
        model: an opened model folder.
        threads: CPU threads; 0 means one per processor that may be used, at most 4.
        confidence: whether it shall say how sure it is.
        providers: of ONNX Runtime, see :mod:`~anymodal_seg_ros.inference.runtimes.providers`.
        but: a kind that is not wanted; empty if any will do.

    Raises:
        ConfigError: there is none.
    """
    gpu_kinds = ("tensorrt", "onnxruntime", "torch") if has_gpu() else ()
    chosen = choose(
        model,
        lambda kind: create_engine(kind, model, threads, confidence, providers),
        lambda kind: try_apart(kind, model, threads, confidence, providers),
        [kind for kind in gpu_kinds if kind != but],
        ChoiceMemory(),
        choice_key(model, threads, confidence, providers),
    )
    chosen.engine.chosen = chosen.reason  # type: ignore[attr-defined]
    return chosen


def _not_installed(kind: str, library: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"engine is {kind!r}, but {library} cannot be imported ({one_line(error)}): "
        f"install anymodal_seg_ros[{kind}] or choose onnxruntime"
    )
