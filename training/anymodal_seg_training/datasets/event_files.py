"""Recorded events to the image that the node would have made of them.

The windows go through :mod:`anymodal_seg_ros.sensing.events`, as a live camera's do. Networks of
the papers take voxel grids instead (ESS, arXiv 2203.10016): their numbers are not comparable.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import seconds_to_ns
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.events.render import render_image
from anymodal_seg_ros.sensing.events.store import PixelGrid
from anymodal_seg_ros.sensing.events.values import Events, EventWindow
from anymodal_seg_training.datasets.bounded import MAX_PIXELS, arrays, check_file
from anymodal_seg_training.datasets.bounded_hdf5 import opened, rows, stored
from anymodal_seg_training.datasets.layout import ImageLayout
from anymodal_seg_training.errors import TrainingError

_US_NS = 1_000
_COLUMNS = ("x", "y", "t", "p")
MAX_EVENTS = 1 << 24
"""Of a window: thirty times what the busiest one of DSEC has in 50 ms."""
MAX_TIMES_BYTES = 1 << 24
"""Of a list of times: a million of them."""


def npz_image(path: Path, layout: ImageLayout) -> Image:
    """Render all events of an ``.npz`` file with the arrays x, y, t and p (EventScape).

    The window is what the file holds, from its first event to its last, whatever the unit of t.

    Returns:
        ``8UC3``, uint8 ``[height, width, 3]`` of the layout; all 0 without events.

    Raises:
        TrainingError: the file is missing or damaged, or an array is.
    """
    grid = _grid(layout, path)
    x, y, t, p = cast("list[npt.NDArray[Any]]", arrays(path, _COLUMNS))
    if any(column.ndim != 1 or column.size != t.size for column in (x, y, t, p)):
        raise TrainingError(f"{path} has x, y, t, p of different lengths: {x.shape} to {p.shape}")
    if any(column.dtype.kind not in "iuf" for column in (x, y, t)) or p.dtype.kind not in "biuf":
        raise TrainingError(f"{path} has x, y, t, p that are no numbers")
    if not t.size:
        return Image(np.zeros((grid.height, grid.width, 3), np.uint8), "8UC3")
    sound = np.isfinite(t)
    for places in (x, y):
        sound &= (places >= 0) & (places < 1 << 16)
    if not sound.any():
        raise TrainingError(f"{path} has {t.size} events, of which none has a place and a time")
    x, y, t, p = (column[sound] for column in (x, y, t, p))
    # A million steps from the first to the last event: finer than the image can tell.
    since = (t - t.min()).astype(np.float64)
    time_ns = np.rint(since / max(float(since.max()), 1e-30) * 1e6).astype(np.int64)
    on = np.asarray(p, np.float64) > 0
    return _render(grid, Events(time_ns, x, y, on), 0, int(time_ns.max()) + 1)


def dsec_image(paths: list[Path], layout: ImageLayout, moment: str) -> Image:
    """Render the events of DSEC before a label: rectified, in the left event camera.

    Args:
        paths: ``events.h5``, ``rectify_map.h5``, and the text file with the times of the labels in
            microseconds, one in each line.
        layout: length of the window, size of the sensor.
        moment: number of the label's line, from 0.

    Returns:
        ``8UC3``, uint8 ``[height, width, 3]`` of the layout.

    Raises:
        TrainingError: a file is missing or damaged, or there is no such line.
    """
    if len(paths) != 3:
        raise TrainingError(f"{len(paths)} files for events of dsec: expected events, map, times")
    events_file, map_file, times_file = paths
    grid = _grid(layout, events_file)
    times = _times(times_file)
    if not moment.isdecimal() or int(moment) >= len(times):
        raise TrainingError(f"{times_file} has {len(times)} times: there is none for {moment!r}")
    end_us = times[int(moment)]
    start_us = end_us - seconds_to_ns(layout.window_s) // _US_NS
    x, y, t, p = _between(events_file, start_us, end_us)
    place = _rectify_map(map_file)
    inside = (x < place.shape[1]) & (y < place.shape[0])
    x, y, t, p = x[inside], y[inside], t[inside], p[inside]
    there = np.rint(place[y, x]).astype(np.int64)
    seen = (there >= 0).all(axis=1)  # beyond the other edges the grid leaves them out
    events = Events(t[seen] * _US_NS, there[seen, 0], there[seen, 1], p[seen] > 0)
    return _render(grid, events, start_us * _US_NS, end_us * _US_NS)


def _render(grid: PixelGrid, events: Events, start_ns: int, end_ns: int) -> Image:
    time_ns, cells = grid.place(events)
    return render_image(
        EventWindow(start_ns, end_ns, "", grid.height, grid.width, time_ns, cells, True)
    )


def _grid(layout: ImageLayout, path: Path) -> PixelGrid:
    if not layout.height or not layout.width:
        raise TrainingError(
            f"the size of the sensor is not known for {path}: give height and width in the layout"
        )
    return PixelGrid(layout.height, layout.width, 1)


def _between(path: Path, start_us: int, end_us: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Read the events from ``start_us`` on and before ``end_us``: x, y, absolute t in us, p."""
    with opened(path) as file:
        try:
            offset_us = int(stored(file, "t_offset", 0)[()]) if "t_offset" in file else 0
            # ms_to_idx[m] is the first event at or after m milliseconds.
            first_of_ms = stored(file, "ms_to_idx", 1)
            total = stored(file, "events/t", 1).shape[0]
            first_ms = max((start_us - offset_us) // 1000, 0)
            last_ms = max(-(-(end_us - offset_us) // 1000), 0)
            first, last = (
                int(rows(first_of_ms, ms, ms + 1)[0]) if ms < first_of_ms.shape[0] else total
                for ms in (first_ms, last_ms)
            )
            if not 0 <= first <= last <= first + MAX_EVENTS:
                raise ValueError(f"events {first} to {last}: expected at most {MAX_EVENTS}")
            columns = {
                name: rows(stored(file, f"events/{name}", 1), first, last).astype(np.int64)
                for name in _COLUMNS
            }
            if any(len(column) != last - first for column in columns.values()):
                raise ValueError("x, y, t, p are of different lengths")
        except Exception as error:  # a damaged file can make its reader stumble in any way
            raise TrainingError(f"{path} cannot be read as events of DSEC: {error}") from error
    columns["t"] += offset_us
    chosen = (columns["t"] >= start_us) & (columns["t"] < end_us)
    return tuple(columns[name][chosen] for name in _COLUMNS)


@functools.lru_cache(maxsize=8)
def _rectify_map(path: Path) -> npt.NDArray[np.float32]:
    """Read where each pixel goes: float32 ``[H, W, 2]``, column and row."""
    with opened(path) as file:
        try:
            found = stored(file, "rectify_map", 3)
            if found.shape[2] != 2 or found.size > 2 * MAX_PIXELS:
                raise ValueError(f"it is of shape {found.shape}: expected [H, W, 2]")
            return rows(found, 0, found.shape[0]).astype(np.float32)
        except Exception as error:  # a damaged file can make its reader stumble in any way
            raise TrainingError(f"{path} cannot be read as a map of DSEC: {error}") from error


@functools.lru_cache(maxsize=8)
def _times(path: Path) -> tuple[int, ...]:
    check_file(path)
    try:
        if path.stat().st_size > MAX_TIMES_BYTES:
            raise ValueError(f"it is longer than {MAX_TIMES_BYTES} bytes")
        return tuple(int(word) for word in path.read_text(encoding="ascii").split())
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} is no list of times in microseconds: {error}") from error
