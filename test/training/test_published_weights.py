"""Published checkpoints, with random numbers under the names that their authors gave them.

The names are written down here once more, from our parts to theirs, by hand.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import zipfile
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fixtures.mit_files import weights_of_segformer
from fixtures.unopened_graphs import leave_graphs_unwritten
from fixtures.zoo import SHALLOW
from safetensors.torch import save_file
from torch import Tensor

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.manifest import modality_spec
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.inference.preprocess import planes
from anymodal_seg_ros.inference.runtimes.torch_engine import load_network
from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_ros.networks.mit_weights import load_mit_weights
from anymodal_seg_ros.networks.mix_transformer import SIZES
from anymodal_seg_training.checkpoint import load_public_weights
from anymodal_seg_training.cli import main
from anymodal_seg_training.commands.import_published import _spec
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.folders import bundled_layout
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.published.weights import network_of

KINDS = ("rgb", "depth", "event", "lidar")
CMNEXT = {"network": "cmnext", "missing": "zeros", "add_back": "scrambled", "primary": "rgb"}
STITCH = {"network": "stitchfusion", "update": "in_turn", "absent": "zeros"}


def random_network(kinds: tuple[str, ...], classes: int = 25, **options: Any) -> AnyModalNetwork:
    """A network of the nano size whose every number, statistics included, is random."""
    torch.manual_seed(0)
    architecture: dict[str, Any] = {"backbone": "mit_nano", "head_width": 32, **options}
    network = build_network(architecture, classes, kinds).eval()
    size = SIZES[architecture["backbone"]]
    load_mit_weights(network.encoder, weights_of_segformer(size))
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
    weights = {
        f"module.{name}": tensor
        for name, tensor in published(network).items()
        if not name.endswith("num_batches_tracked")  # which converters leave out
    }
    weights["criterion.weight"] = torch.ones(25)  # the classes', of a loss that was kept with it
    found, _ = network_of("segformer", weights, KINDS[:1])
    assert torch.equal(found.head.fuse.weight, network.head.fuse.weight)


UNUSED = {
    "classifier.weight": (25, 128, 1, 1),  # AnySeg's, of a first phase
    "decode_head.conv_seg.bias": (25,),  # which mmcv gives every head
    "auxiliary_head.convs.0.conv.weight": (4, 4, 3, 3),
    "backbone.patch_embed1.total_ops": (1,),  # of thop
    "total_params": (1,),
}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_serves_no_mask_is_left_out(prefix: str) -> None:
    weights = published(random_network(KINDS, network="anyseg"))
    alone, _ = network_of("anyseg", weights, KINDS)
    weights |= {name: torch.full(shape, torch.nan) for name, shape in UNUSED.items()}
    found, _ = network_of("anyseg", {prefix + n: t for n, t in weights.items()}, KINDS)
    for name, tensor in alone.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name


@pytest.mark.parametrize("places", [("", "ema."), ("model.", "model_ema.module."), ("ema_", "")])
def test_an_average_in_the_same_state_dict_is_left_out(places: tuple[str, str]) -> None:
    weights = published(random_network(KINDS[:1], network="anyseg"))
    both = {
        f"{place}{name}": tensor + 1 if "ema" in place else tensor
        for place in places
        for name, tensor in weights.items()
    }
    found, _ = network_of("segformer", both, KINDS[:1])
    alone, _ = network_of("segformer", weights, KINDS[:1])
    for name, tensor in alone.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name


def test_of_two_networks_in_a_state_dict_none_is_chosen() -> None:
    weights = published(random_network(KINDS[:1], network="anyseg"))
    student, teacher = ({f"{n}.{k}": t + i for k, t in weights.items()} for i, n in enumerate("st"))
    with pytest.raises(TrainingError, match=r"holds 2 networks, under 's\.', 't\.': save the"):
        network_of("segformer", {**student, **teacher}, KINDS[:1])
    equal = {f"t.{name}": tensor for name, tensor in weights.items()}
    found, _ = network_of("segformer", {**student, **equal}, KINDS[:1])
    alone, _ = network_of("segformer", weights, KINDS[:1])
    assert torch.equal(found.head.fuse.weight, alone.head.fuse.weight)


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


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
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
    encoder = {name: t for name, t in weights.items() if "decode_head" not in name}
    with pytest.raises(TrainingError, match=r"without a head .* by initial_weights\.encoder"):
        network_of("cmnext", encoder, KINDS)
    others = {**encoder, "decode_head.fusion_conv.conv.weight": torch.zeros(1)}
    with pytest.raises(TrainingError, match=r"head is OpenMMLab's, .* by initial_weights\.encoder"):
        network_of("cmnext", others, KINDS)
    whole = torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8)
    with pytest.raises(TrainingError, match=r"norm4\.bias is quantised"):
        network_of("cmnext", {**weights, "backbone.norm4.bias": whole}, KINDS)
    cut = {name: t for name, t in weights.items() if "block1.0" not in name}
    with pytest.raises(TrainingError, match="no size of the Mix Transformer"):
        network_of("cmnext", cut, KINDS)


@pytest.mark.parametrize(
    "nests", [(), ("state_dict",), ("model_state_dict",), ("model", "state_dict"), ("ema_model",)]
)
def test_weights_lie_where_trainers_put_them(nests: tuple[str, ...], tmp_path: Path) -> None:
    weights = published(random_network(("rgb", "thermal"), 9, backbone=SHALLOW, **CMNEXT))
    content: dict[str, Any] = weights
    for name in reversed(nests):
        content = {"epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}}, name: content}
    torch.save(content, tmp_path / "best.pth")
    found = load_public_weights(tmp_path / "best.pth")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


def _leave(mark: str) -> None:
    Path(mark).touch()


class OfTheirs:
    """What a trainer keeps beside the weights; to make it again is to run code of theirs."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return _leave, (str(self.mark),), {"history": [1.0]}


