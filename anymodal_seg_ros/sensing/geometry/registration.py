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
from anymodal_seg_ros.sensing.geometry.hha import PictureRays
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


@dataclass(frozen=True, slots=True)
class Brought:
    """One image in the picture of another sensor.

    Attributes:
        image: of the registrar's size if it had to be warped, else untouched.
        covered: share of the picture that it has something to say of, 0..1.
    """

    image: Image
    covered: float


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
        fine: Collection[str] = (),
        counted: Collection[str] = (),
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
            fine: those of them that are painted at the size of the camera's calibration.
            counted: sensors whose pixels are numbers of events: they are added up where the camera
                sees them, at the size of its calibration, as far scenes are seen.

        Raises:
            ConfigError: a calibration is missing, superfluous or impossible.
        """
        self._geometry = RigGeometry(sensors, clouds)
        self._size = (height, width)
        self.clouds = frozenset(clouds)
        """The sensors that send point clouds."""
        self._fine, self._counted = frozenset(fine), frozenset(counted)
        self.depths = tuple(name for name in sensors if name in depths)
        """The depth sensors, in configured order; others are registered by the first one's."""
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

    @property
    def by_tf(self) -> bool:
        """Whether a sensor's place is told by ``/tf_static``."""
        return bool(self._geometry.by_tf)

    def take_transforms(self, message: Any) -> None:
        """Take a message of ``/tf_static``, from any thread.

        Raises:
            CalibrationError: a transform of it is none; the others are taken.
        """
        self._geometry.take_transforms(message)

    def take_frame(self, sensor: str, frame_id: str) -> None:
        """Take note of the frame that a sensor's messages are in; costs next to nothing."""
        self._geometry.take_frame(sensor, frame_id)

    def take_size(self, sensor: str, image: Image) -> None:
        """Take note of how large a sensor's pictures are; costs next to nothing."""
        if image.encoding != POINT_CLOUD:
            self._geometry.take_size(sensor, image.height, image.width)

    @property
    def generation(self) -> int:
        """Counts up when a camera changes: what was registered before is out of date."""
        return self._geometry.generation

    def take_cameras_of(self, other: Registrar | RigGeometry) -> None:
        """Take over what another one of the same sensors has learned from CameraInfo and tf."""
        geometry = other._geometry if isinstance(other, Registrar) else other
        self._geometry.take_cameras_of(geometry)

    def calibrated(self, sensor: str) -> tuple[int, int, str] | None:
        """Return rows, columns and frame of a sensor's pictures, as :class:`RigGeometry` does."""
        return self._geometry.calibrated(sensor)

    def can_bring(self, name: str, target: str) -> bool:
        """Whether enough is known (yet) to bring a sensor's images into another's picture."""
        if name == target or self.same_picture(name, target):
            return True
        try:
            if name in self.clouds:
                self._geometry.camera(target)
                self._geometry.first_from(name)
            else:
                self._static_places(name, target)
        except UnknownGeometryError:
            return False
        return True

    def needs_metres(self, name: str, target: str) -> bool:
        """Whether a sensor is brought to another's picture by what depth sensors measure there."""
        warped = name != target and not self.same_picture(name, target)
        return warped and name not in self.depths and self._geometry.by_depth(name, target)

    def register(self, reference: str, images: Mapping[str, Image]) -> Registered:
        """Bring the images of one frame set into the picture of its reference sensor.

        Args:
            reference: the sensor in whose picture the mask will be; if it sends points and so has
                no picture, the first sensor's takes its place.
            images: by sensor, the reference among them; point clouds as images of the encoding
                ``PointCloud2``.
        """
        if images[reference].encoding == POINT_CLOUD:
            reference = self._geometry.first
        for name, image in images.items():
            self.take_size(name, image)
        size = None
        if reference in images:
            size = images[reference].height, images[reference].width
        done: dict[str, Image] = {}
        missing: dict[str, str] = {}
        # Depth comes first: others need its distances.
        for name in sorted(images, key=lambda name: name not in self.depths):
            try:
                metres = self.metres(done) if self.needs_metres(name, reference) else None
                done[name] = self.bring(name, images[name], reference, size, metres).image
            except (UnknownGeometryError, DecodeError) as error:
                missing[name] = f"cannot be registered to {reference}: {error}"
        return Registered({name: done[name] for name in images if name in done}, missing)

    def bring(
        self,
        name: str,
        image: Image,
        target: str,
        target_size: tuple[int, int] | None = None,
        metres: Metres | None = None,
    ) -> Brought:
        """Bring one image into the picture of a sensor.

        Args:
            name: the sensor whose image it is.
            image: as decoded; a point cloud as an image of the encoding ``PointCloud2``.
            target: the sensor in whose picture it shall be.
            target_size: rows and columns of that sensor's images, if they are known: they are held
                against its calibration.
            metres: distances in the target's picture as :meth:`metres` returns them, for a sensor
                of which :meth:`needs_metres` is true; None where nobody measures any.

        Raises:
            UnknownGeometryError: a camera or a pose is not known (yet), or does not fit the images.
            DecodeError: the image cannot be read.
        """
        if name == target and image.encoding != POINT_CLOUD:
            return Brought(image, 1.0)
        self.check_target(name, target, target_size)
        if image.encoding == POINT_CLOUD:
            painted = self._paint(name, target, image)
            return Brought(painted, float(np.isfinite(painted.pixels[..., 0]).mean()))
        if self.same_picture(name, target):
            return Brought(image, 1.0)
        self._geometry.check_shape(name, image.height, image.width)
        if name in self._counted:
            return self._added_up(name, target, image)
        if name in self.depths and self._geometry.by_depth(name, target):
            carried = self._carry(name, target, image)
            return Brought(carried, float(np.isfinite(carried.pixels).mean()))
        if metres is not None:
            return self._warp_measured(name, target, image, metres)
        return self._warp(name, target, image)

    def rays(self, name: str, target: str, height: int, width: int) -> PictureRays:
        """Return where the pixels of a sensor's image look, once it was brought to another's.

        A sensor whose picture is taken for another's may have intrinsics of its own all the same;
        else the other's are its.

        Raises:
            UnknownGeometryError: the camera is not known (yet), or does not fit the image.
        """
        if name == target or self.same_picture(name, target):
            self._geometry.check_shape(name, height, width)
            camera = self._geometry.own_camera(name)
        else:
            camera = self._geometry.camera(target)
        return self._once(
            ("rays", name, target, height, width), lambda: PictureRays.of(camera, height, width)
        )

    def check_target(self, name: str, target: str, size: tuple[int, int] | None) -> None:
        """Hold the images of the sensor in whose picture another is wanted against its calibration.

        Raises:
            UnknownGeometryError: they are of another shape, and the calibration is used.
        """
        if size is not None and name != target and not self.same_picture(name, target):
            self._geometry.check_shape(target, *size)

    def metres(self, brought: Mapping[str, Image]) -> Metres | None:
        """Return the distances in a picture, from the depth sensors that were brought into it."""
        for name in self.depths:
            if name in brought:
                height, width = self._size
                metres = cv2.resize(
                    to_metres(brought[name]), (width, height), interpolation=cv2.INTER_NEAREST
                )
                return close_holes(metres)
        return None

    def same_picture(self, name: str, target: str) -> bool:
        """Whether what one sensor sees is taken for the other's picture, but for its size."""
        return name in self._unwarped and target in self._unwarped

    def _paint(self, name: str, reference: str, cloud: Image) -> Image:
        """Paint a cloud into the reference's picture."""
        geometry = self._geometry
        if not geometry.by_cameras(name):
            raise UnknownGeometryError(
                f"{name} sends point clouds: registration.method must be 'cameras', with extrinsics"
            )
        pose = invert(geometry.first_from(reference)) @ geometry.first_from(name)
        camera = geometry.camera(reference)
        size = (camera.height, camera.width) if name in self._fine else self._size
        return lidar_image(cloud.pixels, camera, pose, *size)

    def _warp(self, name: str, reference: str, image: Image) -> Brought:
        """Warp an image for a scene at one distance."""
        pixels, interpolation = self._shrunk(name, image)
        height, width = pixels.shape[:2]

        def make() -> tuple[tuple[Pixels, Pixels | None], float]:
            maps, covered = _maps(self._static_places(name, reference), self._size, height, width)
            return _fixed_point(maps, interpolation), covered

        maps, covered = self._once(("maps", name, reference, height, width), make)
        return Brought(Image(_remap(pixels, maps, interpolation), image.encoding), covered)

    def _warp_measured(self, name: str, reference: str, image: Image, metres: Metres) -> Brought:
        """Warp an image by the distances of the reference's pixels, as far as they are known."""
        way = self._reprojection(reference, name, *self._size)
        places = way.visible(metres)
        unknown = ~np.isfinite(metres).ravel()
        places[unknown] = self._static_places(name, reference)[unknown]
        pixels, interpolation = self._shrunk(name, image)
        maps, covered = _maps(places, self._size, *pixels.shape[:2])
        return Brought(Image(_remap(pixels, maps, interpolation), image.encoding), covered)

    def _carry(self, name: str, reference: str, image: Image) -> Image:
        """Bring a depth image along its own distances."""
        metres = to_metres(image)
        source, target = self._geometry.camera(name), self._geometry.camera(reference)
        radius = covering_radius(source, image.width, target, self._size[1])
        way = self._reprojection(name, reference, image.height, image.width)
        return Image(way.carry(metres, *self._size, radius), "32FC1")

    def _added_up(self, name: str, target: str, image: Image) -> Brought:
        """Move what the pixels of an image count to where they are in the target's picture."""
        camera, geometry = self._geometry.camera(target), self._geometry
        height, width = camera.height, camera.width

        def make() -> tuple[npt.NDArray[np.int64], float]:
            places: Places = pixel_places(image.height, image.width)
            if name != geometry.first:
                places = geometry.view(name).to_first(places)
            if target != geometry.first:
                places = geometry.view(target).from_first(places)
            with np.errstate(invalid="ignore"):
                inside = ((places >= 0) & (places < 1)).all(1)
            cells = np.zeros((len(places), 2), np.int64)
            cells[inside] = places[inside] * (width, height)
            flat = np.where(inside, cells[:, 1] * width + cells[:, 0], -1)
            covered, _ = _maps(self._static_places(name, target), self._size, *self._size)
            return flat, float((covered[0] >= 0).mean())

        flat, share = self._once(("counted", name, target, image.height, image.width), make)
        pixels = image.pixels.reshape(len(flat), -1)
        shown = np.zeros((height * width, pixels.shape[1]), np.uint8)
        for channel in range(pixels.shape[1]):
            active = np.flatnonzero(pixels[:, channel])
            active = active[flat[active] >= 0]
            if active.size:
                counts = np.bincount(flat[active], pixels[active, channel], height * width)
                shown[:, channel] = np.minimum(counts, 255, out=counts)
        return Brought(
            Image(shown.reshape(height, width, *image.pixels.shape[2:]), image.encoding), share
        )

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
) -> tuple[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], float]:
    """Turn places in a picture into OpenCV's maps of ``size`` for an image of so many pixels.

    Returns the maps, and the share of the places that lie inside of the image.
    """
    x, y = places[:, 0], places[:, 1]
    with np.errstate(invalid="ignore"):
        inside = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
    maps = []
    for along, pixels in ((x, width), (y, height)):
        # The outer half of a border pixel shows that pixel, it does not fade into the nothing.
        entries = np.clip(along * pixels - 0.5, 0, pixels - 1)
        entries[~inside] = _NOWHERE
        maps.append(entries.astype(np.float32).reshape(size))
    return (maps[0], maps[1]), float(inside.mean())


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
