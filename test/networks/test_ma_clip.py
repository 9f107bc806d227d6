from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.networks.ma_clip import (
    CLIP_SIZES,
    LowRankAddition,
    MaClip,
    clip_tower,
    load_clip_weights,
)
from anymodal_seg_ros.networks.mix_transformer import count_parameters

KINDS = 3


def encoder_of(additions: bool = True) -> MaClip:
    torch.manual_seed(0)
    encoder = MaClip("tiny-random", rank=2, alpha=4.0, modalities=KINDS).eval()
    if additions:
        for name, parameter in encoder.named_parameters():
            if ".up." in name:
                torch.nn.init.normal_(parameter)
    return encoder


def images(rows: int, side: int = 32) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(rows, 3, side, side)


def test_fresh_additions_leave_clip_as_it_is() -> None:
    encoder, x = encoder_of(additions=False), images(4)
    with torch.inference_mode():
        embedded = encoder(x, torch.tensor([0, 1, 2, 0]))
        torch.testing.assert_close(embedded, encoder.tower(x))
    assert embedded.shape == (4, encoder.embedding)


def test_additions_are_those_of_the_weights_that_they_stand_for() -> None:
    """LoRA is a change of the weights of queries and values; so make that change."""
    encoder, x = encoder_of(), images(2)
    with torch.inference_mode():
        embedded = encoder(x, torch.tensor([1, 1]))
        for block, query, value in zip(
            encoder.tower.blocks, encoder.query, encoder.value, strict=True
        ):
            change = [(a.scale * a.down.rows[1] @ a.up.rows[1]).t() for a in (query, value)]
            zero = torch.zeros_like(change[0])
            block.attn.qkv.weight += torch.cat((change[0], zero, change[1]))
        torch.testing.assert_close(embedded, encoder.tower(x), rtol=1e-4, atol=1e-5)


def test_a_row_is_embedded_by_its_kind_alone() -> None:
    encoder, x = encoder_of(), images(1).expand(3, -1, -1, -1)
    with torch.inference_mode():
        together = encoder(x, torch.tensor([2, 0, 2]))
        alone = encoder(x[:1], torch.tensor([0]))
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together[0], together[2])
    assert not torch.allclose(together[0], together[1], atol=1e-2)


def test_images_of_any_size_are_resized() -> None:
    encoder = encoder_of()
    with torch.inference_mode():
        assert encoder(images(2, 47), torch.tensor([0, 1])).shape == (2, encoder.embedding)


def test_only_the_additions_learn() -> None:
    encoder = encoder_of()
    encoder(images(3), torch.arange(3)).square().sum().backward()
    learned = {name for name, p in encoder.named_parameters() if p.grad is not None}
    assert learned == {name for name, _ in encoder.named_parameters() if "tower" not in name}
    assert all(p.grad.abs().sum() > 0 for p in encoder.parameters() if p.grad is not None)


def test_parameters_of_the_additions_at_full_size() -> None:
    """12 layers, queries and values, 768 x 8 and 8 x 768, for each kind; ViT-B/16 has 86.2 M."""
    with torch.device("meta"):
        encoder = MaClip("ViT-B-16", rank=8, alpha=16.0, modalities=4)
    assert round(count_parameters(encoder.tower) / 1e6, 1) == 86.2
    additions = sum(
        count_parameters(m) for m in encoder.modules() if isinstance(m, LowRankAddition)
    )
    assert additions == 4 * 12 * 2 * 2 * 768 * 8


@pytest.mark.parametrize("size", CLIP_SIZES)
def test_every_size_can_be_built(size: str) -> None:
    with torch.device("meta"):
        tower = clip_tower(size)
    assert tower.num_prefix_tokens == 1 and tower.patch_embed.proj.bias is None


def openai_layout(tower: torch.nn.Module, prefix: str = "visual.") -> dict[str, Tensor]:
    """The weights of a tower as OpenAI and open_clip name them, among those of a text tower."""
    names = {
        "cls_token": "class_embedding",
        "pos_embed": "positional_embedding",
        "patch_embed.proj.weight": "conv1.weight",
        "head.weight": "proj",
    }
    parts = (
        ("blocks.", "transformer.resblocks."),
        ("attn.qkv.", "attn.in_proj_"),
        ("attn.proj.", "attn.out_proj."),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
        ("norm_pre", "ln_pre"),
        ("norm1", "ln_1"),
        ("norm2", "ln_2"),
    )
    weights = {"logit_scale": torch.zeros(()), "text_projection": torch.zeros(4, 4)}
    for name, tensor in tower.state_dict().items():
        new = names.get(name, name)
        for old, theirs in parts:
            new = new.replace(old, theirs)
        new = new.replace("norm.", "ln_post.") if new.startswith("norm.") else new
        if name == "head.weight":
            tensor = tensor.t()
        elif name in ("cls_token", "pos_embed"):
            tensor = tensor.squeeze(0).squeeze(0)
        weights[prefix + new] = tensor
    del weights[prefix + "head.bias"]
    return weights


@pytest.mark.parametrize("layout", ["timm", "visual.", "module.visual."])
def test_public_layouts_fill_the_whole_tower(layout: str) -> None:
    torch.manual_seed(7)
    source = clip_tower("tiny-random").eval()
    torch.nn.init.zeros_(source.head.bias)  # CLIP's projection has none
    for parameter in source.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter) * (parameter is not source.head.bias)
    weights = source.state_dict() if layout == "timm" else openai_layout(source, layout)
    encoder, x = encoder_of(additions=False), images(2)
    load_clip_weights(encoder, weights)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(x, torch.tensor([0, 1])), source(x))


def test_wrong_weights_are_named() -> None:
    encoder, other = encoder_of(), clip_tower("tiny-random").state_dict()
    before = encoder.tower.norm.weight.clone()
    with pytest.raises(ModelError, match=r"lack cls_token.*expected the weights of CLIP"):
        load_clip_weights(encoder, {"text_projection": torch.zeros(2)})
    with pytest.raises(
        ModelError, match=r"have extra, unknown to this tower; faults of this kind: 1"
    ):
        load_clip_weights(encoder, {**other, "extra": torch.zeros(2)})
    with pytest.raises(ModelError, match=r"have norm.weight as \[3\] where \[32\] is needed"):
        load_clip_weights(encoder, {**other, "norm.weight": torch.zeros(3)})
    assert torch.equal(encoder.tower.norm.weight, before)