@pytest.mark.parametrize("archive", [True, False])
def test_what_trainers_keep_beside_weights_is_left_unread(archive: bool, tmp_path: Path) -> None:
    """In files from before PyTorch 1.6, which are no archives, too."""
    mark, weights = tmp_path / "mark", {"w": torch.ones(2)}
    save = partial(torch.save, _use_new_zipfile_serialization=archive)
    beside = {"args": Namespace(lr=1e-4), "best": np.float64(0.6), "ious": np.ones(3)}
    save({"state_dict": weights, **beside, "hub": OfTheirs(mark)}, tmp_path / "best.pth")
    assert torch.equal(load_public_weights(tmp_path / "best.pth")["w"], weights["w"])
    save(OfTheirs(mark), tmp_path / "best.pth")
    with pytest.raises(TrainingError, match=r"no tensors by name, but a model of its own class: "):
        load_public_weights(tmp_path / "best.pth")
    assert not mark.exists()
    with pytest.raises(TrainingError, match=r"other\.pth: there is no such file"):
        load_public_weights(tmp_path / "other.pth")


def test_what_is_no_file_of_weights_is_told_without_advice_to_run_it(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"\x80\x02rubbish")
    with pytest.raises(TrainingError, match=r"it is damaged or something else") as found:
        load_public_weights(tmp_path / "a.pth")
    assert "\n" not in str(found.value) and "weights_only" not in str(found.value)


def _packed(pack: str, content: bytes) -> bytes:
    """A file as an archive of some kind."""
    whole = io.BytesIO()
    if pack == "zip":
        with zipfile.ZipFile(whole, "w") as archive:
            archive.writestr("best.pth", content)
    elif pack == "tar":
        with tarfile.open(fileobj=whole, mode="w") as archive:
            archive.addfile(_entry(len(content)), io.BytesIO(content))
    else:
        return gzip.compress(content)
    return whole.getvalue()


