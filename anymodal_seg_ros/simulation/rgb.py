"""The colour camera: exposure, lens, photon and read noise, tone curve."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.simulation.camera import DEFAULT_CAMERA, Camera
from anymodal_seg_ros.simulation.noise import gaussian, noise_source
from anymodal_seg_ros.simulation.sensors import Observer
from anymodal_seg_ros.simulation.shapes import Floats

_CURVE_STEPS = 4096


@dataclass(frozen=True, slots=True)
class RgbCamera:
    """An 8-bit colour camera with automatic exposure up to a largest gain (``rgb8``).

    In the dark the gain reaches its limit: what no lamp lights drowns in the read noise, which is
    the point of carrying a thermal camera as well.

    Attributes:
        name: of the sensor.
        camera: mount and intrinsics.
        rate_hz: frame rate.
        latency_ns: how long after its stamp a message leaves the driver.
        target: mean level that the automatic exposure aims at, 0..1.
        max_gain: largest exposure, relative to an exposure of 1 that maps radiance 1 to white.
        photons: signal at white, in photo-electrons at gain 1.
        read_noise: standard deviation of dark pixels at gain 1, relative to white.
    """

    name: str = "rgb"
    camera: Camera = DEFAULT_CAMERA
    rate_hz: float = 30.0
    latency_ns: int = 0
    target: float = 0.22
    max_gain: float = 14.0
    photons: float = 8000.0
    read_noise: float = 0.0012

    @property
    def modality(self) -> str:
        """Always ``rgb``."""
        return "rgb"

    def capture(self, observer: Observer, time_ns: int) -> Image:
        """An ``rgb8`` image, uint8 ``[H, W, 3]``."""
        light = observer.radiance(self.camera, time_ns)
        gain = self._gain(light)
        exposed = _lens(light * gain)
        variance = exposed * (gain / self.photons) + (self.read_noise * gain) ** 2
        rng = noise_source(observer.scene, self.name, time_ns)
        exposed += np.sqrt(variance) * gaussian(rng, exposed.shape)
        return Image(_tone_curve(exposed), "rgb8")

    def _gain(self, light: Floats) -> float:
        """Centre-weighted metering that bright lamps cannot rule."""
        luminance = np.minimum(light[::4, ::4].mean(2), 1.5)
        weight = np.hanning(luminance.shape[0] + 2)[1:-1, None] + 0.2
        mean = float((luminance * weight).sum() / (weight.sum() * luminance.shape[1]))
        return float(np.clip(self.target / max(mean, 1e-6), 0.2, self.max_gain))


def _lens(exposed: Floats) -> Floats:
    """A point spread of half a pixel, and the veil that a light source throws around itself."""
    clipped = np.minimum(exposed, 12.0)
    sharp = cv2.GaussianBlur(clipped, (3, 3), 0.55)
    if clipped.max() > 2.0:
        small = cv2.resize(np.maximum(clipped - 1.0, 0.0), None, fx=0.25, fy=0.25,
                           interpolation=cv2.INTER_AREA)  # fmt: skip
        veil = cv2.GaussianBlur(small, (0, 0), 2.5)
        sharp += 0.35 * cv2.resize(veil, (exposed.shape[1], exposed.shape[0]))
    lens: Floats = sharp.astype(np.float32, copy=False)
    return lens


@functools.cache
def _curve() -> npt.NDArray[np.uint8]:
    x = np.arange(_CURVE_STEPS) / (_CURVE_STEPS - 1)
    y = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.round(255.0 * y).astype(np.uint8)


def _tone_curve(linear: Floats) -> npt.NDArray[np.uint8]:
    index = np.clip(linear * (_CURVE_STEPS - 1), 0, _CURVE_STEPS - 1).astype(np.uint16)
    encoded: npt.NDArray[np.uint8] = _curve()[index]
    return encoded
