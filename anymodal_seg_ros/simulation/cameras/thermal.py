"""The thermal camera: surface temperatures, reflected sky, the air between, detector noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.simulation.cameras.noise import device_source, gaussian, noise_source
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.world.camera import DEFAULT_CAMERA, MountedCamera
from anymodal_seg_ros.simulation.world.shapes import Floats
from anymodal_seg_ros.simulation.world.view import RenderedView
from anymodal_seg_ros.simulation.world.weather import rain_extinction

KELVIN_PER_COUNT = 0.01
_AIR_REACH_M = 1500.0
"""Distance after which clear air has taken 63 % of the contrast in the long-wave infrared."""

_FOG_SHARE = 0.15
"""Long-wave over visible extinction by the small droplets of radiation fog (proposal)."""


@dataclass(frozen=True, slots=True)
class ThermalCamera:
    """A radiometric long-wave camera (``mono16``, kelvin = 0.01 · count).

    Attributes:
        name: of the sensor.
        camera: mount and intrinsics.
        rate_hz: frame rate.
        latency_ns: how long after its stamp a message leaves the driver.
        noise_k: temporal noise (NETD) in kelvin.
        pattern_k: spread of the fixed column pattern in kelvin.
    """

    name: str = "thermal"
    camera: MountedCamera = DEFAULT_CAMERA
    rate_hz: float = 10.0
    latency_ns: int = 0
    noise_k: float = 0.08
    pattern_k: float = 0.06

    @property
    def modality(self) -> str:
        """Always ``thermal``."""
        return "thermal"

    def capture(self, observer: Observer, time_ns: int) -> Image:
        """A ``mono16`` image, uint16 ``[H, W]``."""
        kelvin = cv2.GaussianBlur(apparent_kelvin(observer.view(self.camera, time_ns)), (3, 3), 0.8)
        columns = gaussian(device_source(observer.scene, self.name), (1, kelvin.shape[1]))
        rng = noise_source(observer.scene, self.name, time_ns)
        kelvin = kelvin + self.pattern_k * columns + self.noise_k * gaussian(rng, kelvin.shape)
        counts = np.clip(np.round(kelvin / KELVIN_PER_COUNT), 0, 65535).astype(np.uint16)
        return Image(counts, "mono16")


def surface_kelvin(view: RenderedView) -> Floats:
    """True temperature of each hit, float32 ``[n]``.

    Air, plus what the sun gives or the night takes, pulled towards the heat source behind. A
    surface that is warm long after sunset is a massive one: it follows the sun of the last hours,
    a thin one that of the last minutes. So the two change places soon after sunrise and sunset,
    and contrast between them is lost (thermal crossover).
    """
    light = view.scene.illumination
    table = view.scene.surfaces
    row = view.seen.at.surface
    inertia = np.clip(0.5 + 0.2 * table.night_k[row], 0.0, 1.0)
    fast = light.heat_fast * (0.3 + 0.9 * view.seen.sunlit)
    sun = table.sun_gain_k[row] * (fast + inertia * (0.9 * light.heat_slow - fast))
    night = light.cooling * table.night_k[row] * (0.4 + 0.6 * np.abs(view.seen.at.normal[:, 2]))
    dry = 1.0 - 0.75 * light.wetness  # water takes the temperature of the air
    kelvin = (
        light.air_k
        + dry * (sun + night)
        + dry * table.thermal_noise_k[row] * view.seen.detail.grain
    )
    kelvin += (1.0 - 0.25 * light.wetness) * table.warm_share[row] * (table.warm_to_k[row] - kelvin)
    # Panes: the room shines through a little.
    kelvin += 0.25 * view.seen.detail.glass * np.maximum(294.0 - kelvin, -5.0)
    result: Floats = kelvin.astype(np.float32, copy=False)
    return result


def apparent_kelvin(view: RenderedView) -> Floats:
    """Temperature of a black body that would look the same, float32 ``[H, W]``.

    Grey-body mixing of the surface with what it reflects (sky above, ground below), in fourth
    powers, then damping towards the air's temperature with distance.
    """
    light = view.scene.illumination
    emissivity = (
        view.scene.surfaces.emissivity[view.seen.at.surface] - 0.12 * view.seen.detail.glass
    )
    # What a surface mirrors: the sky if it faces up, mostly the surroundings if it is upright.
    up = np.clip(0.35 + 0.65 * view.seen.at.normal[:, 2], 0.0, 1.0)
    mirrored = light.air_k + up * (light.zenith_k - light.air_k)
    fourth = emissivity * surface_kelvin(view) ** 4 + (1.0 - emissivity) * mirrored**4
    seen = np.sqrt(np.sqrt(fourth))
    rain = rain_extinction(light.rain_mm_h)
    extinction = 1.0 / _AIR_REACH_M + rain + _FOG_SHARE * (light.extinction - rain)
    seen += (1.0 - np.exp(np.float32(-extinction) * view.z)) * (light.air_k - seen)
    rise = np.clip(view.sky_rays[:, 2], 0.0, 1.0)
    sky = light.air_k - 2.0 + np.sqrt(rise) * (light.zenith_k - light.air_k)
    return view.image(seen.astype(np.float32), sky.astype(np.float32))
