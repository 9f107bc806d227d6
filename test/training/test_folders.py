"""Data sets on disk: every bundled layout on files made in its form, and real recordings."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.cli import main as command
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import SPLITS
from anymodal_seg_training.datasets.folders import (
    FolderDataset,
    FolderOptions,
    bundled_layout,
    layout_names,
)
from anymodal_seg_training.datasets.layout import (
    ImageLayout,
    LabelLayout,
    Layout,
    list_entries,
    load_layout,
)
from anymodal_seg_training.datasets.templates import fields_of, fill
from anymodal_seg_training.errors import TrainingError

HEIGHT, WIDTH = 12, 208
RNG = np.random.default_rng(5)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        cv2.imwrite(str(path), pixels)


def _image(entry: ImageLayout) -> np.ndarray:
    shape = (HEIGHT, WIDTH)
    if entry.read == "metres":
        return RNG.uniform(0.5, 80.0, shape).astype(np.float32)
    if entry.read == "floats":
        return RNG.uniform(entry.low, entry.high, shape)
    if entry.read in ("counts", "depth"):
        return RNG.integers(1, 60000, shape, np.uint16)
    channels = {"gray": (), "fourth": (4,)}.get(entry.read, (3,))
    return RNG.integers(0, 256, (*shape, *channels), np.uint8)


def _stored_label(layout: LabelLayout, ids: np.ndarray, colors: np.ndarray) -> np.ndarray:
    if layout.read == "colors":
        return colors[ids][..., ::-1]  # OpenCV writes blue first
    stored = np.arange(256) - layout.shift
    for number, found in sorted(layout.renumber.items(), reverse=True):
        stored[found - layout.shift] = number
    return stored[ids].astype(np.uint8)


def _save_events(entry: ImageLayout, paths: list[Path]) -> None:
    """A few events in a file of their kind, and what belongs to it."""
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(0, 2_000_000, 1000)
    x, y, p = t // 1000 % entry.width, t // 1000 % entry.height, t // 1000 % 2
    if entry.read == "npz_events":
        np.savez(paths[0], x=x, y=y, t=t, p=p)
        return
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("hdf5plugin")
    paths[2].parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(paths[0], "w") as file:
        for name, column in {"x": x, "y": y, "t": t, "p": p}.items():
            file[f"events/{name}"] = column.astype(np.uint32)
        file["t_offset"] = 5_000_000
        file["ms_to_idx"] = np.arange(2000)
    with h5py.File(paths[1], "w") as file:
        rows, columns = np.mgrid[: entry.height, : entry.width]
        file["rectify_map"] = np.stack([columns, rows], axis=-1).astype(np.float32)
    paths[2].write_text("".join(f"{5_500_000 + 50_000 * n}\n" for n in range(20)))


def sized(layout: Layout) -> Layout:
    """The same with sensors of events that are as small as the pictures of the tests."""
    images = {
        name: dataclasses.replace(entry, height=HEIGHT, width=WIDTH) if entry.height else entry
        for name, entry in layout.images.items()
    }
    return dataclasses.replace(layout, images=images)


def _published_fields(name: str, number: int) -> dict[str, str]:
    """The names that the published files have, as far as public code tells."""
    if name.startswith("dsec"):
        return {"sequence": "zurich_city_00_a", "frame": f"{number:06d}"}
    if name == "eventscape":
        return {"town": "Town05", "sequence": "sequence_1", "frame": f"05_001_{number:04d}"}
    if name == "zju-rgbp":
        return {"name": f"20200419-{number}_image0"}
    return {}


def make(layout: Layout, root: Path, frames: int = 2) -> dict[str, np.ndarray]:
    """Write a small data set in the form of ``layout``; return the labels by split and frame."""
    labels = {}
    frames = layout.skip_first + frames * layout.every
    colors = np.array([entry.color for entry in layout.classes], np.uint8)
    for split in layout.lists or layout.splits:
        names = []
        for number in range(frames):
            entries = list_entries(layout)
            fields = {
                name: f"{name}{number}" for name in fields_of(layout.frames or entries[0], "frames")
            }
            fields["name"] = f"{split}{number}D"
            fields.update(_published_fields(layout.name, number))
            if split in layout.splits:
                fields["split"] = layout.splits[split]
            names.append(fill(entries[number % len(entries)], fields, "list_entry"))
            wanted = (
                number >= layout.skip_first and (number - layout.skip_first) % layout.every == 0
            )
            for entry in sorted(layout.images.values(), key=lambda e: e.read == "fourth"):
                paths = [root / fill(t.strip(), fields, "") for t in entry.path.split(",")]
                if not wanted:
                    continue  # what is left out is never read
                if entry.height:
                    _save_events(entry, paths)
                    continue
                for path in paths:
                    _save(path, _image(entry))
            ids = RNG.integers(0, len(layout.classes), (HEIGHT, WIDTH))
            path = root / fill(layout.label.path, fields, "")
            _save(path, _stored_label(layout.label, ids, colors))
            labels[str(path)] = ids
        if layout.lists:
            path = root / layout.lists[split]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(names) + "\n\n")
    return labels


@pytest.mark.parametrize("name", layout_names())
def test_every_bundled_layout_reads_what_lies_in_its_form(name: str, tmp_path: Path) -> None:
    layout = sized(bundled_layout(name))
    labels = make(layout, tmp_path)
    dataset = open_dataset({"dataset": "folders", "layout": name, "root": str(tmp_path)})
    assert isinstance(dataset, FolderDataset)
    dataset.layout = layout
    assert len(dataset.classes) == len(layout.classes)
    seen = 0
    for split_name in layout.lists or layout.splits:
        split = dataset.split(split_name)
        assert split.units >= 2
        for unit in range(split.units):
            (frame,) = split.frames(unit)
            assert set(frame.images) == set(layout.images)
            assert set(frame.conditions) == set(layout.conditions)
            path = str(split.files(split.fields[unit])[-1])
            np.testing.assert_array_equal(frame.label, labels[path][:, layout.crop_left :])
            for entry, image in zip(layout.images.values(), frame.images.values(), strict=True):
                assert (image.encoding == "8UC3" and image.pixels.any()) or not entry.height
                assert image.pixels.shape[:2] == (HEIGHT, WIDTH - layout.crop_left)
            seen += 1
    assert seen >= 4


def test_class_counts_of_the_published_data_sets() -> None:
    counts = {name: len(bundled_layout(name).classes) for name in layout_names()}
    published = {
        "deliver": 25, "muses": 19, "mfnet": 9, "mfnet-cmnext": 9, "fmb": 14, "pst900": 5,
        "pst900-8bit": 5, "nyu": 40, "mcubes": 20, "urbanlf-real": 14, "urbanlf-syn": 14,
        "muses-anyseg": 19, "kitti360": 19, "sunrgbd": 37, "zju-rgbp": 8, "dsec-11": 11,
        "dsec-19": 19, "eventscape": 12,
    }  # fmt: skip
    assert published.items() <= counts.items()


def _deliver(root: Path) -> FolderDataset:
    make(bundled_layout("deliver"), root)
    return FolderDataset(FolderOptions("deliver", str(root)))


def test_the_key_changes_with_the_files(tmp_path: Path) -> None:
    split = _deliver(tmp_path).split("train")
    before = split.key
    assert before == split.key
    changed = split.files(split.fields[0])[0]
    changed.write_bytes(changed.read_bytes() + b"more")
    assert split.key != before


def _damage(root: Path) -> Iterator[tuple[Path, str]]:
    split = _deliver(root).split("train")
    rgb, depth, event, _, label = split.files(split.fields[0])
    rgb.unlink()
    yield rgb, "is missing"
    rgb, depth, event, lidar, label = split.files(split.fields[1])
    depth.write_bytes(depth.read_bytes()[:20])
    yield depth, "cannot be read"
    for kept in (depth, event):
        _save(kept, RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    _save(lidar, RNG.integers(0, 256, (HEIGHT, HEIGHT, 3), np.uint8))
    yield lidar, "expected the same picture"
    _save(lidar, RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    _save(label, np.full((HEIGHT, WIDTH), 77, np.uint8))
    yield label, "no class: 77 (in 1)"


def test_check_data_names_what_is_wrong_and_says_so_by_its_exit_code(tmp_path: Path) -> None:
    runner = CliRunner(env={"COLUMNS": "300"})
    checked = 0
    for path, words in _damage(tmp_path):
        if checked == 0:
            path.touch()  # the frame is found by its image: an empty file is a damaged one
            words = "cannot be read"
        result = runner.invoke(command, ["check-data", "deliver", str(tmp_path)])
        output = result.output.replace("\n", "")
        assert result.exit_code == 1 and str(path) in output and words in output, result.output
        checked += 1
    assert checked == 4


def test_check_data_of_a_good_data_set_counts_frames_and_pixels(tmp_path: Path) -> None:
    _deliver(tmp_path)
    result = CliRunner(env={"COLUMNS": "200"}).invoke(
        command, ["check-data", "deliver", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    assert "TwoWheeler" in result.output and f"{WIDTH}x{HEIGHT}" in result.output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": []}, "classes is missing"),
        ({"classes": [["a", 0, 0, 0]] * 300}, "classes has 300 entries: expected at most"),
        ({"classes": [["road", 0, 0]]}, r"classes has \['road', 0, 0\]"),
        ({"classes": [["a", 0, 0, 0], ["a", 1, 1, 1]]}, "'a' twice"),
        (
            {
                "classes": [["a", 9, 0, 0], ["b", 0, 0, 0], ["c", 9, 0, 0]],
                "label": {"path": "{name}.png", "read": "colors"},
            },
            r"classes has 'a' and 'c' in the colour \(9, 0, 0\)",
        ),
        ({"name": "../mine"}, r"name is '../mine': expected letters"),
        ({"frames": ""}, "either frames"),
        ({"lists": {"train": "t.txt"}}, "either frames"),
        ({"splits": {"val": "val"}}, "splits is"),
        ({"images": {}}, "must all be given"),
        ({"images": {"rgb": {"path": "{scene}.png"}}}, "images.rgb.path is '{scene}.png'"),
        ({"images": {"rgb": {"path": "{name}.png", "read": "jpeg"}}}, "expected one of color"),
        ({"label": {"path": "{name}.png", "ignore": 255}}, "label.ignore is 255"),
        ({"label": {"path": "{name}.png", "renumber": {1: "x"}}}, "label.renumber"),
        ({"surprise": 1}, "unknown parameter surprise"),
        ({"conditions": "weather"}, "conditions is 'weather'"),
        ({"conditions": {"time": "{day}"}}, "conditions.time.of is '{day}'"),
        ({"conditions": {"time": {"of": "{name}", "values": "D"}}}, "values is 'D'"),
    ],
)
def test_a_wrong_layout_is_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    content: dict[str, object] = {
        "name": "mine",
        "frames": "rgb/{name}.png",
        "splits": {split: split for split in SPLITS},
        "images": {"rgb": {"path": "rgb/{name}.png"}},
        "label": {"path": "label/{name}.png"},
        "classes": [["road", 128, 64, 128]],
    }
    path = tmp_path / "layout.yaml"
    path.write_text(yaml.safe_dump(content))
    assert load_layout(path).name == "mine"
    path.write_text(yaml.safe_dump({**content, **changes}))
    with pytest.raises(ConfigError, match=message):
        load_layout(path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.root is '/nowhere'.*DELIVER"):
        FolderDataset(FolderOptions("deliver", "/nowhere"))
    with pytest.raises(ConfigError, match=r"data\.layout is 'cityscape'"):
        FolderDataset(FolderOptions("cityscape", str(tmp_path)))
    with pytest.raises(ConfigError, match=r"no frames of DELIVER.* called img/\{weather\}/train/"):
        FolderDataset(FolderOptions("deliver", str(tmp_path))).split("train")
    with pytest.raises(ConfigError, match="cannot read the list"):
        FolderDataset(FolderOptions("mfnet", str(tmp_path))).split("train")


def test_lists_are_read_as_editors_of_any_system_write_them(tmp_path: Path) -> None:
    data = FolderDataset(FolderOptions("mfnet", str(tmp_path)))
    names = tmp_path / data.layout.lists["train"]
    for content in (b"00001D\r\n00002N\r\n", b"\xef\xbb\xbf00001D\n00002N"):
        names.write_bytes(content)
        assert [fields["name"] for fields in data.split("train").fields] == ["00001D", "00002N"]
    names.write_bytes("00001D".encode("utf-16"))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        data.split("train")
    names.write_bytes(b"\n")
    with pytest.raises(ConfigError, match=r"no frames of MFNet.* the list train\.txt names none"):
        data.split("train")


REAL = {
    "pothole_rgbd": """
