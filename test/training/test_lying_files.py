"""Files of a data set that lie: one error that names them, and never all memory of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fixtures.numpy_files import npy, npz
from fixtures.tiny_training import tiny_recipe

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_training.checkpoint import load_checkpoint, load_public_weights, load_weights
from anymodal_seg_training.datasets import bounded
from anymodal_seg_training.datasets.event_files import npz_image
from anymodal_seg_training.datasets.image_readers import class_ids, read_image, read_label
from anymodal_seg_training.datasets.layout import ImageLayout, LabelLayout
from anymodal_seg_training.datasets.packed import PackedDataset, PackedOptions
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.names import check_name
from anymodal_seg_training.recipe import parse_recipe
from anymodal_seg_training.studies.study import load_study

ROOT = Path(__file__).parents[2]
CLASSES = (ClassSpec("a", (255, 0, 0)), ClassSpec("b", (0, 255, 0)))
EVENTS = ImageLayout("", "npz_events", height=8, width=8)


JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))[
    1
].tobytes()


def png(width: int, height: int, note: bytes = b"", notes: int = 0) -> bytes:
    """A grey PNG that claims a size; what follows its header is nothing, but for notes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + checksum

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    told = chunk(note, b"") * notes
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + told + chunk(b"IDAT", zlib.compress(b""))


def image(read: str) -> Callable[[Path], object]:
    return lambda path: read_image([path], ImageLayout("", read))


def label(path: Path) -> object:
    return read_label(path, LabelLayout(""), CLASSES)


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("x.png", png(50_000, 50_000), image("color")),
        ("x.png", png(10_000, 10_000), image("gray")),
        ("x.png", png(14_000, 14_000), label),
        ("x.png", png(4, 4)[:20], label),
        ("x.png", b"", image("color")),
        ("x.jpg", JPEG[: len(JPEG) // 2], image("color")),
        ("x.jpg", JPEG[:-2] + b"\xff\xda" * 300_000 + JPEG[-2:], image("color")),
        ("x.png", png(4, 4, b"zTXt", 17), label),
        ("x.npy", npy((10**6, 10**6)), image("metres")),
        ("x.npy", npy((10**6, 10**6)), label),
        ("x.npy", npy((2, 2), content=b"\0" * 31), image("floats")),
        ("x.npy", b"\x93NUMPY", image("floats")),
        ("x.npy", npy((4,), content=b"\0" * 32), label),
        ("x.npy", npy((10**9, 10**9), dtype="|V0"), image("floats")),
        ("x.npy", npy((4, 4), dtype="<U1", content=b"\1\0\0\0" * 16), image("floats")),
        ("x.npz", npz(x=npy((10**12,)), y=npy((1,)), t=npy((1,)), p=npy((1,))), image("events")),
        ("x.npz", npz(x=npy((1,), content=b"\0" * 8))[:-9], image("events")),
        ("x.npz", b"PK\x03\x04", image("events")),
    ],
    ids=[
        "bomb", "large", "label bomb", "cut label", "empty", "half a jpeg", "scans without end",
        "texts without end", "lying npy", "lying npy label",
        "short npy", "no header", "one axis",
        "numbers of no bytes", "letters", "lying npz", "cut npz", "no archive",
    ],
)  # fmt: skip
def test_a_file_that_lies_is_named(
    name: str, content: bytes, read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if name.endswith("npz"):
        read = lambda path: npz_image(path, EVENTS)  # noqa: E731
    with pytest.raises(TrainingError, match=name):
        read(path)


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "MAX_BYTES", 2**20)
    path = tmp_path / "bomb.npz"
    path.write_bytes(npz(**{name: npy((2**16,), content=bytes(2**19)) for name in "xytp"}))
    with pytest.raises(TrainingError, match=r"bomb\.npz .* unpacked it has"):
        npz_image(path, EVENTS)


