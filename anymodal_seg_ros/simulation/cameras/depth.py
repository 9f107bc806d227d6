"""The depth camera: active stereo, so its error grows with the square of the distance."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.simulation.cameras.noise import gaussian, noise_source
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.world.camera import DEFAULT_CAMERA, MountedCamera
from anymodal_seg_ros.simulation.world.shapes import Floats


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
        dropout: share of single pixels without a match in good light.
        window_px: side of the matching window; what is narrower than half of it is not found.
        projector_m: reach of the infrared pattern that makes up for missing texture and light.
        dim: radiance at which, beyond that reach, the noise has grown by half.
    """

    name: str = "depth"
    camera: MountedCamera = DEFAULT_CAMERA
    rate_hz: float = 15.0
    latency_ns: int = 0
    baseline_m: float = 0.25
    disparity_noise_px: float = 0.12
    near_m: float = 0.4
    far_m: float = 60.0
    dropout: float = 0.015
    window_px: int = 9
    projector_m: float = 9.0
    dim: float = 0.004

    @property
    def modality(self) -> str:
        """Always ``depth``."""
        return "depth"

    def capture(self, observer: Observer, time_ns: int) -> Image:
        """A ``32FC1`` image, float32 ``[H, W]``."""
        view = observer.view(self.camera, time_ns)
        true = view.depth()
        rng = noise_source(observer.scene, self.name, time_ns)
        per_disparity = np.float32(self.camera.intrinsics.fx * self.baseline_m)
        exact = per_disparity / true
        matched = _matched(exact, self.window_px)
        trouble = self._trouble(observer, time_ns, true)
        # Matching windows make the error of neighbours alike.
        error = cv2.GaussianBlur(gaussian(rng, true.shape), (3, 3), 0.7) * np.float32(1.6)
        error *= np.float32(self.disparity_noise_px) * np.minimum(trouble, 6.0)
        measured: Floats = per_disparity / np.maximum(matched + error, np.float32(1e-6))
        chance = rng.random(true.shape, np.float32)
        lost = chance < self.dropout * trouble**2
        thin = exact - matched > 0.5
        lost |= thin & (chance < 0.4)
        lost |= _half_occluded(exact)
        lost |= (measured < self.near_m) | (measured > self.far_m) | (matched <= 0)
        measured[lost] = np.nan
        return Image(measured, "32FC1")

    def _trouble(self, observer: Observer, time_ns: int, true: Floats) -> Floats:
        """By how much matching is worse than in clear air and daylight, 1 or more ``[H, W]``.

        The projector's pattern makes up for texture and light near by; beyond, the two pictures
        need light, and fog and rain take their contrast by Koschmieder's law.
        """
        weather = observer.scene.illumination
        trouble = np.exp(np.float32(weather.extinction) * np.minimum(true, self.far_m))
        trouble *= np.float32(1.0 + 0.02 * weather.rain_mm_h)
        if weather.lamps_on:
            light = observer.radiance(self.camera, time_ns)[..., 1]
            dark = np.sqrt(np.float32(1.0) + np.float32(self.dim) / np.maximum(light, 1e-5))
            trouble *= np.where(true > self.projector_m, dark, 1.0)
        result: Floats = np.minimum(trouble, 30.0)
        return result


def _matched(disparity: Floats, window: int) -> Floats:
    """What windows find: nothing narrower than half of them, but what is behind (an opening)."""
    size = window // 2 + 1
    opened: Floats = cv2.morphologyEx(disparity, cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    return np.where(disparity - opened > 0.5, opened, disparity)


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
