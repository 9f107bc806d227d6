"""A drive of the simulated rig, recorded with its labels, as a data set."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

pytest.importorskip("trimesh", reason="the simulation is not installed: pip install '.[sim]'")

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.bag_writer import ImageBagWriter
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.rig_bag import write_rig_bag
from anymodal_seg_ros.evaluation.rig_shots import RigBagConfig
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.simulation.dataset.frames import sized_sensors
from anymodal_seg_ros.simulation.world.camera import Mount, MountedCamera
from anymodal_seg_ros.simulation.world.classes import CLASS_NAMES
from anymodal_seg_ros.simulation.world.scene import SceneConfig
from anymodal_seg_training.cli import main as command
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.bag_instants import recorded_rig
from anymodal_seg_training.errors import TrainingError

SECOND = 1_000_000_000
WIDTH, HEIGHT = 64, 48


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sensors side by side, each with a lens of its own; events one by one."""
    path = tmp_path_factory.mktemp("bags") / "drive"
    sensors: Any = tuple(
        dataclasses.replace(
            sensor, camera=MountedCamera(sensor.camera.intrinsics, Mount(y=0.1 * number))
        )
        for number, sensor in enumerate(sized_sensors(WIDTH, HEIGHT))
        if sensor.name in ("rgb", "thermal", "events")
    )
    scene = SceneConfig(11, weather="sun", kind="suburban", ego="driving")
    write_rig_bag(path, RigBagConfig(scene, sensors, duration_s=0.4), workers=1)
    return path


def _section(drive: Path, **changes: str) -> dict[str, Any]:
    return {
        "dataset": "bag",
        "parameters": str(drive / "rig.yaml"),
        "label_topic": "rgb/labels",
        "classes": "rig",
        "train": f"{drive}@0-0.6",
        "test": f"{drive}@0.6-1",
        **changes,
    }


def _recorded(drive: Path, topic: str) -> dict[int, Image]:
    with Bag(drive) as bag:
        messages = [bag.decode(message) for message in bag.messages([topic])]
    return {stamp_ns(message.header): decode_image(message) for message in messages}


def test_a_recorded_drive_gives_registered_frames_with_labels(drive: Path) -> None:
    dataset = open_dataset(_section(drive))
    assert tuple(entry.name for entry in dataset.classes) == CLASS_NAMES
    train, test = dataset.split("train"), dataset.split("test")
    assert train.key != test.key and train.key == dataset.split("train").key
    assert train.units >= 3 and test.units >= 2
    split = pickle.loads(pickle.dumps(test))
    pictures, labels = _recorded(drive, "/rgb/image"), _recorded(drive, "/rgb/labels")
    for unit in range(split.units):
        (frame,) = split.frames(unit)
        stamp = split.instants[unit][1].label.stamp_ns
        np.testing.assert_array_equal(frame.label, labels[stamp].pixels)
        np.testing.assert_array_equal(frame.images["rgb"].pixels, pictures[stamp].pixels)
        assert set(frame.images) == {"rgb", "thermal", "event"}
        assert frame.images["thermal"].pixels.shape == (HEIGHT, WIDTH)
        assert frame.images["event"].encoding == "8UC3" and frame.images["event"].pixels.any()
        assert frame.conditions == {"bag": "drive"}
    stamps = {
        name: {instant.label.stamp_ns for _, instant in dataset.split(name).instants}
        for name in ("train", "test")
    }
    assert max(stamps["train"]) < min(stamps["test"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_topic": ""}, r"data\.label_topic is missing"),
        ({"label_topic": "labels"}, r"has no topic /labels: it has "),
        ({"label_sensor": "radar"}, r"data\.label_sensor is 'radar'"),
        ({"label_sensor": "events"}, "expected one that sends images, of rgb, thermal"),
        ({"classes": "nowhere.yaml"}, r"data\.classes is 'nowhere.yaml'"),
        ({"train": "DRIVE@0.5-0.2"}, "expected 0 <= FROM < TO <= 1"),
        ({"train": "DRIVE"}, "both use"),
        ({"train": "/nowhere"}, "there is no bag at /nowhere"),
        ({"train": ""}, r"data\.train is missing"),
        ({"train": "DRIVE@0-0.001"}, "has no label for which every sensor"),
    ],
)
def test_what_is_wrong_with_the_options_is_named(
    drive: Path, changes: dict[str, str], message: str
) -> None:
    filled = {name: value.replace("DRIVE", str(drive)) for name, value in changes.items()}
    with pytest.raises(ConfigError, match=message):
        open_dataset(_section(drive, **filled)).split("train")


