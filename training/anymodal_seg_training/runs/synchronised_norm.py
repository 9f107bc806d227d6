"""Batch norm over the frames of all processes, on the CPU too."""

from __future__ import annotations

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


def synchronise_norms(network: nn.Module, device: torch.device) -> nn.Module:
    """Let the batch norms of a network see the frames of all processes of a run.

    On a GPU that is torch's own, which does not run on a CPU.
    """
    if device.type != "cpu":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = CpuSyncBatchNorm2d
    return network


class CpuSyncBatchNorm2d(nn.BatchNorm2d):
    """The batch norm whose mean and variance in training are those of all processes' frames."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[B, C, H, W]``."""
        if not self.training:
            return super().forward(x)
        # Not in bf16, and twice over the values: a mean far from zero would cancel the variance.
        values = x.double()
        size = values.new_tensor([x.numel() / x.shape[1]])
        distributed.all_reduce(size)
        mean = all_reduce(values.sum((0, 2, 3))) / size
        centred = values - mean[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / size
        self._remember(mean.detach(), (variance * size / (size - 1.0)).detach())
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)
