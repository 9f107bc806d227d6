from __future__ import annotations

import pytest
import torch

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.mix_transformer import (
    SIZES,
    MixTransformer,
    count_parameters,
    size_of,
)
from anymodal_seg_ros.networks.mix_transformer_block import DropPath, map_to_tokens, tokens_to_map

# Millions of parameters of the published encoders.
PUBLISHED = {
    "mit_b0": 3.32,
    "mit_b1": 13.15,
    "mit_b2": 24.20,
    "mit_b3": 44.07,
    "mit_b4": 60.84,
    "mit_b5": 81.44,
}


@pytest.mark.parametrize("backbone", PUBLISHED)
def test_parameter_counts_are_the_published_ones(backbone: str) -> None:
    with torch.device("meta"):
        encoder = MixTransformer(SIZES[backbone])
    assert count_parameters(encoder) / 1e6 == pytest.approx(PUBLISHED[backbone], abs=0.005)


@pytest.mark.parametrize("backbone", ["mit_nano", "mit_b0"])
@pytest.mark.parametrize("size", [(64, 96), (192, 256), (33, 47), (61, 100), (32, 32)])
def test_the_pyramid_has_strides_4_8_16_32_rounded_up(backbone: str, size: tuple[int, int]) -> None:
    encoder = MixTransformer(SIZES[backbone]).eval()
    with torch.inference_mode():
        pyramid = encoder(torch.randn(1, 3, *size))
    expected, shapes = size, []
    for step in (4, 2, 2, 2):
        expected = (-(-expected[0] // step), -(-expected[1] // step))
        shapes.append(expected)
    assert [tuple(f.shape[2:]) for f in pyramid] == shapes
    assert [f.shape[1] for f in pyramid] == list(SIZES[backbone].channels)
    assert all(torch.isfinite(features).all() for features in pyramid)


def test_tokens_become_a_channels_last_map_without_a_copy() -> None:
    tokens = torch.randn(1, 6, 5)
    features = tokens_to_map(tokens, 2, 3)
    assert features.shape == (1, 5, 2, 3)
    assert features.data_ptr() == tokens.data_ptr()
    # With one item the order of the strides is what later operations look at.
    assert features.is_contiguous(memory_format=torch.channels_last)
    assert features.stride() == (30, 1, 15, 5)
    assert torch.equal(map_to_tokens(features), tokens)
    assert features[0, :, 1, 2].equal(tokens[0, 5])


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'mit_b9'.*mit_nano"):
        size_of("mit_b9")


def test_drop_path_drops_whole_items_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25)
    out = drop(torch.ones(4000, 2, 3))
    per_item = out.flatten(1)
    assert ((per_item == 0).all(1) | (per_item == 1 / 0.75).all(1)).all()
    assert out.mean() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(drop.eval()(out), out)


def test_drop_path_rises_linearly_to_its_last_block() -> None:
    encoder = MixTransformer(SIZES["mit_b0"], drop_path=0.7)
    drops = [m.probability for m in encoder.modules() if isinstance(m, DropPath)]
    assert drops == pytest.approx([0.1 * i for i in range(8)])