def test_topics_lie_in_the_namespace_that_the_parameters_speak_of(tmp_path: Path) -> None:
    sensors = {
        "rgb": {"topic": "rgb/image", "modality": "rgb", "registration": {"camera_info": "~/info"}},
        "depth": {"topic": "/depth/image", "modality": "depth"},
    }
    path = tmp_path / "rig.yaml"
    section = {"ros__parameters": {"rig": {"sensors": sensors}}}
    path.write_text(yaml.safe_dump({"/robot1/segmentation_node": section}))
    rig = recorded_rig(path).sensors
    assert (rig["rgb"].topic, rig["depth"].topic) == ("/robot1/rgb/image", "/depth/image")
    assert rig["rgb"].registration.camera_info == "/robot1/segmentation_node/info"
    assert rig["depth"].registration.camera_info == ""


PARAMETERS = """
/**:
  ros__parameters:
    rig:
      sensors:
        camera: {topic: camera, modality: rgb, expected_hz: 10.0}
        warm: {topic: warm, modality: thermal, tolerance_s: 0.02, offset_s: -0.05}
"""


def _plain(root: Path) -> dict[str, Any]:
    """Ten images of two sensors whose pixels tell when they were taken; labels on every other."""
    labels = np.full((8, 12), 9, np.uint8)
    labels[:, 6:] = 4
    with ImageBagWriter(root / "plain") as bag:
        for tick in range(10):
            stamp = 100 * SECOND + tick * SECOND // 10
            image = Image(np.full((8, 12, 3), tick, np.uint8), "rgb8")
            bag.write("/camera", image, stamp, stamp, "camera")
            if tick != 4:
                warm = Image(np.full((4, 6), 1000 + tick, np.uint16), "mono16")
                bag.write("/warm", warm, stamp + SECOND // 20, stamp + SECOND // 20, "warm")
            if tick % 2 == 0:
                late = stamp + 300_000_000  # labels are made afterwards
                bag.write("/labels", Image(labels, "mono8"), stamp, late, "camera")
    (root / "rig.yaml").write_text(PARAMETERS)
    (root / "classes.yaml").write_text(
        "classes: [[road, 1, 2, 3], [car, 4, 5, 6]]\nlabel: {renumber: {4: 1}, ignore: [9]}\n"
    )
    return {
        "dataset": "bag",
        "parameters": str(root / "rig.yaml"),
        "label_topic": "/labels",
        "classes": str(root / "classes.yaml"),
        "test": str(root / "plain"),
    }


def test_messages_are_paired_by_stamp_and_incomplete_instants_left_out(tmp_path: Path) -> None:
    split = open_dataset(_plain(tmp_path)).split("test")
    ticks = []
    for unit in range(split.units):
        (frame,) = split.frames(unit)
        tick = int(frame.images["rgb"].pixels[0, 0, 0])
        ticks.append(tick)
        assert (frame.images["thermal"].pixels == 1000 + tick).all()
        assert (frame.label[:, :6] == 255).all() and (frame.label[:, 6:] == 1).all()
    assert ticks == [0, 2, 6, 8]  # without the thermal image of the fourth tick


RECIPE = """
name: mine
version: "0.1.0"
description: A test.
seed: 1
architecture: {network: anyseg, backbone: mit_nano, head_width: 32}
modalities:
  rgb: {id: 0, planes: color, mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2]}
strategy: {name: supervised}
"""


def test_check_data_reads_the_bags_of_a_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE + yaml.safe_dump({"data": _plain(tmp_path)}))
    runner = CliRunner(env={"COLUMNS": "300"})
    result = runner.invoke(command, ["check-data", str(recipe), "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert "no split train" in result.output and "12x8" in result.output
    (tmp_path / "classes.yaml").write_text("classes: [[road, 1, 2, 3]]\n")
    result = runner.invoke(command, ["check-data", str(recipe), "--workers", "1"])
    assert result.exit_code == 1 and "no class: 4 (in 4), 9 (in 4)" in result.output


def test_a_copy_of_a_bag_is_the_same_recording(drive: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(drive, tmp_path / "another_day")
    recipe = tmp_path / "recipe.yaml"
    section = _section(drive, train=str(drive), validation=str(copied), test="")
    recipe.write_text(RECIPE + yaml.safe_dump({"data": section}))
    runner = CliRunner(env={"COLUMNS": "300"})
    result = runner.invoke(command, ["check-data", str(recipe), "--workers", "1"])
    frames = open_dataset(section).split("train").units
    assert result.exit_code == 1
    assert f"validation: {frames} of its {frames} frames are in train, too:" in result.output
    assert f"{frames} of {copied}, such as" in result.output and f"in {drive}," in result.output


def test_a_label_that_is_no_class_is_named_with_its_place(tmp_path: Path) -> None:
    section = _plain(tmp_path)
    (tmp_path / "classes.yaml").write_text("classes: [[road, 1, 2, 3], [car, 4, 5, 6]]\n")
    split = open_dataset(section).split("test")
    with pytest.raises(TrainingError, match=r"/labels at 100300000000 ns has the label ids \[4, 9"):
        next(iter(split.frames(0)))
