"""One picture of everything: all sensors as columns; weathers, a track and failures as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Mask, Pixels
from anymodal_seg_ros.simulation.dataset.frames import SceneFrame, scene_frames, sized_sensors
from anymodal_seg_ros.simulation.dataset.plan import CASES, ScenePlan
from anymodal_seg_ros.simulation.dataset.stored import lidar_image
from anymodal_seg_ros.simulation.world.classes import CLASSES, SKY
from anymodal_seg_ros.simulation.world.weather import WEATHERS

Rgb = npt.NDArray[np.uint8]

COLUMNS = ("rgb", "thermal", "depth", "event", "lidar", "labels")
ROWS = (*WEATHERS, "off-road", *CASES)
_TILE = (168, 126)
_MARGIN = 4
_TITLE = 118
_HEAD = 24
_FOOT = 52
_FAR_M = 60.0


def contact_sheet(seed: int, offroad_seed: int, tell: Callable[[int, int], None]) -> Rgb:
    """Draw the sheet.

    Args:
        seed: of the street that all rows but one show.
        offroad_seed: of the off-road place.
        tell: called with the number of rows done and of all rows.

    Returns:
        uint8 ``[H, W, 3]``, RGB.
    """
    width = _TITLE + len(COLUMNS) * (_TILE[0] + _MARGIN)
    height = _HEAD + len(ROWS) * (_TILE[1] + _MARGIN) + _FOOT
    sheet = np.full((height, width, 3), 255, np.uint8)
    for number, title in enumerate(COLUMNS):
        _write(sheet, title, _TITLE + number * (_TILE[0] + _MARGIN) + 4, 17)
    for row, (title, frame) in enumerate(zip(ROWS, _frames(seed, offroad_seed), strict=True)):
        top = _HEAD + row * (_TILE[1] + _MARGIN)
        _write(sheet, title, 4, top + _TILE[1] // 2)
        for number, tile in enumerate(_tiles(frame)):
            left = _TITLE + number * (_TILE[0] + _MARGIN)
            sheet[top : top + _TILE[1], left : left + _TILE[0]] = tile
        tell(row + 1, len(ROWS))
    _legend(sheet)
    return sheet


def encode_png(sheet: Rgb) -> bytes:
    """Compress a sheet; its colours are cut to 5 bits each, which halves the file."""
    coarse = (sheet & 0xF8) | (sheet >> 5)
    ok, data = cv2.imencode(".png", coarse[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert ok
    return bytes(data)


def _plans(seed: int, offroad_seed: int) -> Iterable[ScenePlan]:
    for weather in WEATHERS:
        yield ScenePlan("test", seed, "urban", weather)
    yield ScenePlan("test", offroad_seed, "offroad", "sun")
    for case in CASES:
        yield ScenePlan("test", seed, "urban", "sun", case)


def _frames(seed: int, offroad_seed: int) -> Iterator[SceneFrame]:
    sensors = sized_sensors(320, 240)
    return scene_frames(_plans(seed, offroad_seed), sensors)


def _tiles(frame: SceneFrame) -> Iterator[Rgb]:
    """The pictures of a frame as people can look at them, in the order of ``COLUMNS``."""
    for column in COLUMNS[:-1]:
        pixels = frame.pixels[column]
        yield _small(
            _thermal(pixels, frame.labels) if column == "thermal" else _PICTURES[column](pixels)
        )
    colors = np.array([entry.color for entry in CLASSES], np.uint8)
    yield _small(colors[frame.labels], cv2.INTER_NEAREST)


def _small(picture: Rgb, how: int = cv2.INTER_AREA) -> Rgb:
    return np.asarray(cv2.resize(picture, _TILE, interpolation=how), np.uint8)


def _thermal(counts: Pixels, labels: Mask) -> Rgb:
    """What is not sky between its 1st and 99th percentile, dark to bright."""
    low, high = np.percentile(counts[labels != SKY], (1, 99))
    return _mapped((counts - low) / max(high - low, 1.0), cv2.COLORMAP_INFERNO)


def _depth(millimetres: Pixels) -> Rgb:
    """Near red, far blue, unknown black."""
    picture = _mapped(1.0 - np.sqrt(millimetres / (_FAR_M * 1e3)), cv2.COLORMAP_TURBO)
    picture[millimetres == 0] = 0
    return picture


def _event(frame: Pixels) -> Rgb:
    """White where nothing happened, red where it became brighter, blue where darker."""
    on, off = frame[..., :1] / 255.0, frame[..., 1:2] / 255.0
    mixed = 1.0 - on * np.array((0.1, 1, 1)) - off * np.array((1, 0.7, 0.1))
    return np.asarray(255 * np.clip(mixed, 0, 1), np.uint8)


def _lidar(planes: Pixels) -> Rgb:
    """Returns by range as in ``_depth``, made larger so that they can be seen."""
    ranges = lidar_image(planes)[..., 0]
    nearness = np.nan_to_num(1.0 - np.sqrt(ranges / _FAR_M), nan=-1.0).astype(np.float32)
    grown = cv2.dilate(nearness, np.ones((3, 3), np.uint8))
    picture = _mapped(grown, cv2.COLORMAP_TURBO)
    picture[grown < -0.99] = 0
    return picture


def _mapped(share: npt.NDArray[Any], colors: int) -> Rgb:
    grey = (255 * np.clip(share, 0, 1)).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, colors)[..., ::-1], np.uint8)


def _legend(sheet: Rgb) -> None:
    """The classes and their colours, in two lines at the foot."""
    across = (len(CLASSES) + 1) // 2
    step = (sheet.shape[1] - 8) // across
    for number, entry in enumerate(CLASSES):
        top = len(sheet) - _FOOT + 6 + 22 * (number // across)
        left = 8 + step * (number % across)
        sheet[top : top + 14, left : left + 14] = entry.color
        _write(sheet, entry.name, left + 18, top + 12)


def _write(sheet: Rgb, text: str, left: int, base: int) -> None:
    cv2.putText(
        sheet, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, 0.48, (0, 0, 0), 1, cv2.LINE_AA
    )


_PICTURES: dict[str, Callable[[Pixels], Rgb]] = {
    "rgb": lambda pixels: pixels,
    "depth": _depth,
    "event": _event,
    "lidar": _lidar,
}
