from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.tiny_training import (
    TinyDataset,
    TinySplit,
    UnlabelledDataset,
    tiny_format,
    tiny_recipe,
)
from fixtures.training_runs import facts, run, stopped_run
from fixtures.zoo import SHALLOW

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import build_network
from anymodal_seg_ros.networks.windows import WindowCrossAttention
from anymodal_seg_training.checkpoint import load_checkpoint, load_weights, save_checkpoint
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.datasets.frame_cache import open_cache
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.fabric import open_fabric
from anymodal_seg_training.recipe import InitialWeights, TrainingOptions
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.display import Display
from anymodal_seg_training.runs.loop import Frames, Learner, Trainer
from anymodal_seg_training.runs.optimisation import (
    build_optimiser,
    freeze,
    learning_rate,
    parameter_rates,
)
from anymodal_seg_training.strategies import build_strategy
from anymodal_seg_training.strategies.base import Setting
from anymodal_seg_training.train import train

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def assert_same(one: RunFolder, other: RunFolder) -> None:
    assert facts(one) == facts(other)
    states = [load_checkpoint(files.last_file) for files in (one, other)]
    assert states[0]["step"] == states[1]["step"] and states[0]["best"] == states[1]["best"]
    for name, tensor in states[0]["network"].items():
        assert torch.equal(tensor, states[1]["network"][name]), name
    best = [load_weights(files.best_file) for files in (one, other)]
    assert all(torch.equal(tensor, best[1][name]) for name, tensor in best[0].items())