def test_checkpoints_that_unpack_to_more_or_are_waited_for(tmp_path: Path) -> None:
    plain, packed, pipe = (tmp_path / name for name in ("plain.pth", "packed.pth", "pipe.pth"))
    torch.save({"weight": torch.zeros(1 << 16)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    os.mkfifo(pipe)
    os.mkfifo(tmp_path / "pipe.safetensors")
    for read in (load_checkpoint, load_public_weights):
        assert read(plain)["weight"].shape == (1 << 16,)
        with pytest.raises(TrainingError, match=r"packed\.pth: its entries are packed"):
            read(packed)
        with pytest.raises(TrainingError, match="it is no file"):
            read(pipe)
    with pytest.raises(TrainingError, match="it is no file"):
        load_weights(tmp_path / "pipe.safetensors")


def test_a_checkpoint_that_holds_itself_holds_no_tensors(tmp_path: Path) -> None:
    endless: dict[str, object] = {}
    endless |= {name: endless for name in ("model", "a", "b")}
    torch.save(endless, tmp_path / "endless.pth")
    with pytest.raises(TrainingError, match="holds no tensors by name, but model, a, b"):
        load_public_weights(tmp_path / "endless.pth")


def test_no_picture_starts_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, ran = tmp_path / "gs", tmp_path / "ran"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    path = tmp_path / "x.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    for read in (label, image("color")):
        with pytest.raises(TrainingError, match=r"x\.png cannot be read as an image"):
            read(path)
    assert not ran.exists()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.npy")
    for read in (label, image("color")):
        with pytest.raises(TrainingError, match=r"pipe\.png is no file"):
            read(tmp_path / "pipe.png")
    with pytest.raises(TrainingError, match=r"pipe\.npy is no file"):
        label(tmp_path / "pipe.npy")


def packed_folder(folder: Path) -> Path:
    """A packed set of one frame: a picture and a label, whose index is as it should be."""
    folder.mkdir(exist_ok=True)
    picture = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    ids = cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()
    from anymodal_seg_training.datasets.packing import shard_name

    (folder / shard_name("train", 0)).write_bytes(picture + ids)
    rows = [[0, len(picture), zlib.crc32(picture)], [len(picture), len(ids), zlib.crc32(ids)]]
    np.save(folder / "train.npy", np.array([rows], np.int64))
    split = {
        "title": "t", "members": [["rgb", "rgb8", "png"], ["label", "", "png"]],
        "shards": [1], "index_crc": 0,
    }  # fmt: skip
    content = {
        "format": 1, "description": "", "classes": [["a", [1, 2, 3]]], "splits": {"train": split},
    }  # fmt: skip
    (folder / "pack.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("row", [[0, 2**45, 0], [-1, 4, 0], [2**40, 4, 0], [0, -4, 0]])
def test_a_packed_index_that_lies(row: list[int], tmp_path: Path) -> None:
    folder = packed_folder(tmp_path / f"set{row[0]}{row[1]}")
    good = PackedDataset(PackedOptions(str(folder))).split("train")
    (frame,) = good.frames(0)
    assert frame.images["rgb"].pixels.shape == (8, 8, 3)
    index = np.load(folder / "train.npy")
    index[0, 1] = row
    np.save(folder / "train.npy", index)
    from anymodal_seg_training.datasets import packed

    packed._index.cache_clear()
    with pytest.raises(TrainingError, match="the index of"):
        list(good.frames(0))
    np.save(folder / "train.npy", index[:, :1])
    packed._index.cache_clear()
    with pytest.raises(TrainingError, match="expected \\(1, 2, 3\\)"):
        list(good.frames(0))


def test_a_packed_set_of_pipes_is_not_waited_for(tmp_path: Path) -> None:
    for name, said in (("train-000000.tar", "the shard"), ("train.npy", "the index")):
        folder = packed_folder(tmp_path / name)
        (folder / name).unlink()
        os.mkfifo(folder / name)
        split = PackedDataset(PackedOptions(str(folder))).split("train")
        with pytest.raises(TrainingError, match=f"cannot read {said} .* no regular file"):
            list(split.frames(0))


@pytest.mark.parametrize("axis", "xytp")
def test_events_that_can_be_nowhere_are_left_out(axis: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    good = {"x": [1, 2, 3], "y": [1, 2, 3], "t": [0, 5, 10], "p": [1, 0, 1]}
    wrong: list[float] = [-5, float("nan"), 1e300] if axis != "p" else [0, 0, 0]
    for values in ({**good, axis: [*good[axis][:2], one]} for one in wrong):
        np.savez(path, **values)
        pixels = npz_image(path, EVENTS).pixels
        assert pixels[1, 1].any() and pixels[2, 2].any()
    np.savez(path, **{**good, axis: [1j] * 3})
    with pytest.raises(TrainingError, match="no numbers"):
        npz_image(path, EVENTS)
    if axis != "p":
        np.savez(path, **{**good, axis: [float("nan")] * 3})
        with pytest.raises(TrainingError, match="of which none has a place and a time"):
            npz_image(path, EVENTS)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": [["a", [1, 2, float("inf")]]]},
        {"classes": [["a", [1, 2]]]},
        {"classes": [["a", [1, 2, 999]]]},
        {"classes": 3},
        {"splits": {"train": {"title": "t", "members": [["rgb"]], "shards": [1], "index_crc": 0}}},
        {"splits": {"train": {"title": "t", "members": [], "shards": [1], "index_crc": 0}}},
        {"splits": {"../train": {}}},
        {
            "splits": {
                "train": {"title": "/t", "members": [["label", "", "png"]], "shards": [1]}
                | {"index_crc": 0}
            }
        },
        {"splits": []},
    ],
)
def test_a_manifest_of_a_packed_set_that_is_damaged(
    change: dict[str, object], tmp_path: Path
) -> None:
    folder = packed_folder(tmp_path / "set")
    content = json.loads((folder / "pack.json").read_text())
    (folder / "pack.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(ConfigError, match=r"pack\.json is damaged"):
        PackedDataset(PackedOptions(str(folder)))


def test_labels_are_understood_in_little_memory() -> None:
    """Of sixteen million pixels; an index of 64 bits for each would be 128 megabytes."""
    script = (
        "import re, numpy as np\n"
        "from anymodal_seg_ros.inference.manifest import ClassSpec\n"
        "from anymodal_seg_training.datasets.image_readers import class_ids\n"
        "from anymodal_seg_training.datasets.layout import LabelLayout\n"
        "two = (ClassSpec('a', (0, 0, 0)), ClassSpec('b', (1, 1, 1)))\n"
        "raw = np.zeros((4000, 4000), np.uint16); raw[::7] = 1\n"
        # Not that of getrusage, which begins with what the process that started this one took.
        "def peak():\n"
        "    return int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])\n"
        "before = peak()\n"
        "found = class_ids(raw, LabelLayout(''), two, 'x')\n"
        "assert (found == raw).all()\n"
        "print(peak() - before)\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'training'}"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) < 80_000, "kB above the picture itself"


def test_colours_and_numbers_are_the_same_classes_as_ever() -> None:
    numbers = np.random.default_rng(0).integers(0, 2, (600, 40)).astype(np.int64)
    colors = np.array([entry.color for entry in CLASSES], np.uint8)[numbers]
    assert (class_ids(colors, LabelLayout("", "colors"), CLASSES, "x") == numbers).all()
    assert (class_ids(numbers, LabelLayout(""), CLASSES, "x") == numbers).all()


@pytest.mark.parametrize(
    "name", ["../../evil", "/tmp/evil", "a/b", "", ".", "a\x1b[31m", "x" * 101]
)
def test_a_name_that_becomes_a_path_stays_below_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected letters|name is missing"):
        parse_recipe({**tiny_recipe().plain(), "name": name})
    if name:
        recipe = {k: v for k, v in tiny_recipe().plain().items() if k not in ("name", "seed")}
        content = {"title": "t", "seeds": [1], "recipe": recipe, "methods": {name: {"title": "t"}}}
        (tmp_path / "study.yaml").write_text(json.dumps(content))
        with pytest.raises(ConfigError, match="expected letters"):
            load_study(tmp_path / "study.yaml")
    plain = tiny_recipe().plain()
    plain["modalities"] = {name or "../x": plain["modalities"]["rgb"]}
    with pytest.raises(ConfigError, match="expected letters"):
        parse_recipe(plain)


def test_ordinary_names_are_names() -> None:
    for name in ("rig-nano", "anyseg_teacher", "v1.2", "5sets"):
        assert check_name(name, "name") == name
