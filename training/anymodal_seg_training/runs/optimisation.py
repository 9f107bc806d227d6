"""The optimiser and its learning rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_ros.networks.windows import WindowCrossAttention
from anymodal_seg_training.recipe import Recipe, TrainingOptions
from anymodal_seg_training.runs.initial_weights import filled_by_encoder
from anymodal_seg_training.strategies.base import Strategy


def freeze(network: nn.Module, beginnings: Sequence[str]) -> None:
    """Let parameters learn nothing.

    Args:
        network: which has them.
        beginnings: of their names.

    Raises:
        ConfigError: no name begins so, or nothing is left that learns.
    """
    for beginning in beginnings:
        found = [p for name, p in network.named_parameters() if name.startswith(beginning)]
        if not found:
            parts = sorted({name.split(".")[0] for name, _ in network.named_parameters()})
            raise ConfigError(
                f"training.frozen has {quote(repr(beginning))}: no parameter's name begins so; the "
                f"network's parts are {', '.join(parts)}"
            )
        for parameter in found:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError("training.frozen leaves nothing that learns: name fewer parts")


def build_optimiser(
    module: nn.Module,
    options: TrainingOptions,
    rate_of: Callable[[str], float] = lambda name: 1.0,
) -> torch.optim.Optimizer:
    """Build AdamW with weight decay on matrices and kernels only.

    Not on biases, norms and scales of channels, nor on tables of relative positions, as Swin
    (arXiv 2103.14030) has it.

    Args:
        module: what is trained.
        options: of the run.
        rate_of: how many times the learning rate a parameter learns with, by its name.
    """
    trained: dict[float, list[nn.Parameter]] = {}
    tables = {m.position for m in module.modules() if isinstance(m, WindowCrossAttention)}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            trained.setdefault(rate_of(name), []).append(parameter)
    groups = []
    for factor, parameters in trained.items():
        decayed = [p for p in parameters if _is_kernel(p) and p not in tables]
        free = [p for p in parameters if not _is_kernel(p) or p in tables]
        groups += [
            {"params": decayed, "weight_decay": options.weight_decay, "factor": factor},
            {"params": free, "weight_decay": 0.0, "factor": factor},
        ]
    return torch.optim.AdamW(groups, lr=options.learning_rate)


def _is_kernel(parameter: nn.Parameter) -> bool:
    """Whether a parameter mixes channels or places; a number for each channel does not."""
    return parameter.ndim > 1 and parameter.numel() > parameter.shape[0]


def learning_rate(options: TrainingOptions, step: int) -> float:
    """Return the learning rate of a step: linear warm-up from a tenth, then polynomial decay."""
    warmup = min(options.warmup_steps, options.steps)
    if step < warmup:
        return options.learning_rate * (0.1 + 0.9 * step / warmup)
    remaining = 1.0 - (step - warmup) / max(options.steps - warmup, 1)
    return options.learning_rate * float(max(remaining, 0.0) ** options.poly_power)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups, each to its multiple of ``rate``."""
    for group in optimiser.param_groups:
        # Checkpoints from before there were factors have none.
        group["lr"] = rate * group.get("factor", 1.0)


def parameter_rates(
    recipe: Recipe, strategy: Strategy, network: AnyModalNetwork
) -> Callable[[str], float]:
    """Return how many times the learning rate a parameter of the learner learns with, by name."""
    given = filled_by_encoder(network, recipe.initial_weights)

    def rate_of(name: str) -> float:
        name = name.removeprefix("network.")
        new = 1.0 if not given or name in given else recipe.training.new_rate
        return new * strategy.rate_of(name)

    return rate_of
