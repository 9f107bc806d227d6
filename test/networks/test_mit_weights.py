from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fixtures.mit_files import Weights, weights_of_segformer
from safetensors.torch import load_file
from torch import Tensor

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.networks.mit_weights import load_mit_weights
from anymodal_seg_ros.networks.mix_transformer import MixTransformer, MixTransformerSize

SIZE = MixTransformerSize((8, 16, 40, 64), (2, 1, 3, 1))


def segformer_weights() -> Weights:
    return weights_of_segformer(SIZE)


_HUGGING_FACE = {
    "attn.q": "attention.self.query",
    "attn.proj": "attention.output.dense",
    "attn.sr": "attention.self.sr",
    "attn.norm": "attention.self.layer_norm",
    "norm1": "layer_norm_1",
    "norm2": "layer_norm_2",
    "mlp.fc1": "mlp.dense1",
    "mlp.dwconv.dwconv": "mlp.dwconv.dwconv",
    "mlp.fc2": "mlp.dense2",
}


def hugging_face_weights() -> Weights:
    """The same numbers under the names of ``nvidia/mit-*``."""
    renamed: Weights = {}
    for name, tensor in segformer_weights().items():
        first, _, rest = name.partition(".")
        part, _, kind = rest.rpartition(".")
        if first == "head":
            renamed[f"classifier.{rest}"] = tensor
        elif first.startswith("patch_embed"):
            part = {"proj": "proj", "norm": "layer_norm"}[part]
            stage = int(first[-1]) - 1
            renamed[f"segformer.encoder.patch_embeddings.{stage}.{part}.{kind}"] = tensor
        elif first.startswith("norm"):
            renamed[f"segformer.encoder.layer_norm.{int(first[-1]) - 1}.{rest}"] = tensor
        else:
            j, _, part = part.partition(".")
            block = f"segformer.encoder.block.{int(first[-1]) - 1}.{j}."
            if part == "attn.kv":
                key, value = tensor.chunk(2)
                renamed[f"{block}attention.self.key.{kind}"] = key
                renamed[f"{block}attention.self.value.{kind}"] = value
            else:
                renamed[f"{block}{_HUGGING_FACE[part]}.{kind}"] = tensor
    return renamed


def with_prefix(weights: Weights, prefix: str) -> Weights:
    return {prefix + name: tensor for name, tensor in weights.items()}


def features(encoder: MixTransformer, ids: Tensor | None = None) -> list[Tensor]:
    torch.manual_seed(3)
    with torch.inference_mode():
        return encoder.eval()(torch.randn(1, 3, 64, 64), ids)


@pytest.mark.parametrize(
    "weights",
    [
        segformer_weights(),
        with_prefix(segformer_weights(), "backbone."),
        hugging_face_weights(),
        {name.removeprefix("segformer."): t for name, t in hugging_face_weights().items()},
    ],
    ids=["SegFormer", "with prefix", "Hugging Face", "without prefix"],
)
def test_every_layout_fills_every_parameter_with_the_same_numbers(weights: Weights) -> None:
    encoder, expected = MixTransformer(SIZE), segformer_weights()
    load_mit_weights(encoder, weights)
    parameters = dict(encoder.named_parameters())
    assert sum(p.numel() for p in parameters.values()) == sum(
        t.numel() for name, t in expected.items() if not name.startswith("head.")
    )
    block = encoder.stages[2].blocks[1]
    assert torch.equal(block.attention.key_value.weight, expected["block3.1.attn.kv.weight"])
    assert torch.equal(block.attention.reduce_norm.bias, expected["block3.1.attn.norm.bias"])
    assert torch.equal(block.feed_forward.narrow.weight, expected["block3.1.mlp.fc2.weight"])
    assert torch.equal(encoder.stages[3].norm.weight, expected["norm4.weight"])
    assert all(p.std() > 0.5 for p in parameters.values()), "something kept its first value"


def test_every_kind_of_sensor_begins_with_the_public_weights() -> None:
    shared = MixTransformer(SIZE)
    own = MixTransformer(SIZE, norms="per_modality", stem="per_modality", modalities=3)
    weights = {name: 0.1 * tensor for name, tensor in segformer_weights().items()}
    for encoder in (shared, own):
        load_mit_weights(encoder, weights)
    for kind in range(3):
        for a, b in zip(features(own, torch.tensor([kind])), features(shared), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def drop(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {k: v for k, v in weights.items() if k != name}


def add(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: torch.zeros(1)}


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (drop("block3.1.attn.sr.bias"), r"lack block3\.1\.attn\.sr\.bias: are they"),
        (add("block3.3.attn.q.weight"), r"unknown to this encoder, block3\.3\.attn\.q\.weight"),
        (add("norm4.weight"), r"norm4\.weight \[1\] where \[64\] is needed"),
        (lambda _: {"conv1.weight": torch.zeros(1)}, r"no weights of a Mix .* conv1\.weight"),
        (lambda _: {}, r"\(none\)"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_change_nothing(
    spoil: Callable[[Weights], Weights], complaint: str
) -> None:
    encoder = MixTransformer(SIZE)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    with pytest.raises(ModelError, match=complaint):
        load_mit_weights(encoder, spoil(segformer_weights()))
    assert all(torch.equal(before[n], tensor) for n, tensor in encoder.state_dict().items())


def test_another_size_says_how_much_is_missing() -> None:
    deeper = MixTransformer(MixTransformerSize(SIZE.channels, (2, 1, 4, 1)))
    with pytest.raises(ModelError, match=r"lack block3\.3\..* and \d+ more"):
        load_mit_weights(deeper, segformer_weights())


def test_a_real_segformer_computes_the_same(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    config = transformers.SegformerConfig(
        depths=list(SIZE.depths), hidden_sizes=list(SIZE.channels), num_attention_heads=[1, 2, 5, 8]
    )
    model = transformers.SegformerModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    encoder = MixTransformer(SIZE).eval()
    model.save_pretrained(tmp_path)
    load_mit_weights(encoder, load_file(tmp_path / "model.safetensors"))
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        expected = model(images, output_hidden_states=True).hidden_states[-4:]
        for ours, theirs in zip(encoder(images), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
