"""What executes a model. Every engine takes any number of present sensors with the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeGuard

from anymodal_seg_ros.frames import Features, ModalityBatch, Segmentation


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
