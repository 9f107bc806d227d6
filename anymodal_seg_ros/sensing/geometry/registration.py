"""Every sensor in the picture of the reference sensor, at the size that the network takes.

Maps are made once for each pair of sensors and used for every frame. Only where distances are
measured and to be used (``registration.method: depth``) is something computed per frame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import SensorConfig
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image, Pixels
from anymodal_seg_ros.sensing.decoding.encodings import to_metres
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.geometry.extrinsics import invert
from anymodal_seg_ros.sensing.geometry.lidar import lidar_image
from anymodal_seg_ros.sensing.geometry.reprojection import (
    Metres,
    Reprojection,
    close_holes,
    covering_radius,
)
from anymodal_seg_ros.sensing.geometry.rig_geometry import RigGeometry, UnknownGeometryError
from anymodal_seg_ros.sensing.geometry.views import Places, pixel_places

T = TypeVar("T")

_NOWHERE = -10_000.0
"""A map's entry for pixels that show nothing."""

_KEPT = 64
"""Most maps that are kept: enough for any rig, and a bound for memory."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The images of one frame set in one geometry.

    Attributes:
        images: by sensor. Those that had to be warped have the registrar's size, the others are
            untouched and show the same picture at their own resolution.
        missing: for every sensor that could not be brought to the reference, the reason in words.
    """

    images: Mapping[str, Image]
    missing: Mapping[str, str]


