"""The event camera: where the logarithm of intensity has changed by more than a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.simulation.camera import DEFAULT_CAMERA, Camera
from anymodal_seg_ros.simulation.noise import device_source, gaussian, noise_source
from anymodal_seg_ros.simulation.sensors import Observer
from anymodal_seg_ros.simulation.shapes import Floats

_LUMA = np.array((0.299, 0.587, 0.114), np.float32)


@dataclass(frozen=True, slots=True)
class EventCamera:
    """Events of the last ``window_ns`` as a frame (``8UC3``).

    Channel 0 counts the positive events of a pixel, channel 1 the negative ones, both as
    ``255 · (1 - exp(-n / 2))``; channel 2 is how late in the window its last event came, 1..255,
    0 without one. The intensity between the window's two ends is taken to be linear in its
    logarithm, so a pixel has events of one sign plus noise.

    Attributes:
        name: of the sensor.
        camera: mount and intrinsics.
        rate_hz: rate of the frames.
        latency_ns: how long after its stamp a message leaves the driver.
        window_ns: what one frame accumulates.
        threshold: change of log intensity for one event.
        threshold_spread: relative spread of the threshold over the pixels.
        dark: intensity at which the pixels' own current drowns the signal.
        noise_per_window: mean number of events per pixel that nothing caused, in full light.
    """

    name: str = "events"
    camera: Camera = DEFAULT_CAMERA
    rate_hz: float = 30.0
    latency_ns: int = 0
    window_ns: int = 33_333_333
    threshold: float = 0.2
    threshold_spread: float = 0.08
    dark: float = 4e-4
    noise_per_window: float = 0.002

    @property
    def modality(self) -> str:
        """Always ``event``."""
        return "event"

    def capture(self, observer: Observer, time_ns: int) -> Image:
        """An ``8UC3`` image, uint8 ``[H, W, 3]``."""
        now = self._intensity(observer, time_ns)
        change = np.log(now / self._intensity(observer, time_ns - self.window_ns))
        pattern = gaussian(device_source(observer.scene, self.name), change.shape)
        threshold = self.threshold * np.clip(1.0 + self.threshold_spread * pattern, 0.6, 1.6)
        rng = noise_source(observer.scene, self.name, time_ns)
        # Where each pixel stood between two thresholds when the window began.
        start = (rng.random(change.shape, np.float32) - 0.5) * threshold
        start *= np.abs(change) > 0.25 * threshold
        count = np.trunc((change + start) / threshold)
        moment = np.abs(count) * threshold / np.maximum(np.abs(change + start), 1e-6)
        # In the dark, chance events are more frequent (shot noise of the photocurrent).
        rate = self.noise_per_window * (1.0 + 6.0 * self.dark / now)
        stray = rng.random(change.shape, np.float32) < rate
        sign = np.where(rng.random(change.shape, np.float32) < 0.5, 1.0, -1.0)
        moment = np.where(stray, rng.random(change.shape, np.float32), moment)
        positive = np.maximum(count, 0) + (stray & (sign > 0))
        negative = np.maximum(-count, 0) + (stray & (sign < 0))
        return Image(_encode(positive, negative, moment), "8UC3")

    def _intensity(self, observer: Observer, time_ns: int) -> Floats:
        seen: Floats = np.einsum(
            "hwc,c->hw", observer.radiance(self.camera, time_ns), _LUMA
        ) + np.float32(self.dark)
        return seen


def _encode(positive: Floats, negative: Floats, moment: Floats) -> npt.NDArray[np.uint8]:
    """Counts and the time of the last event, 0..1 of the window, as 8-bit channels."""
    happened = (positive + negative) > 0
    channels = (
        255.0 * (1.0 - np.exp(-0.5 * positive)),
        255.0 * (1.0 - np.exp(-0.5 * negative)),
        happened * (1.0 + 254.0 * np.clip(moment, 0.0, 1.0)),
    )
    encoded: npt.NDArray[np.uint8] = np.stack(channels, -1).round().astype(np.uint8)
    return encoded
