"""Weights between those of a run and those that it began with."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from fixtures.tiny_training import CLASSES, TinyDataset, tiny_recipe
from fixtures.training_runs import run
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_training.checkpoint import save_weights
from anymodal_seg_training.cli import main
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.export import averaging
from anymodal_seg_training.export.averaging import averaged, check_modalities
from anymodal_seg_training.export.trained_network import load_best
from anymodal_seg_training.recipe import InitialWeights
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.loop import Frames

CPU = torch.device("cpu")
NUMBERS = st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3)


@settings(deadline=None)
@given(NUMBERS, NUMBERS, st.floats(0.0, 1.0))
def test_every_weight_lies_between_the_two(
    one: list[float], other: list[float], share: float
) -> None:
    own, others = {"w": torch.tensor(one)}, {"w": torch.tensor(other)}
    found = averaged(own, others, share)["w"]
    expected = (1.0 - share) * own["w"] + share * others["w"]
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-5)
    assert torch.equal(averaged(own, others, 0.0)["w"], own["w"])
    assert torch.equal(averaged(own, others, 1.0)["w"], others["w"])


def test_what_is_counted_is_not_averaged() -> None:
    own, others = {"batches": torch.tensor([4, 8])}, {"batches": torch.tensor([0, 1])}
    assert averaged(own, others, 0.5)["batches"].tolist() == [4, 8]


@pytest.mark.parametrize("others", [{}, {"w": torch.zeros(2, 3)}, {"v": torch.zeros(3)}])
def test_weights_of_another_network_are_refused(others: dict[str, torch.Tensor]) -> None:
    with pytest.raises(TrainingError, match=r"not of one network, such as [vw]: average a run"):
        averaged({"w": torch.zeros(3)}, others, 0.5)


def test_kinds_in_another_order_are_refused() -> None:
    """Every tensor has the shape of its partner, and each kind would get a share of another."""
    own = tiny_recipe()
    swapped = {"rgb": own.modalities["thermal"], "thermal": own.modalities["rgb"]}
    others = dataclasses.replace(own, modalities={**own.modalities, **swapped})
    with pytest.raises(TrainingError, match=r"modalities thermal, rgb.*expected rgb, ther"):
        check_modalities(own, others, Path("old"))
    named = {"sight" if name == "rgb" else name: spec for name, spec in own.modalities.items()}
    begun = dataclasses.replace(
        own, modalities=named, initial_weights=InitialWeights("old", {"sight": "rgb"})
    )
    check_modalities(own, own, Path("old"))
    check_modalities(begun, own, Path("old"))


def test_the_command_replaces_the_best_weights(
    frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(averaging, "open_dataset", lambda data: TinyDataset())
    tuned = run(tiny_recipe(), frames, tmp_path / "tuned")
    shutil.copytree(tuned.path, tmp_path / "begun")
    begun = RunFolder(tmp_path / "begun")
    later = load_best(tuned, len(CLASSES), CPU).state_dict()
    earlier = {k: v + 1 if v.is_floating_point() else v for k, v in later.items()}
    save_weights(begun.best_file, earlier)
    arguments = ["average", str(tuned.path), "--with", str(begun.path), "--share", "0.25"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "25 % of it from" in result.output
    found = load_best(tuned, len(CLASSES), CPU).state_dict()
    for name, value in later.items():
        step = 0.25 if value.is_floating_point() else 0
        torch.testing.assert_close(found[name], value + step)
