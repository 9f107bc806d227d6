"""Published checkpoints, with random numbers under the names that their authors gave them.

The names are written down here once more, from our parts to theirs, by hand.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from fixtures.mit_files import weights_of_segformer
from torch import Tensor

from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.inference.torch_engine import load_network
from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_ros.networks.mit_weights import load_mit_weights
from anymodal_seg_ros.networks.mix_transformer import SIZES
from anymodal_seg_training.checkpoint import load_public_weights
from anymodal_seg_training.cli import main
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.published.weights import network_of

KINDS = ("rgb", "depth", "event", "lidar")
CMNEXT = {"network": "cmnext", "missing": "zeros", "add_back": "scrambled", "primary": "rgb"}
STITCH = {"network": "stitchfusion", "update": "in_turn", "absent": "zeros"}


def random_network(kinds: tuple[str, ...], classes: int = 25, **options: Any) -> AnyModalNetwork:
    """A network of the nano size whose every number, statistics included, is random."""
    torch.manual_seed(0)
    architecture = {"backbone": "mit_nano", "head_width": 32, **options}
    network = build_network(architecture, classes, kinds).eval()
    load_mit_weights(network.encoder, weights_of_segformer(SIZES["mit_nano"]))
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and "sets." not in name and name != "temperature":
                tensor.copy_(0.1 * torch.randn(tensor.shape) + (name.endswith("var") or 0.0))
                if name.endswith("var"):
                    tensor.abs_()
    return network


SIMPLE = {
    r"encoder\.stages\.(\d)\.embedding\.projection": r"patch_embed+\1.proj",
    r"encoder\.stages\.(\d)\.embedding\.norm": r"patch_embed+\1.norm",
    r"encoder\.stages\.(\d)\.norm": r"norm+\1",
    r"encoder\.stages\.(\d)\.blocks": r"block+\1",
    r"auxiliary\.(\d)\.embedding\.projection": r"extra_downsample_layers.\1.proj.module",
    r"auxiliary\.(\d)\.embedding\.norm\.(weight|bias)\.rows\.(\d)": (
        r"extra_downsample_layers.\1.norm.ln_\3.\2"
    ),
    r"auxiliary\.(\d)\.norm": r"extra_norm+\1",
    r"auxiliary\.(\d)\.hub\.depthwise\.rows\.(\d)": (
        r"extra_score_predictor.\1.score_nets.\2.0.weight"
    ),
    r"auxiliary\.(\d)\.hub\.depthwise_bias\.rows\.(\d)": (
        r"extra_score_predictor.\1.score_nets.\2.0.bias"
    ),
    r"auxiliary\.(\d)\.hub\.pointwise\.rows\.(\d)": (
        r"extra_score_predictor.\1.score_nets.\2.1.weight"
    ),
    r"auxiliary\.(\d)\.hub\.pointwise_bias\.rows\.(\d)": (
        r"extra_score_predictor.\1.score_nets.\2.1.bias"
    ),
    r"auxiliary\.(\d)\.mixers": r"extra_block+\1",
    r"rectify\.(\d)\.(channel|spatial)_weights": r"FRMs.\1.\2_weights.mlp",
    r"fuse\.(\d)\.cross_path": r"FFMs.\1.cross",
    r"fuse\.(\d)\.": r"FFMs.\1.channel_emb.",
    r"fusions\.(\d)\.reduce": r"feature_cross.liner_fusion_layers.\1",
    r"fusions\.(\d)\.feed_forward": r"feature_cross.mix_ffn.\1",
    r"fusions\.(\d)\.attention": r"feature_cross.channel_attns.\1.fc",
}
PARTS = {
    "feed_forward.mix_before": "pwconv1.pwconv", "feed_forward.norm_before": "pwconv1.bn",
    "extra.attention_norm": "norm1", "extra.feed_forward_norm": "norm2",
    ".attention_norm": ".norm1", ".feed_forward_norm": ".norm2",
    ".attention.query": ".attn.q", ".attention.key_value": ".attn.kv",
    ".attention.out": ".attn.proj", ".attention.reduce_norm": ".attn.norm",
    ".attention.reduce": ".attn.sr", ".feed_forward.widen": ".mlp.fc1",
    ".feed_forward.depthwise.weight": ".mlp.dwconv.dwconv.weight",
    ".feed_forward.depthwise.bias": ".mlp.dwconv.dwconv.bias", ".feed_forward.narrow": ".mlp.fc2",
    ".attention.depthwise": ".attn.conv0", ".attention.mix": ".attn.conv4",
    ".gate.neighbours": ".c_nets.0", ".feed_forward.0": ".mlp.fc1",
    ".feed_forward.1": ".mlp.dwconv.dwconv", ".feed_forward.3": ".mlp.fc2",
    ".attention_scale": ".layer_scale_1", ".feed_forward_scale": ".layer_scale_2",
    ".exchange.first_key_value": ".cross_attn.kv1", ".exchange.second_key_value": ".cross_attn.kv2",
    ".first_split": ".channel_proj1", ".second_split": ".channel_proj2",
    ".first_out": ".end_proj1", ".second_out": ".end_proj2",
    ".cross.first_norm": ".cross.norm1", ".cross.second_norm": ".cross.norm2",
    ".channel_emb.embed.": ".channel_emb.channel_embed.",
}  # fmt: skip
MIX = {
    ".first.": ".fc1.", ".last.": ".fc2.", ".mix_before.": ".pwconv1.pwconv.",
    ".norm_before.": ".pwconv1.bn.", ".mix_after.": ".pwconv2.pwconv.",
    ".norm_after.": ".pwconv2.bn.", ".depthwise.0.": ".dwconv3.dwconv.",
    ".depthwise.1.": ".dwconv5.dwconv.", ".depthwise.2.": ".dwconv7.dwconv.",
}  # fmt: skip
HEAD = {
    "fuse.weight": "linear_fuse.conv.weight",
    "norm.": "linear_fuse.bn.",
    "classify": "linear_pred",
}


def published(network: AnyModalNetwork, pairs: dict[int, str] | None = None) -> dict[str, Tensor]:
    """The tensors of a network under the names of its authors' code."""
    found: dict[str, Tensor] = {"backbone.head.weight": torch.zeros(10, 128)}
    for name, tensor in network.state_dict().items():
        if "sets." in name or name == "temperature":
            continue
        if name.startswith("head."):
            head = name.removeprefix("head.")
            head = re.sub(r"projections\.(\d)", lambda m: f"linear_c{int(m[1]) + 1}.proj", head)
            for ours, theirs in HEAD.items():
                head = head.replace(ours, theirs)
            if "proj.weight" in head:
                tensor = tensor[:, :, 0, 0]
            found[f"decode_head.{head}"] = tensor
        elif name.startswith("stitches."):
            _publish_adapters(name, tensor, found, pairs or {})
        else:
            found[f"backbone.{_renamed(name)}"] = _reshaped(name, tensor)
    return found


