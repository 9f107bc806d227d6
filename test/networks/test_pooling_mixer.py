from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.networks.pooling_mixer import POOLS, PoolingMixer, window_means


def mixer(channels: int = 6, drop_path: float = 0.0) -> PoolingMixer:
    torch.manual_seed(0)
    block = PoolingMixer(channels, 4, drop_path).double()
    for norm in (block.attention_norm, block.feed_forward_norm):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    torch.nn.init.normal_(block.attention_scale)
    torch.nn.init.normal_(block.feed_forward_scale)
    return block.eval()


def average(x: Tensor, size: int) -> Tensor:
    """Mean over the pixels of a window that lie in the picture."""
    ones = torch.ones(x.shape[1], 1, size, size, dtype=x.dtype)
    channels = x.shape[1]
    total = F.conv2d(x, ones, padding=size // 2, groups=channels)
    return total / F.conv2d(torch.ones_like(x), ones, padding=size // 2, groups=channels)


@pytest.mark.parametrize("size", [(20, 9), (3, 14), (1, 1)])
@pytest.mark.parametrize("window", POOLS)
def test_window_means_leave_out_what_is_outside(size: tuple[int, int], window: int) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(window_means(x, window), average(x, window))


@pytest.mark.parametrize("size", [(9, 14), (3, 2), (1, 1)])
def test_the_block_is_the_published_formula(size: tuple[int, int]) -> None:
    block, x = mixer(), torch.randn(2, 6, *size, dtype=torch.float64)
    u = block.attention_norm(x)
    z = block.attention.depthwise(u)
    windows = z + average(z, 3) + average(z, 7) + average(z, 11)
    attended = block.attention.mix(windows).sigmoid() * u + u
    y = x + block.attention_scale * attended
    gate = block.gate.neighbours(y.mean((2, 3))[:, None]).sigmoid().reshape(2, 6, 1, 1)
    fed = block.feed_forward(block.feed_forward_norm(y))
    torch.testing.assert_close(block(x), gate * y + block.feed_forward_scale * fed)


def test_a_fresh_block_adds_little_and_gradients_reach_all_of_it() -> None:
    torch.manual_seed(0)
    block, x = PoolingMixer(8, 8), torch.randn(2, 8, 5, 7)
    out = block(x)
    assert (out - block.gate(x) * x).abs().mean() < 0.05
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())


def test_a_dropped_block_still_gates_the_channels() -> None:
    block, x = mixer(drop_path=0.999999).train(), torch.randn(1, 6, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x), block.gate(x) * x)