name: pothole
frames: "{split}/rgb/{name}.jpg"
splits: {train: dataset2, test: dataset3}
images:
  rgb: {path: "{split}/rgb/{name}.jpg"}
  disparity: {path: "{split}/disparity/{name}.png", read: counts}
label: {path: "{split}/label/{name}.png"}
classes: [[road, 128, 64, 128], [pothole, 255, 0, 0]]
""",
    "rgbd_indoor_outdoor": """
name: rgbd
frames: "{name}_rgb.png"
splits: {test: ""}
images:
  rgb: {path: "{name}_rgb.png"}
  depth: {path: "{name}_depth_u16.png", read: depth}
label: {path: "{name}_label.png"}
classes: [[other, 0, 0, 0], [drivable, 0, 255, 0], [anomaly, 255, 0, 0]]
""",
    "rgb_lidar_offroad": """
name: offroad
frames: "{name}.jpg"
splits: {test: ""}
images:
  rgb: {path: "{name}.jpg"}
label: {path: "{name}.png"}
classes: CLASSES
""",
}


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "frames", "size"),
    [
        ("pothole_rgbd", {"train": 40, "test": 5}, None),
        ("rgbd_indoor_outdoor", {"test": 2}, (720, 1280)),
        ("rgb_lidar_offroad", {"test": 1}, (1200, 1920)),
    ],
)
def test_real_recordings_load_through_a_layout_of_their_own(
    name: str,
    frames: dict[str, int],
    size: tuple[int, int] | None,
    shared_data: Path,
    tmp_path: Path,
) -> None:
    ids = [[f"class {i}", i, 0, 0] for i in range(35)]
    path = tmp_path / "layout.yaml"
    path.write_text(REAL[name].replace("CLASSES", str(ids)))
    dataset = FolderDataset(FolderOptions(str(path), str(shared_data / name)))
    for split_name, expected in frames.items():
        split = dataset.split(split_name)
        assert split.units == expected
        for unit in range(split.units):
            (frame,) = split.frames(unit)
            assert len(dict(frame.images)) == len(dataset.layout.images)  # each can be read
            assert size is None or frame.label.shape == size
            assert len(np.unique(frame.label)) >= 2 and frame.label.max() < len(dataset.classes)


def test_the_example_of_cmx_in_the_how_to_reads_such_folders(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "data-sets.md"
    text = page.read_text(encoding="utf-8")
    example = text[text.index("    name: cmx\n") :].split("\n\n")[0]
    path = tmp_path / "cmx.yaml"
    path.write_text(textwrap.dedent(example))
    layout = load_layout(path)
    labels = make(layout, tmp_path)
    split = FolderDataset(FolderOptions(str(path), str(tmp_path))).split("train")
    assert split.units == 2
    for unit in range(split.units):
        (frame,) = split.frames(unit)
        assert set(dict(frame.images)) == {"rgb", "thermal"}
        stored = labels[str(split.files(split.fields[unit])[-1])]
        np.testing.assert_array_equal(frame.label, stored)


def test_an_image_that_nobody_asks_for_need_not_be_there(tmp_path: Path) -> None:
    make(bundled_layout("pst900"), tmp_path)
    split = FolderDataset(FolderOptions("pst900", str(tmp_path))).split("train")
    rgb, lost, *_ = split.files(split.fields[0])
    lost.unlink()
    (frame,) = split.frames(0)
    assert set(frame.images) >= {"rgb", "thermal"} and "thermal" in frame.images
    assert rgb.is_file() and frame.images["rgb"].pixels.any()
    with pytest.raises(TrainingError, match=re.escape(str(lost))):
        frame.images["thermal"]


def test_what_has_no_label_is_road_for_anyseg_and_ignored_otherwise(tmp_path: Path) -> None:
    for name, expected in (("muses", 255), ("muses-anyseg", 0)):
        layout = bundled_layout(name)
        make(layout, tmp_path / name)
        split = FolderDataset(FolderOptions(name, str(tmp_path / name))).split("train")
        _save(split.files(split.fields[0])[-1], np.full((HEIGHT, WIDTH), 255, np.uint8))
        (frame,) = split.frames(0)
        assert (frame.label == expected).all()


def test_labels_of_kitti_360_become_those_of_cityscapes(tmp_path: Path) -> None:
    layout = bundled_layout("kitti360")
    make(layout, tmp_path)
    split = FolderDataset(FolderOptions("kitti360", str(tmp_path))).split("validation")
    stored = np.tile(np.array([7, 33, 34, 35, 37, 44, 0, 255], np.uint8), (HEIGHT, WIDTH // 8))
    _save(split.files(split.fields[0])[-1], stored)
    (frame,) = split.frames(0)
    assert frame.label[0, :8].tolist() == [0, 18, 2, 4, 5, 255, 255, 255]


@pytest.mark.parametrize(
    ("name", "split", "files"),
    [
        (
            "eventscape",
            "validation",
            {
                "Town05_val/Town05/sequence_1/rgb/data/05_001_0030_image.png",
                "Town05_val/Town05/sequence_1/depth/data/05_001_0030_depth.npy",
                "Town05_val/Town05/sequence_1/events/data/05_001_0030_events.npz",
                "Town05_val/Town05/sequence_1/semantic/data/05_001_0030_gt_labelIds.png",
            },
        ),
        (
            "dsec-11",
            "train",
            {
                "zurich_city_00_a/images/left/rectified/000008.png",
                "zurich_city_00_a/events/left/events.h5",
                "zurich_city_00_a/events/left/rectify_map.h5",
                "train/zurich_city_00_a/zurich_city_00_a_semantic_timestamps.txt",
                "train/zurich_city_00_a/11classes/000008.png",
            },
        ),
        (
            "zju-rgbp",
            "test",
            {
                "val/0/20200419-1_image0_0.png",
                "val/45/20200419-1_image0_45.png",
                "val/90/20200419-1_image0_90.png",
                "val/135/20200419-1_image0_135.png",
                "val/label/20200419-1_image0.png",
            },
        ),
    ],
)
def test_the_second_frame_is_sought_where_public_loaders_find_it(
    name: str, split: str, files: set[str], tmp_path: Path
) -> None:
    make(bundled_layout(name), tmp_path)
    frames = FolderDataset(FolderOptions(name, str(tmp_path))).split(split)
    found = {str(path.relative_to(tmp_path)) for path in frames.files(frames.fields[1])}
    assert found == files and all((tmp_path / path).is_file() for path in found)


def test_pictures_of_dsec_and_their_labels_have_the_same_shape() -> None:
    rows = bundled_layout("dsec-19").images["rgb"].rows
    assert rows * 640 == 440 * 1440
