"""Where a run computes: one device, several, or several machines, by Lightning Fabric."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import torch
import torch.distributed as distributed
from torch import Tensor
from torch.distributed.nn.functional import all_gather

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import quote

if TYPE_CHECKING:  # to import it takes seconds, which only a run has to wait for
    from lightning_fabric import Fabric

_PRECISIONS: dict[str, Literal["32-true", "bf16-mixed"]] = {"fp32": "32-true", "bf16": "bf16-mixed"}


def processes_of(variable: str, default: int) -> int:
    """Return the number of processes that ``torchrun`` or Slurm has set.

    Raises:
        ConfigError: somebody else has set it, to something else.
    """
    text = os.environ.get(variable, "") or str(default)
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and int(text)):
        raise ConfigError(
            f"the environment variable {variable} is {quote(repr(text))}: expected a number of "
            "processes; unset it, torchrun sets it"
        )
    return int(text)


def open_fabric(device: torch.device, precision: str) -> Fabric:
    """Join the processes of a run.

    Under ``torchrun`` or Slurm every process takes a device of its own, or a share of the CPU;
    otherwise there is one process on ``device``.

    Args:
        device: on which to compute; its number is of no account when there are several processes.
        precision: ``fp32`` or ``bf16``.

    Raises:
        ConfigError: the processes do not fit the machine.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    processes = processes_of("WORLD_SIZE", 1)
    local = processes_of("LOCAL_WORLD_SIZE", processes)
    if processes == 1:
        index = [device.index or 0] if device.type == "cuda" else 1
        fabric = Fabric(accelerator=device.type, devices=index, precision=_PRECISIONS[precision])
        fabric.launch()
        return fabric
    if device.type == "cuda" and torch.cuda.device_count() < local:
        raise ConfigError(
            f"{local} processes on a machine with {torch.cuda.device_count()} GPUs: "
            "lower --nproc-per-node"
        )
    fabric = Fabric(
        accelerator=device.type,
        devices=local,
        num_nodes=processes // local,
        # Parameters of a modality that a step leaves out get no gradient in it.
        strategy=DDPStrategy(find_unused_parameters=True),
        precision=_PRECISIONS[precision],
    )
    fabric.launch()
    return fabric


def over_processes(fabric: Fabric, values: Tensor, how: Literal["mean", "sum"]) -> Tensor:
    """Return the mean or the sum of a tensor over all processes."""
    combined = fabric.all_reduce(values, reduce_op=how)
    assert isinstance(combined, Tensor)
    return combined


def mean_of_processes(values: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes, for code that is not told of the Fabric.

    Args:
        values: without a gradient, on the device on which this process computes.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def of_all_processes(values: Tensor) -> Tensor:
    """Return the rows of all processes, in the order of the whole batch; gradients go back to each.

    Args:
        values: ``[N, ...]``, N alike in every process.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    return torch.cat(tuple(all_gather(values)))