def _renamed(name: str) -> str:
    for ours, theirs in SIMPLE.items():
        if match := re.match(ours, name):
            name = match.expand(theirs) + name[match.end() :]
            break
    for ours, theirs in (MIX if "mix_ffn" in name else PARTS).items():
        name = name.replace(ours, theirs)
    # Stages that are counted from 1.
    return re.sub(r"\+(\d)", lambda match: str(int(match[1]) + 1), name)


def _reshaped(name: str, tensor: Tensor) -> Tensor:
    if "hub.depthwise.rows" in name:
        return tensor.unflatten(1, (1, 3, 3))
    if "hub.pointwise.rows" in name:
        return tensor[None, :, None, None]
    if "hub.pointwise_bias" in name:
        return tensor[None]
    return tensor.flatten() if name.endswith("_scale") else tensor


def _publish_adapters(
    name: str, tensor: Tensor, found: dict[str, Tensor], pairs: dict[int, str]
) -> None:
    match = re.fullmatch(r"stitches\.(\d)\.(\d)\.after_(\w+)\.(down|middle|up)(_bias)?", name)
    assert match is not None
    stage, block, where, layer, bias = match.groups()
    half = "att" if where == "attention" else "mlp"
    layer = {"middle": "mid"}.get(layer, layer)
    rows = tensor.unflatten(0, (len(pairs), -1)) if bias else tensor
    for number, pair in pairs.items():
        adapter = f"adap_t_{half}{pair}" if pair else {"att": "adap_t", "mlp": "adap2_t"}[half]
        own = rows[number].t() if layer == "up" and not bias else rows[number]
        kind = "bias" if bias else "weight"
        key = f"backbone.block{int(stage) + 1}.{block}.{adapter}.adapter_{layer}.{kind}"
        found[key] = own


PAIRS = {
    "every_one": ["12", "13", "14", "23", "24", "34"],
    "every_two": ["12", "21", "13", "31", "14", "41", "23", "32", "24", "42", "34", "43"],
    "shared": [""],
}
CASES = [
    ("cmnext", KINDS, CMNEXT, ""),
    ("cmnext", KINDS[:2], CMNEXT, ""),
    ("cmnext", KINDS[:1], CMNEXT, ""),
    ("stitchfusion", KINDS, {**STITCH, "pairs": "every_one", "fusion": "concat"}, "every_one"),
    ("stitchfusion", KINDS, {**STITCH, "pairs": "every_two"}, "every_two"),
    ("stitchfusion", KINDS, {**STITCH, "pairs": "shared"}, "shared"),
    ("stitchfusion", KINDS, {**STITCH, "first_stitched_stage": 3}, "every_one"),
    ("anyseg", KINDS, {"network": "anyseg"}, ""),
    ("segformer", KINDS[:1], {"network": "anyseg"}, ""),
]


