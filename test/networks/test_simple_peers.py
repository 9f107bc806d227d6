"""What is particular to the peers: early concatenation, late fusion, MAGIC."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fixtures.zoo import CLASSES, MODALITIES, network_of, sensors, without_chance

from anymodal_seg_ros.networks import build_network
from anymodal_seg_ros.networks.late_fusion import LateFusion
from anymodal_seg_ros.networks.magic import AggregationModule, Magic, correlate
from anymodal_seg_ros.networks.mix_transformer import count_parameters
from anymodal_seg_ros.networks.slots import fill_slots


def test_rows_go_to_the_places_of_their_kinds() -> None:
    rows = torch.tensor([[[1.0], [2.0]]])
    assert fill_slots(rows, torch.tensor([3, 1]), 4).tolist() == [[[0.0], [2.0], [0.0], [1.0]]]


def test_concatenation_treats_an_absent_sensor_as_a_black_one() -> None:
    network = network_of("concat")
    x, ids = sensors(network)
    zeroed = x.clone()
    zeroed[:, [0, 2]] = 0.0
    with torch.inference_mode():
        torch.testing.assert_close(network(x[:, [1, 3]], ids[[1, 3]]), network(zeroed, ids))


@pytest.mark.parametrize("fusion", ["logits", "probabilities"])
def test_late_fusion_is_the_mean_of_single_networks(fusion: str) -> None:
    torch.manual_seed(0)
    architecture = {"network": "late_fusion", "backbone": "mit_nano", "fusion": fusion}
    network = build_network(architecture, CLASSES, MODALITIES).eval()
    x, ids = sensors(network, 2)
    with torch.inference_mode():
        fused = network(x, ids).softmax(dim=1)
        single = torch.stack([network(x[:, [m]], ids[[m]]).softmax(dim=1) for m in (0, 1)])
    if fusion == "probabilities":
        expected = single.mean(dim=0)
    else:
        expected = F.normalize(single.prod(dim=0).sqrt(), p=1, dim=1)
    torch.testing.assert_close(fused, expected, rtol=1e-3, atol=1e-5)


def test_an_absent_sensor_teaches_late_fusion_nothing() -> None:
    network = network_of("late_fusion").train()
    assert isinstance(network, LateFusion)
    before = [head.norm.running_mean.clone() for head in network.heads]
    x, ids = sensors(network)
    network(x[:, [2]], ids[[2]]).mean().backward()
    after = [head.norm.running_mean for head in network.heads]
    moved = [not torch.equal(a, b) for a, b in zip(after, before, strict=True)]
    assert moved == [False, False, True, False]
    assert all(p.grad is None for p in network.encoders[0].parameters())


def test_magic_has_the_published_parameters_and_more() -> None:
    """24.73 M are the encoder and the head alone; the aggregation modules come on top."""
    with torch.device("meta"):
        network = build_network({"network": "magic", "backbone": "mit_b2"}, 25, MODALITIES)
    assert isinstance(network, Magic)
    published = count_parameters(network.encoder) + count_parameters(network.head)
    assert published / 1e6 == pytest.approx(24.73, abs=0.005)
    modules = count_parameters(network.aggregation), count_parameters(network.selected_aggregation)
    assert count_parameters(network) == published + sum(modules)
    assert modules[0] == modules[1] > 0


def test_magic_selects_what_agrees_most_and_least() -> None:
    network = without_chance(network_of("magic"))
    assert isinstance(network, Magic)
    x, ids = sensors(network)
    features = network.forward_features(x, ids)
    selection = network.select(features)
    correlations = selection.correlations
    assert selection.rows[:, 0].equal(correlations.argmax(dim=1))
    assert selection.rows[:, 1].equal(correlations.argmin(dim=1))
    assert correlations.shape == (2, 4) and correlations.abs().max() <= 1.0
    assert selection.logits.shape == network(x, ids).shape
    assert not correlations.requires_grad


def test_the_losses_of_the_selection_reach_their_part() -> None:
    network = without_chance(network_of("magic"))
    assert isinstance(network, Magic)
    x, ids = sensors(network)
    selection = network.select(network.forward_features(x, ids))
    (selection.logits.square().mean() + selection.selected_correlations.mean()).backward()
    (part,) = network.training_parts()
    assert all(p.grad is not None and p.grad.any() for p in part.parameters())
    assert all(p.grad is None for p in network.aggregation.parameters())


def test_features_agree_fully_with_themselves() -> None:
    features = [torch.randn(2, 1, 8, 4, 4), torch.randn(2, 1, 16, 2, 2)]
    ones = correlate(features, [stage[:, 0] for stage in features])
    torch.testing.assert_close(ones, torch.ones(2, 1))


def test_aggregation_keeps_the_order_out() -> None:
    module, features = AggregationModule(8), torch.randn(2, 3, 8, 6, 5)
    torch.testing.assert_close(module(features[:, [2, 0, 1]]), module(features))
