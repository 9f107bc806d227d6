"""Both phases of SegRGB-X: what learns, what stays, and what is refused."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fixtures.mixed_training import (
    clip_recipe,
    mixed_dataset,
    mixed_frames,
    segrgbx_recipe,
    write_texts,
)
from fixtures.training_runs import facts, run, stopped_run
from safetensors.torch import save_file
from torch import Tensor

from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.networks import build_network
from anymodal_seg_ros.networks.ma_clip import clip_tower
from anymodal_seg_ros.networks.segrgbx import SegRGBX
from anymodal_seg_training.checkpoint import load_checkpoint, load_weights, save_weights
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.export.trained_network import load_best
from anymodal_seg_training.fabric import open_fabric
from anymodal_seg_training.losses.contrast import text_contrast
from anymodal_seg_training.losses.prompts import gate_supervision, prompt_alignment
from anymodal_seg_training.published.clip_texts import read_clip_texts
from anymodal_seg_training.recipe import TrainingOptions
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.display import Display
from anymodal_seg_training.runs.loop import Frames, Trainer
from anymodal_seg_training.runs.optimisation import build_optimiser, set_learning_rate
from anymodal_seg_training.strategies import build_strategy
from anymodal_seg_training.strategies.base import Setting, Strategy

FOUR = ("rgb", "thermal", "depth", "event")
KNOWN = dict(mixed_dataset().space.members)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return mixed_frames(tmp_path_factory.mktemp("mixed"))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    write_texts(tmp_path / "texts.safetensors")
    return tmp_path / "texts.safetensors"


def network_of(opened: bool = True, **options: Any) -> SegRGBX:
    torch.manual_seed(0)
    architecture = {**segrgbx_recipe({"name": "segrgbx"}).architecture, **options}
    network = build_network(architecture, 4, FOUR)
    assert isinstance(network, SegRGBX)
    for parameter in network.parameters() if opened else ():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network.train()


def batch(ids: tuple[int, ...], dataset: str = "range", seed: int = 0, frames: int = 2) -> Batch:
    torch.manual_seed(seed)
    labels = torch.tensor(KNOWN[dataset])[torch.randint(0, 3, (frames, 32, 64))]
    images = F.interpolate(torch.randn(frames * len(ids), 3, 4, 8), (32, 64), mode="bilinear")
    shaped = images.unflatten(0, (frames, len(ids)))
    return Batch(shaped, torch.tensor(ids), labels, dataset=dataset)


def build(name: str, **options: Any) -> Strategy:
    return build_strategy({"name": name, **options}, Setting(FOUR, np.full(4, 0.25), CPU, KNOWN))


def touched(network: torch.nn.Module) -> set[str]:
    return {n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()}


# The first phase


def test_the_first_phase_trains_the_additions_alone(texts: Path) -> None:
    network, strategy = network_of(), build("segrgbx_clip", clip_weights="random", texts=str(texts))
    strategy.prepare(network)
    found = strategy.loss(network, batch((0, 2, 3)), np.random.default_rng(0))
    assert set(found.parts) == {"kind", "text"}
    found.total.backward()
    names = touched(network)
    assert names and all(n.startswith(("ma_clip.query", "ma_clip.value")) for n in names)
    assert {n for n, p in network.named_parameters() if p.requires_grad} >= names
    assert touched(strategy.own_parts()) == {"classifier.weight", "classifier.bias", "log_scale"}


def test_the_first_phase_learns_to_tell_kinds_apart(
    frames: Frames, texts: Path, tmp_path: Path
) -> None:
    recipe = clip_recipe(
        texts, steps=60, learning_rate=1e-2, checkpoint_every=60, validate_every=60
    )
    files = run(recipe, frames, tmp_path / "run")
    lines = [line for line in facts(files) if line["kind"] == "train"]
    for part in ("loss_kind", "loss_text"):
        values = [line[part] for line in lines]
        assert sum(values[-10:]) < 0.6 * sum(values[:10]), part
    # There is nothing to validate: the latest weights are kept, the tower as it was drawn.
    assert len(lines) == len(facts(files))
    torch.manual_seed(recipe.seed)
    fresh = build_network(recipe.architecture, 4, FOUR).state_dict()
    best = load_weights(files.best_file)
    moved = {name for name, tensor in best.items() if not torch.equal(tensor, fresh[name])}
    assert moved and all(n.startswith(("ma_clip.query", "ma_clip.value")) for n in moved)


@pytest.mark.parametrize("phase", ["first", "second"])
def test_a_resumed_run_is_the_unbroken_run(
    phase: str, frames: Frames, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what learns beside the network, and its share of the optimiser."""
    second = segrgbx_recipe({"name": "segrgbx", "ma_clip": "random", "new_rate": 3.0}, steps=6)
    recipe = clip_recipe(texts, steps=6) if phase == "first" else second
    unbroken = run(recipe, frames, tmp_path / "unbroken")
    stopped_run(recipe, frames, tmp_path / "run", 3, monkeypatch)
    resumed = run(recipe, frames, tmp_path / "run", resume=True)
    assert facts(resumed) == facts(unbroken)
    states = [load_checkpoint(files.last_file) for files in (resumed, unbroken)]
    for part in ("network", "strategy"):
        assert all(torch.equal(t, states[1][part][n]) for n, t in states[0][part].items())
    assert bool(states[0]["strategy"]) == (phase == "first")


