"""Several data sets in one run: each with its sensors and classes, exactly repeatable."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.mixed_training import (
    DATASETS,
    SETS,
    UNION,
    mixed_dataset,
    mixed_frames,
    mixed_recipe,
    mixed_section,
)
from fixtures.training_runs import facts, run, stopped_run
from fixtures.zoo import SHALLOW
from torch import Tensor

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork, Decoded, build_network
from anymodal_seg_training.checkpoint import load_checkpoint
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.data.sampling import turns
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.mixed import open_mixed
from anymodal_seg_training.datasets.mixed_frames import MixedFrames
from anymodal_seg_training.evaluation.member_view import MemberNetwork, check_modalities, views_of
from anymodal_seg_training.fabric import open_fabric
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.batches import BatchJob, MakeBatch, batch_jobs
from anymodal_seg_training.runs.loop import Frames
from anymodal_seg_training.strategies import build_strategy, strategy_names
from anymodal_seg_training.strategies.base import Setting, Strategy

CPU = torch.device("cpu")
HEAT, RANGE = ("rgb", "thermal"), ("rgb", "depth", "event")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return mixed_frames(tmp_path_factory.mktemp("mixed"))


def assert_same(one: RunFolder, other: RunFolder) -> None:
    assert facts(one) == facts(other)
    states = [load_checkpoint(files.last_file)["network"] for files in (one, other)]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def jobs(frames: Frames, steps: int, first_step: int = 0) -> list[BatchJob]:
    recipe = mixed_recipe(steps=steps)
    assert isinstance(frames.train, MixedFrames)
    setting = Setting(recipe.modality_names, np.ones(4), CPU, {"heat": (0, 1, 2)})
    strategy = build_strategy(recipe.strategy, setting)
    return list(
        batch_jobs(recipe, strategy, frames.train.shares, open_fabric(CPU, "fp32"), first_step)
    )


def test_classes_are_united_and_colours_differ() -> None:
    dataset = mixed_dataset()
    assert tuple(entry.name for entry in dataset.classes) == UNION
    assert dataset.space.members == {"heat": (0, 1, 2), "range": (1, 0, 3)}
    assert len({entry.color for entry in dataset.classes}) == 4
    assert dataset.classes[0].color == (255, 0, 0)
    assert "heat (rgb, thermal): Two halves and a spot." in dataset.description


@pytest.mark.parametrize(
    ("draw", "expected"), [("root_size", 2**-0.5), ("size", 1 / 2), ("equal", 1.0)]
)
def test_data_sets_are_drawn_by_the_root_of_their_size(draw: str, expected: float) -> None:
    chances = mixed_dataset(draw=draw).chances({"heat": 6, "range": 12})
    assert sum(chances.values()) == pytest.approx(1.0)
    assert chances["heat"] / chances["range"] == pytest.approx(expected)
    weighted = mixed_section(draw=draw)
    weighted["sets"]["heat"]["weight"] = 3.0
    dataset = open_mixed(weighted, lambda section: DATASETS[section["dataset"]]())
    chances = dataset.chances({"heat": 6, "range": 12})
    assert chances["heat"] / chances["range"] == pytest.approx(3 * expected)


def test_turns_come_as_often_as_they_should_and_count_up() -> None:
    drawn = list(itertools.islice(turns(3, [0.25, 0.75]), 4000))
    assert Counter(place for place, _ in drawn)[0] / 4000 == pytest.approx(0.25, abs=0.03)
    for place in (0, 1):
        own = [turn for drawn_place, turn in drawn if drawn_place == place]
        assert own == list(range(len(own)))
    assert drawn[:50] != list(itertools.islice(turns(4, [0.25, 0.75]), 50))


def test_a_step_has_frames_and_sensors_of_one_data_set(frames: Frames) -> None:
    found = jobs(frames, steps=40)
    counts: dict[str, Counter[int]] = {name: Counter() for name in SETS}
    for job in found:
        low, high, sensors = (0, 6, HEAT) if job.dataset == "heat" else (6, 18, RANGE)
        assert ((job.indices >= low) & (job.indices < high)).all()
        assert set(job.modalities) <= set(sensors)
        counts[job.dataset].update(job.indices.tolist())
    # Every frame of a set once in each of its epochs.
    for name, size in zip(SETS, (6, 12), strict=True):
        assert len(counts[name]) == size
        assert max(counts[name].values()) - min(counts[name].values()) <= 1
    later = jobs(frames, steps=40, first_step=23)
    assert [(j.dataset, j.modalities, j.indices.tolist()) for j in later] == [
        (j.dataset, j.modalities, j.indices.tolist()) for j in found[23:]
    ]


def test_labels_are_those_of_the_union(frames: Frames) -> None:
    assert isinstance(frames.train, MixedFrames)
    heat, ranges = frames.train.shares
    planes, labels = frames.train.read(np.array([7, 17]), RANGE)
    own_planes, own = ranges.source.read(np.array([1, 11]), RANGE)
    assert planes.equal(own_planes) and labels.dtype == torch.uint8
    assert labels.equal(torch.tensor([1, 0, 3], dtype=torch.uint8)[own.long()])
    assert set(labels.unique().tolist()) <= {0, 1, 3}
    assert heat.source.read(np.array([5]), HEAT)[1].equal(frames.train.read(np.array([5]), HEAT)[1])
    shares = frames.train.class_frequencies(4)
    assert shares.sum() == pytest.approx(1.0) and (shares > 0).all()
    assert ((shares[2] > shares[3]) == (heat.chance > 0.5)) and len(frames.train) == 18


def test_what_a_data_set_does_not_know_learns_nothing(frames: Frames) -> None:
    assert isinstance(frames.train, MixedFrames)
    known = {share.name: share.classes for share in frames.train.shares if share.classes}
    setting = Setting(("rgb",), np.full(4, 0.25), CPU, known)
    for criterion in ({}, {"class_balance": 0.5}, {"loss": "ohem"}):
        strategy = build_strategy({"name": "supervised", "criterion": criterion}, setting)
        logits = torch.randn(2, 4, 8, 8, requires_grad=True)
        labels = torch.randint(0, 3, (2, 32, 32))
        loss = strategy._criterion(logits, labels, "heat")  # type: ignore[attr-defined]
        loss.backward()
        assert torch.isfinite(loss) and logits.grad is not None
        assert not logits.grad[:, 3].any() and logits.grad[:, :3].any()


class Shouter(AnyModalNetwork):
    """Is surest of the last class, and then of what its first sensor says."""

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        return [modality_ids.float()[None, :, None, None].expand(images.shape[0], -1, 8, 12)]

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        assert features[0][0, :, 0, 0].tolist() == modality_ids.tolist()
        order = torch.tensor([0.0, 2.0, 1.0, 9.0])[None, :, None, None]
        return Decoded(order.expand(features[0].shape[0], -1, 8, 12))


def test_a_view_has_the_sensors_and_classes_of_its_data_set() -> None:
    recipe, dataset = mixed_recipe(), mixed_dataset()
    network = Shouter(4, recipe.modality_names).eval()
    heat, ranges = views_of(recipe, dataset, network)
    assert (heat.name, ranges.name) == SETS
    assert ranges.recipe.modality_names == RANGE and ranges.network.modalities == RANGE
    images, ids = torch.zeros(1, 3, 3, 32, 48), torch.arange(3)
    with torch.inference_mode():
        assert ranges.network.forward_features(images, ids)[0][0, :, 0, 0].tolist() == [0, 2, 3]
        assert ranges.network(images, ids)[0, :, 0, 0].tolist() == [2.0, 0.0, 9.0]
        assert heat.network(images[:, :2], ids[:2])[0, :, 0, 0].tolist() == [0.0, 2.0, 1.0]
    assert isinstance(heat.network, MemberNetwork) and not heat.network.training
    # What cannot be encoded once for all subsets must not be so in a view either.
    assert heat.network.encodes_apart
    architecture = {"network": "cmnext", "backbone": SHALLOW, "head_width": 16}
    mixing = build_network(architecture, 4, recipe.modality_names)
    assert not any(view.network.encodes_apart for view in views_of(recipe, dataset, mixing))
    (whole,) = views_of(recipe, DATASETS["heat"](), network)
    assert whole.network is network and whole.recipe is recipe and whole.name == ""


@pytest.fixture(scope="module")
def unbroken(frames: Frames, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    torch.set_num_threads(1)
    return run(mixed_recipe(steps=8), frames, tmp_path_factory.mktemp("unbroken") / "run")


@pytest.mark.parametrize("stop", [3, 5])
def test_a_resumed_run_is_the_unbroken_run(
    unbroken: RunFolder, frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    stopped_run(mixed_recipe(steps=8), frames, tmp_path / "run", stop, monkeypatch)
    assert_same(run(mixed_recipe(steps=8), frames, tmp_path / "run", resume=True), unbroken)


def test_a_stream_gives_the_run_of_the_cache(unbroken: RunFolder, tmp_path: Path) -> None:
    streamed = mixed_frames(tmp_path, "stream", workers=2)
    assert_same(run(mixed_recipe("stream", steps=8), streamed, tmp_path / "run"), unbroken)


def test_it_is_validated_on_each_data_set(unbroken: RunFolder) -> None:
    lines = [line for line in facts(unbroken) if line["kind"] == "validation"]
    keys = set(lines[0]) - {"step", "kind", "score"}
    assert {"heat/rgb", "heat/rgb+thermal", "range/rgb+depth+event"} <= keys
    assert len(keys) == 3 + 7
    for line in lines:
        means = [np.mean([v for k, v in line.items() if k.startswith(f"{n}/")]) for n in SETS]
        assert line["score"] == pytest.approx(np.mean(means))


def test_a_batch_knows_its_data_set(frames: Frames) -> None:
    job = next(job for job in jobs(frames, steps=20) if job.dataset == "range")
    batch = MakeBatch(mixed_recipe())(frames.train, job)
    assert isinstance(batch, Batch) and batch.dataset == "range"
    ids = mixed_recipe().modalities
    assert batch.modality_ids.tolist() == [ids[name].id for name in job.modalities]
    assert batch.to(CPU).dataset == "range" and not (batch.labels == 2).any()


@pytest.mark.parametrize("name", strategy_names())
def test_a_strategy_that_cannot_mix_says_so(name: str) -> None:
    setting = Setting(("rgb",), np.full(4, 0.25), CPU, {"heat": (0, 1, 2)})
    section = {"name": name}
    if name == "segrgbx_clip":
        section |= {"clip_weights": "random", "text_weight": 0.0}
    if name in ("supervised", "equiseg", "segrgbx", "segrgbx_clip"):
        assert isinstance(build_strategy(section, setting), Strategy)
    else:
        with pytest.raises(ConfigError, match=rf"'{name}', which cannot train on mixed data sets"):
            build_strategy(section, setting)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"sets": {}}, r"data.sets is \{\}: expected data sets by name"),
        ({"sets": {"a/b": {}}}, r"data.sets.a/b: a name has letters"),
        ({"sets": {"a": {"modalities": ["rgb"]}}}, r"data.sets.a.data is None: expected a data"),
        (
            {"sets": {"a": {"data": {"dataset": "mixed"}, "modalities": ["rgb"]}}},
            r"data.sets.a.data .* not mixed itself",
        ),
        (
            {"sets": {"a": {"data": {"dataset": "rig"}, "modalities": "rgb"}}},
            r"data.sets.a.modalities is 'rgb': expected a list",
        ),
        (
            {"sets": {"a": {"data": {"dataset": ["no"]}, "modalities": ["rgb"]}}},
            r"data.sets.a: data.dataset is \['no'\]: expected one of .*mixed",
        ),
        (
            {"sets": {"a": {"data": {"dataset": "no"}, "modalities": ["rgb"], "weight": 0}}},
            r"data.sets.a.weight is 0",
        ),
        ({"draw": "often", "sets": {"a": {}}}, r"data.draw is 'often': expected one of root_size"),
        ({"synonyms": ["a"], "sets": {"a": {}}}, r"data.synonyms is \['a'\]"),
        ({"sizes": 1}, r"unknown parameter data.sizes"),
    ],
)
def test_a_wrong_entry_is_named(section: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        open_dataset({"dataset": "mixed", **section})


def test_a_mixture_that_does_not_fit_the_recipe_is_refused() -> None:
    recipe, section = mixed_recipe(), mixed_section()
    section["sets"]["heat"]["modalities"] = ["rgb", "warmth"]
    odd = open_mixed(section, lambda section: DATASETS[section["dataset"]]())
    with pytest.raises(ConfigError, match=r"data.sets.heat.modalities has 'warmth'"):
        check_modalities(recipe, odd)
    section["sets"]["heat"]["modalities"] = ["rgb"]
    fewer = open_mixed(section, lambda section: DATASETS[section["dataset"]]())
    with pytest.raises(ConfigError, match=r"no data set has the modality 'thermal'"):
        check_modalities(recipe, fewer)
    check_modalities(recipe, mixed_dataset())
    with pytest.raises(ConfigError, match=r"a mixed data set has no frames of its own"):
        mixed_dataset().split("train")
    with pytest.raises(ConfigError, match=r"synonym 'Roof' is no class"):
        mixed_dataset(synonyms={"Roof": "left"})


def test_equiseg_trains_on_a_mixture_too(frames: Frames, tmp_path: Path) -> None:
    """Its prototypes are of the classes that an image has, whichever set it is of."""
    recipe = mixed_recipe(steps=4)
    recipe = dataclasses.replace(
        recipe,
        architecture={"network": "equiseg", "backbone": SHALLOW, "head_width": 16},
        strategy={"name": "equiseg"},
    )
    lines = facts(run(recipe, frames, tmp_path / "run"))
    sensors = [line["modalities"] for line in lines if line["kind"] == "train"]
    assert set(sensors) == {2, 3} and all(np.isfinite(line.get("loss", 0.0)) for line in lines)


@pytest.mark.slow
def test_it_learns(frames: Frames, tmp_path: Path) -> None:
    recipe = mixed_recipe(steps=30, learning_rate=3e-3, validate_every=30, checkpoint_every=30)
    lines = facts(run(recipe, frames, tmp_path / "run"))
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert sum(losses[-10:]) < 0.75 * sum(losses[:10])
