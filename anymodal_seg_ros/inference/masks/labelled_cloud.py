"""Masks in space: a point for every pixel of the mask that has a distance, with its class."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import UNLABELED, Mask
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.masks.visualize import palette
from anymodal_seg_ros.sensing.geometry.cameras import Camera
from anymodal_seg_ros.sensing.geometry.views import pixel_places, rays_of

POINT = np.dtype(
    {
        "names": ["x", "y", "z", "rgb", "class_id", "confidence"],
        "formats": ["<f4", "<f4", "<f4", "<u4", "u1", "u1"],
        "offsets": [0, 4, 8, 12, 16, 17],
        "itemsize": 20,
    }
)
"""One point: metres in the optical frame, packed class colour, class id, certainty 0..255."""


class LabelledCloud:
    """Turns masks and distances into organised clouds. Directions are kept while they hold."""

    def __init__(self, manifest: Manifest) -> None:
        colors = palette(manifest).astype(np.uint32)
        self._packed = (colors[:, 0] << 16) | (colors[:, 1] << 8) | colors[:, 2]
        self._camera: Camera | None = None
        self._slopes: npt.NDArray[np.float32] = np.empty((0, 0, 2), np.float32)

    def make(
        self,
        mask: Mask,
        confidence: Mask | None,
        metres: npt.NDArray[np.float32],
        camera: Camera,
    ) -> npt.NDArray[np.void]:
        """Return one point for each pixel of a mask, ``[H, W]`` of :data:`POINT`.

        Args:
            mask: uint8 ``[H, W]`` class ids.
            confidence: uint8 ``[H, W]``; None counts as 255 where there is a class.
            metres: float32 ``[h, w]``, distance along the optical axis of what the mask's picture
                shows, at any resolution; NaN where it is not known: so are those points.
            camera: whose picture the mask is, at any resolution.
        """
        height, width = mask.shape
        depth = cv2.resize(metres, (width, height), interpolation=cv2.INTER_NEAREST)
        slopes = self._slopes_of(camera, height, width)
        points: npt.NDArray[np.void] = np.zeros((height, width), POINT)
        points["x"], points["y"], points["z"] = (
            slopes[..., 0] * depth,
            slopes[..., 1] * depth,
            depth,
        )
        points["rgb"] = self._packed[mask]
        points["class_id"] = mask
        certain = np.where(mask == UNLABELED, 0, 255) if confidence is None else confidence
        points["confidence"] = certain
        return points

    def _slopes_of(self, camera: Camera, height: int, width: int) -> npt.NDArray[np.float32]:
        """Return x/z and y/z of the direction of each pixel, float32 ``[H, W, 2]``."""
        if self._camera is not camera or self._slopes.shape[:2] != (height, width):
            rays = rays_of(camera, pixel_places(height, width))
            with np.errstate(divide="ignore", invalid="ignore"):
                slopes = rays[:, :2] / rays[:, 2:]
            slopes[~(rays[:, 2] > 0)] = np.nan
            self._slopes = slopes.reshape(height, width, 2).astype(np.float32)
            self._camera = camera
        return self._slopes
