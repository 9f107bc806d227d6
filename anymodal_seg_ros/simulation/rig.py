"""The rig: a set of sensors on one vehicle, and what they deliver at an instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Image, Mask
from anymodal_seg_ros.simulation.cameras.depth import DepthCamera
from anymodal_seg_ros.simulation.cameras.events import EventCamera
from anymodal_seg_ros.simulation.cameras.lidar import Lidar
from anymodal_seg_ros.simulation.cameras.rgb import RgbCamera
from anymodal_seg_ros.simulation.cameras.sensors import Observer, SensorModel
from anymodal_seg_ros.simulation.cameras.thermal import ThermalCamera
from anymodal_seg_ros.simulation.world.camera import Intrinsics, Mount, MountedCamera
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig
from anymodal_seg_ros.simulation.world.shapes import Floats


@dataclass(frozen=True, slots=True)
class RigFrame:
    """What the rig saw at one instant.

    Attributes:
        scene: what was looked at.
        time_ns: the instant, on the scene's own clock.
        images: by sensor name, in the encodings of the sensors.
        labels: by sensor name, uint8 ``[H, W]`` class ids in the geometry of that sensor.
        depths: by sensor name, float32 ``[H, W]``, true z in metres in the geometry of that sensor;
            infinity on the sky.
    """

    scene: SceneConfig
    time_ns: int
    images: Mapping[str, Image]
    labels: Mapping[str, Mask]
    depths: Mapping[str, Floats]


class Rig:
    """Sensors on one vehicle. Keeps the looks of the scene it was last asked about."""

    def __init__(self, sensors: Iterable[SensorModel] | None = None) -> None:
        """Take ``sensors``, by default RGB, thermal, depth and events behind one camera.

        Raises:
            ConfigError: two sensors have the same name.
        """
        chosen = aligned_sensors() if sensors is None else tuple(sensors)
        self.sensors: Mapping[str, SensorModel] = {s.name: s for s in chosen}
        if len(self.sensors) != len(chosen):
            names = [s.name for s in chosen]
            raise ConfigError(f"sensors are named {names}; each needs a name of its own")
        self._observer: Observer | None = None

    def capture(self, scene: Scene, time_ns: int, sensors: Iterable[str] | None = None) -> RigFrame:
        """The images and labels of ``sensors`` (default: all) at ``time_ns``.

        A function of the scene, the time and the sensor alone, whatever was captured before.

        Raises:
            ConfigError: the rig has no sensor of one of these names.
        """
        names = list(self.sensors) if sensors is None else list(sensors)
        unknown = [name for name in names if name not in self.sensors]
        if unknown:
            raise ConfigError(f"no sensor {unknown[0]!r} in the rig; it has {list(self.sensors)}")
        if self._observer is None or self._observer.scene is not scene:
            self._observer = Observer(scene)
        observer = self._observer
        images = {n: self.sensors[n].capture(observer, time_ns) for n in names}
        views = {n: observer.view(self.sensors[n].camera, time_ns) for n in names}
        labels = {name: view.labels() for name, view in views.items()}
        depths = {name: view.depth() for name, view in views.items()}
        return RigFrame(scene.config, time_ns, images, labels, depths)


def aligned_sensors(lidar: bool = False) -> tuple[SensorModel, ...]:
    """RGB, thermal, depth and events behind one camera, 320×240, pixel aligned.

    Args:
        lidar: add a LiDAR on the roof, painted into the same camera's picture.
    """
    four = (RgbCamera(), ThermalCamera(), DepthCamera(), EventCamera())
    return (*four, Lidar()) if lidar else four


def mounted_sensors() -> tuple[SensorModel, ...]:
    """Five sensors as on a real rig: each with its pose, picture, rate and latency."""
    return (
        RgbCamera(
            camera=MountedCamera(
                Intrinsics(640, 480, 490.0, 490.0, 319.5, 239.5), Mount(0.02, 0.0, 1.6)
            ),
            latency_ns=33_000_000,
        ),
        ThermalCamera(
            camera=MountedCamera(
                Intrinsics(320, 256, 262.0, 262.0, 159.5, 127.5),
                Mount(0.0, -0.12, 1.55, yaw=0.012, pitch=0.025),
            ),
            latency_ns=60_000_000,
        ),
        DepthCamera(
            camera=MountedCamera(
                Intrinsics(424, 240, 225.0, 225.0, 211.5, 119.5),
                Mount(0.05, 0.10, 1.5, yaw=-0.008, pitch=0.035),
            ),
            latency_ns=45_000_000,
        ),
        EventCamera(
            camera=MountedCamera(
                Intrinsics(346, 260, 280.0, 280.0, 172.5, 129.5),
                Mount(0.03, 0.2, 1.62, yaw=0.005, pitch=0.03),
            ),
            latency_ns=4_000_000,
        ),
        Lidar(
            camera=MountedCamera(
                Intrinsics(640, 480, 490.0, 490.0, 319.5, 239.5), Mount(0.02, 0.0, 1.6)
            ),
            latency_ns=50_000_000,
        ),
    )


def random_frames(
    seeds: Iterable[int],
    per_scene: int = 2,
    rig: Rig | None = None,
    weather: str = "random",
) -> Iterator[RigFrame]:
    """Independent frames for training: for each seed one scene, at random instants of its loop.

    Args:
        seeds: of the scenes; disjoint seeds give disjoint scenes.
        per_scene: instants drawn in each scene.
        rig: default rig if None.
        weather: as in ``SceneConfig``.
    """
    rig = rig or Rig()
    for seed in seeds:
        scene = Scene(SceneConfig(seed, weather))
        instants = np.random.default_rng((seed, 99)).uniform(0, scene.config.loop_s, per_scene)
        for instant in instants:
            yield rig.capture(scene, int(instant * 1e9))
