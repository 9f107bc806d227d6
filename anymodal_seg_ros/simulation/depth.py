"""The depth camera: stereo, so its error grows with the square of the distance."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.simulation.camera import DEFAULT_CAMERA, Camera
from anymodal_seg_ros.simulation.noise import gaussian, noise_source
from anymodal_seg_ros.simulation.sensors import Observer
from anymodal_seg_ros.simulation.shapes import Floats


@dataclass(frozen=True, slots=True)
class DepthCamera:
    """A stereo depth camera (``32FC1``, metres along the optical axis, NaN where unknown).

    A disparity error of ``s`` pixels is a depth error of ``s · z² / (fx · baseline)``.

    Attributes:
        name: of the sensor.
        camera: mount and intrinsics.
        rate_hz: frame rate.
        latency_ns: how long after its stamp a message leaves the driver.
        baseline_m: distance of the two eyes.
        disparity_noise_px: standard deviation of the matched disparity.
        near_m: nearer points give no depth.
        far_m: farther points give no depth.
        dropout: share of single pixels without a match.
    """

    name: str = "depth"
    camera: Camera = DEFAULT_CAMERA
    rate_hz: float = 15.0
    latency_ns: int = 0
    baseline_m: float = 0.25
    disparity_noise_px: float = 0.12
    near_m: float = 0.4
    far_m: float = 60.0
    dropout: float = 0.015

    @property
    def modality(self) -> str:
        """Always ``depth``."""
        return "depth"

    def capture(self, observer: Observer, time_ns: int) -> Image:
        """A ``32FC1`` image, float32 ``[H, W]``."""
        view = observer.view(self.camera, time_ns)
        true = view.image(view.z, np.inf)
        rng = noise_source(observer.scene, self.name, time_ns)
        per_disparity = self.camera.intrinsics.fx * self.baseline_m
        # Matching windows make the error of neighbours alike.
        error = cv2.GaussianBlur(gaussian(rng, true.shape), (3, 3), 0.7) * 1.6
        disparity = per_disparity / true + self.disparity_noise_px * error
        measured = per_disparity / np.maximum(disparity, 1e-6)
        lost = rng.random(true.shape, np.float32) < self.dropout
        lost |= _half_occluded(per_disparity / true)
        lost |= (measured < self.near_m) | (measured > self.far_m) | ~np.isfinite(true)
        measured[lost] = np.nan
        return Image(measured.astype(np.float32), "32FC1")


def _half_occluded(disparity: Floats) -> npt.NDArray[np.bool_]:
    """Pixels whose match hides behind something nearer to their right in the left image.

    A pixel at column c lies at c - d in the other eye; it is hidden when one further right, with a
    larger disparity, lands at the same place or left of it.
    """
    columns = np.arange(disparity.shape[1], dtype=np.float32)
    other = columns - disparity
    rightmost = np.minimum.accumulate(other[:, ::-1], axis=1)[:, ::-1]
    hidden: npt.NDArray[np.bool_] = other > rightmost + 0.75
    return hidden
