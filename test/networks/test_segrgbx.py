from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork, build_network, registry
from anymodal_seg_ros.networks.aligned_embedding import AlignedEmbedding
from anymodal_seg_ros.networks.control_prompts import ClipPrompts, mean_of_others
from anymodal_seg_ros.networks.domain_refinement import DomainRefinement
from anymodal_seg_ros.networks.ma_clip import MaClip
from anymodal_seg_ros.networks.mix_transformer import count_parameters
from anymodal_seg_ros.networks.one_versus_others import OneVersusOthers

KINDS = ("rgb", "thermal", "depth", "event")
VARIANTS = (
    {},
    {"control": "learned"},
    {"aligned_prompts": 0},
    {"refinement": "last", "gating": "hard"},
    {"refinement": "none", "norms": "shared"},
)
every_variant = pytest.mark.parametrize("options", VARIANTS, ids=str)


def open_gates(module: torch.nn.Module) -> None:
    """Draw what begins as zero, so that what stands behind it can be seen."""
    for parameter in module.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)


def network_of(opened: bool = True, **options: object) -> AnyModalNetwork:
    torch.manual_seed(0)
    architecture = {
        "network": "segrgbx",
        "backbone": "mit_nano",
        "head_width": 16,
        "clip": "tiny-random",
        **options,
    }
    network = build_network(architecture, 5, KINDS)
    if opened:
        open_gates(network)
    return network.eval()


