"""Batch norm over the frames of all processes, on the CPU too."""

from __future__ import annotations

import torch
import torch.distributed as distributed
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


def synchronise_norms(network: nn.Module, device: torch.device) -> nn.Module:
    """Let the batch norms of a network see the frames of all processes of a run.

    On a GPU these are torch's own, which do not run on a CPU. Norms of timm that end with an
    activation keep it, which torch's own conversion drops.
    """
    if device.type != "cpu":
        converted: nn.Module = convert_sync_batchnorm(network)
        return converted
    kinds = {nn.BatchNorm2d: CpuSyncBatchNorm2d, BatchNormAct2d: CpuSyncBatchNormAct2d}
    for module in network.modules():
        if type(module) in kinds:
            module.__class__ = kinds[type(module)]
    return network


class CpuSyncBatchNorm2d(nn.BatchNorm2d):
    """The batch norm whose mean and variance in training are those of all processes' frames."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[B, C, H, W]``."""
        return _normalised(self, x) if self.training else super().forward(x)


class CpuSyncBatchNormAct2d(BatchNormAct2d):
    """The same of timm's batch norm with an activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[B, C, H, W]`` and activate."""
        if not self.training:
            kept: Tensor = super().forward(x)
            return kept
        active: Tensor = self.act(self.drop(_normalised(self, x)))
        return active


def _normalised(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    # Not in bf16, and twice over the values: a mean far from zero would cancel the variance.
    values = x.double()
    size = values.new_tensor([x.numel() / x.shape[1]])
    distributed.all_reduce(size)
    mean = all_reduce(values.sum((0, 2, 3))) / size
    centred = values - mean[:, None, None]
    variance = all_reduce(centred.square().sum((0, 2, 3))) / size
    _remember(norm, mean.detach(), (variance * size / (size - 1.0)).detach())
    scale = (variance + norm.eps).rsqrt() * norm.weight
    return (centred * scale[:, None, None] + norm.bias[:, None, None]).to(x.dtype)


def _remember(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    momentum = 0.1 if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), momentum)