@pytest.fixture(scope="module")
def unbroken(frames: Frames, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nothing happened to."""
    torch.set_num_threads(1)
    return run(tiny_recipe(), frames, tmp_path_factory.mktemp("unbroken") / "run")


def test_a_run_leaves_what_it_should(unbroken: RunFolder) -> None:
    names = {path.name for path in unbroken.path.iterdir()}
    assert names >= {"recipe.yaml", "environment.yaml", "log.jsonl", "last.pt", "best.safetensors"}
    assert unbroken.recipe == tiny_recipe()
    lines = facts(unbroken)
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(6))
    validations = [line for line in lines if line["kind"] == "validation"]
    assert [line["step"] for line in validations] == [2, 5]
    assert len(validations[0]) == 3 + 15 and 0.0 <= validations[0]["score"] <= 1.0
    assert load_checkpoint(unbroken.last_file)["best"] == max(v["score"] for v in validations)


def test_without_a_step_what_it_begins_with_is_measured_and_kept(
    frames: Frames, tmp_path: Path
) -> None:
    recipe = tiny_recipe(steps=0)
    files = run(recipe, frames, tmp_path / "run")
    torch.manual_seed(recipe.seed)
    begun = build_network(recipe.architecture, len(frames.classes), recipe.modality_names)
    kept = load_weights(files.best_file)
    assert all(torch.equal(kept[name], tensor) for name, tensor in begun.state_dict().items())
    (line,) = facts(files)
    assert line["kind"] == "validation" and line["step"] == 0 and 0.0 < line["score"] < 1.0
    resumed = run(recipe, frames, files.path, resume=True)
    assert load_checkpoint(resumed.last_file)["best"] == line["score"]


class UnreadDataset(TinyDataset):
    """Its training frames cannot be prepared."""

    def split(self, name: str) -> TinySplit:
        return TinySplit(f"tiny-{name}", broken_unit=0 if name == "train" else -1)


def test_without_a_step_no_frames_to_learn_from_are_prepared(tmp_path: Path) -> None:
    recipe, folder = tiny_recipe(steps=0), RunFolder(tmp_path / "run")
    fabric = open_fabric(torch.device("cpu"), "fp32")
    train(recipe, UnreadDataset(), folder, False, tmp_path / "cache", fabric, 1, Display())
    assert folder.best_file.exists()


def test_the_same_seed_gives_the_same_run_and_another_does_not(
    unbroken: RunFolder, frames: Frames, tmp_path: Path
) -> None:
    assert_same(run(tiny_recipe(), frames, tmp_path / "again"), unbroken)
    other = run(dataclasses.replace(tiny_recipe(), seed=6), frames, tmp_path / "other")
    assert facts(other) != facts(unbroken)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_resumed_run_is_the_unbroken_run(
    unbroken: RunFolder,
    frames: Frames,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: int,
) -> None:
    """Also where the log is ahead of the checkpoint, and where there is no checkpoint yet."""
    files = stopped_run(tiny_recipe(), frames, tmp_path / "run", stop, monkeypatch)
    assert files.last_file.exists() == (stop > 1)
    with files.log_file.open("a") as log:
        log.write('{"step": 5, "kind": "tr')  # the end of a line that never came
    assert_same(run(tiny_recipe(), frames, files.path, resume=True), unbroken)


CHILD = """
import os, signal, sys, torch
from pathlib import Path
torch.set_num_threads(1)
from anymodal_seg_training.runs.display import Display
from anymodal_seg_training.fabric import open_fabric
from anymodal_seg_training.train import train
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.datasets import workers
from anymodal_seg_training.datasets.reading import Reading, in_workers
from fixtures.damaged_frames import number_and_process
from fixtures.tiny_training import TinyDataset, tiny_recipe
workers._LOADED.clear()  # one worker alone is sooner without them
reader = in_workers(None, range(1000), number_and_process, Reading(1))
next(reader)
files, replace, checkpoints = RunFolder(Path(sys.argv[1])), os.replace, []
def replace_or_die(source, target):
    checkpoints.append(target) if target == files.last_file else None
    os.kill(os.getpid(), signal.SIGKILL) if len(checkpoints) == 4 else replace(source, target)
os.replace = replace_or_die
train(tiny_recipe(steps=12), TinyDataset(), files, True, Path(sys.argv[2]),
      open_fabric(torch.device("cpu"), "fp32"), 1, Display())
"""


@pytest.mark.slow
def test_kill_9_and_resume(frames: Frames, tmp_path: Path) -> None:
    """At the worst moment: a new checkpoint is written, and not yet in the place of the old one."""
    recipe = tiny_recipe(steps=12)
    files, cache = RunFolder(tmp_path / "run"), frames.train.folder.parent
    paths = [ROOT, ROOT / "training", ROOT / "test"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-c", CHILD, str(files.path), str(cache)]
    # It returns when nobody is left who may write into the pipes: no worker outlives the run.
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert load_checkpoint(files.last_file)["step"] == 6 and len(facts(files)) > 6
    run(recipe, frames, files.path, resume=True)
    assert_same(files, run(recipe, frames, tmp_path / "unbroken"))


@pytest.mark.slow
def test_it_learns(frames: Frames, tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=40, learning_rate=3e-3, validate_every=40, checkpoint_every=40)
    lines = facts(run(recipe, frames, tmp_path / "run"))
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert sum(losses[-10:]) < 0.65 * sum(losses[:10])
    # Two of three classes are easy for most subsets; after so few steps a single sensor may lag.
    assert lines[-1]["score"] > 0.45


def test_without_dropout_every_step_has_all_sensors(frames: Frames, tmp_path: Path) -> None:
    recipe = tiny_recipe()
    strategy = {"name": "supervised", "modality_dropout": "none"}
    lines = facts(run(dataclasses.replace(recipe, strategy=strategy), frames, tmp_path / "run"))
    assert {line["modalities"] for line in lines if line["kind"] == "train"} == {4}
    (last,) = [line for line in lines if line["kind"] == "validation" and line["step"] == 5]
    assert last["score"] == last["rgb+thermal+depth+event"] and "rgb" not in last


def test_bf16_runs(frames: Frames, tmp_path: Path) -> None:
    lines = facts(run(tiny_recipe(precision="bf16", steps=2), frames, tmp_path / "run"))
    assert all(line["loss"] < 10 for line in lines if line["kind"] == "train")


def test_a_loss_that_is_not_finite_stops_the_run(
    frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Trainer._batch

    def spoiled(self: Trainer) -> Batch:
        batch = make(self)
        factor = float("nan") if self._step == 3 else 1.0
        return dataclasses.replace(batch, images=batch.images * factor)

    monkeypatch.setattr(Trainer, "_batch", spoiled)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 3: .*last good checkpoint"):
        run(tiny_recipe(), frames, tmp_path / "run")
    state = load_checkpoint(tmp_path / "run" / "last.pt")
    assert state["step"] == 2
    assert all(torch.isfinite(tensor).all() for tensor in state["network"].values())


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_gradient_that_is_not_finite_stops_the_run_before_it_spoils_a_weight(
    clip: float, frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a loss that is finite, such as of a root at zero."""
    learn = Learner.forward

    def spoiled(self: Learner, *arguments: Any) -> dict[str, torch.Tensor]:
        found = learn(self, *arguments)
        if arguments[-1] == 3:
            found["loss"] = found["loss"] + (0.0 * found["loss"]).sqrt()
        return found

    monkeypatch.setattr(Learner, "forward", spoiled)
    with pytest.raises(TrainingError, match=r"norm of the gradient is (nan|inf) at step 3: lower"):
        recipe = tiny_recipe(gradient_clip=clip, checkpoint_every=1, validate_every=100)
        run(recipe, frames, tmp_path / "run")
    state = load_checkpoint(tmp_path / "run" / "last.pt")
    assert state["step"] == 3
    assert all(torch.isfinite(tensor).all() for tensor in state["network"].values())


@pytest.mark.parametrize(
    ("which", "complaint"),
    [
        ("train", r"no pixel of the 6 training frames has a label: there is nothing to learn"),
        ("validation", r"no pixel of the validation frames has a label .* is 4, of 6\)"),
    ],
)
def test_frames_that_nobody_labelled_are_told(
    which: str, complaint: str, frames: Frames, tmp_path: Path
) -> None:
    """With a loss of nothing a run would end well, and a score of nothing is never the best."""
    split = UnlabelledDataset().split(which)
    nothing = open_cache(split, tiny_format(), tmp_path / "cache", workers=1)
    recipe = tiny_recipe(steps=1, batch_size=2)
    with pytest.raises(TrainingError, match=complaint):
        run(recipe, dataclasses.replace(frames, **{which: nothing}), tmp_path / "run")


def test_another_recipe_cannot_resume(unbroken: RunFolder) -> None:
    with pytest.raises(TrainingError, match=r"cannot resume .*seed 5, the recipe given has 6"):
        unbroken.check_same(dataclasses.replace(tiny_recipe(), seed=6))
    with pytest.raises(
        TrainingError,
        match=r"has training.ema 0.0, the recipe given has 0.5: go on with \S+recipe.yaml, or name",
    ):
        unbroken.check_same(tiny_recipe(ema=0.5))
    without = dataclasses.replace(tiny_recipe(), strategy={"name": "supervised", "loss": "ohem"})
    with pytest.raises(TrainingError, match=r"strategy.loss no such entry, .* has 'ohem'"):
        unbroken.check_same(without)
    unbroken.check_same(tiny_recipe())


def test_a_run_does_not_go_on_with_other_frames(frames: Frames, tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=2, batch_size=2)
    files = run(recipe, frames, tmp_path / "run")
    fewer = open_cache(TinySplit("tiny-train", units=2), tiny_format(), tmp_path / "cache", 1)
    with pytest.raises(TrainingError, match=r"trained on 6 frames, its data set has 4 now"):
        run(recipe, dataclasses.replace(frames, train=fewer), files.path, resume=True)


def test_a_run_is_not_overwritten(unbroken: RunFolder) -> None:
    with pytest.raises(TrainingError, match=r"holds a run already: add --resume"):
        unbroken.create(tiny_recipe())


def test_a_checkpoint_of_something_else_is_refused(frames: Frames, tmp_path: Path) -> None:
    files = RunFolder(tmp_path / "run")
    files.create(tiny_recipe())
    save_checkpoint(files.last_file, {"step": 1, "network": {}, "optimiser": {}, "best": 0.0})
    with pytest.raises(TrainingError, match=r"last\.pt does not fit the recipe"):
        run(tiny_recipe(), frames, files.path, resume=True)


def _odd_moment(state: dict[str, Any]) -> None:
    next(iter(state["optimiser"]["state"].values()))["exp_avg"] = torch.zeros(3)


ODD: dict[str, Any] = {
    "no state": lambda state: state.clear(),
    "no weights": lambda state: state.update(network=5),
    "weights of somebody else": lambda state: state.update(network={"\x1b[31m": torch.zeros(1)}),
    "no optimiser": lambda state: state.update(optimiser=[1, 2]),
    "other groups": lambda state: state["optimiser"].update(param_groups=[{"params": "x"}] * 2),
    "a moment of another shape": _odd_moment,
    "a step that is no number": lambda state: state.update(step="x" * 100_000),
    "a step before the first": lambda state: state.update(step=-5),
    "a step after the last": lambda state: state.update(step=10**9),
    "an endless step": lambda state: state.update(step=float("inf")),
    "a best that nothing is better than": lambda state: state.update(best=float("nan")),
    "frames by name": lambda state: state.update(frames="\x1b]0;" + "y" * 100_000),
    "a strategy that is none": lambda state: state.update(strategy=None, replaced=None),
}


@pytest.mark.parametrize("odd", ODD)
def test_the_state_of_a_stranger_is_refused_in_a_line(
    odd: str, unbroken: RunFolder, frames: Frames, tmp_path: Path
) -> None:
    state = load_checkpoint(unbroken.last_file)
    ODD[odd](state)
    files = RunFolder(tmp_path / "run")
    files.create(tiny_recipe())
    save_checkpoint(files.last_file, state)
    with pytest.raises(TrainingError, match=r"/run") as told:
        run(tiny_recipe(), frames, files.path, resume=True)
    said = str(told.value)
    assert len(said) < 500 and said.isprintable() and "--run-dir" in said


def test_a_state_that_holds_no_names_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "last.pt")
    with pytest.raises(TrainingError, match=r"last\.pt: it holds a list"):
        load_checkpoint(tmp_path / "last.pt")