@pytest.mark.parametrize(("method", "kinds", "options", "pairs"), CASES)
def test_a_checkpoint_is_the_network_it_was(
    method: str, kinds: tuple[str, ...], options: dict[str, Any], pairs: str
) -> None:
    network = random_network(kinds, **options)
    weights = published(network, dict(enumerate(PAIRS.get(pairs, []))))
    found, architecture = network_of(method, weights, kinds)
    assert architecture["backbone"] == "mit_nano" and architecture["head_width"] == 32
    assert {k: architecture[k] for k in options} == options
    x = torch.randn(1, len(kinds), 3, 64, 96)
    with torch.inference_mode():
        for rows in (list(range(len(kinds))), [0]):
            expected = network(x[:, rows], torch.tensor(rows))
            assert torch.equal(found(x[:, rows], torch.tensor(rows)), expected)


def test_prefixes_are_of_no_account() -> None:
    network = random_network(KINDS[:1], network="anyseg")
    weights = {f"module.{name}": tensor for name, tensor in published(network).items()}
    found, _ = network_of("segformer", weights, KINDS[:1])
    assert torch.equal(found.head.fuse.weight, network.head.fuse.weight)


def test_a_segformer_of_hugging_face_is_the_network_it_was() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        hidden_sizes=[16, 32, 80, 128], depths=[1, 1, 2, 2], decoder_hidden_size=32, num_labels=9,
        num_attention_heads=[1, 2, 5, 8],
    )  # fmt: skip
    theirs = transformers.SegformerForSemanticSegmentation(config).eval()
    with torch.no_grad():
        for tensor in theirs.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand(tensor.shape))
    found, architecture = network_of("segformer", theirs.state_dict(), ("rgb",))
    assert architecture["backbone"] == "mit_nano"
    x = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = theirs(x).logits
        torch.testing.assert_close(
            found(x[:, None], torch.tensor([0])), expected, rtol=1e-3, atol=1e-3
        )


def test_what_does_not_fit_is_named() -> None:
    weights = published(random_network(KINDS, **CMNEXT))
    with pytest.raises(TrainingError, match=r"tensors that cmnext has no place for, such as extra"):
        network_of("cmnext", weights, KINDS[:3])
    with pytest.raises(TrainingError, match=r"has no extra_\S+ln_3"):
        network_of("cmnext", weights, (*KINDS, "thermal"))
    with pytest.raises(TrainingError, match="tensors that anyseg has no place for"):
        network_of("anyseg", weights, KINDS)
    with pytest.raises(TrainingError, match="of none of cmnext"):
        network_of("cmnext", {"a.weight": torch.zeros(2)}, KINDS)
    cut = {name: t for name, t in weights.items() if "block1.0" not in name}
    with pytest.raises(TrainingError, match="no size of the Mix Transformer"):
        network_of("cmnext", cut, KINDS)


@pytest.mark.parametrize("nested", ["", "state_dict", "model_state_dict"])
def test_weights_lie_where_trainers_put_them(nested: str, tmp_path: Path) -> None:
    weights = published(random_network(("rgb", "thermal"), 9, **CMNEXT))
    torch.save({nested: weights, "epoch": 3} if nested else weights, tmp_path / "best.pth")
    found = load_public_weights(tmp_path / "best.pth")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


def test_the_command_writes_a_model_that_can_be_opened(tmp_path: Path) -> None:
    network = random_network(("rgb", "thermal"), 9, **CMNEXT)
    torch.save({"model_state_dict": published(network), "epoch": 3}, tmp_path / "best.pth")
    arguments = ["import", str(tmp_path / "best.pth"), str(tmp_path / "mfnet"), "--as", "cmnext"]
    arguments += ["--modalities", "rgb,thermal", "--height", "64", "--width", "96"]
    result = CliRunner().invoke(main, [*arguments, "--classes", "deliver"])
    assert result.exit_code == 1 and "tells 9 classes, DELIVER has 25" in result.output
    result = CliRunner().invoke(
        main, [*arguments, "--classes", "mfnet-cmnext"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    model = load_model(str(tmp_path / "mfnet"))
    rgb, thermal = (model.manifest.modalities[name] for name in ("rgb", "thermal"))
    assert rgb.mean == (0.485, 0.456, 0.406) and thermal.mean == (0.0, 0.0, 0.0)
    assert thermal.planes == "thermal" and "nothing was measured" in result.output
    x, ids = torch.randn(1, 2, 3, 64, 96), torch.arange(2)
    with torch.inference_mode():
        assert torch.equal(load_network(model).eval()(x, ids), network(x, ids))
