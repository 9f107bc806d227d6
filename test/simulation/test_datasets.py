"""Data sets on disk: what DELIVER's loaders see, any number of processes, going on after a stop."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.dataset.deliver_layout import (
    check_root,
    class_labels,
    raw_labels,
    read_frame,
)
from anymodal_seg_ros.simulation.dataset.frames import SceneFrame, scene_frames, sized_sensors
from anymodal_seg_ros.simulation.dataset.manifest import (
    DatasetManifest,
    compare,
    folder_digests,
    read_manifest,
    this_machine,
    write_manifest,
)
from anymodal_seg_ros.simulation.dataset.plan import CASES, ScenePlan
from anymodal_seg_ros.simulation.dataset.rigbench import MANIFEST, rigbench
from anymodal_seg_ros.simulation.dataset.stored import MODALITIES
from anymodal_seg_ros.simulation.dataset.writer import DatasetConfig, write_dataset
from anymodal_seg_ros.simulation.world.classes import CLASSES

WIDTH, HEIGHT = 64, 48
PLANS = (
    ScenePlan("train", 5, "urban", "sun", frames=2),
    ScenePlan("train", 6, "offroad", "fog", "lidarjitter", 1),
    ScenePlan("validation", 7, "rural", "night", "overexposure", 1),
    ScenePlan("test", 8, "suburban", "rain", "eventlowres", 1),
)
CONFIG = DatasetConfig("a test", PLANS, WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("data") / "set"
    return root, write_dataset(root, CONFIG, workers=1)


@pytest.fixture(scope="module")
def drawn() -> list[SceneFrame]:
    return list(scene_frames(PLANS, sized_sensors(WIDTH, HEIGHT)))


def deliver_samples(root: Path, split: str, case: str = "") -> list[Path]:
    """Find the samples as DELIVER's loader does: images of a split, a failure by substring."""
    return sorted(p for p in root.glob(f"img/*/{split}/*/*.png") if case in str(p))


def deliver_read(rgb: Path) -> dict[str, np.ndarray]:
    """Read a sample as DELIVER's loader does: by replacing parts of the path of its image."""
    names = {"hha": "_depth", "lidar": "_lidar", "event": "_event", "semantic": "_semantic"}
    paths = {n: str(rgb).replace("/img", f"/{n}").replace("_rgb", w) for n, w in names.items()}
    sample = {
        n: cv2.imread(p, cv2.IMREAD_UNCHANGED)[..., ::-1]
        for n, p in paths.items()
        if n != "semantic"
    }
    sample["img"] = cv2.imread(str(rgb))[..., ::-1]
    label = cv2.imread(paths["semantic"], cv2.IMREAD_UNCHANGED)
    label = label if label.ndim == 2 else label[..., -1]
    label[label == 255] = 0
    sample["label"] = label - np.uint8(1)  # 0 wraps round to 255, which is ignored
    return sample


@pytest.mark.slow
def test_delivers_loader_reads_the_set_back_to_our_classes_exactly(
    written: tuple[Path, dict[str, str]], drawn: list[SceneFrame]
) -> None:
    root, _ = written
    to_deliver = np.array([entry.deliver_id for entry in CLASSES], np.uint8)
    by_split = {"train": "train", "validation": "val", "test": "test"}
    for split, folder in by_split.items():
        expected = [frame for frame in drawn if frame.plan.split == split]
        samples = deliver_samples(root, folder)
        assert len(samples) == len(expected)
        for frame in expected:
            (path,) = [
                p
                for p in samples
                if p.parent.name == frame.plan.name and p.name.startswith(f"{frame.index:06d}_")
            ]
            sample = deliver_read(path)
            np.testing.assert_array_equal(sample["label"], to_deliver[frame.labels])
            np.testing.assert_array_equal(sample["img"], frame.pixels["rgb"])
            np.testing.assert_array_equal(sample["event"], frame.pixels["event"])
            np.testing.assert_array_equal(sample["lidar"], frame.pixels["lidar"])
            assert sample["hha"].dtype == np.uint8
            assert sample["hha"].shape == (HEIGHT, WIDTH, 3)
            assert sample["hha"].any(-1).all(), "holes are filled"
            assert path.parts[-4] == frame.plan.weather


def test_failures_are_found_by_substring(written: tuple[Path, dict[str, str]]) -> None:
    root, _ = written
    found = {case: len(deliver_samples(root, "*", case)) for case in CASES}
    assert found == {
        "motionblur": 0,
        "overexposure": 1,
        "underexposure": 0,
        "lidarjitter": 1,
        "eventlowres": 1,
    }


def test_what_is_read_is_what_was_drawn(
    written: tuple[Path, dict[str, str]], drawn: list[SceneFrame]
) -> None:
    root, _ = written
    for frame in drawn:
        pixels, labels = read_frame(root, frame.plan, frame.index, MODALITIES)
        np.testing.assert_array_equal(labels, frame.labels)
        for modality, array in pixels.items():
            assert array.dtype == frame.pixels[modality].dtype
            np.testing.assert_array_equal(array, frame.pixels[modality])


def test_only_the_failing_sensor_changes() -> None:
    plan = dataclasses.replace(PLANS[2], case="clean")
    sensors = sized_sensors(WIDTH, HEIGHT)
    (clean,), (failed,) = scene_frames([plan], sensors), scene_frames([PLANS[2]], sensors)
    changed = {m for m in MODALITIES if not np.array_equal(clean.pixels[m], failed.pixels[m])}
    assert changed == {"rgb"}
    np.testing.assert_array_equal(clean.labels, failed.labels)


