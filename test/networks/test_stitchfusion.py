from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_ros.networks.mix_transformer import count_parameters
from anymodal_seg_ros.networks.mix_transformer_block import Block
from anymodal_seg_ros.networks.pair_adapters import PAIRS, PairAdapters, pair_table
from anymodal_seg_ros.networks.stitch_fusion_layer import PooledFusion
from anymodal_seg_ros.networks.stitched_block import UPDATES, Stitches

KINDS = ("rgb", "thermal", "depth", "event")
VARIANTS = (
    {},
    {"update": "in_turn"},
    {"pairs": "every_two", "fusion": "concat"},
    {"pairs": "shared", "update": "in_turn"},
    {"absent": "zeros"},
    {"first_stitched_stage": 3, "fusion": "mean"},
)
every_variant = pytest.mark.parametrize("options", VARIANTS, ids=str)


def network_of(modalities: tuple[str, ...] = KINDS, **options: object) -> AnyModalNetwork:
    torch.manual_seed(0)
    architecture = {"network": "stitchfusion", "backbone": "mit_nano", "head_width": 16, **options}
    network = build_network(architecture, 5, modalities)
    for name, parameter in network.named_parameters():
        if "stitches" in name:  # fresh adapters say too little to show a fault
            torch.nn.init.normal_(parameter, std=0.5)
    return network.eval()


# Published for MiT-B2, a head of 512 and 25 classes. The authors' network with four modalities
# has adapters in the last two stages only.
@pytest.mark.parametrize(
    ("modalities", "first_stage", "millions"), [(2, 1, 25.93), (3, 1, 26.22), (4, 3, 26.50)]
)
def test_parameter_counts_are_the_published_ones(
    modalities: int, first_stage: int, millions: float
) -> None:
    architecture = {
        "network": "stitchfusion",
        "backbone": "mit_b2",
        "head_width": 512,
        "first_stitched_stage": first_stage,
    }
    with torch.device("meta"):
        network = build_network(architecture, 25, KINDS[:modalities])
    assert round(count_parameters(network) / 1e6, 2) == millions


@pytest.mark.parametrize(("pairs", "adapters"), [("every_one", 6), ("every_two", 12)])
def test_every_pair_has_its_adapter(pairs: str, adapters: int) -> None:
    table = pair_table(pairs, 4)
    used = {(i, j): table[i][j] for i, j in itertools.permutations(range(4), 2)}
    assert set(used.values()) == set(range(adapters))
    assert all((used[i, j] == used[j, i]) == (pairs == "every_one") for i, j in used)
    assert pair_table("shared", 4) == [[0] * 4] * 4


def adapter(adapters: PairAdapters, source: int, target: int, x: Tensor) -> Tensor:
    """One adapter as published, layer by layer."""
    place = adapters.table[source, target]
    biases = [
        bias.unflatten(0, (len(adapters.down), -1))[place]
        for bias in (adapters.down_bias, adapters.middle_bias, adapters.up_bias)
    ]
    hidden = F.linear(x, adapters.down[place], biases[0])
    hidden = F.gelu(F.linear(hidden, adapters.middle[place], biases[1]))
    return hidden @ adapters.up[place] + biases[2]


def adapters_of(pairs: str) -> PairAdapters:
    torch.manual_seed(3)
    adapters = PairAdapters(6, pairs, 4).double().eval()
    for parameter in adapters.parameters():
        torch.nn.init.normal_(parameter)
    return adapters


@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("ids", [[2], [0, 3], [3, 1, 0], [0, 1, 2, 3]])
@pytest.mark.parametrize("folded", [False, True])
def test_the_short_form_says_what_the_adapters_say(
    pairs: str, ids: list[int], folded: bool
) -> None:
    adapters, tokens = adapters_of(pairs), torch.randn(2, len(ids), 9, 6, dtype=torch.float64)
    weights = torch.rand(2, len(ids), len(ids), dtype=torch.float64)
    weights = weights * (1 - torch.eye(len(ids), dtype=torch.float64))
    expected = torch.zeros_like(tokens)
    for i, j in itertools.permutations(range(len(ids)), 2):
        told = adapter(adapters, ids[i], ids[j], tokens[:, i])
        expected[:, j] += weights[:, i, j, None, None] * told
    if folded:
        adapters.fold()
    torch.testing.assert_close(adapters(tokens, torch.tensor(ids), weights), expected)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("ids", [[0], [1, 3], [0, 1, 2, 3]])
