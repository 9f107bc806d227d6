from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.mit_files import weights_of_segformer
from fixtures.tiny_training import tiny_recipe
from fixtures.training_runs import facts, run, stopped_run
from fixtures.zoo import SHALLOW, network_of
from safetensors.torch import save_file

from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.inference.runtimes.torch_engine import load_network
from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_ros.networks.mit_weights import load_mit_weights
from anymodal_seg_ros.networks.mix_transformer import SIZES, MixTransformer
from anymodal_seg_training.recipe import InitialWeights, parse_recipe
from anymodal_seg_training.runs.initial_weights import fill, filled_by_encoder, keep_statistics
from anymodal_seg_training.runs.loop import Frames

BUNDLED = load_network(load_model("rig-nano"))
SAME = load_model("rig-nano").manifest.architecture
NANO = SIZES[SHALLOW]


def begun(
    initial: InitialWeights,
    modalities: tuple[str, ...] = BUNDLED.modalities,
    classes: int = BUNDLED.num_classes,
    **architecture: Any,
) -> AnyModalNetwork:
    """Build a network of the bundled architecture, as far as it is not said otherwise."""
    torch.manual_seed(4)
    network = build_network({**SAME, **architecture}, classes, modalities)
    fill(network, initial)
    return network.eval()


def masks_of(network: AnyModalNetwork, ids: tuple[int, ...]) -> torch.Tensor:
    images = torch.randn(1, len(ids), 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return network(images, torch.tensor(ids))


def test_a_model_is_gone_on_from() -> None:
    # What only training knows, such as drop_path, may differ.
    network = begun(InitialWeights(model="rig-nano"), drop_path=0.0)
    assert torch.equal(masks_of(network, (0, 1, 2, 3)), masks_of(BUNDLED.eval(), (0, 1, 2, 3)))
    assert BUNDLED.temperature != 1 and network.temperature == 1, "it is to be fitted anew"


def test_a_model_from_before_adapters_goes_on_with_them() -> None:
    network = begun(InitialWeights(model="rig-nano"), adapters="per_modality")
    assert any(".adapter." in name for name, _ in network.named_parameters())
    assert torch.equal(masks_of(network, (0, 1, 2, 3)), masks_of(BUNDLED.eval(), (0, 1, 2, 3)))


def test_modalities_are_found_by_name_or_by_likeness() -> None:
    initial = InitialWeights(model="rig-nano", like={"disparity": "depth"})
    network = begun(initial, modalities=("disparity", "rgb"))
    assert torch.allclose(masks_of(network, (0, 1)), masks_of(BUNDLED.eval(), (2, 0)), atol=1e-5)


def test_only_the_classifier_is_new_for_other_classes() -> None:
    initial = InitialWeights(model="rig-nano")
    network, taken = begun(initial, classes=3), dict(BUNDLED.named_parameters())
    fresh = begun(InitialWeights(), classes=3).state_dict()
    new = {n for n, p in network.named_parameters() if not torch.equal(p, taken[n][: len(p)])}
    assert new == {"head.classify.weight", "head.classify.bias"}
    assert all(torch.equal(network.state_dict()[name], fresh[name]) for name in new)


def public_weights(path: Path) -> InitialWeights:
    """Write random weights of MiT-nano as its authors would publish them."""
    weights = weights_of_segformer(NANO)
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": weights}, path)
    return InitialWeights(encoder=str(path))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["quorum", "late_fusion", "cmnext"])
