"""The folders and files of DELIVER (arXiv 2303.01480; its loaders at jamycheung/DELIVER).

    ROOT/{img,depth,hha,event,lidar,semantic}/WEATHER/{train,val,test}/SCENE/FRAME_WHAT_front.png

Labels are DELIVER's raw values: its class id + 1, and 0 where there is none. ``thermal`` lies
beside them in the same way, as 16-bit counts; DELIVER has none, and its loaders ignore it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from anymodal_seg_ros.errors import ConfigError, DecodeError
from anymodal_seg_ros.frames import UNLABELED, Mask, Pixels
from anymodal_seg_ros.sensing.decoding.image_headers import check_complete, read_header
from anymodal_seg_ros.simulation.dataset.plan import CASES, ScenePlan
from anymodal_seg_ros.simulation.world.classes import CLASSES
from anymodal_seg_ros.written_files import write_file

FOLDERS = {
    "rgb": ("img", "rgb"),
    "thermal": ("thermal", "thermal"),
    "depth": ("depth", "depth"),
    "hha": ("hha", "depth"),
    "event": ("event", "event"),
    "lidar": ("lidar", "lidar"),
    "labels": ("semantic", "semantic"),
}
"""The folder of each picture, and the word in its files' names; HHA keeps the word of depth."""

SPLIT_FOLDERS = {"train": "train", "validation": "val", "test": "test"}

_REPLACED = ("/img", "_rgb", *CASES)
"""What DELIVER's loaders replace or look for in the whole path of a file."""

_COUNTS = ("thermal", "depth")
"""What is stored in 16 bits."""

_MAX_BYTES = 1 << 28
_ANEW = "delete it and generate the data set again"

_COMPRESSION = 3  # of PNG: twice as fast as OpenCV's own choice was on noisy pictures, 3 % larger


def check_root(root: Path) -> None:
    """Refuse a folder in which DELIVER's loaders would lose their way.

    Raises:
        ConfigError: its path holds what they replace, or what they tell failures by.
    """
    path = str(root.absolute())
    for word in _REPLACED:
        if word in path:
            raise ConfigError(
                f"the path {path} holds {word!r}, which loaders of DELIVER replace or filter by: "
                "choose another folder"
            )


def frame_path(root: Path, plan: ScenePlan, index: int, picture: str) -> Path:
    """Where one picture of a frame lies; ``picture`` is one of ``FOLDERS``."""
    folder, word = FOLDERS[picture]
    split = SPLIT_FOLDERS[plan.split]
    return root / folder / plan.weather / split / plan.name / f"{index:06d}_{word}_front.png"


def raw_labels(labels: Mask) -> Mask:
    """Turn our class ids into DELIVER's raw values, uint8 ``[H, W]``."""
    return _TO_RAW[labels]


def class_labels(raw: Mask) -> Mask:
    """Turn DELIVER's raw values into our class ids, 255 where we have no such class."""
    return _FROM_RAW[raw]


def write_frame(
    root: Path, plan: ScenePlan, index: int, pixels: Mapping[str, Pixels], labels: Mask
) -> None:
    """Write the files of one frame.

    Args:
        root: of the data set.
        plan: of its scene.
        index: its number in the scene.
        pixels: in their stored form, by modality, and ``hha``.
        labels: our class ids, uint8 ``[H, W]``.

    Raises:
        ConfigError: a file cannot be written.
    """
    for picture, array in (*pixels.items(), ("labels", raw_labels(labels))):
        path = frame_path(root, plan, index, picture)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, _png(array))
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def read_frame(
    root: Path, plan: ScenePlan, index: int, pictures: tuple[str, ...]
) -> tuple[dict[str, Pixels], Mask]:
    """Read pictures of a frame in their stored form, and its labels as our class ids.

    Raises:
        ConfigError: a file is missing, or another picture than was written there.
    """
    raw = _read(frame_path(root, plan, index, "labels"), "labels")
    pixels = {}
    for picture in pictures:
        path = frame_path(root, plan, index, picture)
        pixels[picture] = _read(path, picture)
        if pixels[picture].shape[:2] != raw.shape:
            raise ConfigError(f"{path} is of another size than its labels: {_ANEW}")
    return pixels, class_labels(raw)


def _png(pixels: Pixels) -> bytes:
    ordered = pixels[..., ::-1] if pixels.ndim == 3 else pixels  # OpenCV wants BGR
    made, data = cv2.imencode(
        ".png", np.ascontiguousarray(ordered), [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION]
    )
    assert made
    return bytes(data)


def _read(path: Path, picture: str) -> Pixels:
    # OpenCV itself only prints a warning where a file is missing.
    if not path.is_file():
        raise ConfigError(f"{path} is missing: generate the data set again, it goes on by itself")
    try:
        if (size := path.stat().st_size) > _MAX_BYTES:
            raise ConfigError(f"{path} has {size} bytes, more than any of these: {_ANEW}")
        data = np.fromfile(path, np.uint8, size)
        header = read_header(data)
        check_complete(data, header.height, header.width)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except (OSError, DecodeError, MemoryError, cv2.error) as error:
        raise ConfigError(f"{path} is damaged ({error}): {_ANEW}") from error
    kind = (np.uint16, 2) if picture in _COUNTS else (np.uint8, 2 if picture == "labels" else 3)
    if pixels is None or (pixels.dtype, pixels.ndim) != kind or pixels.shape[2:] not in ((), (3,)):
        raise ConfigError(f"{path} is damaged, or no picture of {picture}: {_ANEW}")
    return np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def _to_raw() -> Mask:
    table = np.zeros(256, np.uint8)
    for number, entry in enumerate(CLASSES):
        table[number] = entry.deliver_id + 1
    table[UNLABELED] = 0
    return table


def _from_raw() -> Mask:
    table = np.full(256, UNLABELED, np.uint8)
    for number, entry in enumerate(CLASSES):
        table[entry.deliver_id + 1] = number
    return table


_TO_RAW, _FROM_RAW = _to_raw(), _from_raw()