def test_clip_weights_come_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(7)
    weights = clip_tower("tiny-random").state_dict()
    save_file(weights, tmp_path / "clip.safetensors")
    network = network_of()
    path = str(tmp_path / "clip.safetensors")
    build("segrgbx_clip", clip_weights=path, text_weight=0.0).prepare(network)
    assert network.ma_clip is not None
    for name, tensor in network.ma_clip.tower.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    save_file({"visual.proj": torch.zeros(3)}, tmp_path / "other.safetensors")
    other = str(tmp_path / "other.safetensors")
    with pytest.raises((ModelError, TrainingError)):
        build("segrgbx_clip", clip_weights=other, text_weight=0.0).prepare(network)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"text_weight": 0.0}, r"strategy.clip_weights is missing: expected the file"),
        ({"clip_weights": "random"}, r"strategy.texts is missing: .* or strategy.text_weight 0"),
    ],
)
def test_a_missing_file_is_no_silent_fallback(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("segrgbx_clip", **options)


def test_a_network_without_ma_clip_has_no_first_phase() -> None:
    strategy = build("segrgbx_clip", clip_weights="random", text_weight=0.0)
    with pytest.raises(ConfigError, match="SegRGBX has no MA-CLIP here"):
        strategy.prepare(network_of(control="learned"))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"heat/depth_": torch.ones(16)}, r"has 'heat/depth_': expected names among heat/rgb"),
        ({"range/event": None}, r"has no text for the modality 'event'"),
        ({"range/event": torch.ones(12)}, r"expected vectors of one length"),
    ],
)
def test_wrong_texts_are_named(
    changes: dict[str, Tensor | None], complaint: str, tmp_path: Path
) -> None:
    write_texts(tmp_path / "texts.safetensors", **changes)
    with pytest.raises(ConfigError, match=complaint):
        read_clip_texts(tmp_path / "texts.safetensors", ("heat", "range"), FOUR)


def test_texts_of_another_clip_and_of_absent_sensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "texts.safetensors"
    save_file({name: torch.randn(12) for name in FOUR}, path)
    setting = Setting(FOUR, np.full(4, 0.25), CPU)
    section = {"name": "segrgbx_clip", "clip_weights": "random", "texts": str(path)}
    with pytest.raises(ConfigError, match=r"vectors of 12 numbers: expected 16"):
        build_strategy(section, setting).prepare(network_of())
    write_texts(path)
    found = read_clip_texts(path, ("heat", "range"), FOUR)
    with pytest.raises(ConfigError, match=r"no text for the modality with id 3 of .* 'heat'"):
        found.of("heat", torch.tensor([0, 3]))