def test_every_encoder_begins_with_public_weights(name: str, suffix: str, tmp_path: Path) -> None:
    network = network_of(name)
    fill(network, public_weights(tmp_path / f"mit{suffix}"))
    reference = MixTransformer(NANO).eval()
    load_mit_weights(reference, weights_of_segformer(NANO))
    image, kind = torch.randn(1, 3, 64, 64), torch.tensor([2])
    encoders = [m for m in network.modules() if isinstance(m, MixTransformer)]
    assert len(encoders) == (4 if name == "late_fusion" else 1)
    with torch.inference_mode():
        for encoder in encoders:
            for found, expected in zip(encoder(image, kind), reference(image), strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def of_openmmlab(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same numbers as MMSegmentation's own checkpoints have them, with its prefix."""
    found = {}
    for name, tensor in weights.items():
        if match := re.fullmatch(r"block(\d)\.(\d+)\.(.+)", name):
            stage, block, part = match.groups()
            if part.startswith("attn.q."):
                keys = weights[name.replace("attn.q.", "attn.kv.")]
                part, tensor = part.replace("q.", "attn.in_proj_"), torch.cat([tensor, keys])
            elif part.startswith("attn.kv."):
                continue
            for theirs, own in (
                ("attn.proj.", "attn.attn.out_proj."), ("mlp.fc1.", "ffn.layers.0."),
                ("mlp.dwconv.dwconv.", "ffn.layers.1."), ("mlp.fc2.", "ffn.layers.4."),
            ):  # fmt: skip
                part = part.replace(theirs, own)
            if part.endswith(("0.weight", "4.weight")):
                tensor = tensor[:, :, None, None]
            found[f"backbone.layers.{int(stage) - 1}.1.{block}.{part}"] = tensor
        elif match := re.fullmatch(r"(patch_embed|norm)(\d)\.(.+)", name):
            what, stage, part = match.groups()
            place = 0 if what == "patch_embed" else 2
            part = part.replace("proj.", "projection.")
            found[f"backbone.layers.{int(stage) - 1}.{place}.{part}"] = tensor
    return found


def test_an_encoder_of_openmmlab_is_known_by_its_names(tmp_path: Path) -> None:
    weights = weights_of_segformer(NANO)
    plain, renamed = (network_of("anyseg") for _ in range(2))
    for network, content in ((plain, weights), (renamed, of_openmmlab(weights))):
        torch.save({"state_dict": content}, tmp_path / "mit.pth")
        fill(network, InitialWeights(encoder=str(tmp_path / "mit.pth")))
    theirs = renamed.encoder.state_dict()
    assert all(torch.equal(tensor, theirs[n]) for n, tensor in plain.encoder.state_dict().items())


def test_timm_is_asked_for_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    timm_encoder = pytest.importorskip("anymodal_seg_ros.networks.timm_encoder")
    asked = []
    monkeypatch.setattr(
        timm_encoder.TimmEncoder, "load_public_weights", lambda self: asked.append(self.name)
    )
    architecture = {"network": "anyseg", "backbone": "timm:pvt_v2_b0", "head_width": 16}
    fill(build_network(architecture, 5, ("rgb",)), InitialWeights(encoder="timm"))
    assert asked == ["pvt_v2_b0"]


def test_a_timm_backbone_is_filled_from_a_file(tmp_path: Path) -> None:
    """Under the names of the whole model, its classifier among them."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(5)
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    for module in whole.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
    save_file(whole.state_dict(), tmp_path / "lite0.safetensors")
    architecture = {
        "network": "anyseg", "backbone": "timm:tf_efficientnet_lite0", "head_width": 16,
    }  # fmt: skip
    torch.manual_seed(6)
    network = build_network(architecture, 5, ("rgb",)).eval()
    fill(network, InitialWeights(encoder=str(tmp_path / "lite0.safetensors")))
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        last = network.encoder(image)[-1]
        expected = whole.blocks(whole.bn1(whole.conv_stem(image)))
    torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-4)


def test_weights_of_efficientnet_pytorch_are_known_by_their_names(tmp_path: Path) -> None:
    """That package numbers blocks through, and names their layers by what they do."""
    timm = pytest.importorskip("timm")
    whole = timm.create_model("tf_efficientnet_lite0").eval().state_dict()
    theirs = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    numbers = {"0.0": 0, "1.0": 1, "1.1": 2, "2.0": 3, "2.1": 4, "3.0": 5, "3.1": 6, "3.2": 7}
    numbers |= {
        "4.0": 8,
        "4.1": 9,
        "4.2": 10,
        "5.0": 11,
        "5.1": 12,
        "5.2": 13,
        "5.3": 14,
        "6.0": 15,
    }
    later = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    later |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    published = {}
    for name, tensor in whole.items():
        if name.startswith("blocks."):
            _, stage, block, layer, kind = name.split(".")
            names = first if stage == "0" else later
            published[f"_blocks.{numbers[f'{stage}.{block}']}.{names[layer]}.{kind}"] = tensor
        else:
            layer, kind = name.split(".")
            published[f"{(theirs | {'classifier': '_fc'})[layer]}.{kind}"] = tensor
    torch.save(published, tmp_path / "lite0.pth")
    architecture = {
        "network": "anyseg", "backbone": "timm:tf_efficientnet_lite0", "head_width": 16,
    }  # fmt: skip
    network = build_network(architecture, 5, ("rgb",))
    fill(network, InitialWeights(encoder=str(tmp_path / "lite0.pth")))
    last = network.encoder.model.blocks[6][0].conv_dw.weight
    assert torch.equal(last, whole["blocks.6.0.conv_dw.weight"])


def test_statistics_of_many_frames_are_kept(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    save_file(timm.create_model("tf_efficientnet_lite0").state_dict(), tmp_path / "a.safetensors")
    architecture = {
        "network": "anyseg", "backbone": "timm:tf_efficientnet_lite0", "head_width": 16,
    }  # fmt: skip
    network = build_network(architecture, 5, ("rgb",))
    fill(network, InitialWeights(encoder=str(tmp_path / "a.safetensors"), keep_statistics=True))
    before = network.encoder.model.bn1.running_mean.clone()
    keep_statistics(network.train())
    network(torch.randn(2, 1, 3, 64, 64), torch.tensor([0]))
    assert torch.equal(network.encoder.model.bn1.running_mean, before)
    assert network.encoder.model.bn1.weight.requires_grad, "they still learn scale and offset"
    network.train()(torch.randn(2, 1, 3, 64, 64), torch.tensor([0]))
    assert not torch.equal(network.encoder.model.bn1.running_mean, before)


def test_adapters_behind_a_public_encoder_count_as_new(tmp_path: Path) -> None:
    network = begun(InitialWeights(), adapters="per_modality")
    given = filled_by_encoder(network, InitialWeights(encoder="any.pth"))
    assert "encoder.stages.0.blocks.0.attention.query.weight" in given
    assert not [name for name in given if "adapter" in name]


@pytest.mark.parametrize(
    ("initial", "others", "complaint"),
    [
        ({"model": "rig-nano", "keep_statistics": True}, {}, r"keep_statistics needs a network"),
        ({"model": "nosuch"}, {}, r"'nosuch', which is neither a folder nor a bundled model"),
        ({"model": "rig-nano"}, {"network": "anyseg"}, r"is a Quorum, the recipe's .* a AnySeg"),
        (
            {"model": "rig-nano"},
            {"backbone": "mit_b0"},
            r"another architecture .*; its own is .*mit_nano",
        ),
        (
            {"model": "rig-nano"},
            {"consensus": False},
            r"another architecture .* such as ballots.0.consensus",
        ),
        (
            {"model": "rig-nano"},
            {"modalities": ("rgb", "radar")},
            r"not know the modality 'radar': .* \(rgb, thermal, depth, event\) radar is like",
        ),
        (
            {"model": "rig-nano", "like": {"radar": "depht"}},
            {"modalities": ("rgb", "radar")},
            r"not know the modality 'depht': .* for example initial_weights.like: \{radar: rgb\}",
        ),
        (
            {"model": "rig-nano", "like": {"radar": "depth"}},
            {},
            r"like names 'radar', which is no modality of the recipe: expected some of rgb",
        ),
        ({"encoder": "nosuch.pth"}, {}, r"cannot read the weights nosuch.pth"),
        ({"encoder": "timm"}, {}, r"needs a network with backbone: timm:NAME"),
        ({"encoder": "x.pth"}, {"network": "anyseg", "backbone": "timm:pvt_v2_b0"}, r"mit_b0 to"),
    ],
)
def test_what_does_not_fit_is_named(
    initial: dict[str, Any],
    others: dict[str, Any],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.zeros(1)}, "x.pth")
    names = ("network", "backbone", "head_width", "drop_path")
    if others.get("network", "quorum") != "quorum":
        others = {**{name: SAME[name] for name in names}, **others}
    with pytest.raises(AnymodalError, match=complaint):
        begun(InitialWeights(**initial), **others)


def test_weights_of_another_size_of_the_encoder_are_refused(tmp_path: Path) -> None:
    initial = public_weights(tmp_path / "mit.safetensors")
    with pytest.raises(ConfigError, match=r"mit\.safetensors': the weights .*another size"):
        begun(initial, backbone="mit_b0")


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"model": "a", "encoder": "b"}, r"the model 'a' and the encoder 'b': name one"),
        ({"like": {"a": "b"}}, r"initial_weights.like needs initial_weights.model"),
        ({"model": "a", "like": {"x": 3}}, r"initial_weights.like.x is 3 \(int\): expected str"),
        ({"modle": "a"}, r"unknown parameter initial_weights.modle"),
        ({"keep_statistics": True}, r"keep_statistics needs initial_weights.encoder or"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(section: dict[str, Any], complaint: str) -> None:
    content = {**tiny_recipe().plain(), "initial_weights": section}
    with pytest.raises(ConfigError, match=complaint):
        parse_recipe(content)


def test_a_run_begins_with_them_and_resumes_without_the_file(
    frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initial = public_weights(tmp_path / "mit.pth")
    recipe = dataclasses.replace(tiny_recipe(), initial_weights=initial)
    unbroken = run(recipe, frames, tmp_path / "unbroken")
    at_random = run(tiny_recipe(), frames, tmp_path / "random")
    assert facts(unbroken)[0]["loss"] != facts(at_random)[0]["loss"]
    files = stopped_run(recipe, frames, tmp_path / "stopped", 4, monkeypatch)
    Path(initial.encoder).unlink()
    run(recipe, frames, files.path, resume=True)
    assert facts(files) == facts(unbroken)
