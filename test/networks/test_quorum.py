"""What Quorum promises beyond what every network does."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import build_network
from anymodal_seg_ros.networks.mix_transformer import count_parameters
from anymodal_seg_ros.networks.quorum import Quorum, QuorumArchitecture

CLASSES = 5
MODALITIES = ("rgb", "thermal", "depth", "event")
OPTIONS = [
    {"stem": stem, "norms": norms, "fusion": fusion, "context": context, "consensus": consensus}
    for stem, norms in (("per_modality", "shared"), ("shared", "per_modality"))
    for fusion, context in itertools.product(
        ("quorum", "reliability", "mean"), ("coarse_to_fine", "stage")
    )
    for consensus in (True, False)
] + [{"stem": "per_modality", "adapters": "per_modality", "fusion": "quorum"}]


def quorum(**options: object) -> Quorum:
    torch.manual_seed(0)
    architecture = QuorumArchitecture(backbone="mit_nano", head_width=32, **options)
    network = Quorum(architecture, CLASSES, MODALITIES)
    with torch.no_grad():  # sensors that differ, opinions that differ
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return network.eval()


def frames(batch: int = 2, modalities: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(batch, modalities, 3, 64, 96), torch.arange(modalities)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
def test_every_part_can_be_taken_away(options: dict[str, object]) -> None:
    network, (x, ids) = quorum(**options), frames()
    order = [2, 0, 3, 1]
    with torch.inference_mode():
        features = network.forward_features(x, ids)
        decoded = network.decode(features, ids)
        permuted = network.decode([stage[:, order] for stage in features], ids[order])
    assert decoded.contributions is not None and permuted.contributions is not None
    assert decoded.contributions.shape == (2, 4, 16, 24)
    torch.testing.assert_close(decoded.contributions.sum(dim=1), torch.ones(2, 16, 24))
    torch.testing.assert_close(permuted.logits, decoded.logits)
    torch.testing.assert_close(permuted.contributions, decoded.contributions[:, order])
    equal = torch.full_like(decoded.contributions, 0.25)
    assert torch.allclose(decoded.contributions, equal) == (options["fusion"] == "mean")


def test_decoding_counts_the_votes_of_the_predicted_reliability() -> None:
    network, (x, ids) = quorum(), frames()
    with torch.inference_mode():
        features = network.forward_features(x, ids)
        votes = network.reliability(features, ids)
        assert [v.shape for v in votes] == [s.shape[:2] + s.shape[3:] for s in features]
        counted, decoded = network.count(features, votes, ids), network.decode(features, ids)
    assert torch.equal(counted.logits, decoded.logits)


@pytest.mark.parametrize("fusion", ["quorum", "reliability"])
def test_a_sensor_that_is_not_believed_counts_as_absent(fusion: str) -> None:
    network, (x, ids) = quorum(fusion=fusion), frames()
    with torch.inference_mode():
        features = network.forward_features(x, ids)
        votes = network.reliability(features, ids)
        for stage in votes:
            stage[:, 1] = -60.0
        decoded = network.count(features, votes, ids)
        kept = [0, 2, 3]
        others = [f[:, kept] for f in features], [v[:, kept] for v in votes]
        rest = network.count(*others, ids[kept])
    torch.testing.assert_close(decoded.logits, rest.logits)
    assert decoded.contributions is not None and decoded.contributions[:, 1].max() < 1e-6


def test_without_a_quorum_the_images_are_of_no_account() -> None:
    network, (x, ids) = quorum(), frames(batch=3)
    with torch.inference_mode():
        features = network.forward_features(x, ids)
        votes = [torch.full_like(v, -60.0) for v in network.reliability(features, ids)]
        logits = network.count(features, votes, ids).logits
    torch.testing.assert_close(logits, logits[:1, :, :1, :1].expand_as(logits))


def test_a_fifth_sensor_is_learned_without_touching_the_others() -> None:
    network, (x, ids) = quorum(), frames()
    with torch.inference_mode():
        before = network(x, ids)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    new = network.add_modality("radar", like="depth")
    assert {id(p) for p in new} == {id(p) for p in network.modality_parameters("radar")}
    network.requires_grad_(False)
    for parameter in new:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    begin = [parameter.clone() for parameter in new]
    five = torch.cat([x, torch.randn(2, 1, 3, 64, 96)], dim=1)
    for _ in range(2):
        network(five, torch.arange(5)).square().mean().backward()
        optimizer.step()
    assert all(not torch.equal(p, b) for p, b in zip(new, begin, strict=True))
    after = network.state_dict()
    for name, tensor in state.items():  # sets with the new sensor stand behind the old ones
        assert torch.equal(after[name][: len(tensor)] if tensor.ndim else after[name], tensor)
    with torch.inference_mode():
        assert torch.equal(network(x, ids), before)
    assert sum(p.numel() for p in new) < 0.05 * count_parameters(network)


def test_an_unknown_kind_has_no_parameters() -> None:
    with pytest.raises(ConfigError, match=r"no modality 'radar': expected one of rgb, thermal"):
        quorum().modality_parameters("radar")


@pytest.mark.parametrize("backbone", ["mit_b0", "mit_b2"])
def test_it_costs_at_most_a_twentieth_more_parameters_than_anyseg(backbone: str) -> None:
    counts = {}
    with torch.device("meta"):
        for name in ("anyseg", "quorum"):
            architecture = {"network": name, "backbone": backbone}
            counts[name] = count_parameters(build_network(architecture, 25, MODALITIES))
    assert counts["anyseg"] < counts["quorum"] <= 1.05 * counts["anyseg"]


def scenes(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Three sensors see two classes; in each scene one of them, at random, sees only noise."""
    cells = torch.randint(0, 2, (count, 1, 2, 2), generator=generator)
    labels = F.interpolate(cells.float(), size=(64, 64)).long()[:, 0]
    brightness = torch.tensor([[-1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]])
    seen = brightness[:, labels].transpose(0, 1).unsqueeze(2)
    x = seen + 0.3 * torch.randn(count, 3, 3, 64, 64, generator=generator)
    bad = torch.randint(0, 3, (count,), generator=generator)
    x[torch.arange(count), bad] = torch.randn(count, 3, 64, 64, generator=generator)
    return x, labels, bad


@pytest.mark.slow
def test_a_sensor_that_sees_noise_is_turned_down_though_nobody_told_which() -> None:
    torch.manual_seed(0)
    generator, ids = torch.Generator().manual_seed(0), torch.arange(3)
    architecture = QuorumArchitecture("mit_nano", head_width=32, drop_path=0.0, dropout=0.0)
    network = Quorum(architecture, 2, MODALITIES[:3])
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(45):
        x, labels, _ = scenes(8, generator)
        logits = F.interpolate(network(x, ids), size=(64, 64), mode="bilinear")
        optimizer.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
    x, _, bad = scenes(32, generator)
    network.eval()
    with torch.inference_mode():
        contributions = network.decode(network.forward_features(x, ids), ids).contributions
    assert contributions is not None
    shares = contributions.mean(dim=(2, 3))
    assert shares[torch.arange(32), bad].mean() < 0.15, "a third would be its equal share"
    others = torch.ones_like(shares, dtype=torch.bool)
    others[torch.arange(32), bad] = False
    assert shares[others].min() > shares[torch.arange(32), bad].mean()
