"""What CHARM does beyond what every network does."""

from __future__ import annotations

import math

import pytest
import torch
from fixtures.zoo import MODALITIES, network_of, sensors

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import build_network
from anymodal_seg_ros.networks.charm import Charm, CharmArchitecture, softmin_probabilities
from anymodal_seg_ros.networks.charm_parts import SemanticProjector, SemanticProjectors
from anymodal_seg_ros.networks.mix_transformer import count_parameters


def charm() -> Charm:
    network = network_of("charm")
    assert isinstance(network, Charm)
    return network


@pytest.mark.parametrize(
    ("backbone", "millions"),
    [("mit_b0", 6.86), ("mit_b2", 37.4)],  # our reference counts about 6.8 and 37.4
)
def test_parameter_counts(backbone: str, millions: float) -> None:
    with torch.device("meta"):
        network = build_network({"network": "charm", "backbone": backbone}, 25, MODALITIES)
    assert count_parameters(network) / 1e6 == pytest.approx(millions, abs=0.05)
    if backbone == "mit_b0":
        parts = [count_parameters(part) / 1e6 for part in network.children()]
        assert parts == pytest.approx([3.32, 0.76, 2.37, 0.40], abs=0.01)


def test_the_individual_path_is_the_network_with_that_sensor_alone() -> None:
    network = charm()
    x, ids = sensors(network)
    with torch.inference_mode():
        features = network.forward_features(x, ids)
        for one in range(4):
            row = [stage[:, one : one + 1] for stage in features]
            individual = network.decode(row, ids[one : one + 1])
            alone = network(x[:, one : one + 1], ids[one : one + 1])
            torch.testing.assert_close(individual.logits, alone, rtol=1e-4, atol=1e-4)
            assert individual.contributions is not None
            assert torch.equal(individual.contributions, torch.ones(2, 1, 16, 24))


def test_gradients_of_the_individual_path_reach_its_own_projectors_only() -> None:
    network = charm().train()
    x, ids = sensors(network)
    row = [stage[:, 2:3] for stage in network.forward_features(x, ids)]
    network.decode(row, ids[2:3]).logits.square().mean().backward()
    for projectors in network.projectors:
        assert isinstance(projectors, SemanticProjectors)
        learned = [any(p.grad.any() for p in kind.parameters()) for kind in projectors.kinds]
        assert learned == [False, False, True, False]
    # With one sensor its weight is 1: the evaluator learns from the collaborative path alone.
    assert not any(unit.robustness.weight.grad.any() for unit in network.units)


def test_robustness_is_the_mean_score_of_each_sensor() -> None:
    network = charm()
    x, ids = sensors(network)
    features = network.forward_features(x, ids)
    robustness = network.robustness(features)
    assert robustness.shape == (4,) and not robustness.requires_grad
    scores = [
        unit(stage.permute(0, 1, 3, 4, 2))[1].mean(dim=(0, 2, 3))
        for unit, stage in zip(network.units, features, strict=True)
    ]
    torch.testing.assert_close(robustness, torch.stack(scores).mean(dim=0).detach())


def test_contributions_follow_the_scores() -> None:
    network = charm()
    x, ids = sensors(network)
    with torch.inference_mode():
        for unit in network.units:
            unit.robustness.weight.zero_()
        features = network.forward_features(x, ids)
        shares = network.decode(features, ids).contributions
    torch.testing.assert_close(shares, torch.full((2, 4, 16, 24), 0.25))


def test_weak_sensors_are_drawn_more_often() -> None:
    robustness = torch.tensor([0.0, 1.0, math.log(2.0)])
    probabilities = softmin_probabilities(robustness)
    torch.testing.assert_close(probabilities * 1.8678794, torch.tensor([1.0, 1 / math.e, 0.5]))
    assert probabilities.sum() == pytest.approx(1.0)
    assert softmin_probabilities(robustness, 1e4).tolist() == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert softmin_probabilities(robustness, 1e-3).tolist() == pytest.approx([1, 0, 0])


