"""The batch norm over processes on a CPU; what two processes compute is in test_processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
from timm.layers import BatchNormAct2d
from torch import nn

from anymodal_seg_ros.networks.timm_encoder import TimmEncoder
from anymodal_seg_training.runs.initial_weights import keep_statistics
from anymodal_seg_training.runs.synchronised_norm import synchronise_norms


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """A group of one: what is summed over the processes is this one's own."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


def with_activations() -> nn.Module:
    """A network some of whose norms are timm's, with what comes behind them inside."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), BatchNormAct2d(8, act_layer=nn.ReLU6), nn.Conv2d(8, 4, 1),
        nn.BatchNorm2d(4),
    )  # fmt: skip


def test_a_norm_that_ends_with_an_activation_keeps_it(one_process: None) -> None:
    x = torch.randn(4, 3, 20, 24) + 1.0
    own, ours = with_activations(), synchronise_norms(with_activations(), torch.device("cpu"))
    for network in (own, ours):
        network.train()
    torch.testing.assert_close(ours(x), own(x), rtol=1e-4, atol=1e-5)
    for (name, kept), other in zip(
        ours.state_dict().items(), own.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(kept, other, msg=name)
    torch.testing.assert_close(ours.eval()(x), own.eval()(x), rtol=1e-4, atol=1e-5)


def test_on_a_gpu_it_keeps_its_activation_too_and_its_statistics_can_be_kept() -> None:
    """torch's own conversion makes a network without activations of it, and says nothing."""
    x, own = torch.randn(2, 3, 12, 16), with_activations().eval()
    converted = synchronise_norms(with_activations(), torch.device("cuda")).eval()
    norms = [module for module in converted.modules() if isinstance(module, nn.SyncBatchNorm)]
    assert len(norms) == 2
    torch.testing.assert_close(converted(x), own(x))  # in evaluation it runs on a CPU
    encoder = TimmEncoder("tf_efficientnet_lite0")
    before = {name for name, m in encoder.named_modules() if isinstance(m, nn.BatchNorm2d)}
    network = synchronise_norms(nn.Sequential(encoder), torch.device("cuda")).train()
    keep_statistics(network)
    assert before and {n for n, m in network[0].named_modules() if not m.training} >= before


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
