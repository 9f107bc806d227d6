"""What executes a model. Every engine takes any number of present sensors with the same weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeGuard

from anymodal_seg_ros.config import ENGINES, did_you_mean
from anymodal_seg_ros.errors import AnymodalError, ConfigError, EngineError
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.frames import Features, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.processors import engine_threads

if TYPE_CHECKING:
    from anymodal_seg_ros.inference.choice import Choice

UNUSABLE = (ImportError, OSError, RuntimeError)
"""What the import of an engine's library raises: it is not installed, or something that it is
linked to is missing or of another version."""


class Engine(Protocol):
    """Runs one model."""

    @property
    def name(self) -> str:
        """What executes the model, and on which device, e.g. ``onnxruntime cpu``."""
        ...

    def run(self, batch: ModalityBatch) -> Segmentation:
        """Segment one frame."""
        ...


class SplitEngine(Engine, Protocol):
    """An engine of a network that encodes its sensors independently and fuses late.

    Both halves may be called from several threads at once, and hold no lock while they compute.
    """

    splits: bool
    """Whether the model has the two halves; False where only :meth:`run` may be called."""

    def encode(self, batch: ModalityBatch) -> tuple[Features, ...]:
        """Encode some sensors, each by itself: one result for each row of the batch."""
        ...

    def fuse(self, features: Sequence[Features]) -> Segmentation:
        """Segment one frame from what its sensors were encoded to."""
        ...


class WholeEngine:
    """An engine that runs the whole network for each frame, whether or not its model splits."""

    def __init__(self, engine: Engine) -> None:
        """Hide the halves of an engine."""
        self.name, self._engine = engine.name, engine

    def run(self, batch: ModalityBatch) -> Segmentation:
        """Segment one frame."""
        return self._engine.run(batch)


def can_split(engine: Engine) -> TypeGuard[SplitEngine]:
    """Whether an engine can encode and fuse apart."""
    return bool(getattr(engine, "splits", False))


def serving_engine(engine: Engine) -> Engine:
    """Return what does the work of an engine: itself, or the one that it hands on to now."""
    serving: Engine = getattr(engine, "serving", engine)
    return serving


NOT_VERIFIED = "not yet verified on hardware"
"""What is said wherever an engine that no developer has seen on a real GPU is named."""


def is_verified(name: str) -> bool:
    """Whether an engine of this name has run on the hardware that it is for."""
    return name.endswith("cpu")


def described(engine: Engine) -> str:
    """Say what executes a model, and why where it was chosen: ``openvino cpu (auto: 8.1 ms …)``."""
    serving = serving_engine(engine)
    reason, note = getattr(serving, "chosen", ""), getattr(serving, "note", "")
    claim = "" if is_verified(engine.name) else NOT_VERIFIED
    words = "; ".join(filter(None, (reason and f"auto: {reason}", note, claim)))
    return f"{engine.name} ({words})" if words else engine.name


_FAILED = "failed_engine"
"""On an exception: the engine that it came out of."""


@contextmanager
def engine_at_work(engine: Engine) -> Iterator[None]:
    """Note on whatever an engine raises meanwhile that it was the engine.

    The exception stays what it is: whoever goes on after it, as a node does, tells its kind.
    """
    try:
        yield
    except Exception as error:
        setattr(error, _FAILED, engine.name)
        raise


@contextmanager
def engine_failures_told() -> Iterator[None]:
    """Make a sentence of what an engine raises: for those who do not go on after it.

    Raises:
        EngineError: the engine failed; what came out of it is the cause.
    """
    try:
        yield
    except AnymodalError:
        raise
    except Exception as error:
        if name := getattr(error, _FAILED, ""):
            said = one_line(f"{type(error).__name__}: {error}".removesuffix(": "))
            raise EngineError(
                f"the engine {name} failed, {said}; see what 'anymodal-seg verify-engine' says, "
                "or choose another --engine"
            ) from error
        raise


def create_engine(
    kind: str, model: Model, threads: int = 0, confidence: bool = False, providers: str = "auto"
) -> Engine:
    """Create an engine for a model; its libraries are imported only then.

    Args:
        kind: one of :data:`~anymodal_seg_ros.config.ENGINES`.
        model: an opened model folder.
        threads: CPU threads; 0 means one per processor that may be used, at most 4.
        confidence: whether it shall say how sure it is.
        providers: of ONNX Runtime, see :mod:`~anymodal_seg_ros.inference.providers`.

    Raises:
        ConfigError: the kind is unknown or its library is not installed, a provider is not there,
            or the model cannot say how sure it is.
        ModelError: the model cannot be executed.
    """
    if kind == "auto":
        return choose_engine(model, threads, confidence, providers).engine
    threads = engine_threads(threads)
    if kind == "onnxruntime":
        try:
            from anymodal_seg_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
        except UNUSABLE as error:
            raise ConfigError(
                f"engine is {kind!r}, but ONNX Runtime cannot be imported ({error}): pip install "
                f"onnxruntime into the environment of {sys.executable}"
            ) from error
        return OnnxRuntimeEngine(model, threads, confidence, providers)
    if kind == "openvino":
        try:
            from anymodal_seg_ros.inference.openvino_engine import OpenVinoEngine
        except UNUSABLE as error:
            raise _not_installed(kind, "OpenVINO", error) from error
        return OpenVinoEngine(model, threads, confidence)
    if kind == "torch":
        try:
            from anymodal_seg_ros.inference.torch_engine import TorchEngine
        except UNUSABLE as error:
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
        providers: of ONNX Runtime, see :mod:`~anymodal_seg_ros.inference.providers`.
        but: a kind that is not wanted; empty if any will do.

    Raises:
        ConfigError: there is none.
    """
    from anymodal_seg_ros.inference.choice import choose
    from anymodal_seg_ros.inference.choice_memory import ChoiceMemory, choice_key
    from anymodal_seg_ros.inference.cuda import has_gpu
    from anymodal_seg_ros.inference.trial import try_apart

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
        f"engine is {kind!r}, but {library} cannot be imported ({error}): "
        f"install anymodal_seg_ros[{kind}] or choose onnxruntime"
    )