def test_equal_texts_are_one(texts: Path) -> None:
    found = read_clip_texts(texts, ("heat", "range"), FOUR)
    assert len(found.vectors) == 4  # five names, two of which say the same
    assert found.rows["heat"][0] == found.rows["range"][0]
    assert found.rows["heat"].tolist()[2:] == [-1, -1] and found.rows["range"][1] == -1
    torch.testing.assert_close(found.vectors.norm(dim=1), torch.ones(4))


def test_the_contrast_is_clips_where_every_image_has_a_text_of_its_own() -> None:
    torch.manual_seed(0)
    images, texts = (F.normalize(torch.randn(3, 8), dim=1) for _ in range(2))
    alike = 5.0 * images @ texts.T
    straight = torch.arange(3)
    expected = (F.cross_entropy(alike, straight) + F.cross_entropy(alike.T, straight)) / 2
    found = text_contrast(images, texts, straight, torch.tensor(5.0))
    torch.testing.assert_close(found, expected)
    # The order of images is of no account, and images at their texts are best.
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(text_contrast(images[order], texts, order, torch.tensor(5.0)), found)
    twice = torch.tensor([0, 0, 1, 2])
    assert text_contrast(texts[twice], texts, twice, torch.tensor(20.0)) < 0.5
    assert text_contrast(texts[twice], texts, twice.flip(0), torch.tensor(20.0)) > 1.0


# The second phase


def test_the_second_phase_leaves_ma_clip_as_it_is() -> None:
    network, strategy = network_of(), build("segrgbx", ma_clip="random")
    strategy.prepare(network)
    for ids in ((0, 2), (0, 3), (2,)):
        found = strategy.loss(network, batch(ids), np.random.default_rng(0))
        assert set(found.parts) == {"segmentation", "align", "gate"}
        found.total.backward()
    names = touched(network)
    assert not any(name.startswith("ma_clip.") for name in names)
    for part in ("encoder.", "prompts.", "embeddings.", "fusions.", "refinements.", "head."):
        assert any(name.startswith(part) for name in names), part


def test_each_loss_reaches_what_it_should() -> None:
    """The control prompts are an aim, not a part that moves towards the aligned ones."""
    for kept, reached in (("align", "embeddings."), ("gate", "refinements.")):
        network = network_of()
        strategy = build("segrgbx", ma_clip="random")
        strategy.prepare(network)
        encoded = network.encode(batch((0, 2)).images, torch.tensor([0, 2]))
        loss = {
            "align": lambda e=encoded: prompt_alignment(e.aligned, e.control),
            "gate": lambda e=encoded: gate_supervision(e.gates, torch.tensor([2])),
        }[kept]()
        loss.backward()
        names = touched(network)
        assert any(reached in name for name in names)
        assert not any(name.startswith(("ma_clip.", "head.")) for name in names)
        assert any("bank" in name for name in names)


def test_the_prompt_and_gate_losses_are_what_they_say() -> None:
    control = [torch.randn(2, 3, 4, 8), torch.randn(2, 3, 4, 16)]
    same = [c.mean(dim=2, keepdim=True).expand(-1, -1, 5, -1) for c in control]
    assert prompt_alignment(same, control).item() == pytest.approx(0.0, abs=1e-6)
    assert prompt_alignment([-s for s in same], control).item() == pytest.approx(2.0)
    control[0].requires_grad_()
    prompt_alignment([torch.randn(2, 3, 5, 8, requires_grad=True)], control[:1]).backward()
    assert control[0].grad is None
    gate = torch.tensor([[0.7, 0.2, 0.1]])
    assert gate_supervision([gate], torch.tensor([1])) == pytest.approx(-np.log(0.2))
    both = gate_supervision([gate], torch.tensor([0, 1]))
    assert both == pytest.approx(-(np.log(0.7) + np.log(0.2)) / 2)
    assert torch.isfinite(gate_supervision([torch.tensor([[1.0, 0.0]])], torch.tensor([1])))


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"control": "learned"}, {"segmentation", "align", "gate"}),
        ({"aligned_prompts": 0}, {"segmentation", "gate"}),
        ({"refinement": "none"}, {"segmentation", "align"}),
        ({"gating": "hard"}, {"segmentation", "align"}),
    ],
)
def test_every_ablation_trains(options: dict[str, Any], parts: set[str]) -> None:
    network = network_of(**options)
    clip = {} if options.get("control") else {"ma_clip": "random"}
    strategy = build("segrgbx", **clip)
    strategy.prepare(network)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=6e-3)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        found = strategy.loss(network, batch((0, 2)), np.random.default_rng(0))
        found.total.backward()
        optimiser.step()
        losses.append(found.total.item())
    assert set(found.parts) == parts and losses[-1] < 0.95 * losses[0]


