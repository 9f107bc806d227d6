"""The colour camera: exposure, motion blur, rain, lens, photon and read noise, tone curve."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.simulation.cameras.blur import blurred
from anymodal_seg_ros.simulation.cameras.noise import gaussian, noise_source
from anymodal_seg_ros.simulation.cameras.rain import add_lens_drops, add_streaks
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.world.camera import DEFAULT_CAMERA, MountedCamera
from anymodal_seg_ros.simulation.world.shapes import Floats

_CURVE_STEPS = 4096
_DROP_NS = 2_000_000_000
"""How long drops stay where they are on the lens."""


@dataclass(frozen=True, slots=True)
class RgbCamera:
    """An 8-bit colour camera with automatic exposure up to a largest gain (``rgb8``).

    The exposure time grows first, the amplification when it has reached ``max_exposure_s``. In the
    dark both reach their limits: what no lamp lights drowns in the noise, which is the point of
    carrying a thermal camera as well. The stamp is the middle of the exposure.

    Attributes:
        name: of the sensor.
        camera: mount and intrinsics.
        rate_hz: frame rate.
        latency_ns: how long after its stamp a message leaves the driver.
        target: mean level that the automatic exposure aims at, 0..1.
        max_gain: largest exposure, relative to an exposure of 1 that maps radiance 1 to white.
        exposure_s: exposure time at gain 1.
        max_exposure_s: longest exposure time.
        photons: signal at white in photo-electrons, before amplification.
        read_noise: standard deviation of dark pixels before amplification, relative to white.
    """

    name: str = "rgb"
    camera: MountedCamera = DEFAULT_CAMERA
    rate_hz: float = 30.0
    latency_ns: int = 0
    target: float = 0.22
    max_gain: float = 14.0
    exposure_s: float = 0.003
    max_exposure_s: float = 0.016
    photons: float = 3000.0
    read_noise: float = 0.004

    @property
    def modality(self) -> str:
        """Always ``rgb``."""
        return "rgb"

    def capture(self, observer: Observer, time_ns: int) -> Image:
        """An ``rgb8`` image, uint8 ``[H, W, 3]``."""
        light = observer.radiance(self.camera, time_ns)
        gain = self._gain(light)
        exposure_s = min(gain * self.exposure_s, self.max_exposure_s)
        amplification = max(gain * self.exposure_s / exposure_s, 1.0)
        rng = noise_source(observer.scene, self.name, time_ns)
        light = blurred(light, observer, self.camera, time_ns, exposure_s)
        weather = observer.scene.illumination
        if weather.rain_mm_h > 0:
            light = light.copy()
            focal = self.camera.intrinsics.fy
            add_streaks(light, weather.rain_mm_h, exposure_s, focal, weather.horizon, rng)
            spell = time_ns - time_ns % _DROP_NS
            drops = noise_source(observer.scene, f"{self.name} drops", spell)
            add_lens_drops(light, weather.rain_mm_h, drops)
        exposed = _lens(light * np.float32(gain))
        variance = exposed * np.float32(amplification / self.photons)
        variance += np.float32((self.read_noise * amplification) ** 2)
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
