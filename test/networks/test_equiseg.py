from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import build_network
from anymodal_seg_ros.networks.cross_modal_stage import CrossModalAttention, CrossModalStage
from anymodal_seg_ros.networks.equiseg import EQUISeg
from anymodal_seg_ros.networks.mix_transformer import Stage, count_parameters

MODALITIES = ("rgb", "depth", "event", "lidar")
VARIANTS: dict[str, dict[str, object]] = {
    "default": {},
    "separate": {"branches": "separate"},
    "every block, two mixers": {"cross_attention": "every_block", "mixers": 2},
    "separate, every block": {"branches": "separate", "cross_attention": "every_block"},
    "concatenation": {"fusion": "concatenation"},
}
every_variant = pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)


def equiseg(modalities: tuple[str, ...] = MODALITIES, **options: object) -> EQUISeg:
    torch.manual_seed(0)
    architecture = {"network": "equiseg", "backbone": "mit_nano", "head_width": 16, **options}
    network = build_network(architecture, 5, modalities)
    assert isinstance(network, EQUISeg)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)
        elif isinstance(module, CrossModalAttention):  # a fresh one hardly says anything
            for parameter in module.out.parameters():
                torch.nn.init.normal_(parameter, std=0.3)
    for name, parameter in network.named_parameters():
        if "norm" in name or "depthwise_bias" in name:  # so that every kind differs
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def pictures(rows: int = 4, batch: int = 2) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, rows, 3, 64, 96)


def literal_stage(
    network: EQUISeg, index: int, features: dict[int, Tensor], last_only: bool
) -> dict[int, Tensor]:
    """One stage as the equations have it: one primary after the other, with the map of each."""
    part = network.stages[index]
    assert isinstance(part, CrossModalStage)
    tokens: dict[int, Tensor] = {}
    for kind, maps in features.items():
        stage, ids = stage_of(network, index, kind), torch.full((maps.shape[0],), kind)
        tokens[kind], height, width = stage.embedding(maps, ids)
    scored = {
        kind: part.hub(x[:, None], torch.tensor([kind]), height, width)[:, 0]
        for kind, x in tokens.items()
    }
    out = {}
    for primary, x in tokens.items():
        stage, ids = stage_of(network, index, primary), torch.full((x.shape[0],), primary)
        branch = primary if network.separate else 0
        others = [s for kind, s in scored.items() if kind != primary]
        for at, block in enumerate(stage.blocks):
            x = block.attend(x, height, width, ids)
            if others and (at == len(stage.blocks) - 1 or not last_only):
                hub = torch.stack(others).amax(dim=0)
                mixed = part.mixers[branch](hub.transpose(1, 2).unflatten(2, (height, width)))
                source = mixed.flatten(2).transpose(1, 2)
                attention = part.attentions[str(at)]
                x = x + literal_attention(attention, x, source, (height, width), primary, branch)
            x = block.feed(x, height, width, ids)
        out[primary] = stage.finish(x, height, width, ids)
    return out


def stage_of(network: EQUISeg, index: int, kind: int) -> Stage:
    stage = network.encoders[kind if network.separate else 0].stages[index]
    assert isinstance(stage, Stage)
    return stage


def literal_attention(
    a: CrossModalAttention, x: Tensor, source: Tensor, size: tuple[int, int], kind: int, branch: int
) -> Tensor:
    def norm(module: torch.nn.Module, tokens: Tensor) -> Tensor:
        weight, bias = module.weight.rows[kind], module.bias.rows[kind]
        return F.layer_norm(tokens, (tokens.shape[-1],), weight, bias, module.eps)

    def linear(module: torch.nn.Module, tokens: Tensor) -> Tensor:
        return tokens @ module.weight.rows[kind] + module.bias.rows[kind]

    source = norm(a.source_norm, source)
    if a.reduce:
        maps = a.reduce[branch](source.transpose(1, 2).unflatten(2, size))
        source = norm(a.reduce_norm, maps.flatten(2).transpose(1, 2))
    query = linear(a.query, norm(a.query_norm, x))
    key, value = linear(a.key_value, source).chunk(2, dim=-1)
    width = query.shape[-1] // a.heads
    read = []
    for q, k, v in zip(*(t.split(width, -1) for t in (query, key, value)), strict=True):
        read.append((q @ k.transpose(1, 2) / width**0.5).softmax(dim=-1) @ v)
    return linear(a.out, torch.cat(read, dim=-1))


@every_variant
@pytest.mark.parametrize("subset", [[0, 1, 2, 3], [3, 1], [2]])
def test_all_primaries_at_once_equal_one_after_the_other(
    options: dict[str, object], subset: list[int]
) -> None:
    network, x, ids = equiseg(**options), pictures()[:, subset], torch.tensor(subset)
    last_only = options.get("cross_attention") != "every_block"
    features = {kind: x[:, row] for row, kind in enumerate(subset)}
    with torch.inference_mode():
        pyramid = network.forward_features(x, ids)
        for index, stage in enumerate(pyramid):
            features = literal_stage(network, index, features, last_only)
            for row, kind in enumerate(subset):
                torch.testing.assert_close(stage[:, row], features[kind], rtol=1e-3, atol=1e-4)


