"""How many frames a second the rig renders on one core, by weather and set of sensors.

    python benchmarks/rig.py [--seconds 3] [--seeds 4]

A frame is one instant with everything that belongs to it: labels, true depth, and for the events
the sub-steps since the last window. Instants are far apart, so nothing is shared between frames.
CPU time of one thread, without drawing the scenes. The baseline of every row is the RGB camera
alone; `rays/s` is bare Embree on the primary rays of the same scenes in the same run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

from anymodal_seg_ros.simulation.cameras.rgb import RgbCamera
from anymodal_seg_ros.simulation.rig import Rig, aligned_sensors, mounted_sensors
from anymodal_seg_ros.simulation.world.camera import DEFAULT_CAMERA, rays
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig
from anymodal_seg_ros.simulation.world.weather import WEATHERS

SETS = {
    "rgb": (RgbCamera(),),
    "aligned four": aligned_sensors(),
    "aligned five": aligned_sensors(lidar=True),
    "mounted five": mounted_sensors(),
}


def rate(scenes: list[Scene], work: Callable[[Scene, int], object], seconds: float) -> float:
    """Return calls of ``work`` per second of CPU time, at instants that differ in every call."""
    for scene in scenes:
        work(scene, 0)
    calls, began = 0, time.process_time()
    while time.process_time() - began < seconds or calls % len(scenes):
        work(scenes[calls % len(scenes)], (calls + 1) * 370_000_000)
        calls += 1
    return calls / (time.process_time() - began)


def rays_per_second(scenes: list[Scene], seconds: float) -> float:
    """Return how many primary rays bare Embree casts into what stands."""
    casts = []
    for scene in scenes:
        world = scene.at(1.0)
        origin, directions = rays(DEFAULT_CAMERA, world.ego)
        casts.append((world.static.caster, np.broadcast_to(origin, directions.shape).copy(),
                      directions))  # fmt: skip

    def cast(_: Scene, time_ns: int) -> object:
        caster, origins, directions = casts[time_ns // 370_000_000 % len(casts)]
        return caster.nearest(origins, directions)

    return rate(scenes, cast, seconds) * len(casts[0][1])


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each number")
    parser.add_argument("--seeds", type=int, default=4, help="scenes of each weather")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{'weather':8}" + "".join(f"{name:>20}" for name in SETS) + f"{'Mrays/s':>10}")
    for weather in WEATHERS:
        scenes = [Scene(SceneConfig(seed, weather)) for seed in range(options.seeds)]
        cells, baseline = [], 0.0
        for sensors in SETS.values():
            rig = Rig(sensors)
            frames = rate(scenes, rig.capture, options.seconds)
            baseline = baseline or frames
            cells.append(f"{frames:8.2f} Hz ({frames / baseline:4.2f})")
        mrays = rays_per_second(scenes, options.seconds / 4) / 1e6
        print(f"{weather:8}" + "".join(f"{c:>20}" for c in cells) + f"{mrays:10.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
