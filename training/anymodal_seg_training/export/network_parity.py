"""How exactly the ONNX graph of a network computes what the network computes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from onnxruntime import InferenceSession
from torch import Tensor

from anymodal_seg_ros.networks import AnyModalNetwork, DeployedNetwork, weights_sensors
from anymodal_seg_training.data.sampling import all_subsets, subset_key
from anymodal_seg_training.export.onnx_file import open_session, write_onnx


class MeasuredNetwork(DeployedNetwork):
    """A deployed network with all its outputs."""

    def __init__(self, network: AnyModalNetwork) -> None:
        """Ask for everything that the network can say."""
        evidence = ["contributions"] if weights_sensors(network) else []
        super().__init__(network, ("mask", "logits", "confidence", *evidence))


@dataclass(frozen=True, slots=True)
class Parity:
    """The largest differences between a graph in ONNX Runtime and the eager network.

    Attributes:
        difference: of the logits.
        agreement: share of the pixels with the same class, the smallest.
        confidence: of the confidence, in its 255 steps.
        contributions: of the contributions; 0 where there are none.
    """

    difference: float
    agreement: float
    confidence: float
    contributions: float

    def worse(self, other: Parity) -> Parity:
        """Return the worse of each number."""
        return Parity(
            max(self.difference, other.difference),
            min(self.agreement, other.agreement),
            max(self.confidence, other.confidence),
            max(self.contributions, other.contributions),
        )


def parity_of(
    network: MeasuredNetwork,
    path: Path,
    modalities: Sequence[str],
    height: int,
    width: int,
    any_size: bool,
) -> dict[str, Parity]:
    """Export a network to ``path`` and compare both on noise, for each subset of the modalities.

    With ``any_size``, which the method must allow, the graph takes images of any size, and the
    comparison is also made with height and width changed for each other. Both are multiples of 32,
    at least 64. Such a graph takes three times as long to write.

    Raises:
        TrainingError: it cannot be exported.
    """
    write_onnx(network, height, width, path, any_size)
    session = open_session(path)
    sizes = {(height, width), (width, height)} if any_size else {(height, width)}
    results: dict[str, Parity] = {}
    for subset in all_subsets(modalities):
        ids = torch.tensor([modalities.index(name) for name in subset])
        found = [_compare(network, session, ids, size) for size in sorted(sizes)]
        results[subset_key(subset)] = functools.reduce(Parity.worse, found)
    return results


def _compare(
    network: MeasuredNetwork, session: InferenceSession, ids: Tensor, size: tuple[int, int]
) -> Parity:
    """Compare graph and network on one frame of noise, the same for a kind in every subset."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(int(ids.max()) + 1, 3, *size, generator=generator)[ids]
    inputs = {"images": images.numpy(), "modality_ids": ids.numpy()}
    graph = dict(zip(network.outputs, session.run(list(network.outputs), inputs), strict=True))
    with torch.inference_mode():
        eager = dict(zip(network.outputs, network(images, ids), strict=True))

    def largest(name: str) -> float:
        expected = eager[name].numpy().astype(np.float64)
        return float(np.abs(graph[name].astype(np.float64) - expected).max())

    return Parity(
        largest("logits"),
        float(np.mean(graph["mask"] == eager["mask"].numpy())),
        largest("confidence"),
        largest("contributions") if "contributions" in eager else 0.0,
    )