def images(rows: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(batch, rows, 3, 64, 96), torch.arange(rows)


@every_variant
def test_the_order_of_the_sensors_does_not_matter(options: dict[str, object]) -> None:
    network, (x, ids) = network_of(**options), images(4)
    with torch.inference_mode():
        expected = network(x, ids)
        for order in ([1, 0, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
            permuted = network(x[:, order], ids[order])
            torch.testing.assert_close(permuted, expected, rtol=1e-4, atol=1e-5)


@every_variant
@pytest.mark.parametrize("ids", [[2], [0, 0], [3, 1], [0, 1, 2, 3, 1]])
def test_any_sensors_will_do_two_of_a_kind_included(
    options: dict[str, object], ids: list[int]
) -> None:
    x, _ = images(len(ids))
    with torch.inference_mode():
        logits = network_of(**options)(x, torch.tensor(ids))
    assert logits.shape == (1, 5, 16, 24) and torch.isfinite(logits).all()


@every_variant
@pytest.mark.parametrize("subset", [[1], [0, 2]])
def test_gradients_reach_all_but_clip_and_the_absent_kinds(
    options: dict[str, object], subset: list[int]
) -> None:
    network, (x, ids) = network_of(**options).train(), images(4, batch=2)
    network(x[:, subset], ids[subset]).square().mean().backward()
    without = {
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    }
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    absent = {
        name
        for name, _ in network.named_parameters()
        if ".rows." in name and int(name.rsplit(".", 1)[1]) not in subset
    }
    assert all("ma_clip.tower" in name for name in frozen)
    assert without - frozen - absent == set()


def test_a_fresh_network_is_one_without_prompts_and_experts() -> None:
    x, ids = images(2)
    fresh, bare = network_of(opened=False), network_of(opened=False)
    for module in bare.modules():
        if isinstance(module, AlignedEmbedding):
            torch.nn.init.constant_(module.inject.out.bias, 7.0)
        elif isinstance(module, DomainRefinement):
            torch.nn.init.constant_(module.up.weight, 3.0)
    with torch.inference_mode():
        torch.testing.assert_close(fresh(x, ids), bare(x, ids))


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({"control": "learned"}, "ma_clip"),
        ({"aligned_prompts": 0}, ".bank."),
        ({"refinement": "none"}, "refinements"),
    ],
)
def test_a_part_that_is_ablated_has_no_parameters(options: dict[str, object], gone: str) -> None:
    assert any(gone in name for name, _ in network_of().named_parameters())
    assert not any(gone in name for name, _ in network_of(**options).named_parameters())


def test_every_part_has_a_say() -> None:
    x, ids = images(2)
    with torch.inference_mode():
        full = network_of()(x, ids)
        for options in VARIANTS[1:4]:
            assert not torch.allclose(full, network_of(**options)(x, ids), atol=1e-3)


def test_prompts_follow_the_scene_with_clip_and_the_kind_without() -> None:
    (x, ids), (other, _) = images(2), (torch.randn(1, 2, 3, 64, 96), None)
    for control, moves in (("clip", True), ("learned", False)):
        network = network_of(control=control)
        with torch.inference_mode():
            first, second = network.encode(x, ids).control, network.encode(other, ids).control
        for a, b in zip(first, second, strict=True):
            assert a.shape[:3] == (1, 2, 4)
            assert torch.allclose(a, b, atol=1e-4) != moves
            assert not torch.allclose(a[:, 0], a[:, 1], atol=1e-4)


def test_what_training_needs_comes_with_the_features() -> None:
    network, (x, ids) = network_of(), images(3, batch=2)
    with torch.inference_mode():
        encoded = network.encode(x, ids)
        pyramid = network.forward_features(x, ids)
    channels = (16, 32, 80, 128)
    assert [tuple(a.shape) for a in encoded.aligned] == [(2, 3, 8, c) for c in channels]
    assert [tuple(g.shape) for g in encoded.gates] == [(2, 5)] * 4
    for gate in encoded.gates:
        torch.testing.assert_close(gate.sum(dim=1), torch.ones(2))
    for stage, fused in zip(pyramid, encoded.pyramid, strict=True):
        assert torch.equal(stage[:, 0], fused)


def test_hard_gates_count_the_kinds_that_are_there() -> None:
    network, (x, _) = network_of(gating="hard"), images(3)
    with torch.inference_mode():
        (gate, *_) = network.encode(x, torch.tensor([0, 2, 2])).gates
    torch.testing.assert_close(gate, torch.tensor([[1 / 3, 0, 2 / 3, 0]]))
    with pytest.raises(ConfigError, match=r"'lidar': with gating 'hard'"):
        network.add_modality("lidar", like="depth")
    with pytest.raises(ConfigError, match=r"by lidar: with gating 'hard'"):
        network.replace_modalities({"lidar": "depth"})


def test_a_new_kind_of_sensor_begins_as_the_one_it_is_like() -> None:
    network, (x, _) = network_of(), images(2)
    with torch.inference_mode():
        expected = network(x, torch.tensor([0, 2]))
        new = network.add_modality("lidar", like="depth")
        torch.testing.assert_close(network(x, torch.tensor([0, 4])), expected)
    assert sum(p.numel() for p in new) < 0.1 * count_parameters(network)


def test_the_mean_of_others() -> None:
    x = torch.randn(2, 3, 4)
    others = mean_of_others(x)
    torch.testing.assert_close(others[:, 0], (x[:, 1] + x[:, 2]) / 2)
    assert torch.equal(mean_of_others(x[:, :1]), torch.zeros(2, 1, 4))


def test_two_sensors_are_fused_as_the_mean_of_both_orders() -> None:
    torch.manual_seed(0)
    fusion, x = OneVersusOthers(8, 2).eval(), torch.randn(1, 2, 8, 5, 6)
    with torch.inference_mode():
        rectified, fused = fusion(x)
        pairs = [fusion.rectify(x[:, i], x[:, 1 - i]) for i in range(2)]
        expected = torch.stack([fusion.fuse(*pair) for pair in pairs]).mean(dim=0)
    torch.testing.assert_close(fused, expected)
    torch.testing.assert_close(rectified, torch.stack([first for first, _ in pairs], dim=1))


def test_prompts_of_a_sensor_come_from_it_and_from_the_others() -> None:
    torch.manual_seed(0)
    prompts, embeddings = ClipPrompts(6, (4, 8), prompts=2), torch.randn(1, 3, 6)
    changed = embeddings.clone()
    changed[:, 1] += 1.0 * torch.randn(6)
    with torch.inference_mode():
        for first, second in zip(prompts(embeddings), prompts(changed), strict=True):
            assert (first != second).flatten(2).any(2).all()


@pytest.mark.parametrize("gating", ["soft", "hard"])
def test_experts_are_computed_as_one(gating: str) -> None:
    torch.manual_seed(0)
    module = DomainRefinement(8, 3, gating).double()
    open_gates(module)
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    control, ids = torch.randn(2, 2, 3, 8, dtype=torch.float64), torch.tensor([0, 2])
    refined, gate = module(x, control, ids)
    expected = module.up.bias[:, None, None].expand_as(x)
    for expert, weight in itertools.chain(
        ((e, gate[:, e]) for e in range(3)), [(3, torch.ones(2, dtype=torch.float64))]
    ):
        part = slice(2 * expert, 2 * expert + 2)
        hidden = torch.nn.functional.conv2d(x, module.down.weight[part], module.down.bias[part])
        hidden = torch.nn.functional.conv2d(
            hidden,
            module.depthwise.weight[part],
            module.depthwise.bias[part],
            padding=1,
            groups=2,
        )
        hidden = torch.nn.functional.conv2d(
            torch.nn.functional.gelu(hidden), module.up.weight[:, part]
        )
        expected = expected + weight[:, None, None, None] * hidden
    torch.testing.assert_close(refined, x + module.scale[:, None, None] * expected)


def test_clip_counts_once_for_all_sensors() -> None:
    with torch.device("meta"):
        network = build_network({"network": "segrgbx"}, 25, KINDS)
    (clip,) = [m for m in network.modules() if isinstance(m, MaClip)]
    assert round(count_parameters(clip.tower) / 1e6, 1) == 86.2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"clip": "ViT-G"}, r"architecture.clip is 'ViT-G': .*expected one of ViT-B-16"),
        ({"gating": "firm"}, r"architecture.gating is 'firm'"),
        ({"backbone": "swin"}, r"backbone is 'swin'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        network_of(**options)


def test_a_missing_timm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_timm(name: str) -> object:
        raise ImportError("No module named 'timm'")

    monkeypatch.setattr(registry, "import_module", without_timm)
    with pytest.raises(ConfigError, match=r"'segrgbx'.*No module named 'timm'.*\[train\]"):
        build_network({"network": "segrgbx"}, 5, KINDS)
