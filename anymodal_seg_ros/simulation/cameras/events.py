"""The event camera: where and when the logarithm of intensity crosses a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.events.render import render_image
from anymodal_seg_ros.sensing.events.values import Events, EventWindow
from anymodal_seg_ros.simulation.cameras.noise import device_source, gaussian, noise_source
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.cameras.substeps import Substeps, substeps
from anymodal_seg_ros.simulation.world.camera import DEFAULT_CAMERA, MountedCamera
from anymodal_seg_ros.simulation.world.shapes import Floats

_NOISE_CELL_NS = 10_000_000
"""Chance events are drawn in cells of this length, so that they do not depend on the cut."""

Columns = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]
"""Times, pixels and polarities of events."""


@dataclass(frozen=True, slots=True)
class EventCamera:
    """Events as they come, or those of the last ``window_ns`` as a frame (``8UC3``).

    The frame is that of :func:`anymodal_seg_ros.sensing.events.render.render_image`.

    A pixel sends an event whenever ``ln(I + dark)`` crosses one of its levels, which lie
    ``threshold`` apart. The levels are the device's own and do not move, so any span of time can be
    had without its past; a camera whose levels start anew at each event (ESIM) sends at most one
    event of each sign less where the light turns round.

    Attributes:
        name: of the sensor.
        camera: mount and intrinsics.
        rate_hz: rate of the frames.
        latency_ns: how long after its stamp a message leaves the driver.
        window_ns: what one frame accumulates.
        threshold: change of log intensity for one event.
        threshold_spread: relative spread of the threshold over the pixels.
        dark: intensity at which the pixels' own current drowns the signal.
        dark_delay_ns: by how much an event is late in the dark; in proportion to
            ``dark / (I + dark)``, as the photoreceptor's bandwidth is to the light.
        refractory_ns: dead time of a pixel after an event.
        noise_hz: chance events of each pixel per second in full light.
    """

    name: str = "events"
    camera: MountedCamera = DEFAULT_CAMERA
    rate_hz: float = 30.0
    latency_ns: int = 0
    window_ns: int = 33_333_333
    threshold: float = 0.25
    threshold_spread: float = 0.08
    dark: float = 1e-3
    dark_delay_ns: int = 6_000_000
    refractory_ns: int = 500_000
    noise_hz: float = 0.06

    @property
    def modality(self) -> str:
        """Always ``event``."""
        return "event"

    def capture(self, observer: Observer, time_ns: int) -> Image:
        """An ``8UC3`` image, uint8 ``[H, W, 3]``, of the events of ``packets``."""
        start_ns = time_ns - self.window_ns
        times, pixels, on = self._events(observer, start_ns, time_ns)
        size = self.camera.intrinsics
        cells = (2 * pixels + on).astype(np.uint32)
        window = EventWindow(
            start_ns, time_ns, self.name, size.height, size.width, times, cells, True
        )
        return render_image(window)

    def packets(self, observer: Observer, start_ns: int, end_ns: int) -> Events:
        """The events from ``start_ns`` on and before ``end_ns``, sorted by time.

        Times are int64, columns and rows uint16, polarities bool.
        """
        times, pixels, on = self._events(observer, start_ns, end_ns)
        row, column = np.divmod(pixels, self.camera.intrinsics.width)
        return Events(times, column.astype(np.uint16), row.astype(np.uint16), on)

    def _events(self, observer: Observer, start_ns: int, end_ns: int) -> Columns:
        # What happened a little earlier may only now come out of a dark pixel.
        delay_ns = self.dark_delay_ns if observer.scene.illumination.lamps_on else 0
        light = substeps(observer, self.camera, start_ns - delay_ns, end_ns)
        parts = self._crossings(observer, light)
        parts += self._noise(observer, light.luminance[-1], start_ns, end_ns)
        times, pixels, on = (np.concatenate(column) for column in zip(*parts, strict=True))
        kept = np.flatnonzero((times >= start_ns) & (times < end_ns))
        order = kept[np.lexsort((pixels[kept], times[kept]))]
        return times[order], pixels[order], on[order]

    def _crossings(self, observer: Observer, light: Substeps) -> list[Columns]:
        """Events of each sub-step; the logarithm is linear in between."""
        device = device_source(observer.scene, self.name)
        count = light.luminance[0].size
        spread = np.clip(1.0 + self.threshold_spread * gaussian(device, (count,)), 0.6, 1.6)
        scale = 1.0 / (np.float32(self.threshold) * spread)
        phase = device.random(count, np.float32)
        parts = []
        before = np.log(light.luminance[0] + np.float32(self.dark)) * scale + phase
        for i, seen in enumerate(light.luminance[1:]):
            after = np.log(seen + np.float32(self.dark)) * scale + phase
            begin_ns, end_ns = light.times_ns[i : i + 2]
            times, pixels, on = self._between(before, after, begin_ns, end_ns)
            if self.dark_delay_ns:
                late = np.float32(self.dark) / (seen[pixels] + np.float32(self.dark))
                times = times + (self.dark_delay_ns * late).astype(np.int64)
            parts.append((times, pixels, on))
            before = after
        return parts

    def _between(self, before: Floats, after: Floats, begin_ns: int, end_ns: int) -> Columns:
        """Crossings of whole numbers on the way from ``before`` to ``after``."""
        first, last = np.floor(before), np.floor(after)
        pixels = np.flatnonzero(first != last)
        first, last = first[pixels], last[pixels]
        most = max(1, (end_ns - begin_ns) // max(self.refractory_ns, 1))
        counts = np.minimum(np.abs(last - first), most).astype(np.int64)
        number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        repeated = np.repeat(pixels, counts)
        on = np.repeat(last > first, counts)
        start = np.repeat(first, counts)
        level = np.where(on, start + 1 + number, start - number)
        begin, end = before[repeated].astype(np.float64), after[repeated].astype(np.float64)
        share = np.clip((level - begin) / (end - begin), 0.0, 1.0)
        times = begin_ns + (share * (end_ns - begin_ns)).astype(np.int64)
        return times, repeated, on

    def _noise(
        self, observer: Observer, light: Floats, start_ns: int, end_ns: int
    ) -> list[Columns]:
        """Events that nothing caused: more in the dark (shot noise), and from drops in the rain."""
        weather = observer.scene.illumination
        base = 1.0 + 0.15 * weather.rain_mm_h
        rate = self.noise_hz * (base + 8.0 * self.dark / (light + np.float32(self.dark)))
        most = self.noise_hz * (base + 8.0)
        parts = []
        for cell in range(start_ns // _NOISE_CELL_NS, -(-end_ns // _NOISE_CELL_NS)):
            rng = noise_source(observer.scene, f"{self.name} noise", cell * _NOISE_CELL_NS)
            count = rng.poisson(most * light.size * _NOISE_CELL_NS * 1e-9)
            pixels = rng.integers(0, light.size, count)
            times = cell * _NOISE_CELL_NS + rng.integers(0, _NOISE_CELL_NS, count)
            on = rng.random(count) < 0.5
            kept = rng.random(count) * most < rate[pixels]
            parts.append((times[kept], pixels[kept], on[kept]))
        return parts