def test_a_stitched_block_is_the_published_loop(update: str, ids: list[int]) -> None:
    """In turn: as the published code, whose list of original tokens is the list it writes to."""
    torch.manual_seed(4)
    block = Block(6, 1, 2, 0.0).double().eval()
    stitches = Stitches(6, "every_one", 4, update).double().eval()
    stitches.after_attention = adapters_of("every_one")
    stitches.after_feed_forward = adapters_of("every_one")
    tokens = torch.randn(2, len(ids), 16, 6, dtype=torch.float64)
    with torch.no_grad():
        actual = stitches(block, tokens, 4, 4, torch.tensor(ids))
        outputs = [tokens[:, row] for row in range(len(ids))]
        for half, norm, adapters in (
            (block.attend, block.attention_norm, stitches.after_attention),
            (block.feed, block.feed_forward_norm, stitches.after_feed_forward),
        ):
            outputs = [half(x, 4, 4) for x in outputs]
            read = outputs if update == "in_turn" else list(outputs)
            for i in range(len(ids)):
                told = norm(read[i])
                for j in range(len(ids)):
                    if i != j:
                        outputs[j] = outputs[j] + adapter(adapters, ids[i], ids[j], told)
    torch.testing.assert_close(actual, torch.stack(outputs, dim=1))


@every_variant
def test_the_order_of_the_rows_does_not_matter(options: dict[str, object]) -> None:
    network, ids = network_of(**options), torch.arange(4)
    x = torch.randn(1, 4, 3, 64, 96)
    with torch.inference_mode():
        expected = network(x, ids)
        for order in ([1, 0, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
            permuted = network(x[:, order], ids[order])
            torch.testing.assert_close(permuted, expected, rtol=1e-3, atol=1e-4)


@every_variant
def test_absent_kinds_add_nothing_or_what_black_images_add(options: dict[str, object]) -> None:
    network, x = network_of(**options), torch.randn(1, 2, 3, 64, 96)
    ids = torch.tensor([3, 1])
    black = torch.zeros(1, 4, 3, 64, 96)
    black[:, ids] = x
    with torch.inference_mode():
        alone, blackened = network(x, ids), network(black, torch.arange(4))
    same = torch.allclose(alone, blackened, rtol=1e-4, atol=1e-4)
    assert same == (options.get("absent") == "zeros")


def test_a_sensor_hears_the_others() -> None:
    network, x = network_of(fusion="concat"), torch.randn(1, 2, 3, 64, 96)
    deaf = network_of(fusion="concat")
    for module in deaf.modules():
        if isinstance(module, PairAdapters):
            torch.nn.init.zeros_(module.up)
            torch.nn.init.zeros_(module.up_bias)
    with torch.inference_mode():
        together = network(x, torch.tensor([0, 1])), deaf(x, torch.tensor([0, 1]))
        single = network(x[:, :1], torch.tensor([0])), deaf(x[:, :1], torch.tensor([0]))
    assert not torch.allclose(*together, atol=1e-2)
    torch.testing.assert_close(*single)


def test_a_fresh_adapter_learns() -> None:
    """The published adapters are random in the end; all zeros would have no gradient."""
    torch.manual_seed(0)
    options = {"network": "stitchfusion", "backbone": "mit_nano", "head_width": 16}
    network = build_network(options, 5, KINDS)
    network(torch.randn(1, 4, 3, 64, 64), torch.arange(4)).square().mean().backward()
    for name, parameter in network.named_parameters():
        if "stitches" in name:
            assert parameter.grad.abs().sum() > 0, name


def test_one_kind_needs_no_adapters() -> None:
    network = network_of(("rgb",))
    assert not [name for name, _ in network.named_parameters() if "stitches" in name]
    with torch.inference_mode():
        assert network(torch.randn(1, 1, 3, 64, 64), torch.zeros(1).long()).shape == (1, 5, 16, 16)


def test_dropping_paths_drops_whole_pairs() -> None:
    torch.manual_seed(5)
    block, stitches = Block(6, 1, 2, 0.5), Stitches(6, "every_one", 2, "at_once", dropout=0.0)
    stitches.after_feed_forward = PairAdapters(6, "every_one", 2)
    for parameter in stitches.after_feed_forward.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.ones_(stitches.after_attention.up_bias)
    for parameter in block.attention.out.parameters():
        torch.nn.init.zeros_(parameter)
    for parameter in block.feed_forward.narrow.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.zeros_(stitches.after_attention.up)
    out = stitches(block, torch.zeros(64, 2, 4, 6), 2, 2, torch.tensor([0, 1])).flatten(2)
    assert ((out == 0).all(2) | (out == 2).all(2)).all()
    assert {0.0, 2.0} == set(out.unique().tolist())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"pairs": "all"}, r"architecture.pairs is 'all': expected one of every_one"),
        ({"update": "later"}, r"architecture.update is 'later'"),
        ({"first_stitched_stage": 5}, r"architecture.first_stitched_stage is 5"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        network_of(**options)


def test_a_sum_has_the_same_scale_for_any_number_of_sensors() -> None:
    """All of them: the plain sum, as published; one of them: as large as the sum of four alike."""
    fusion = PooledFusion(times=4)
    maps = torch.randn(2, 4, 3, 5, 6)
    ids = torch.arange(4)
    torch.testing.assert_close(fusion(maps, ids), maps.sum(dim=1))
    alike = maps[:, :1].expand(-1, 4, -1, -1, -1)
    torch.testing.assert_close(fusion(maps[:, :1], ids[:1]), alike.sum(dim=1))
