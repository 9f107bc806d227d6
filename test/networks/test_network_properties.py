"""What must hold for every network in the registry."""

from __future__ import annotations

import itertools
import re

import pytest
import torch

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import (
    AnyModalNetwork,
    DeployedNetwork,
    build_network,
    network_names,
    upsample_logits,
)

CLASSES = 7
MODALITIES = ("rgb", "thermal", "depth", "event")
HEIGHT, WIDTH = 64, 96
ARCHITECTURES = {
    name: {"network": name, "backbone": "mit_nano", "head_width": 32}
    for name in ("anyseg", "charm", "quorum")
}
# Parameters that compare sensors: with one sensor there is nothing to learn for them.
COMPARES = {"quorum": r"consensus\.apart", "charm": r"units\.\d\.robustness"}

every_network = pytest.mark.parametrize("name", network_names())


def network_of(name: str) -> AnyModalNetwork:
    torch.manual_seed(0)
    network = build_network(ARCHITECTURES[name], CLASSES, MODALITIES)
    # Fresh batch norms are too tame to show a fault in folding.
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


def images(batch: int = 2, modalities: int = 4, height: int = HEIGHT, width: int = WIDTH):
    torch.manual_seed(1)
    return torch.randn(batch, modalities, 3, height, width), torch.arange(modalities)


def test_every_network_has_an_architecture_to_test() -> None:
    assert set(ARCHITECTURES) == set(network_names())


@every_network
@pytest.mark.parametrize("modalities", [1, 2, 3, 4, 5])
def test_any_number_of_modalities(name: str, modalities: int) -> None:
    x, _ = images(modalities=modalities)
    with torch.inference_mode():
        logits = network_of(name)(x, torch.arange(modalities) % len(MODALITIES))
    assert logits.shape == (2, CLASSES, HEIGHT // 4, WIDTH // 4)
    assert torch.isfinite(logits).all()


@every_network
@pytest.mark.parametrize("size", [(192, 256), (33, 50), (70, 35), (161, 99)])
def test_odd_sizes_and_one_item(name: str, size: tuple[int, int]) -> None:
    x, ids = images(1, 2, *size)
    with torch.inference_mode():
        logits = network_of(name)(x, ids)
    assert logits.shape[2:] == (-(-size[0] // 4), -(-size[1] // 4))
    assert upsample_logits(logits, *size).shape == (1, CLASSES, *size)


@every_network
def test_the_order_of_the_modalities_does_not_matter(name: str) -> None:
    network, (x, ids) = network_of(name), images()
    with torch.inference_mode():
        expected = network(x, ids)
        for order in itertools.permutations(range(4)):
            permuted = network(x[:, list(order)], ids[list(order)])
            torch.testing.assert_close(permuted, expected, rtol=1e-4, atol=1e-5)


@every_network
def test_features_belong_to_one_modality_and_make_the_logits(name: str) -> None:
    network, (x, ids) = network_of(name), images()
    with torch.inference_mode():
        features = network.forward_features(x, ids)
        torch.testing.assert_close(network.decode(features, ids).logits, network(x, ids))
    assert [tuple(f.shape[:2]) for f in features] == [(2, 4)] * 4


@every_network
def test_an_absent_modality_leaves_no_trace(name: str) -> None:
    """A subset gives what it gives alone, whatever else the network saw before or beside it."""
    network, (x, ids) = network_of(name), images()
    for subset in ([0], [2], [1, 3], [0, 1, 3]):
        with torch.inference_mode():
            alone = network_of(name)(x[:, subset], ids[subset])
            network(x, ids)
            torch.testing.assert_close(network(x[:, subset], ids[subset]), alone)
            kept = [f[:, subset] for f in network.forward_features(x, ids)]
            part = network.decode(kept, ids[subset])
            torch.testing.assert_close(part.logits, alone, rtol=1e-4, atol=1e-5)


@every_network
def test_items_of_a_batch_do_not_mix(name: str) -> None:
    network, (x, ids) = network_of(name), images(batch=3)
    with torch.inference_mode():
        together = network(x, ids)
        for item in range(3):
            alone = network(x[item : item + 1], ids)[0]
            torch.testing.assert_close(together[item], alone, rtol=1e-4, atol=1e-5)


@every_network
@pytest.mark.parametrize("subset", [[0], [1, 3], [0, 1, 2, 3]])
def test_gradients_reach_every_parameter(name: str, subset: list[int]) -> None:
    network, (x, ids) = network_of(name).train(), images()
    network(x[:, subset], ids[subset]).square().mean().backward()
    absent = [i for i in range(len(MODALITIES)) if i not in subset]
    without = [
        n
        for n, p in network.named_parameters()
        if (p.grad is None or not p.grad.abs().sum() > 0)
        and not any(f"rows.{i}" in n or f".kinds.{i}." in n for i in absent)
        and not (len(subset) == 1 and re.search(COMPARES.get(name, "$^"), n))
    ]
    assert without == []


@every_network
def test_bf16_is_close_to_fp32(name: str) -> None:
    network, (x, ids) = network_of(name), images()
    with torch.inference_mode():
        exact = network(x, ids)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(x, ids).float()
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()


@every_network
@pytest.mark.parametrize("modalities", [1, 4])
def test_the_deployed_form_gives_the_same_classes(name: str, modalities: int) -> None:
    network, (x, ids) = network_of(name), images(1, modalities)
    deployed = DeployedNetwork(network)
    with torch.inference_mode():
        expected = upsample_logits(network(x, ids), HEIGHT, WIDTH).argmax(1)[0]
        mask = deployed(x[0], ids)
    assert mask.dtype == torch.uint8 and mask.shape == (HEIGHT, WIDTH)
    assert mask.long().eq(expected).float().mean() > 0.999
    assert not deployed.training


@every_network
def test_deploying_leaves_the_network_alone(name: str) -> None:
    network = network_of(name).train()
    names = list(network.state_dict())
    DeployedNetwork(network)
    assert network.training and list(network.state_dict()) == names


@pytest.mark.parametrize(
    ("architecture", "complaint"),
    [
        ({"network": "nosuch"}, r"architecture.network is 'nosuch': expected one of anyseg"),
        ({}, r"architecture.network is None"),
        ({"network": "anyseg", "backbone": "resnet"}, r"backbone is 'resnet'"),
        ({"network": "anyseg", "heads": 3}, r"unknown parameter architecture.heads"),
        ({"network": "anyseg", "head_width": 0}, r"architecture.head_width is 0"),
    ],
)
def test_a_wrong_architecture_is_named(architecture: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build_network(architecture, CLASSES, MODALITIES)