@pytest.mark.parametrize("ids", [[0, 1, 2], [2, 0, 2], [1, 1, 1]])
def test_every_sensor_goes_through_the_projector_of_its_kind(ids: list[int]) -> None:
    """Also where kinds repeat, and in the form that does not know the kinds beforehand."""
    torch.manual_seed(0)
    projectors = SemanticProjectors(8, 3).eval()
    features = torch.randn(2, 3, 8, 9, 14)
    with torch.inference_mode():
        projected = projectors(features, torch.tensor(ids))
        for place, kind in enumerate(ids):
            expected = projectors.kinds[kind](features[:, place])
            torch.testing.assert_close(projected[:, place], expected)
        program = torch.export.export(projectors, (features, torch.tensor(ids)))
        torch.testing.assert_close(program.module()(features, torch.tensor(ids)), projected)


def test_projectors_of_absent_sensors_gather_no_statistics() -> None:
    projectors = SemanticProjectors(8, 3).train()
    before = [kind.norms[0].running_mean.clone() for kind in projectors.kinds]
    projectors(torch.randn(2, 2, 8, 9, 14), torch.tensor([0, 2]))
    after = [kind.norms[0].running_mean for kind in projectors.kinds]
    assert [torch.equal(a, b) for a, b in zip(after, before, strict=True)] == [False, True, False]


def test_a_folded_projector_is_the_same() -> None:
    torch.manual_seed(0)
    projector = SemanticProjector(8)
    for norm in projector.norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
        torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 8, 20, 15)
    with torch.inference_mode():
        expected = projector.eval()(x)
    projector.fold()
    projector.fold()
    with torch.inference_mode():
        torch.testing.assert_close(projector(x), expected)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in projector.modules())


@pytest.mark.parametrize(
    "options",
    [{"window": 3, "blocks": 3}, {"heads": 2, "blocks": 1}, {"feed_forward_ratio": 2}],
    ids=str,
)
def test_what_the_paper_leaves_open_is_an_option(options: dict[str, int]) -> None:
    torch.manual_seed(0)
    network = Charm(CharmArchitecture("mit_nano", 32, **options), 5, MODALITIES).eval()
    x, ids = sensors(network, 3)
    with torch.inference_mode():
        logits = network(x, ids)
        permuted = network(x[:, [1, 2, 0]], ids[[1, 2, 0]])
    torch.testing.assert_close(permuted, logits, rtol=1e-4, atol=1e-4)


def test_heads_that_do_not_divide_the_channels_are_named() -> None:
    with pytest.raises(ConfigError, match=r"heads is 3: .* 32, 64, 160, 256, cannot be split"):
        build_network({"network": "charm", "heads": 3}, 5, MODALITIES)


def test_with_mutual_queries_sensors_ask_each_other_and_one_alone_nobody() -> None:
    options = {"network": "charm", "backbone": "mit_nano", "head_width": 16}
    torch.manual_seed(0)
    mutual = build_network({**options, "queries": "mutual"}, 5, MODALITIES).eval()
    for name, parameter in mutual.named_parameters():
        if ".mutual." in name:  # fresh, they say too little to be seen
            torch.nn.init.normal_(parameter, std=0.5)
    fused = build_network(options, 5, MODALITIES).eval()
    fused.load_state_dict({k: v for k, v in mutual.state_dict().items() if ".mutual" not in k})
    x, ids = sensors(mutual)
    order = [2, 0, 3, 1]
    with torch.inference_mode():
        assert torch.equal(mutual(x[:, :1], ids[:1]), fused(x[:, :1], ids[:1]))
        together = mutual(x, ids)
        assert not torch.allclose(together, fused(x, ids), atol=1e-3)
        torch.testing.assert_close(mutual(x[:, order], ids[order]), together, rtol=1e-4, atol=1e-4)
