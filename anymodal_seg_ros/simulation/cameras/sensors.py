"""What a sensor model is, and the observer that lets several of them share one look."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.simulation.light.lighting import radiance
from anymodal_seg_ros.simulation.world.camera import MountedCamera
from anymodal_seg_ros.simulation.world.scene import Scene, World
from anymodal_seg_ros.simulation.world.shapes import Floats
from anymodal_seg_ros.simulation.world.view import RenderedView, look_into

_KEPT = 6


class Observer:
    """Views and radiances of one scene; the last few are kept, since sensors share them."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._worlds: OrderedDict[int, World] = OrderedDict()
        self._views: OrderedDict[tuple[MountedCamera, int], RenderedView] = OrderedDict()
        self._radiances: OrderedDict[tuple[MountedCamera, int], Floats] = OrderedDict()

    def world(self, time_ns: int) -> World:
        """The scene at ``time_ns``."""
        if time_ns not in self._worlds:
            self._worlds[time_ns] = self.scene.at(time_ns * 1e-9)
            if len(self._worlds) > _KEPT:
                self._worlds.popitem(last=False)
        return self._worlds[time_ns]

    def view(self, camera: MountedCamera, time_ns: int) -> RenderedView:
        """What ``camera`` sees at ``time_ns``."""
        key = (camera, time_ns)
        if key not in self._views:
            self._views[key] = look_into(self.world(time_ns), self.scene, camera)
            if len(self._views) > _KEPT:
                self._views.popitem(last=False)
        return self._views[key]

    def radiance(self, camera: MountedCamera, time_ns: int) -> Floats:
        """Linear RGB ``[H, W, 3]`` at ``camera``; see ``lighting.radiance``. Not to be written."""
        key = (camera, time_ns)
        if key not in self._radiances:
            self._radiances[key] = radiance(self.view(camera, time_ns))
            if len(self._radiances) > _KEPT:
                self._radiances.popitem(last=False)
        return self._radiances[key]


class SensorModel(Protocol):
    """One sensor of the rig. Implementations are frozen dataclasses and hold no state.

    Attributes:
        name: unique in the rig.
        modality: what kind of sensor it is, as the models' manifests name it.
        camera: where it sits and how it projects.
        rate_hz: how often it delivers an image.
        latency_ns: how long after its stamp a message leaves the driver.
    """

    @property
    def name(self) -> str:
        """Unique in the rig."""
        ...

    @property
    def modality(self) -> str:
        """What kind of sensor it is."""
        ...

    @property
    def camera(self) -> MountedCamera:
        """Where it sits and how it projects."""
        ...

    @property
    def rate_hz(self) -> float:
        """How often it delivers an image."""
        ...

    @property
    def latency_ns(self) -> int:
        """How long after its stamp a message leaves the driver."""
        ...

    def capture(self, observer: Observer, time_ns: int) -> Image:
        """The image of ``observer``'s scene at ``time_ns``, a function of nothing else."""
        ...
