"""Windows of events as images and planes of fixed size, whatever the event rate.

``np.add.at`` and ``np.maximum.at`` are used because they do not care in which order equal indices
come. NumPy has fast loops for them if indices are ``intp`` and the operand is an array of the
target's own dtype; with a plain ``1`` they would be thirty times slower.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.events.window import EventWindow

Planes = npt.NDArray[np.float32]

_COUNTS = np.arange(256)
COUNT_LEVELS = np.rint(255.0 * (1.0 - np.exp(-0.5 * _COUNTS))).astype(np.uint8)
"""How counts of 0, 1, 2, ... events look in an image: 0, 100, 161, 198, ... up to 255."""


def render_image(window: EventWindow) -> Image:
    """Make the image that event networks of this package take.

    Returns:
        ``8UC3``, uint8 ``[H, W, 3]``: the counts of ON and of OFF events of each pixel as
        ``255 · (1 - exp(-n / 2))``, and when its last event came, from 1 for the beginning of the
        window to 255 for its end; 0 without an event.
    """
    pixels = np.empty((window.height, window.width, 3), np.uint8)
    off_on = np.minimum(_counts(window), _COUNTS[-1])
    np.take(COUNT_LEVELS, off_on[..., ::-1], out=pixels[..., :2])
    length_ns = window.end_ns - window.start_ns
    recency = 1.5 + (window.time_ns - window.start_ns) * (254.0 / length_ns)
    latest = np.zeros(window.height * window.width, np.uint8)
    np.maximum.at(latest, _pixels(window), recency.astype(np.uint8))
    pixels[..., 2] = latest.reshape(window.height, window.width)
    return Image(pixels, "8UC3")


def signed_surface(window: EventWindow, decay_ns: int) -> Planes:
    """Make a signed count and a time surface for each polarity.

    Args:
        window: the events.
        decay_ns: age at which the surface has fallen to 1/e.

    Returns:
        float32 ``[3, H, W]``: ON minus OFF events; ``exp(-age / decay)`` of the last ON event; the
        same of the last OFF event; 0 without an event.
    """
    planes = np.zeros((3, window.height, window.width), np.float32)
    counts = _counts(window)
    np.subtract(counts[..., 1], counts[..., 0], out=planes[0], casting="unsafe")
    age = (window.time_ns - window.end_ns).astype(np.float32)
    age /= decay_ns
    surface = np.zeros(window.height * window.width * 2, np.float32)
    np.maximum.at(surface, window.cells.astype(np.intp), np.exp(age))
    planes[1:] = surface.reshape(window.height, window.width, 2)[..., ::-1].transpose(2, 0, 1)
    return planes


def voxel_grid(window: EventWindow, bins: int) -> Planes:
    """Spread the signed events over time bins, each over the two nearest ones.

    Returns:
        float32 ``[bins, H, W]``: the first bin lies at the beginning of the window, the last at its
        end; the sum over the bins is ON minus OFF events.
    """
    size = window.height * window.width
    grid = np.zeros(bins * size, np.float32)
    length_ns = window.end_ns - window.start_ns
    place = (window.time_ns - window.start_ns) * ((bins - 1) / length_ns)
    early = np.minimum(place.astype(np.intp), max(bins - 2, 0))
    late_share = (place - early).astype(np.float32)
    sign = ((window.cells & 1) * np.float32(2) - np.float32(1)).astype(np.float32)
    index = early * size + _pixels(window)
    np.add.at(grid, index, sign * (1 - late_share))
    if bins > 1:
        np.add.at(grid, index + size, sign * late_share)
    return grid.reshape(bins, window.height, window.width)


def _pixels(window: EventWindow) -> npt.NDArray[np.intp]:
    return (window.cells >> 1).astype(np.intp)


def _counts(window: EventWindow) -> npt.NDArray[np.int32]:
    """Count OFF and ON events: int32 ``[H, W, 2]``."""
    counts = np.zeros(window.height * window.width * 2, np.int32)
    cells = window.cells.astype(np.intp)
    np.add.at(counts, cells, np.ones(cells.size, np.int32))
    return counts.reshape(window.height, window.width, 2)