@pytest.mark.slow
def test_both_phases_train_on_mixed_sets(frames: Frames, texts: Path, tmp_path: Path) -> None:
    first = run(clip_recipe(texts, steps=3), frames, tmp_path / "first")
    strategy = {"name": "segrgbx", "ma_clip": str(first.path)}
    recipe = segrgbx_recipe(strategy, steps=16, learning_rate=6e-3, validate_every=16)
    files = run(recipe, frames, tmp_path / "second")
    losses = [line["loss"] for line in facts(files) if line["kind"] == "train"]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    one, other = load_weights(first.best_file), load_weights(files.best_file)
    clip = [name for name in one if name.startswith("ma_clip.")]
    assert clip and all(torch.equal(one[name], other[name]) for name in clip)
    (last,) = [line for line in facts(files) if line["kind"] == "validation"]
    judged = set(last) - {"step", "kind", "score"}
    assert judged == {"heat/rgb+thermal", "range/rgb+depth", "range/rgb+event"}
    assert {line["modalities"] for line in facts(files) if line["kind"] == "train"} == {2}
    classes = len(mixed_dataset().classes)
    load_best(files, classes, CPU)
    with pytest.raises(TrainingError, match=r"segrgbx_clip, after which .* no masks yet"):
        load_best(first, classes, CPU)


@pytest.mark.parametrize("phase", ["first", "second"])
def test_bf16_and_averaged_weights_run(
    phase: str, frames: Frames, texts: Path, tmp_path: Path
) -> None:
    options = {"steps": 2, "validate_every": 2, "precision": "bf16", "ema": 0.9}
    second = {"name": "segrgbx", "ma_clip": "random", "modalities": "all"}
    recipe = clip_recipe(texts, **options)
    if phase == "second":
        recipe = segrgbx_recipe(second, **options)
    files = RunFolder(tmp_path / "run")
    files.create(recipe)
    Trainer(recipe, frames, files, open_fabric(CPU, "bf16")).fit(Display())
    assert all(np.isfinite(line.get("loss", 0.0)) for line in facts(files))
    assert files.best_file.exists()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("pairs", {("rgb", "depth"), ("rgb", "event")}),
        ("all", {("rgb", "depth", "event")}),
        ("random_subset", 7),
    ],
)
def test_the_sensors_of_a_step_are_as_wanted(wanted: str, expected: Any) -> None:
    strategy = build("segrgbx", ma_clip="random", modalities=wanted)
    available = ("rgb", "depth", "event")
    drawn = {strategy.modalities(np.random.default_rng(n), available) for n in range(80)}
    assert len(drawn) == expected if isinstance(expected, int) else drawn == expected
    assert drawn == set(strategy.validation_subsets(available))
    assert strategy.modalities(np.random.default_rng(0), ("rgb",)) == ("rgb",)


def test_pairs_keep_the_order_of_the_ids_and_need_the_main_modality() -> None:
    strategy = build("segrgbx", ma_clip="random", main="depth")
    assert strategy.validation_subsets(("rgb", "depth", "event")) == [
        ("rgb", "depth"),
        ("depth", "event"),
    ]
    with pytest.raises(ConfigError, match=r"only rgb, thermal: expected strategy.main, 'depth'"):
        strategy.validation_subsets(("rgb", "thermal"))
    with pytest.raises(ConfigError, match=r"strategy.main is 'lidar': expected one of"):
        build("segrgbx", main="lidar")


