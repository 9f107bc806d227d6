"""RigBench as the trainer sees it: drawn or read, the same frames."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trimesh", reason="the simulation is not installed: pip install '.[sim]'")

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.dataset.frames import scene_frames, sized_sensors
from anymodal_seg_ros.simulation.dataset.plan import ScenePlan
from anymodal_seg_ros.simulation.dataset.rigbench import rigbench
from anymodal_seg_ros.simulation.dataset.writer import DatasetConfig, write_dataset
from anymodal_seg_ros.simulation.world.classes import CLASS_NAMES, CLASSES
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import SPLITS
from anymodal_seg_training.datasets.rigbench import RigBenchSplit


def test_splits_promise_what_the_definition_says() -> None:
    data = open_dataset({"dataset": "rigbench"})
    assert tuple(c.name for c in data.classes) == CLASS_NAMES
    for name in SPLITS:
        split, plans = data.split(name), rigbench().plans(name)
        assert split.units == len(plans)
        assert split.units * split.frames_per_unit == sum(plan.frames for plan in plans)
        assert split.name == f"rigbench1-{name}"
    assert len({data.split(name).key for name in SPLITS}) == 3
    assert "Synthetic data only" in data.description


def test_varied_scenes_are_learned_from_and_never_measured_on() -> None:
    plain = open_dataset({"dataset": "rigbench"})
    data = open_dataset({"dataset": "rigbench", "varied_scenes": 40})
    for name in ("validation", "test"):
        assert (
            data.split(name) == plain.split(name) and data.split(name).key == plain.split(name).key
        )
    train, own = data.split("train"), plain.split("train")
    assert train.key != own.key
    assert train.units == own.units + 40 and train.frames_per_unit == own.frames_per_unit
    assert isinstance(train, RigBenchSplit) and train.plans == rigbench().plans("train")
    seeds = {plan.seed for plan in train.varied}
    assert len(seeds) == 40
    assert not seeds & {plan.seed for name in SPLITS for plan in rigbench().plans(name)}
    assert {plan.weather for plan in train.varied} == set(rigbench().weathers)
    assert train.conditions(own.units)[0]["kind"] == train.varied[0].kind
    assert "240 frames" in data.description and "240 frames" not in plain.description


def test_varied_scenes_are_drawn_varied_even_where_the_others_are_read(tmp_path: Path) -> None:
    bench = dataclasses.replace(rigbench(), width=64, height=48)
    plan = ScenePlan("train", 3, "urban", "cloud")
    split = RigBenchSplit((), bench, str(tmp_path), "same", (plan,))
    (frame,) = split.frames(0)
    (expected,) = scene_frames([plan], sized_sensors(64, 48), varied=True)
    np.testing.assert_array_equal(frame.label, expected.labels)


def test_drawn_and_read_frames_are_the_same(tmp_path: Path) -> None:
    bench = dataclasses.replace(rigbench(), width=64, height=48)
    plans = tuple(dataclasses.replace(plan, frames=1) for plan in bench.plans("test")[:2])
    write_dataset(tmp_path / "bench", DatasetConfig(bench.title, plans, 64, 48), workers=1)
    drawn = RigBenchSplit(plans, bench, "", "same")
    read = RigBenchSplit(plans, bench, str(tmp_path / "bench"), "same")
    assert drawn.key == read.key
    for unit in range(2):
        (a,), (b,) = drawn.frames(unit), read.frames(unit)
        np.testing.assert_array_equal(a.label, b.label)
        plan = plans[unit]
        assert a.conditions == b.conditions
        assert a.conditions == {"weather": plan.weather, "case": plan.case, "kind": plan.kind}
        assert set(a.images) == {"rgb", "thermal", "depth", "event", "lidar"} == set(b.images)
        for modality, image in a.images.items():
            assert image.encoding == b.images[modality].encoding
            np.testing.assert_array_equal(image.pixels, b.images[modality].pixels)


def test_the_trainers_own_reader_of_deliver_reads_what_the_simulation_wrote(tmp_path: Path) -> None:
    plans = tuple(
        ScenePlan(split, seed, "suburban", "fog", "lidarjitter")
        for seed, split in enumerate(SPLITS, start=40)
    )
    write_dataset(tmp_path / "set", DatasetConfig("streets", plans, 64, 48), workers=1)
    section = {"dataset": "folders", "layout": "deliver", "root": str(tmp_path / "set")}
    data = open_dataset(section)
    ids = np.array([entry.deliver_id for entry in CLASSES], np.uint8)
    for plan in plans:
        split = data.split(plan.split)
        assert split.units == 1
        (read,) = split.frames(0)
        (drawn,) = scene_frames([plan], sized_sensors(64, 48))
        np.testing.assert_array_equal(read.label, ids[drawn.labels])
        np.testing.assert_array_equal(read.images["rgb"].pixels, drawn.pixels["rgb"])
        np.testing.assert_array_equal(read.images["lidar"].pixels, drawn.pixels["lidar"])
        names = {data.classes[i].name for i in np.unique(read.label)}
        assert names & {"Road", "SideWalk", "Building"}


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="simulate rigbench"):
        open_dataset({"dataset": "rigbench", "folder": str(tmp_path)})
    os.mkfifo(tmp_path / "dataset.json")  # is not waited for
    with pytest.raises(ConfigError, match="no regular file"):
        open_dataset({"dataset": "rigbench", "folder": str(tmp_path)})
    (tmp_path / "dataset.json").unlink()
    (tmp_path / "dataset.json").write_text(json.dumps({"title": "streets", "source": "x"}))
    with pytest.raises(ConfigError, match="is streets: expected RigBench 1"):
        open_dataset({"dataset": "rigbench", "folder": str(tmp_path)})
