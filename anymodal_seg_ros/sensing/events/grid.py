"""From the addresses of a sensor to the cells of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.sensing.events.buffer import Cells
from anymodal_seg_ros.sensing.events.values import Events, Times


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixels of a sensor, and how many of them make one of the image.

    Attributes:
        sensor_height: rows of the sensor.
        sensor_width: columns of the sensor.
        binning: sensor pixels per image pixel along each side.
    """

    sensor_height: int
    sensor_width: int
    binning: int

    @property
    def height(self) -> int:
        """Rows of the image."""
        return -(-self.sensor_height // self.binning)

    @property
    def width(self) -> int:
        """Columns of the image."""
        return -(-self.sensor_width // self.binning)

    def place(self, events: Events) -> tuple[Times, Cells]:
        """Find the cell of every event, and leave out events that no such sensor has.

        Returns:
            Time and cell of the others.
        """
        time_ns, x, y, on = events.time_ns, events.x, events.y, events.on
        inside = (x < self.sensor_width) & (y < self.sensor_height)
        if not inside.all():
            time_ns, x, y, on = time_ns[inside], x[inside], y[inside], on[inside]
        if self.binning > 1:
            x, y = x // self.binning, y // self.binning
        cells = y.astype(np.uint32)
        cells *= np.uint32(self.width)
        cells += x.astype(np.uint32, copy=False)
        cells <<= np.uint32(1)
        cells |= on.astype(np.uint32, copy=False)
        return time_ns, cells
