"""Furnishing of one tile: the order in which things are placed."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.simulation.world.ground import Grounds
from anymodal_seg_ros.simulation.world.placement import clutter, offroad, roadside, traffic
from anymodal_seg_ros.simulation.world.placement.layout import TileLayout
from anymodal_seg_ros.simulation.world.street import Street


def furnish(
    street: Street, grounds: Grounds, standing: bool, rng: np.random.Generator
) -> TileLayout:
    """Draw what stands and moves along ``street``.

    Args:
        street: its plan.
        grounds: its materials.
        standing: whether the ego vehicle stands, so that people may cross before it.
        rng: source of all randomness.
    """
    layout = TileLayout(street, grounds, standing)
    (offroad if street.kind == "offroad" else roadside).line(layout, rng)
    # Before whatever may stand on the other lane only if nobody comes.
    traffic.drive(layout, rng)
    traffic.park(layout, rng)
    traffic.populate(layout, rng)
    clutter.litter(layout, rng)
    clutter.hang(layout, rng)
    return layout
