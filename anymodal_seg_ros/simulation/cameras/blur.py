"""Motion blur: the average of a picture along the way that its pixels go during the exposure."""

from __future__ import annotations

import cv2
import numpy as np

from anymodal_seg_ros.simulation.cameras.flow import displacement
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.world.camera import MountedCamera
from anymodal_seg_ros.simulation.world.shapes import Floats

_VISIBLE_PX = 0.7
_MOST_PX = 40.0


def blurred(
    light: Floats, observer: Observer, camera: MountedCamera, time_ns: int, exposure_s: float
) -> Floats:
    """Average radiance ``[H, W, 3]`` over an exposure about ``time_ns``.

    The way is that of depth, own motion and bodies, and straight; what a moving thing uncovers is
    not known, so its outline stays sharper than in life. ``light`` itself if nothing moves.
    """
    view = observer.view(camera, time_ns)
    other = observer.world(time_ns - round(exposure_s * 1e9))
    right, down = displacement(camera, view.seen.at, view.world, other)
    ways = view.image(np.stack([right, down], -1).clip(-_MOST_PX, _MOST_PX), 0.0)
    length = np.hypot(ways[..., 0], ways[..., 1]).ravel()
    peak = float(np.partition(length, -200)[-200])
    if peak < _VISIBLE_PX:
        return light
    samples = int(np.clip(np.ceil(peak / 1.5), 2, 5))
    height, width = light.shape[:2]
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    total = np.zeros_like(light)
    for i in range(samples):
        share = np.float32((i + 0.5) / samples - 0.5)
        x, y = columns + share * ways[..., 0], rows + share * ways[..., 1]
        total += cv2.remap(light, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    average: Floats = total / np.float32(samples)
    return average