def test_the_backbone_learns_more_slowly_if_one_says_so() -> None:
    network, strategy = network_of(), build("segrgbx", ma_clip="random", new_rate=10.0)
    strategy.prepare(network)
    optimiser = build_optimiser(network, TrainingOptions(), strategy.rate_of)
    set_learning_rate(optimiser, 0.5)
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    found = {n: rates.get(id(p)) for n, p in network.named_parameters()}
    assert {rate for n, rate in found.items() if n.startswith("encoder.")} == {0.5}
    assert {rate for n, rate in found.items() if n.startswith("ma_clip.")} == {None}
    others = {r for n, r in found.items() if not n.startswith(("encoder.", "ma_clip."))}
    assert others == {5.0}
    decays = {id(p): g["weight_decay"] for g in optimiser.param_groups for p in g["params"]}
    trained = [p for p in network.parameters() if p.requires_grad]
    assert all((decays[id(p)] > 0) == (p.ndim > 1) for p in trained)


def first_phase(folder: Path, **architecture: Any) -> str:
    """A run folder of the first phase with weights."""
    recipe = segrgbx_recipe({"name": "segrgbx_clip", "clip_weights": "random"})
    recipe = dataclasses.replace(recipe, architecture={**recipe.architecture, **architecture})
    files = RunFolder(folder)
    files.create(recipe)
    save_weights(files.best_file, build_network(recipe.architecture, 3, FOUR).state_dict())
    return str(files.path)


def test_what_the_first_phase_found_is_loaded_or_refused(tmp_path: Path) -> None:
    good = first_phase(tmp_path / "good", backbone="mit_b0", head_width=32)
    network = network_of()
    build("segrgbx", ma_clip=good).prepare(network)
    weights = load_weights(RunFolder(Path(good)).best_file)
    assert network.ma_clip is not None
    own = network.ma_clip.state_dict()
    assert all(torch.equal(tensor, weights[f"ma_clip.{name}"]) for name, tensor in own.items())
    for number, (change, complaint) in enumerate(
        [
            ({"lora_rank": 4}, r"trained with architecture.lora_rank 4: expected 8, as here"),
            ({"lora_alpha": 8.0}, r"trained with architecture.lora_alpha 8.0: expected 16.0"),
        ]
    ):
        other = first_phase(tmp_path / str(number), **change)
        with pytest.raises(ConfigError, match=complaint):
            build("segrgbx", ma_clip=other).prepare(network_of())
    RunFolder(Path(good)).best_file.unlink()
    with pytest.raises(TrainingError, match=r"has no weights yet"):
        build("segrgbx", ma_clip=good).prepare(network_of())


@pytest.mark.parametrize(
    ("network", "options", "complaint"),
    [
        ({}, {}, r"strategy.ma_clip is missing: train it first, .* or random"),
        ({}, {"ma_clip": "nowhere"}, r"nowhere is no run folder"),
        ({"control": "learned"}, {"ma_clip": "random"}, r"with architecture.control learned there"),
        ({"experts": 3}, {"ma_clip": "random"}, r"architecture.experts is 3, for 4 modalities"),
    ],
)
def test_what_does_not_go_together_is_refused(
    network: dict[str, Any], options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("segrgbx", **options).prepare(network_of(**network))


def test_a_strategy_without_its_libraries_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anymodal_seg_training.strategies.segrgbx", None)
    with pytest.raises(ConfigError, match=r"'segrgbx', whose libraries cannot be imported"):
        build("segrgbx")
    assert build("supervised") is not None


def test_a_data_set_without_the_main_modality_is_found_before_the_first_step(
    frames: Frames, tmp_path: Path
) -> None:
    recipe = segrgbx_recipe({"name": "segrgbx", "ma_clip": "random", "main": "depth"})
    with pytest.raises(ConfigError, match=r"a data set has only rgb, thermal"):
        Trainer(recipe, frames, RunFolder(tmp_path / "run"), open_fabric(CPU, "fp32"))


def test_another_network_is_refused() -> None:
    architecture = {"network": "anyseg", "backbone": "mit_nano", "head_width": 16}
    other = build_network(architecture, 4, FOUR)
    with pytest.raises(ConfigError, match="AnySeg has no control prompts"):
        build("segrgbx").prepare(other)
