"""The optimiser and its learning rate."""

from __future__ import annotations

import torch
from torch import nn

from anymodal_seg_training.recipe import TrainingOptions


def build_optimiser(network: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Build AdamW with weight decay on matrices and kernels only, not on biases and norms."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate)


def learning_rate(options: TrainingOptions, step: int) -> float:
    """Return the learning rate of a step: linear warm-up from a tenth, then polynomial decay."""
    warmup = min(options.warmup_steps, options.steps)
    if step < warmup:
        return options.learning_rate * (0.1 + 0.9 * step / warmup)
    remaining = 1.0 - (step - warmup) / max(options.steps - warmup, 1)
    return options.learning_rate * float(max(remaining, 0.0) ** options.poly_power)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate
