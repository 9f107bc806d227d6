from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.mix_transformer import (
    SIZES,
    MixTransformer,
    MixTransformerSize,
    count_parameters,
)
from anymodal_seg_ros.networks.modality_layers import (
    LayerNorm,
    ModalityEmbedding,
    ModalityLayerNorm,
    ModalityStem,
    ModalityTensor,
    ids_of_rows,
)

KINDS = 3
TINY = MixTransformerSize((8, 16, 40, 64), (1, 1, 1, 1))


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(7, 40),
    width=st.integers(7, 40),
    ids=st.lists(st.integers(0, KINDS - 1), min_size=1, max_size=4),
    folded=st.booleans(),
)
def test_the_stem_of_a_row_is_the_convolution_of_its_kind(
    height: int, width: int, ids: list[int], folded: bool
) -> None:
    torch.manual_seed(0)
    stem = ModalityStem(3, 5, KINDS).double()
    images = torch.randn(len(ids), 3, height, width, dtype=torch.float64)
    convolved = [
        F.conv2d(image[None], stem.weight.rows[kind], stem.bias.rows[kind], stride=4, padding=3)
        for image, kind in zip(images, ids, strict=True)
    ]
    expected = torch.cat(convolved)
    if folded:
        stem.weight.fold()
        stem.bias.fold()
    tokens, h, w = stem(images, torch.tensor(ids))
    assert (h, w) == tuple(expected.shape[2:])
    torch.testing.assert_close(tokens.transpose(1, 2).unflatten(2, (h, w)), expected)


@pytest.mark.parametrize("shape", [(2, 6, 5), (2, 3, 4, 5), (2, 5)])
def test_a_row_is_normalised_with_the_affines_of_its_kind(shape: tuple[int, ...]) -> None:
    norm = ModalityLayerNorm(5, modalities=KINDS)
    for row in (*norm.weight.rows, *norm.bias.rows):
        torch.nn.init.normal_(row)
    x = torch.randn(shape)
    out = norm(x, torch.tensor([2, 0]))
    for item, kind in ((0, 2), (1, 0)):
        expected = F.layer_norm(x[item], (5,), norm.weight.rows[kind], norm.bias.rows[kind])
        torch.testing.assert_close(out[item], expected)


def test_a_fresh_norm_of_each_kind_is_the_shared_one() -> None:
    x = torch.randn(2, 6, 5)
    shared, own = LayerNorm(5, eps=1e-6), ModalityLayerNorm(5, eps=1e-6, modalities=KINDS)
    torch.testing.assert_close(own(x, torch.tensor([1, 2])), shared(x))


def test_rows_of_a_batch_have_the_ids_of_the_modality_axis() -> None:
    assert ids_of_rows(torch.tensor([2, 0]), 3).tolist() == [2, 0, 2, 0, 2, 0]


def encoder_of(norms: str, stem: str, adapters: str = "none") -> MixTransformer:
    torch.manual_seed(1)
    encoder = MixTransformer(
        TINY, norms=norms, stem=stem, adapters=adapters, modalities=KINDS
    ).eval()
    for module in encoder.modules():
        if isinstance(module, ModalityTensor):
            for row in module.rows:
                torch.nn.init.normal_(row, std=0.3)
    return encoder


@pytest.mark.parametrize(
    ("norms", "stem", "adapters"),
    [
        ("per_modality", "shared", "none"),
        ("shared", "per_modality", "none"),
        ("shared", "shared", "per_modality"),
        ("per_modality", "per_modality", "per_modality"),
    ],
)
def test_an_encoder_treats_a_row_by_its_kind_alone(norms: str, stem: str, adapters: str) -> None:
    encoder = encoder_of(norms, stem, adapters)
    image = torch.randn(1, 3, 64, 96)
    rows = torch.tensor([0, 2, 0])
    with torch.inference_mode():
        together = encoder(image.expand(3, -1, -1, -1), rows)
        alone = encoder(image, torch.tensor([2]))
    for features, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(features[1:2], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(features[0], features[2])
        assert not torch.allclose(features[0], features[1], atol=1e-2)


def test_fresh_adapters_change_nothing() -> None:
    adapted = MixTransformer(TINY, adapters="per_modality", modalities=KINDS).eval()
    plain = MixTransformer(TINY).eval()
    missing = plain.load_state_dict(adapted.state_dict(), strict=False).missing_keys
    assert not missing
    images, ids = torch.randn(2, 3, 64, 64), torch.tensor([2, 0])
    with torch.inference_mode():
        for features, expected in zip(adapted(images, ids), plain(images), strict=True):
            assert torch.equal(features, expected)


def test_folding_an_encoder_changes_nothing_but_its_names() -> None:
    encoder = encoder_of("per_modality", "per_modality", "per_modality")
    images, ids = torch.randn(2, 3, 64, 64), torch.tensor([1, 2])
    with torch.inference_mode():
        before = encoder(images, ids)
        for module in encoder.modules():
            if isinstance(module, ModalityTensor):
                module.fold()
        after = encoder(images, ids)
    for features, expected in zip(after, before, strict=True):
        assert torch.equal(features, expected)
    assert not any(".rows." in name for name in encoder.state_dict())


def test_parameters_of_each_kind_are_few() -> None:
    """Four kinds cost what the deployment study counted: 18.9 k for stems, 28.7 k for norms."""
    with torch.device("meta"):
        shared = MixTransformer(SIZES["mit_b0"])
        own = MixTransformer(
            SIZES["mit_b0"], norms="per_modality", stem="per_modality", modalities=4
        )
    kinds = sum(
        count_parameters(module) for module in own.modules() if isinstance(module, ModalityTensor)
    )
    assert kinds == 18_944 + 28_672
    assert count_parameters(own) - count_parameters(shared) == 3 * kinds // 4


def test_only_the_kinds_that_are_present_have_a_gradient() -> None:
    embedding = ModalityEmbedding(KINDS, 4)
    embedding(torch.tensor([0, 2])).sum().backward()
    assert [row.grad.abs().sum().item() for row in embedding.rows] == [4.0, 0.0, 4.0]


def test_a_new_kind_begins_as_a_copy_and_trains_alone() -> None:
    embedding = ModalityEmbedding(KINDS, 4)
    embedding.requires_grad_(False)
    new = embedding.add_modality(like=1)
    assert torch.equal(embedding(torch.tensor([KINDS])), embedding(torch.tensor([1])))
    embedding(torch.tensor([0, KINDS])).sum().backward()
    assert [row.grad is None for row in embedding.rows] == [True, True, True, False]
    assert new is embedding.rows[KINDS]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"norms": "own"}, r"norms is 'own': expected one of shared, per_modality"),
        ({"stem": "both"}, r"stem is 'both'"),
        ({"adapters": "shared"}, r"adapters is 'shared': expected one of none, per_modality"),
        ({"stem": "per_modality"}, r"stem is 'per_modality', but the number of modalities is 0"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        MixTransformer(TINY, **options)
