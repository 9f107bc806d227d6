"""Runs whose frames are streamed are judged and exported from the stream: no cache is made."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from fixtures.tiny_training import CLASSES, TinyDataset, tiny_recipe
from fixtures.unopened_graphs import leave_graphs_unwritten

from anymodal_seg_ros.networks import build_network
from anymodal_seg_training import datasets
from anymodal_seg_training.checkpoint import save_weights
from anymodal_seg_training.cli import main as command
from anymodal_seg_training.commands.pack import pack
from anymodal_seg_training.datasets.folders import FolderSplit, bundled_layout
from anymodal_seg_training.datasets.packed import PackedDataset, PackedOptions
from anymodal_seg_training.datasets.streaming import StreamedFrames
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.command_line import open_source
from anymodal_seg_training.runs.display import Display


@dataclass(frozen=True)
class NoOptions:
    """The tiny data set has none."""


@pytest.fixture(autouse=True)
def tiny_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = datasets._DatasetEntry(NoOptions, lambda options: TinyDataset())
    monkeypatch.setitem(datasets._DATASETS, "tiny", lambda: entry)


def run_folder(path: Path, store: str, data: dict[str, Any]) -> RunFolder:
    """A run that has weights; the same ones every time."""
    tiny = tiny_recipe()
    recipe = dataclasses.replace(
        tiny,
        input=dataclasses.replace(tiny.input, store=store),
        modalities={name: tiny.modalities[name] for name in ("rgb", "thermal")},
        data=data,
    )
    folder = RunFolder(path)
    folder.create(recipe)
    torch.manual_seed(3)
    network = build_network(recipe.architecture, len(CLASSES), recipe.modality_names)
    save_weights(folder.best_file, network.state_dict())
    return folder


def call(*arguments: object) -> None:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_a_stream_is_scored_as_the_cache_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_graphs_unwritten(monkeypatch)
    packed = tmp_path / "packed"
    pack(TinyDataset(), packed, ("test",), 4, False, 1, Display())
    cache = tmp_path / "cache"
    results = {}
    for name, store, data in (
        ("stream", "stream", {"dataset": "tiny"}),
        ("packed", "stream", {"dataset": "packed", "folder": str(packed)}),
        ("cached", "cache", {"dataset": "tiny"}),
    ):
        run = run_folder(tmp_path / name, store, data)
        where = ["--cache-dir", cache, "--threads", 1, "--workers", 1]
        call("evaluate", run.path, "--benchmark", *where)
        results[name] = json.loads(run.result_file("test").read_text())
        if name == "stream":
            call("export", run.path, tmp_path / "model", *where)
            assert yaml.safe_load((tmp_path / "model" / "model.yaml").read_text())["files"]
        assert cache.exists() == (name == "cached")
    assert set(results["cached"]["conditions"]["light"]) == {"day", "night"}
    assert results["stream"] == results["packed"] == results["cached"]


def test_conditions_of_a_unit_are_those_of_its_frames(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    from anymodal_seg_training.datasets.rig import RigDataset, RigOptions
    from anymodal_seg_training.datasets.rigbench import RigBenchDataset, RigBenchOptions

    pack(TinyDataset(), tmp_path / "packed", ("test",), 4, False, 1, Display())
    for split in (
        TinyDataset().split("test"),
        PackedDataset(PackedOptions(str(tmp_path / "packed"))).split("test"),
        RigDataset(RigOptions(frames_per_scene=1)).split("test"),
        RigBenchDataset(RigBenchOptions()).split("test"),
    ):
        found = list(split.conditions(1))
        assert len(found) == split.frames_per_unit
        assert found == [dict(frame.conditions) for frame in split.frames(1)]


def test_conditions_of_folders_need_none_of_the_files(tmp_path: Path) -> None:
    fields = {"weather": "fog", "scene": "MAP_1_motionblur", "frame": "1", "split": "test"}
    split = FolderSplit(bundled_layout("deliver"), tmp_path, "test", (fields,))
    assert split.conditions(0) == ({"weather": "fog", "case": "motionblur"},)


def test_nothing_stands_in_for_a_damaged_frame_that_is_judged(tmp_path: Path) -> None:
    tiny = tiny_recipe()
    options = dataclasses.replace(tiny.input, store="stream", on_damage="replace")
    recipe = dataclasses.replace(tiny, input=options)
    for learning in (False, True):
        source = open_source(
            TinyDataset(), "train", recipe, tmp_path, 1, Display(), learning=learning
        )
        assert isinstance(source, StreamedFrames)
        assert source._reading.replaces == learning
    assert not list(tmp_path.iterdir())