class Registrar:
    """Brings images into the picture of whichever sensor is the reference."""

    def __init__(
        self,
        sensors: Mapping[str, SensorConfig],
        height: int,
        width: int,
        *,
        depths: Collection[str] = (),
        sparse: Collection[str] = (),
        clouds: Collection[str] = (),
    ) -> None:
        """Read calibrations and check that they suffice.

        Args:
            sensors: of the rig, in configured order.
            height: rows of warped images, usually those of the network's input.
            width: columns of warped images.
            depths: sensors whose pixels are distances: never interpolated, and used to bring others
                to the reference.
            sparse: sensors whose pixels are mostly empty: never interpolated.
            clouds: sensors that send point clouds.

        Raises:
            ConfigError: a calibration is missing, superfluous or impossible.
        """
        self._geometry = RigGeometry(sensors, clouds)
        self._size = (height, width)
        self._depths = tuple(name for name in sensors if name in depths)
        self._exact = frozenset({*depths, *sparse})
        self._unwarped = frozenset(
            name for name, sensor in sensors.items() if sensor.registration.method == "resize"
        )
        self._made: tuple[int, dict[Any, Any]] = (0, {})

    @property
    def first(self) -> str:
        """The sensor that the others are placed by."""
        return self._geometry.first

    def take_camera_info(self, sensor: str, message: Any) -> None:
        """Take a CameraInfo message, from any thread; repetitions cost next to nothing.

        Raises:
            CalibrationError: the message contradicts itself; what was known before stays.
        """
        self._geometry.take_camera_info(sensor, message)

    def register(
        self, reference: str, images: Mapping[str, Image], *, only_size: bool = False
    ) -> Registered:
        """Bring the images of one frame set into the picture of its reference sensor.

        Args:
            reference: the sensor in whose picture the mask will be; if it sends points and so has
                no picture, the first sensor's takes its place.
            images: by sensor, the reference among them; point clouds as images of the encoding
                ``PointCloud2``.
            only_size: the reference's pixels are no picture of the world, only its size holds; it
                is not among the images that are returned.
        """
        unfit = reference if only_size else ""
        if images[reference].encoding == POINT_CLOUD:
            reference = self._geometry.first
        done = {n: images[n] for n in (reference,) if n in images and n != unfit}
        missing: dict[str, str] = {}
        # Depth comes first: others need its distances.
        for name in sorted(images, key=lambda name: name not in self._depths):
            if name in (reference, unfit):
                continue
            try:
                done[name] = self._bring(name, reference, images, done)
            except (UnknownGeometryError, DecodeError) as error:
                missing[name] = f"cannot be registered to {reference}: {error}"
        return Registered({name: done[name] for name in images if name in done}, missing)

    def _bring(
        self,
        name: str,
        reference: str,
        images: Mapping[str, Image],
        done: Mapping[str, Image],
    ) -> Image:
        """Bring one image to the reference."""
        image, geometry = images[name], self._geometry
        if reference in images:
            geometry.check_shape(reference, images[reference].height, images[reference].width)
        if image.encoding == POINT_CLOUD:
            return self._paint(name, reference, image)
        if name in self._unwarped and reference in self._unwarped:
            return image
        geometry.check_shape(name, image.height, image.width)
        if geometry.by_depth(name, reference):
            if name in self._depths:
                return self._carry(name, reference, image)
            metres = self._metres(done)
            if metres is not None:
                return self._warp_measured(name, reference, image, metres)
        return self._warp(name, reference, image)

    def _paint(self, name: str, reference: str, cloud: Image) -> Image:
        """Paint a cloud into the reference's picture."""
        geometry = self._geometry
        if not geometry.by_cameras(name):
            raise UnknownGeometryError(
                f"{name} sends point clouds: registration.method must be 'cameras', with extrinsics"
            )
        pose = invert(geometry.first_from(reference)) @ geometry.first_from(name)
        return lidar_image(cloud.pixels, geometry.camera(reference), pose, *self._size)

    def _warp(self, name: str, reference: str, image: Image) -> Image:
        """Warp an image for a scene at one distance."""
        pixels, interpolation = self._shrunk(name, image)
        height, width = pixels.shape[:2]
        maps = self._once(
            ("maps", name, reference, height, width),
            lambda: _fixed_point(
                _maps(self._static_places(name, reference), self._size, height, width),
                interpolation,
            ),
        )
        return Image(_remap(pixels, maps, interpolation), image.encoding)

    def _warp_measured(self, name: str, reference: str, image: Image, metres: Metres) -> Image:
        """Warp an image by the distances of the reference's pixels, as far as they are known."""
        way = self._reprojection(reference, name, *self._size)
        places = way.visible(metres)
        unknown = ~np.isfinite(metres).ravel()
        places[unknown] = self._static_places(name, reference)[unknown]
        pixels, interpolation = self._shrunk(name, image)
        maps = _maps(places, self._size, *pixels.shape[:2])
        return Image(_remap(pixels, maps, interpolation), image.encoding)

    def _carry(self, name: str, reference: str, image: Image) -> Image:
        """Bring a depth image along its own distances."""
        metres = to_metres(image)
        source, target = self._geometry.camera(name), self._geometry.camera(reference)
        radius = covering_radius(source, image.width, target, self._size[1])
        way = self._reprojection(name, reference, image.height, image.width)
        return Image(way.carry(metres, *self._size, radius), "32FC1")

    def _metres(self, done: Mapping[str, Image]) -> Metres | None:
        """Return the distances in the reference's picture, if a depth sensor is alive."""
        for name in self._depths:
            if name in done:
                height, width = self._size
                metres = cv2.resize(
                    to_metres(done[name]), (width, height), interpolation=cv2.INTER_NEAREST
                )
                return close_holes(metres)
        return None

    def _reprojection(self, source: str, target: str, height: int, width: int) -> Reprojection:
        geometry = self._geometry
        return self._once(
            ("reprojection", source, target, height, width),
            lambda: Reprojection.between(
                geometry.camera(source),
                geometry.camera(target),
                invert(geometry.first_from(target)) @ geometry.first_from(source),
                height,
                width,
            ),
        )

    def _static_places(self, name: str, reference: str) -> Places:
        """Return where the reference's pixels are in a sensor's picture, by way of the first."""
        geometry = self._geometry

        def make() -> Places:
            places: Places = pixel_places(*self._size)
            if reference != geometry.first:
                places = geometry.view(reference).to_first(places)
            return places if name == geometry.first else geometry.view(name).from_first(places)

        return self._once(("places", name, reference), make)

    def _once(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what was made under a key since the last change of a camera, or make it."""
        generation = self._geometry.generation
        if self._made[0] != generation:
            self._made = (generation, {})
        made: dict[Any, T] = self._made[1]
        if key not in made:
            if len(made) >= _KEPT:  # a driver that keeps changing its image size
                made.clear()
            made[key] = make()
        return made[key]

    def _shrunk(self, name: str, image: Image) -> tuple[Pixels, int]:
        """Return pixels that OpenCV can warp to our size without aliasing, and how to do it."""
        pixels = image.pixels
        if not pixels.dtype.isnative:
            pixels = pixels.astype(pixels.dtype.newbyteorder("="))
        pixels = np.ascontiguousarray(pixels)
        if name in self._exact:
            return pixels, cv2.INTER_NEAREST
        factor = min(image.height // self._size[0], image.width // self._size[1])
        if factor >= 2:
            size = (image.width // factor, image.height // factor)
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
        return pixels, cv2.INTER_LINEAR


def _maps(
    places: Places, size: tuple[int, int], height: int, width: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Turn places in a picture into OpenCV's maps of ``size`` for an image of so many pixels."""
    x, y = places[:, 0], places[:, 1]
    with np.errstate(invalid="ignore"):
        inside = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
    maps = []
    for along, pixels in ((x, width), (y, height)):
        # The outer half of a border pixel shows that pixel, it does not fade into the nothing.
        entries = np.clip(along * pixels - 0.5, 0, pixels - 1)
        entries[~inside] = _NOWHERE
        maps.append(entries.astype(np.float32).reshape(size))
    return maps[0], maps[1]


def _fixed_point(
    maps: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], interpolation: int
) -> tuple[Pixels, Pixels | None]:
    """Turn maps into the form that OpenCV is fastest with; nearest pixels have no fractions."""
    nearest = interpolation == cv2.INTER_NEAREST
    whole, fractions = cv2.convertMaps(*maps, cv2.CV_16SC2, nninterpolation=nearest)
    return whole, fractions


def _remap(pixels: Pixels, maps: tuple[Pixels, Pixels | None], interpolation: int) -> Pixels:
    """Warp; pixels that show nothing become 0, or NaN in float images."""
    if pixels.dtype.kind != "f":
        return np.asarray(cv2.remap(pixels, *maps, interpolation))
    # OpenCV would mix the border into its neighbours even with weight 0, and 0 times NaN is NaN.
    warped = np.asarray(cv2.remap(pixels, *maps, interpolation, borderMode=cv2.BORDER_REPLICATE))
    x = maps[0] if maps[0].ndim == 2 else maps[0][..., 0]
    warped[x < 0] = np.nan
    return warped
