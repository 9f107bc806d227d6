"""Windows of events as images of fixed size, whatever the event rate.

``np.add.at`` and ``np.maximum.at`` are used because they do not care in which order equal indices
come. NumPy has fast loops for them if indices are ``intp`` and the operand is an array of the
target's own dtype; with a plain ``1`` they would be thirty times slower.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.events.values import EventWindow, Indices, Times

_BLOCK = 16_384
COUNT_LEVELS = np.rint(255.0 * (1.0 - np.exp(-0.5 * np.arange(256)))).astype(np.uint8)
"""How counts of 0, 1, 2, ... events look in an image: 0, 100, 161, 198, ... up to 255."""


def render_image(window: EventWindow) -> Image:
    """Make the image that event networks of this package take.

    Returns:
        ``8UC3``, uint8 ``[H, W, 3]``: the counts of ON and of OFF events of each pixel as
        ``255 · (1 - exp(-n / 2))``, and when its last event came, from 1 for the beginning of the
        window to 255 for its end; 0 without an event.
    """
    counts = np.zeros(window.height * window.width * 2, np.int32)
    for cells, _ in _blocks(window):
        np.add.at(counts, cells, np.ones(cells.size, np.int32))
    # Only pixels with events are written: mostly these are few.
    values = np.zeros(window.height * window.width * 3, np.uint8)
    scale = 254.0 / (window.end_ns - window.start_ns)
    for cells, since_ns in _blocks(window):
        first = (cells >> 1) * 3
        levels = COUNT_LEVELS.take(counts.take(cells), mode="clip")
        values[first + (cells & 1 ^ 1)] = levels
        recency = since_ns * scale + 1.5  # is rounded when it is cut off
        np.maximum.at(values, first + 2, recency.astype(np.uint8))
    return Image(values.reshape(window.height, window.width, 3), "8UC3")


def _blocks(window: EventWindow) -> Iterator[tuple[Indices, Times]]:
    """Cut a window into pieces whose intermediate arrays fit the processor's cache.

    Yields:
        Cells as indices, and nanoseconds since the beginning of the window.
    """
    for at in range(0, window.cells.size, _BLOCK):
        part = slice(at, at + _BLOCK)
        yield window.cells[part].astype(np.intp), window.time_ns[part] - window.start_ns