def test_frames_know_their_conditions_and_their_truth(drawn: list[SceneFrame]) -> None:
    assert [f.name for f in drawn[:2]] == [f"train/{PLANS[0].name}/00000{i}" for i in (0, 1)]
    for frame in drawn:
        assert set(frame.images) == set(MODALITIES)
        assert frame.depth.shape == frame.labels.shape == (HEIGHT, WIDTH)
        assert (np.isinf(frame.depth) == (frame.labels == len(CLASSES) - 1)).all()
    assert drawn[1].time_ns > drawn[0].time_ns


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_frames(
    written: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    digests = write_dataset(
        tmp_path / "two", CONFIG, workers=2, progress=lambda *done: told.append(done)
    )
    assert digests == written[1]
    assert list(digests) == [f"{p.split}/{p.name}/{i:06d}" for p in PLANS for i in range(p.frames)]
    assert told[0] == (0, 5)
    assert told[-1] == (5, 5)


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    root, few = tmp_path / "set", dataclasses.replace(CONFIG, plans=PLANS[:2])

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(root, few, 1, stop)
    kept = {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    assert kept
    told: list[int] = []
    digests = write_dataset(root, few, 1, lambda done, _: told.append(done))
    assert told == [2, 3]
    assert len(digests) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


@pytest.mark.parametrize("damage", ["{", "3", "[1, 2, 3, 4]", '{"0": 1}', "[" * 100_000])
def test_a_scene_whose_record_is_damaged_is_drawn_anew(damage: str, tmp_path: Path) -> None:
    one = dataclasses.replace(CONFIG, plans=PLANS[:1])
    made = write_dataset(tmp_path / "set", one, 1)
    (record,) = (tmp_path / "set" / ".scenes").iterdir()
    record.write_text(damage)
    assert write_dataset(tmp_path / "set", one, 1) == made


def test_a_folder_of_something_else_is_left_alone(
    written: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="another width"):
        write_dataset(written[0], dataclasses.replace(CONFIG, width=96), 1)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="not empty"):
        write_dataset(tmp_path, CONFIG, 1)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(ConfigError, match="says nothing of one"):
        write_dataset(tmp_path, CONFIG, 1)


@pytest.mark.parametrize("word", ["images/img_old", "my_rgb", "motionblur_runs"])
def test_a_path_that_would_lead_delivers_loaders_astray_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="choose another folder"):
        check_root(Path("/data") / word / "set")


def test_labels_survive_the_way_to_deliver_and_back() -> None:
    labels = np.array([[*range(len(CLASSES)), 255]], np.uint8)
    raw = raw_labels(labels)
    assert raw[0, -1] == 0
    assert 1 <= raw[0, :-1].min() <= raw[0, :-1].max() <= 25
    np.testing.assert_array_equal(class_labels(raw), labels)


def test_a_folder_is_checked_frame_by_frame(
    written: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, digests = written
    found = folder_digests(root, CONFIG, workers=1)
    assert compare(found, digests).holds
    path = tmp_path / "manifest.sha256"
    write_manifest(path, DatasetManifest(this_machine(), digests), "a test")
    manifest = read_manifest(path)
    assert manifest.digests == digests
    assert manifest.machine == this_machine()
    names = list(digests)
    other = {**dict.fromkeys(names[:1], "0" * 64), **{n: digests[n] for n in names[2:]}, "x": ""}
    result = compare(other, digests)
    assert (result.equal, result.different, result.missing, result.surplus) == (
        3,
        (names[0],),
        (names[1],),
        ("x",),
    )


def test_a_missing_and_a_damaged_file_are_told_apart(tmp_path: Path) -> None:
    root, one = tmp_path / "set", dataclasses.replace(CONFIG, plans=PLANS[1:2])
    write_dataset(root, one, 1)
    (victim,) = root.glob("thermal/**/*.png")
    (colours,) = root.glob("img/**/*.png")
    whole, too_small = victim.read_bytes(), cv2.imencode(".png", np.zeros((8, 8), np.uint16))[1]
    for wrong, said in (
        (whole[:50], "damaged"),
        (whole[:16] + b"\0\1\0\0\0\1\0\0" + whole[24:], r"damaged \(size is 65536x65536"),
        (colours.read_bytes(), "no picture of thermal"),
        (too_small.tobytes(), "of another size than its labels"),
    ):
        victim.write_bytes(wrong)
        with pytest.raises(ConfigError, match=said):
            folder_digests(root, one, 1)
    victim.unlink()
    assert folder_digests(root, one, 1) == {}


def test_a_sample_of_rigbench_equals_its_manifest() -> None:
    if not MANIFEST.exists():
        pytest.skip("no manifest is checked in yet")
    manifest = read_manifest(MANIFEST)
    bench, here = rigbench(), this_machine()
    plans = bench.dataset().plans
    names = [f"{p.split}/{p.name}/{i:06d}" for p in plans for i in range(p.frames)]
    assert list(manifest.digests) == names
    for key in ("processor", "system", "numpy", "opencv-python-headless", "embreex"):
        if manifest.machine[key] != here[key]:
            pytest.skip(
                f"floating point may differ: the manifest was made with {key} "
                f"{manifest.machine[key]}, this machine has {here[key]}"
            )
    from anymodal_seg_ros.simulation.dataset.digest import frame_digest

    sample = [bench.plans("test")[7], bench.plans("validation")[-1]]
    for frame in scene_frames(sample, sized_sensors(bench.width, bench.height)):
        assert frame_digest(frame.pixels, frame.labels) == manifest.digests[frame.name]


def test_records_of_scenes_are_not_pictures(written: tuple[Path, dict[str, str]]) -> None:
    root, digests = written
    content = json.loads((root / "dataset.json").read_text())
    assert content["title"] == "a test"
    assert [scene["seed"] for scene in content["scenes"]] == [5, 6, 7, 8]
    assert len(list(root.glob("img/**/*.png"))) == len(digests)
