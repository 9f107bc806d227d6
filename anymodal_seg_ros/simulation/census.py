"""Which classes a rig's camera sees how often: ``python -m anymodal_seg_ros.simulation.census``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.simulation.world.camera import Intrinsics, MountedCamera
from anymodal_seg_ros.simulation.world.classes import CLASSES
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig
from anymodal_seg_ros.simulation.world.view import look

SMALL_CAMERA = MountedCamera(Intrinsics(160, 120, 122.5, 122.5, 79.5, 59.5))
"""The default camera at half its resolution."""

_SEEN_PIXELS = 12
_INSTANTS = 2
"""Of a scene that are looked at."""


@dataclass(frozen=True, slots=True)
class Census:
    """Counts over a number of scenes.

    Attributes:
        share: float64 ``[K]``, mean share of the pixels of each class.
        seen: float64 ``[K]``, share of the scenes in which an instant shows 12 pixels or more.
        standing: triangles that stand, mean over the scenes.
        moving: triangles that move, the skyline among them, mean over the instants.
    """

    share: npt.NDArray[np.float64]
    seen: npt.NDArray[np.float64]
    standing: float
    moving: float


def take_census(scenes: Iterable[SceneConfig]) -> Census:
    """Look at each scene twice, evenly spread over its period, at 160x120."""
    shares, seen, standing, moving = [], [], [], []
    for config in scenes:
        scene = Scene(config)
        counts = []
        for i in range(_INSTANTS):
            view = look(scene, SMALL_CAMERA, (i + 0.5) / _INSTANTS * config.loop_s)
            counts.append(np.bincount(view.labels().ravel(), minlength=len(CLASSES)))
            moving.append(len(view.world.moving.surface))
        standing.append(len(view.world.static.surface))
        shares.append(np.mean(counts, 0) / view.hit.size)
        seen.append(np.max(counts, 0) >= _SEEN_PIXELS)
    return Census(
        np.mean(shares, 0), np.mean(seen, 0), float(np.mean(standing)), float(np.mean(moving))
    )


def main() -> None:
    """Print the table of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=60, help="how many, from seed --first on")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--kind", default="random", help="urban, suburban, rural or offroad")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.scenes)
    census = take_census(SceneConfig(seed, kind=options.kind) for seed in seeds)
    print("| id | class | colour | DELIVER id | pixels % | scenes % |")
    print("|---|---|---|---|---|---|")
    for number, entry in enumerate(CLASSES):
        color = ", ".join(map(str, entry.color))
        share, seen = 100 * census.share[number], 100 * census.seen[number]
        print(f"| {number} | {entry.name} | {color} | {entry.deliver_id} ", end="")
        print(f"| {share:.2f} | {seen:.0f} |")
    print(f"\n{census.standing:.0f} triangles stand, {census.moving:.0f} move (means).")


if __name__ == "__main__":
    main()