@every_variant
def test_sensors_learn_from_each_other(options: dict[str, object]) -> None:
    network, x = equiseg(**options), pictures()
    changed = x.clone()
    changed[:, 2] += 1.0
    with torch.inference_mode():
        before = network.forward_features(x, torch.arange(4))
        after = network.forward_features(changed, torch.arange(4))
    for a, b in zip(before, after, strict=True):
        moved = (a - b).abs().amax(dim=(0, 2, 3, 4))
        assert (moved > 1e-4).all(), "each branch depends on every sensor"


@every_variant
def test_gradients_reach_every_parameter(options: dict[str, object]) -> None:
    network = equiseg(**options, drop_path=0.0, dropout=0.0).train()
    network(pictures(), torch.arange(4)).square().mean().backward()
    missed = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert missed == []


@every_variant
def test_a_single_sensor_computes_the_same_in_the_form_for_export(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the parts between sensors run whatever the number of sensors, and add exactly zero."""
    network, x, ids = equiseg(**options), pictures(1), torch.tensor([2])
    with torch.inference_mode():
        expected = network(x, ids)
        monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
        assert torch.equal(network(x, ids), expected)


@pytest.mark.parametrize("branches", ["shared", "separate"])
def test_a_single_sensor_leaves_the_parts_between_sensors_alone(branches: str) -> None:
    network, x = equiseg(branches=branches).train(), pictures(1)
    before = {name: b.clone() for name, b in network.stages.named_buffers()}
    network(x, torch.tensor([1])).square().mean().backward()
    assert all(torch.equal(before[name], b) for name, b in network.stages.named_buffers())
    assert all(p.grad is None for p in network.stages.parameters())


@pytest.mark.parametrize("branches", ["shared", "separate"])
def test_equal_encoders_are_one_shared_encoder(branches: str) -> None:
    """Separate branches with equal weights compute what one shared branch does."""
    one, x, ids = equiseg(("rgb",), branches=branches), pictures(1), torch.tensor([0])
    with torch.inference_mode():
        encoder = one.encoders[0]
        expected = encoder(x[:, 0], torch.zeros(2, dtype=torch.int64))
        for stage, plain in zip(one.forward_features(x, ids), expected, strict=True):
            torch.testing.assert_close(stage[:, 0], plain)


def test_two_sensors_of_one_kind_help_each_other() -> None:
    network, x = equiseg(), pictures(3)
    ids, swapped = torch.tensor([1, 1, 0]), torch.tensor([1, 0, 2])
    with torch.inference_mode():
        logits = network(x, ids)
        torch.testing.assert_close(network(x[:, swapped], ids[swapped]), logits)
        features = network.forward_features(x, ids)[-1]
    assert not torch.allclose(features[:, 0], features[:, 1])


def test_concatenation_is_a_convolution_on_the_concatenation_with_zeros() -> None:
    network, subset = equiseg(fusion="concatenation"), torch.tensor([3, 0])
    maps = torch.randn(2, 2, 16, 5, 7)
    fuse = network.fusion[0]
    full = torch.zeros(2, 4, 16, 5, 7)
    full[:, subset] = maps
    kernel = torch.cat([weight.T for weight in fuse.weight.rows], dim=1)[:, :, None, None]
    fuse.bias.data.normal_()
    expected = F.conv2d(full.flatten(1, 2), kernel, fuse.bias)
    torch.testing.assert_close(fuse(maps, subset), expected, rtol=1e-4, atol=1e-5)


def test_separate_branches_have_fixed_places() -> None:
    assert equiseg().set_like and not equiseg(branches="separate").set_like
    with pytest.raises(ConfigError, match="fixed place"):
        equiseg(branches="separate").add_modality("radar", "lidar")


@pytest.mark.parametrize("options", [{}, {"fusion": "concatenation"}])
def test_a_fifth_kind_of_sensor_begins_as_a_copy(options: dict[str, object]) -> None:
    network, x = equiseg(**options), pictures(2)
    with torch.inference_mode():
        expected = network(x, torch.tensor([0, 3]))
        new = network.add_modality("radar", "lidar")
        assert torch.equal(network(x, torch.tensor([0, 4])), expected)
    share = sum(p.numel() for p in new) / count_parameters(network)
    assert 0 < share < 0.2


# Millions of parameters with four kinds of sensors and 25 classes; measured, not published.
@pytest.mark.parametrize(
    ("backbone", "branches", "millions"),
    [
        ("mit_b0", "shared", 6.521),
        ("mit_b0", "separate", 20.050),
        ("mit_b2", "shared", 35.725),
        ("mit_b2", "separate", 122.265),
    ],
)
def test_parameter_counts_are_those_of_the_documentation(
    backbone: str, branches: str, millions: float
) -> None:
    with torch.device("meta"):
        architecture = {"network": "equiseg", "backbone": backbone, "branches": branches}
        network = build_network(architecture, 25, MODALITIES)
    assert count_parameters(network) / 1e6 == pytest.approx(millions, abs=0.001)
