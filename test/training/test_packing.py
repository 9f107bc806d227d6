from __future__ import annotations

import dataclasses
import io
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import webdataset
from fixtures.damaged_frames import MANY, DamagedDataset, SlowDataset
from fixtures.tiny_training import CLASSES, HEIGHT, WIDTH, tiny_format
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Image
from anymodal_seg_training.commands.pack import pack
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import LabelledFrame
from anymodal_seg_training.datasets.packed import PackedDataset, PackedOptions
from anymodal_seg_training.datasets.packed_members import pack_frame, unpack_image, unpack_label
from anymodal_seg_training.datasets.reading import Reading
from anymodal_seg_training.datasets.streaming import StreamedFrames
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.runs.display import Display
from anymodal_seg_training.train import _blocks

NAMES = ("rgb", "thermal", "depth", "event")


def packed(dataset: Any, folder: Path, **options: Any) -> dict[str, Any]:
    chosen = {"splits": ("train",), "frames_per_shard": 2, "skips": False, "workers": 1}
    return pack(dataset, folder, **{**chosen, **options}, display=Display())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny training frames in shards of two."""
    path = tmp_path_factory.mktemp("packed") / "tiny"
    packed(DamagedDataset(), path)
    return path


def test_packed_frames_are_the_frames(folder: Path) -> None:
    assert {p.name for p in folder.iterdir()} == {
        "pack.json",
        "train.npy",
        "train-000000.tar",
        "train-000001.tar",
        "train-000002.tar",
    }
    dataset = open_dataset({"dataset": "packed", "folder": str(folder)})
    assert dataset.classes == CLASSES and dataset.description == "Two halves and a spot."
    split, source = dataset.split("train"), DamagedDataset().split("train")
    assert split.units == 5 and split.frames_per_unit == 1
    for unit in (3, 0, 4):
        (frame,), (expected,) = split.frames(unit), source.frames(unit)
        assert tuple(frame.images) == NAMES and "lidar" not in frame.images
        np.testing.assert_array_equal(frame.label, expected.label)
        for name in NAMES:
            assert frame.images[name].encoding == expected.images[name].encoding
            np.testing.assert_array_equal(frame.images[name].pixels, expected.images[name].pixels)
    streamed, direct = (StreamedFrames(s, tiny_format(), Reading(1)) for s in (split, source))
    chosen = np.array([4, 1])
    for one, other in zip(streamed.read(chosen, NAMES), direct.read(chosen, NAMES), strict=True):
        assert one.equal(other)


def test_webdataset_reads_the_shards(folder: Path) -> None:
    shards = str(folder / "train-{000000..000002}.tar")
    samples = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False))
    assert [sample["__key__"] for sample in samples] == [
        "000000000000",
        "000000000001",
        "000001000000",
        "000001000001",
        "000002000000",
    ]
    for sample, unit in zip(samples, range(5), strict=True):
        (frame,) = DamagedDataset().split("train").frames(unit)
        rgb = cv2.imdecode(np.frombuffer(sample["rgb.png"], np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(rgb, frame.images["rgb"].pixels)
        depth = np.load(io.BytesIO(sample["depth.npy"]))
        np.testing.assert_array_equal(depth, frame.images["depth"].pixels)


def test_a_stopped_packing_goes_on_and_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "obstacle").touch()
    dataset = DamagedDataset(str(tmp_path / "obstacle"))
    with pytest.raises(TrainingError, match=r"frame 0 of unit 1 of tiny-train: .*001\.png.*--skip"):
        packed(dataset, tmp_path / "out", frames_per_shard=1)
    assert not (tmp_path / "out" / "pack.json").exists()
    first = tmp_path / "out" / "train-000000.tar"
    before = first.stat().st_mtime_ns
    assert not list((tmp_path / "out").glob(".train-000001.tar*"))
    with pytest.raises(ConfigError, match=r"data\.folder is .* has finished"):
        PackedDataset(PackedOptions(str(tmp_path / "out")))
    with pytest.raises(ConfigError, match="the beginning of another data set"):
        packed(dataset, tmp_path / "out", frames_per_shard=2)
    (tmp_path / "obstacle").unlink()
    manifest = packed(dataset, tmp_path / "out", frames_per_shard=1)
    assert manifest["splits"]["train"]["shards"] == [1] * 5
    assert first.stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="holds a finished data set already"):
        packed(dataset, tmp_path / "out")


def test_ctrl_c_waits_for_a_frame_and_not_for_the_shard_that_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, out = tmp_path / "notes", tmp_path / "out"

    def interrupt(self: Display, *about: object) -> None:
        end = time.monotonic() + 60.0
        while not notes.exists() and time.monotonic() < end:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(Display, "advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        packed(SlowDataset(str(notes)), out, frames_per_shard=1)
    assert 0 < len(notes.read_text()) < MANY
    left = {path.name for path in out.iterdir()}
    assert left == {"train-000000.tar", ".train-000000.json", ".source.json"}, "what is whole"


def test_what_a_killed_worker_left_of_a_shard_goes_away(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".train-000001.tar.4711-0.unfinished").write_bytes(b"half")
    packed(DamagedDataset(), out)
    assert {path.suffix for path in out.iterdir()} == {".json", ".npy", ".tar"}


def test_damaged_frames_are_left_out_and_named_if_asked_for(tmp_path: Path) -> None:
    (tmp_path / "obstacle").touch()
    manifest = packed(DamagedDataset(str(tmp_path / "obstacle")), tmp_path / "out", skips=True)
    entry = manifest["splits"]["train"]
    assert entry["shards"] == [1, 2, 1]
    assert entry["left_out"] == [
        "frame 0 of unit 1 of tiny-train: cannot read /data/001.png: it is cut off"
    ]
    split = PackedDataset(PackedOptions(str(tmp_path / "out"))).split("train")
    (frame,), (expected,) = split.frames(1), DamagedDataset().split("train").frames(2)
    np.testing.assert_array_equal(frame.label, expected.label)


def test_a_damaged_or_missing_shard_is_named(tmp_path: Path) -> None:
    packed(DamagedDataset(), tmp_path / "out", frames_per_shard=5)
    split = PackedDataset(PackedOptions(str(tmp_path / "out"))).split("train")
    source = StreamedFrames(split, tiny_format(), Reading(1))
    path = tmp_path / "out" / "train-000000.tar"
    content = bytearray(path.read_bytes())
    at = content.index(split.content(2, split.members[0])) + 100
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        TrainingError, match=r"train-000000\.tar is damaged: the rgb of its frame 2"
    ):
        source.read(np.array([2]), NAMES)
    planes, _ = source.read(np.array([3]), NAMES)
    assert planes.shape == (1, 4, 3, HEIGHT, WIDTH)
    source.read(np.array([2]), ("depth",))  # whose file is whole
    elsewhere = dataclasses.replace(split, split_name="test")
    with pytest.raises(TrainingError, match=r"cannot read the index .*test\.npy"):
        list(elsewhere.frames(0))
    with pytest.raises(ConfigError, match=r"has no split test: it has train"):
        PackedDataset(PackedOptions(str(tmp_path / "out"))).split("test")


def test_groups_of_shards_can_be_mixed(folder: Path) -> None:
    dataset = PackedDataset(PackedOptions(str(folder)))
    assert _blocks(dataset, 0) == ()
    assert _blocks(dataset, 1) == (2, 2, 1) and _blocks(dataset, 2) == (4, 1)
    with pytest.raises(ConfigError, match=r"input\.mix_shards is 2, but tiny-train has no shards"):
        _blocks(DamagedDataset(), 2)


@settings(max_examples=40, deadline=None)
@given(
    pixels=st.sampled_from([np.uint8, np.uint16, np.float32, np.dtype(">u2")]).flatmap(
        lambda dtype: arrays(dtype, st.sampled_from([(3, 5), (3, 5, 1), (3, 5, 2), (3, 5, 3)]))
    ),
    label=arrays(np.uint8, (3, 5)),
)
def test_every_pixel_comes_back(pixels: np.ndarray[Any, Any], label: np.ndarray[Any, Any]) -> None:
    files = pack_frame(LabelledFrame({"any": Image(pixels, "some")}, label))
    image, mask = files
    assert (image.name, image.encoding, mask.name) == ("any", "some", "label")
    back = unpack_image(files[image], image).pixels
    np.testing.assert_array_equal(back, pixels)
    assert back.shape == pixels.shape and back.dtype == pixels.dtype.newbyteorder("=")
    np.testing.assert_array_equal(unpack_label(files[mask], mask), label)


def test_a_label_of_another_type_is_refused() -> None:
    frame = LabelledFrame({}, np.zeros((2, 2), np.uint16))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a label is uint16 \(2, 2\): expected uint8"):
        pack_frame(frame)