def _entry(size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo("best.pth")
    entry.size = size
    return entry


def test_what_a_file_is_that_holds_no_weights_is_told(tmp_path: Path) -> None:
    """What a browser, git and those who pack things leave where weights should be."""
    file = tmp_path / "a.pth"
    torch.save({"w": torch.ones(1000)}, file)
    whole = file.read_bytes()
    for content, said in (
        (b"", "it is empty: download it again"),
        (b"\n<!DOCTYPE html>\n<html>" + b"a" * 999, "text that begins with '<!DOCTYPE html>': "),
        (b'{"message": "Not Found"}', "text that begins with"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS .* 'git lfs pull'"),
        (whole[:-100], "without its end, the rest is missing: download it again"),
        (_packed("gzip", whole), "packed by gzip: unpack it"),
        (_packed("tar", whole), "a tar archive: unpack it"),
        (_packed("zip", whole), r"torch\.save did not write, with best\.pth in it: unpack it"),
    ):
        file.write_bytes(content)
        with pytest.raises(TrainingError, match=said) as found:
            load_public_weights(file)
        assert "weights_only" not in str(found.value)


def test_weights_are_read_by_what_the_file_holds(tmp_path: Path) -> None:
    own = {"w": torch.randn(3)}
    torch.save(own, tmp_path / "a.safetensors")
    save_file(own, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        assert torch.equal(load_public_weights(tmp_path / name)["w"], own["w"])


def test_of_weights_and_their_average_the_weights_are_taken(tmp_path: Path) -> None:
    file, own, average = tmp_path / "a.pth", {"w": torch.zeros(1)}, {"w": torch.ones(1)}
    torch.save({"model_ema": average, "model": own}, file)
    assert torch.equal(load_public_weights(file)["w"], own["w"])
    torch.save({"student": own, "teacher": average}, file)
    with pytest.raises(TrainingError, match=r"several sets of weights, student, teacher, which di"):
        load_public_weights(file)


def test_weights_that_are_kept_twice_are_those_weights(tmp_path: Path) -> None:
    own = {"w": torch.randn(2), "n": torch.tensor(3)}
    copy = {name: tensor.clone() for name, tensor in own.items()}
    for content in ({"net": own, "best": copy}, {"net": own, "again": {"net": own}}):
        torch.save({"epoch": 9, **content}, tmp_path / "a.pth")
        found = load_public_weights(tmp_path / "a.pth")
        assert found.keys() == own.keys() and torch.equal(found["w"], own["w"])


def test_what_is_no_tensor_beside_the_tensors_is_left_out(tmp_path: Path) -> None:
    """The number of an epoch, or the state that a layer keeps beside its weights."""
    own = {"w": torch.randn(2)}
    for beside in ({"epoch": 3}, {"head._extra_state": None}, {"hooks": {}}):
        for content in ({**own, **beside}, {"model": {**own, **beside}, "lr": 0.1}):
            torch.save(content, tmp_path / "a.pth")
            found = load_public_weights(tmp_path / "a.pth")
            assert list(found) == ["w"] and torch.equal(found["w"], own["w"])
    torch.save({"epoch": 3, "name": "b0"}, tmp_path / "a.pth")
    with pytest.raises(TrainingError, match=r"no tensors by name, but epoch, name"):
        load_public_weights(tmp_path / "a.pth")


def test_averaged_weights_in_half_precision_are_those_of_the_network() -> None:
    network = random_network(("rgb", "thermal"), 9, backbone=SHALLOW, **CMNEXT)
    halves = {
        f"module.{name}": tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in published(network).items()
    }
    found, _ = network_of("cmnext", {"n_averaged": torch.tensor(9), **halves}, ("rgb", "thermal"))
    for name, tensor in found.state_dict().items():
        assert tensor.dtype != torch.float16, name
    torch.testing.assert_close(
        found.get_parameter("head.classify.weight"),
        network.get_parameter("head.classify.weight").half().float(),
    )


def test_values_that_are_no_numbers_are_named() -> None:
    weights = published(random_network(("rgb", "thermal"), 9, backbone=SHALLOW, **CMNEXT))
    name = next(name for name in weights if name.endswith("linear_fuse.bn.running_var"))
    weights[name] = weights[name] * torch.nan
    with pytest.raises(TrainingError, match=rf"{name} has values that are not finite"):
        network_of("cmnext", weights, ("rgb", "thermal"))


@pytest.mark.parametrize(
    ("of", "change", "said"),
    [
        ("linear_pred.weight", lambda w: w.to(torch.int8), "is quantised to whole numbers"),
        ("linear_pred.weight", lambda w: w.to(torch.complex64), "is complex"),
        ("linear_pred.bias", Tensor.to_sparse, "is sparse"),
        ("linear_fuse.bn.running_var", Tensor.neg, "has values below 0"),
    ],
)
def test_tensors_that_no_network_can_compute_with_are_named(
    of: str, change: Callable[[Tensor], Tensor], said: str
) -> None:
    weights = published(random_network(("rgb", "thermal"), 9, backbone=SHALLOW, **CMNEXT))
    name = next(name for name in weights if name.endswith(of))
    with pytest.raises(TrainingError, match=rf"{name} .*{said}"):
        network_of("cmnext", {**weights, name: change(weights[name])}, ("rgb", "thermal"))


def test_pictures_are_normalised_as_the_code_of_each_data_set_does_it() -> None:
    """That of AnySeg on MUSES feeds bytes as they are; others know the colours of ImageNet."""
    picture = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    for data, name, place, expected in (
        ("muses-anyseg", "rgb", 0, lambda x: x),
        ("muses-anyseg", "lidar", 2, lambda x: x),
        ("muses", "rgb", 0, lambda x: (x / 255 - 0.485) / 0.229),
        ("deliver", "lidar", 3, lambda x: x / 255),
    ):
        layout = bundled_layout(data)
        spec = modality_spec(name, _spec(place, name, layout.images[name], layout.raw))
        seen = planes(Image(picture, "rgb8"), spec, 16, 16)[0]
        np.testing.assert_allclose(seen, expected(picture[..., 0] * 1.0), rtol=1e-4, atol=1e-4)


def test_what_the_node_can_make_itself_is_said_in_the_manifest() -> None:
    for data, name, made in (
        ("deliver", "depth", "hha"),
        ("nyu", "depth", "hha"),
        ("kitti360", "depth", "hha"),
        ("muses", "lidar", "muses_lidar"),
        ("muses-anyseg", "lidar", "muses_lidar"),
        ("deliver", "lidar", "color"),
        ("muses", "event", "muses_event"),
        ("deliver", "event", "color"),
    ):
        assert _spec(1, name, bundled_layout(data).images[name])["planes"] == made, (data, name)


def test_a_folder_that_no_model_can_be_called_by_is_told_before_anything_is_written(
    tmp_path: Path,
) -> None:
    torch.save(published(random_network(KINDS[:1], 9, network="anyseg")), tmp_path / "best.pth")
    arguments = ["import", str(tmp_path / "best.pth"), str(tmp_path / "my model")]
    arguments += ["--as", "segformer", "--modalities", "rgb", "--classes", "mfnet"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and "name of the model folder is 'my model'" in result.output
    assert not (tmp_path / "my model").exists()


def test_modalities_that_the_data_set_does_not_have_are_told(tmp_path: Path) -> None:
    torch.save(published(random_network(KINDS[:2], 9, **CMNEXT)), tmp_path / "best.pth")
    arguments = ["import", str(tmp_path / "best.pth"), str(tmp_path / "m"), "--as", "cmnext"]
    for given, said in (
        ("rgb,termal", "'termal': did you mean thermal? MFNet has rgb, thermal"),
        ("thermal,rgb", "rgb must be the first"),
    ):
        result = CliRunner().invoke(main, [*arguments, "--classes", "mfnet", "--modalities", given])
        assert result.exit_code == 1 and said in result.output, result.output
    assert not (tmp_path / "m").exists()


def test_the_command_writes_a_model_that_can_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_graphs_unwritten(monkeypatch)
    network = random_network(("rgb", "thermal"), 9, backbone=SHALLOW, **CMNEXT)
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


@pytest.mark.parametrize(
    ("method", "kinds", "blue_first"),
    [
        ("cmnext", ("rgb", "depth"), "rgb,depth"),
        ("cmnext", ("rgb", "depth"), "depth"),
        ("stitchfusion", ("rgb", "depth"), "depth,rgb"),
        ("anyseg", ("rgb", "thermal"), "rgb"),
        ("segformer", ("rgb",), "rgb"),
    ],
)
def test_a_network_that_learned_blue_first_is_fed_red_first(
    method: str,
    kinds: tuple[str, ...],
    blue_first: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against what such a trainer computes: cv2.imread, then the usual statistics as written."""
    leave_graphs_unwritten(monkeypatch)
    options = {"cmnext": CMNEXT, "stitchfusion": {**STITCH, "pairs": "shared"}}
    data, classes = ("nyu", 40) if "depth" in kinds else ("mfnet", 9)
    plain = options.get(method, {"network": "anyseg"})
    network = random_network(kinds, classes, backbone=SHALLOW, **plain)
    for name, gain in network.named_parameters():
        if "norm" in name and "weight" in name:  # or hardly anything of the picture is left
            gain.data.add_(1.0)
    torch.save(
        published(network, {0: ""} if method == "stitchfusion" else None), tmp_path / "a.pth"
    )
    arguments = ["import", str(tmp_path / "a.pth"), str(tmp_path / "m"), "--as", method]
    arguments += ["--modalities", ",".join(kinds), "--classes", data, "--blue-first", blue_first]
    arguments += ["--height", "64", "--width", "96"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    model, random = load_model(str(tmp_path / "m")), np.random.default_rng(0)
    ours, theirs = [], []
    for name, spec in model.manifest.modalities.items():
        picture = random.integers(0, 256, (64, 96, 3), np.uint8)
        picture[...] = picture[..., :1] if name == "thermal" else picture
        image = Image(picture[..., 0].copy(), "mono8") if name == "thermal" else picture
        ours.append(
            planes(image if isinstance(image, Image) else Image(image, "rgb8"), spec, 64, 96)
        )
        read = picture[..., ::-1] if name in blue_first else picture
        mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]) if name == "rgb" else (0.0, 1.0)
        theirs.append(((read / 255.0 - mean) / std).transpose(2, 0, 1).astype(np.float32))
    ids = torch.arange(len(kinds))
    with torch.inference_mode():
        found = load_network(model).eval()(torch.from_numpy(np.stack(ours))[None], ids)
        expected = network(torch.from_numpy(np.stack(theirs))[None], ids)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert (
        f"blue first in {', '.join(blue_first.split(','))}. "
        in (tmp_path / "m" / "MODEL_CARD.md").read_text()
    )


def test_pictures_that_cannot_have_been_read_as_said_are_told(tmp_path: Path) -> None:
    torch.save(published(random_network(KINDS[:2], 40, network="anyseg")), tmp_path / "a.pth")
    arguments = ["import", str(tmp_path / "a.pth"), str(tmp_path / "m"), "--as", "anyseg"]
    arguments += ["--modalities", "rgb,depth", "--classes", "nyu"]
    for given, said in (
        ("rgb", "has rgb, but not depth: the first convolution is the same for both"),
        ("rgb,dept", "'dept': did you mean depth?"),
    ):
        result = CliRunner().invoke(main, [*arguments, "--blue-first", given])
        assert result.exit_code == 1 and said in result.output, result.output
    assert not (tmp_path / "m").exists()


LAYOUT = """
name: mine
title: Mine
obtain: Drawn
frames: "{split}/{frame}_rgb.png"
splits: {train: train, validation: train, test: train}
images:
  rgb: {path: "{split}/{frame}_rgb.png", read: color}
  polar: {path: "{split}/{frame}_polar.npy", read: floats, low: -1.0, high: 1.0}
  thermal: {path: "{split}/{frame}_thermal.png", read: counts}
label: {path: "{split}/{frame}_label.png"}
classes: [[a, 0, 0, 0], [b, 9, 9, 9], [c, 99, 99, 99]]
"""


@pytest.mark.slow
def test_an_imported_model_is_measured_as_its_card_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a data set with a layout of one's own, from any folder."""
    leave_graphs_unwritten(monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("data/train").mkdir(parents=True)
    for name, pixels in (("rgb", (64, 96, 3)), ("label", (64, 96))):
        cv2.imwrite(f"data/train/0_{name}.png", np.ones(pixels, np.uint8))
    polar = np.linspace(-1.0, 1.0, 64 * 96).reshape(64, 96)
    np.save("data/train/0_polar.npy", polar)
    counts = np.linspace(7000, 9000, 64 * 96).reshape(64, 96)
    cv2.imwrite("data/train/0_thermal.png", counts.astype(np.uint16))
    Path("mine.yaml").write_text(LAYOUT)
    network = random_network(("rgb", "polar", "thermal"), 3, backbone=SHALLOW, **CMNEXT)
    torch.save(published(network), "best.pth")
    arguments = ["best.pth", "model", "--as", "cmnext", "--modalities", "rgb,polar,thermal"]
    arguments += ["--classes", "mine.yaml", "--height", "64", "--width", "96"]
    result = CliRunner().invoke(main, ["import", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "anymodal-train evaluate" in Path("model/MODEL_CARD.md").read_text()
    manifest = Path("model/model.yaml")
    manifest.write_text(manifest.read_text().replace("FOLDER", str(tmp_path / "data")))
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    result = CliRunner().invoke(main, ["evaluate", "../model", "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert len(json.loads(Path("../model/evaluation-test.json").read_text())["miou"]) == 7
    manifest = load_model("../model").manifest
    (frame,) = open_dataset(manifest.recipe["data"]).split("test").frames(0)
    seen = {n: planes(frame.images[n], s, 64, 96)[0] for n, s in manifest.modalities.items()}
    # Arrays are what the authors' code takes as they are; of raw counts nothing must be all black.
    np.testing.assert_allclose(seen["polar"], polar, atol=0.01)
    assert seen["thermal"].min() == 0.0 and 0.4 < seen["thermal"].mean() < 0.6
