"""Statistics of every set of sensors, measured for weights as they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from fixtures.tiny_training import CLASSES, TinyDataset, tiny_recipe
from fixtures.training_runs import run
from fixtures.zoo import SHALLOW

from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_ros.networks.segformer_head import SegFormerHead
from anymodal_seg_training.cli import main
from anymodal_seg_training.data.sampling import all_subsets
from anymodal_seg_training.datasets.frame_cache import FrameCache
from anymodal_seg_training.export import recalibration
from anymodal_seg_training.export.recalibration import recalibrate
from anymodal_seg_training.export.trained_network import load_best
from anymodal_seg_training.runs.loop import Frames

CPU = torch.device("cpu")
RECIPE = tiny_recipe()


def network_of(name: str) -> AnyModalNetwork:
    torch.manual_seed(2)
    architecture = {"network": name, "backbone": SHALLOW, "head_width": 16}
    return build_network(architecture, len(CLASSES), RECIPE.modality_names).eval()


@pytest.mark.parametrize("name", ["quorum", "cmnext"])
def test_every_subset_is_spread_evenly_by_its_own_statistics(name: str, frames: Frames) -> None:
    """What the head's norm gives has mean and variance of its weights, over the frames seen."""
    network = network_of(name)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    source = frames.train
    assert recalibrate(network, source, RECIPE, CPU, len(source)) == 15
    after = network.state_dict()
    changed = {k for k in after if not torch.equal(after[k], before[k])}
    assert changed == {f"head.sets.{name}" for name in ("mean", "variance", "batches")}
    assert not network.training and isinstance(network.head, SegFormerHead)
    found: list[torch.Tensor] = []
    assert network.head.sets is not None
    network.head.sets.register_forward_hook(lambda module, inputs, result: found.append(result))
    planes = source.read(torch.arange(len(source)).numpy(), RECIPE.modality_names)[0].float()
    for subset in all_subsets(range(4)):
        with torch.inference_mode():
            network(planes[:, list(subset)], torch.tensor(subset))
        values = found.pop().transpose(0, 1).flatten(1)
        torch.testing.assert_close(values.mean(dim=1), torch.zeros(16), atol=2e-3, rtol=0)
        torch.testing.assert_close(values.var(dim=1), torch.ones(16), atol=1e-2, rtol=0)


def test_a_network_whose_heads_know_their_sensor_has_nothing_to_measure(frames: Frames) -> None:
    assert recalibrate(network_of("late_fusion"), frames.train, RECIPE, CPU, 4) == 0


def test_the_command_replaces_the_statistics_of_a_run(
    frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Best weights of a run that only ever saw all sensors get statistics of every subset."""
    files = run(RECIPE, frames, tmp_path / "run")

    def prepared(*arguments: object, **options: object) -> FrameCache:
        assert arguments[1] == "train" and isinstance(frames.train, FrameCache)
        return frames.train

    monkeypatch.setattr(recalibration, "open_dataset", lambda data: TinyDataset())
    monkeypatch.setattr(recalibration, "open_source", prepared)
    before = load_best(files, len(CLASSES), CPU).state_dict()
    arguments = ["recalibrate", str(files.path), "--frames", "4", "--device", "cpu"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "statistics of 15 sets of sensors" in result.output
    after = load_best(files, len(CLASSES), CPU).state_dict()
    assert all(torch.equal(after[k], before[k]) for k in before if not k.startswith("head.sets"))
    assert (after["head.sets.batches"][1:] > 0).all() and after["head.sets.batches"][0] == 0


def test_the_command_leaves_a_run_without_such_heads_as_it_is(
    frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No error: the same commands serve every method of a study."""
    architecture = {**RECIPE.architecture, "network": "late_fusion"}
    files = run(dataclasses.replace(RECIPE, architecture=architecture), frames, tmp_path / "run")
    monkeypatch.setattr(recalibration, "open_dataset", lambda data: TinyDataset())
    monkeypatch.setattr(recalibration, "open_source", lambda *arguments, **options: frames.train)
    before = files.best_file.read_bytes()
    result = CliRunner().invoke(main, ["recalibrate", str(files.path), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "stays as it is" in result.output and files.best_file.read_bytes() == before
