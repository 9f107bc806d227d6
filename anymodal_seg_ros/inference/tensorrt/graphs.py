"""What is built of a model: which ONNX files, for which numbers of sensors, which outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anymodal_seg_ros.inference.manifest import PYRAMID, half_role
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.runtimes.graph_outputs import wanted_outputs

MOST_SENSORS = 8
"""Sensors that a fusing plan takes where several are of one kind, such as two colour cameras."""

Sizes = tuple[int, ...]
"""Of the dynamic dimensions of an input, in order: ``(M,)``; of a mask ``(height, width)``."""

Range = tuple[Sizes, Sizes, Sizes]
"""Smallest, most usual and largest sizes of an optimisation profile."""

ENCODING: tuple[Range, ...] = (((1,), (1,), (1,)),)
"""Sensors are encoded as their messages come, each by itself. Kernels differ between batch sizes in
their last bits, so a batch would make a mask depend on who happened to arrive together."""


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One graph of a model, as it is to be built.

    Attributes:
        role: ``encode``, ``fuse``, or ``onnx`` for a whole network; ``mask`` of what stands behind.
        precision: ``fp16`` or ``fp32``, as the file is typed.
        content: of the ONNX file.
        outputs: that are kept; others are not computed.
        profiles: for which sizes.
    """

    role: str
    precision: str
    content: bytes
    outputs: tuple[str, ...]
    profiles: tuple[Range, ...]


Form = tuple[GraphSpec, ...]
"""All graphs of a model, in one precision."""


def forms_of(model: Model, confidence: bool = False) -> tuple[Form, ...]:
    """Return the forms in which a model may be built, the better one first.

    Its two halves, or the whole of a network that has none; in half precision where the folder has
    such files for all of them, and in single precision.

    Args:
        model: an opened model folder.
        confidence: whether it shall be told how sure it is.

    Raises:
        ConfigError: ``confidence`` is wanted, but the graphs have no such output.
        ModelError: a file is missing or altered.
    """
    outputs = wanted_outputs(model, confidence)
    kinds = len(model.manifest.modalities)
    wanted: dict[str, tuple[tuple[str, ...], tuple[Range, ...]]]
    if model.has("encode", "fuse") and "logits" in outputs:
        wanted = {
            "encode": (PYRAMID, ENCODING),
            "fuse": (outputs, fusing(kinds, MOST_SENSORS)),
        }
    else:
        wanted = {"onnx": (outputs, fusing(kinds, kinds))}
    halves = (True, False) if model.has(*map(half_role, wanted)) else (False,)
    return tuple(
        tuple(
            GraphSpec(
                role,
                "fp16" if half else "fp32",
                model.read_graph(half_role(role) if half else role),
                *of,
            )
            for role, of in wanted.items()
        )
        for half in halves
    )


def fusing(kinds: int, most: int) -> tuple[Range, ...]:
    """Return the profiles of a graph that sees all sensors of a frame.

    One for each number from 1 to ``kinds``, of exactly this shape: kernels are chosen for it, its
    buffers are no larger than they must be, and it is captured as a CUDA graph. One range beyond,
    for rigs with several sensors of a kind.
    """
    exact = tuple(((count,), (count,), (count,)) for count in range(1, kinds + 1))
    return (*exact, ((kinds + 1,), (kinds + 1,), (most,))) if most > kinds else exact


def filled(shape: Sequence[int], sizes: Sizes) -> tuple[int, ...]:
    """Return a shape with its dynamic dimensions, which are negative, put in."""
    left = iter(sizes)
    return tuple(next(left) if size < 0 else size for size in shape)
