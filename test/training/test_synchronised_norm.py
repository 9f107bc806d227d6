"""The batch norm over processes on a CPU; what two processes compute is in test_processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
from torch import nn

from anymodal_seg_training.runs.synchronised_norm import synchronise_norms


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """A group of one: what is summed over the processes is this one's own."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (10.0, 0.1), (40.0, 0.5)])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_it_is_torchs_own_far_from_zero_and_in_bf16(
    one_process: None, mean: float, spread: float, kind: torch.dtype
) -> None:
    torch.manual_seed(0)
    x = (spread * torch.randn(4, 8, 20, 24) + mean).to(kind)
    own = nn.BatchNorm2d(8)
    ours = synchronise_norms(nn.Sequential(nn.BatchNorm2d(8)), torch.device("cpu"))
    given, expected_of = x.clone().requires_grad_(), x.float().requires_grad_()
    found, expected = ours(given), own(expected_of)
    assert found.dtype == kind
    close = {"rtol": 1e-2, "atol": 1e-2} if kind == torch.bfloat16 else {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(found.float(), expected, **close)
    torch.testing.assert_close(ours[0].running_var, own.running_var, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours[0].running_mean, own.running_mean, rtol=1e-4, atol=1e-6)
    found.float().pow(3).sum().backward()
    expected.pow(3).sum().backward()
    assert given.grad is not None and given.grad.isfinite().all()
    if kind == torch.float32:
        scale = float(expected_of.grad.abs().max())
        torch.testing.assert_close(given.grad, expected_of.grad, rtol=1e-2, atol=1e-3 * scale)