def test_the_learning_rate_warms_up_and_decays_to_nothing() -> None:
    options = TrainingOptions(steps=100, warmup_steps=10, learning_rate=1.0, poly_power=0.9)
    rates = [learning_rate(options, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[10] == 1.0
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.5**0.9)
    assert 0.0 < rates[99] < 0.02 and learning_rate(options, 100) == 0.0


def test_norms_and_biases_do_not_decay() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    decayed, free = build_optimiser(network, TrainingOptions(weight_decay=0.3)).param_groups
    assert [p.ndim for p in decayed["params"]] == [4] and decayed["weight_decay"] == 0.3
    assert [p.ndim for p in free["params"]] == [1, 1, 1] and free["weight_decay"] == 0.0


def test_averaged_weights_have_the_statistics_of_the_sets_that_were_drawn(
    frames: Frames, tmp_path: Path
) -> None:
    """Averaging would forget a set that is not drawn in the first step."""
    files = run(tiny_recipe(ema=0.99), frames, tmp_path / "run")
    last = load_checkpoint(files.last_file)
    for name, tensor in last["network"].items():
        if ".sets." in name:
            assert torch.equal(last["average"][f"module.{name}"], tensor), name
    assert int(last["network"]["head.sets.batches"].sum()) == 6


def test_tables_of_relative_positions_do_not_decay() -> None:
    attention = WindowCrossAttention(8, 2, 4, shifted=False)
    decayed, free = build_optimiser(attention, TrainingOptions(weight_decay=0.3)).param_groups
    assert any(p is attention.position for p in free["params"])
    assert not any(p is attention.position for p in decayed["params"]) and decayed["params"]


def test_scales_of_channels_do_not_decay_whatever_their_shape() -> None:
    """CMNeXt's layer scales are vectors in its authors' code, which decays kernels only."""
    network = build_network(
        {"network": "cmnext", "backbone": SHALLOW, "head_width": 16}, 3, ("rgb", "depth")
    )
    scales = {p for name, p in network.named_parameters() if name.endswith("_scale")}
    _, free = build_optimiser(network, TrainingOptions(weight_decay=0.3)).param_groups
    assert scales and scales <= set(free["params"])


def test_epochs_become_steps_of_the_frames_that_there_are(frames: Frames, tmp_path: Path) -> None:
    """Six frames, four of them in a step: two epochs are three steps."""
    recipe = tiny_recipe(steps=1000, epochs=2.0)
    lines = facts(run(recipe, frames, tmp_path / "run"))
    assert [line["step"] for line in lines if line["kind"] == "train"] == [0, 1, 2]
    assert recipe.for_frames(1).training.steps == 1, "never none at all"
    assert tiny_recipe(steps=7).for_frames(100).training.steps == 7


def test_what_public_weights_do_not_fill_has_a_rate_of_its_own() -> None:
    recipe = tiny_recipe(new_rate=10.0)
    network = build_network(recipe.architecture, 3, recipe.modality_names)
    strategy = build_strategy({"name": "supervised"}, Setting(("rgb",), np.ones(3), CPU))
    with_encoder = dataclasses.replace(recipe, initial_weights=InitialWeights(encoder="mit.pth"))
    rates = parameter_rates(with_encoder, strategy, network)
    found = {name: rates(f"network.{name}") for name, _ in network.named_parameters()}
    assert {n for n, rate in found.items() if rate == 1.0} == {
        n for n in found if n.startswith("encoder.")
    }
    assert {n for n, rate in found.items() if rate == 10.0} == {
        n for n in found if n.startswith("head.")
    }
    # Where nothing is given, nothing is new beside it.
    assert parameter_rates(recipe, strategy, network)("network.head.fuse.weight") == 1.0


def test_what_is_frozen_stays_and_the_rest_learns(frames: Frames, tmp_path: Path) -> None:
    def with_frozen(*beginnings: str) -> RunFolder:
        recipe = tiny_recipe(steps=2, validate_every=2)
        training = dataclasses.replace(recipe.training, frozen=beginnings)
        path = tmp_path / ("whole" if not beginnings else "part")
        return run(dataclasses.replace(recipe, training=training), frames, path)

    whole, part = (load_weights(r.best_file) for r in (with_frozen(), with_frozen("encoder.")))
    recipe = tiny_recipe()
    torch.manual_seed(recipe.seed)
    first = build_network(recipe.architecture, len(frames.classes), recipe.modality_names)
    for name, parameter in first.named_parameters():
        frozen = name.startswith("encoder.")
        assert torch.equal(part[name], parameter) == frozen, name
        assert not frozen or not torch.equal(whole[name], parameter) or not parameter.any()


def test_a_frozen_part_that_is_none_is_named() -> None:
    network = build_network(tiny_recipe().architecture, 3, tiny_recipe().modality_names)
    with pytest.raises(ConfigError, match=r"training\.frozen has 'encode\.x'.*encoder, head"):
        freeze(network, ("encode.x",))
    with pytest.raises(ConfigError, match="leaves nothing that learns"):
        freeze(network, ("",))
