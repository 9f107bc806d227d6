"""CMNeXt and StitchFusion begin as their authors' code does."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from anymodal_seg_ros.networks import build_network

KINDS = ("rgb", "depth", "event", "lidar")


def spread(*tensors: Tensor) -> float:
    """Standard deviation of the numbers of some tensors together."""
    return float(torch.cat([tensor.detach().flatten() for tensor in tensors]).std())


def test_cmnext() -> None:
    torch.manual_seed(0)
    network = build_network({"network": "cmnext", "backbone": "mit_b0"}, 25, KINDS)
    first = {
        "rectify.0.channel_weights.0.weight": 0.02,
        "rectify.0.spatial_weights.0.weight": math.sqrt(2 / 32),
        "fuse.0.cross_path.exchange.first_key_value.weight": 0.02,
        "fuse.0.embed.1.weight": math.sqrt(2 / (9 * 32)),
        "auxiliary.0.mixers.0.attention.depthwise.weight": math.sqrt(2 / (49 * 32)),
        "auxiliary.0.embedding.projection.weight": math.sqrt(2 / (49 * 32)),
        "head.fuse.weight": math.sqrt(2 / 256),
        "head.projections.0.weight": 0.02,
    }
    tensors = dict(network.named_parameters())
    for name, expected in first.items():
        assert spread(tensors[name]) == pytest.approx(expected, rel=0.12), name
    hub = network.auxiliary[3].hub
    assert spread(*hub.pointwise.rows) == pytest.approx(math.sqrt(2), rel=0.12)
    assert spread(*hub.depthwise.rows) == pytest.approx(math.sqrt(2 / (9 * 256)), rel=0.12)
    biases = [p for n, p in tensors.items() if n.startswith("rectify") and n.endswith("bias")]
    assert biases and not any(bias.any() for bias in biases)


def test_stitchfusion() -> None:
    torch.manual_seed(0)
    options = {"network": "stitchfusion", "backbone": "mit_b0", "fusion": "concat"}
    network = build_network(options, 25, KINDS)
    tensors = dict(network.named_parameters())
    assert spread(tensors["fusions.0.reduce.weight"]) == pytest.approx(0.02, rel=0.1)
    depthwise = tensors["fusions.3.feed_forward.depthwise.0.weight"]
    assert spread(depthwise) == pytest.approx(math.sqrt(2 / (9 * 256)), rel=0.1)
    assert spread(tensors["head.fuse.weight"]) == pytest.approx(math.sqrt(2 / 256), rel=0.1)


def test_the_encoder_begins_as_that_of_every_other_method() -> None:
    torch.manual_seed(0)
    network = build_network({"network": "cmnext", "backbone": "mit_b0"}, 25, KINDS)
    depthwise = network.encoder.stages[0].blocks[0].feed_forward.depthwise.weight
    assert spread(depthwise) == pytest.approx(math.sqrt(2 / 9), rel=0.1)
