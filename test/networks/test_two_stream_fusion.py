"""Rectification and fusion of two streams against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anymodal_seg_ros.networks.cross_fusion import FeatureFusion
from anymodal_seg_ros.networks.mix_transformer import count_parameters
from anymodal_seg_ros.networks.rectification import FeatureRectification


def maps(channels: int, batch: int = 2, height: int = 5, width: int = 7) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return (
        torch.randn(batch, channels, height, width, dtype=torch.float64),
        torch.randn(batch, channels, height, width, dtype=torch.float64),
    )


def test_rectification_is_the_published_formula() -> None:
    rectify, (x1, x2) = FeatureRectification(6).double(), maps(6)
    both = torch.cat((x1, x2), dim=1)
    pooled = torch.cat((both.mean((2, 3)), both.flatten(2).max(dim=2).values), dim=1)
    w1, w2 = rectify.channel_weights(pooled).reshape(2, 2, 6, 1, 1).unbind(1)
    v1, v2 = rectify.spatial_weights(both).unbind(1)
    first, second = rectify(x1, x2)
    torch.testing.assert_close(first, x1 + 0.5 * w2 * x2 + 0.5 * v2[:, None] * x2)
    torch.testing.assert_close(second, x2 + 0.5 * w1 * x1 + 0.5 * v1[:, None] * x1)


def test_a_stream_takes_nothing_from_an_empty_one() -> None:
    rectify, (x1, _) = FeatureRectification(6).double(), maps(6)
    first, second = rectify(x1, torch.zeros_like(x1))
    assert torch.equal(first, x1)
    assert second.abs().sum() > 0


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_fusion_is_the_published_formula(heads: int) -> None:
    fuse, (x1, x2) = FeatureFusion(8, heads).double().eval(), maps(8)
    fuse.norm.running_mean.normal_()
    path, size = fuse.cross_path, 8 // heads
    tokens = [x.flatten(2).transpose(1, 2) for x in (x1, x2)]
    kept, queries = zip(
        *(
            split(t).relu().split(8, dim=-1)
            for split, t in zip((path.first_split, path.second_split), tokens, strict=True)
        ),
        strict=True,
    )
    reads = [torch.zeros_like(t) for t in tokens]
    projections = (path.exchange.first_key_value, path.exchange.second_key_value)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        contexts = []
        for projection, query in zip(projections, queries, strict=True):
            key, value = projection(query).split(8, dim=-1)
            context = key[..., part].transpose(1, 2) @ value[..., part] * size**-0.5
            contexts.append(context.softmax(dim=-2))
        reads[0][..., part] = queries[0][..., part] @ contexts[1]
        reads[1][..., part] = queries[1][..., part] @ contexts[0]
    outs = [
        norm(t + out(torch.cat((y, v), dim=-1)))
        for norm, t, out, y, v in zip(
            (path.first_norm, path.second_norm),
            tokens,
            (path.first_out, path.second_out),
            kept,
            reads,
            strict=True,
        )
    ]
    both = torch.cat(outs, dim=-1).transpose(1, 2).unflatten(2, (5, 7))
    torch.testing.assert_close(fuse(x1, x2), fuse.norm(fuse.residual(both) + fuse.embed(both)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 3), (2, 4, 6)])
def test_any_size_of_map_and_gradients_for_every_parameter(shape: tuple[int, int, int]) -> None:
    rectify, fuse = FeatureRectification(8), FeatureFusion(8, 2).eval()
    x1, x2 = (x.float() for x in maps(8, *shape))
    fused = fuse(*rectify(x1, x2))
    assert fused.shape == (shape[0], 8, *shape[1:])
    fused.square().sum().backward()
    for module in (rectify, fuse):
        assert all(parameter.grad is not None for parameter in module.parameters())


def test_parameter_counts() -> None:
    c = 64
    assert count_parameters(FeatureRectification(c)) == (
        16 * c * c + 4 * c + 8 * c * c + 2 * c + 2 * c * c + c + 2 * c + 2
    )
    assert count_parameters(FeatureFusion(c, 1)) == (
        2 * (2 * c * c + 2 * c) + 2 * 2 * c * c + 2 * (2 * c * c + c) + 2 * 2 * c
        + 2 * c * c + (2 * c * c + c) + 10 * c + (c * c + c) + 2 * c + 2 * c
    )  # fmt: skip
