"""Short drives through many places, to learn from some and to test on the others."""

from __future__ import annotations

import itertools

import numpy as np

from anymodal_seg_ros.simulation.sequence import SequenceConfig
from anymodal_seg_ros.simulation.world.scene import SceneConfig
from anymodal_seg_ros.simulation.world.street import KINDS
from anymodal_seg_ros.simulation.world.weather import WEATHERS

FIRST_SEED = 900_000
"""Of the places; RigBench has other seeds."""

SECONDS, HZ = 8.0, 2.0

_SHUFFLE = 5


def learning_drives(count: int) -> list[SequenceConfig]:
    """Return the first drives that are to be learned from: those with even numbers."""
    return _drives(2 * count)[::2]


def testing_drives(count: int) -> list[SequenceConfig]:
    """Return the first drives that nothing was learned from: those with odd numbers."""
    return _drives(2 * count)[1::2]


def _drives(count: int) -> list[SequenceConfig]:
    """Return the first drives; first as many stand as drive, then all drive, in every weather."""
    dice = np.random.default_rng(_SHUFFLE)
    found: list[SequenceConfig] = []
    turn = 0
    while len(found) < count:
        egos = ("driving",) if turn % 3 else ("driving", "standing")
        turn += 1
        places = list(itertools.product(WEATHERS, KINDS, egos))
        for index in dice.permutation(len(places)):
            weather, kind, ego = places[index]
            scene = SceneConfig(FIRST_SEED + len(found), weather, kind=kind, ego=ego)
            found.append(SequenceConfig(scene, SECONDS, HZ))
    return found[:count]
