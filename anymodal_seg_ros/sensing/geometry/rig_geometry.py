"""What is known of where the sensors of a rig are, and what their lenses do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from anymodal_seg_ros.config import RegistrationConfig, SensorConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.sensing.decoding.payload import OTHER_TYPES, other_types
from anymodal_seg_ros.sensing.geometry.calibration import Calibration, load_calibration
from anymodal_seg_ros.sensing.geometry.camera_info import camera_from_info
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError, Camera, shift_px
from anymodal_seg_ros.sensing.geometry.extrinsics import Transform, invert, pose_from_text
from anymodal_seg_ros.sensing.geometry.frame_tree import FrameTree
from anymodal_seg_ros.sensing.geometry.padding import padded
from anymodal_seg_ros.sensing.geometry.views import CameraView, HomographyView, View

_MOST_COMPARED = 32
"""Numbers of a list in a CameraInfo that are compared."""

BY_TF = "tf"
"""The value of ``registration.extrinsics`` that leaves them to ``/tf_static``."""

METHODS = ("resize", "homography", "cameras", "depth")
"""The values of ``registration.method``."""


SAME_WITHIN_PX = 0.1
"""Cameras whose pictures differ by less are taken for one: far below a pixel of any network."""


class UnknownGeometryError(Exception):
    """What is needed is not known, in words: often because no CameraInfo has come yet."""


class RigGeometry:
    """The cameras of a rig and their places relative to its first sensor.

    Attributes:
        first: name of the first sensor.
        generation: counts up when a camera changes, so that what was made from it can be renewed.
    """

    def __init__(self, sensors: Mapping[str, SensorConfig], clouds: Collection[str] = ()) -> None:
        """Read what the configuration says.

        Args:
            sensors: of the rig, in configured order; the first one is what others are placed by.
            clouds: those that send point clouds and therefore have no camera.

        Raises:
            ConfigError: naming the parameter: something is missing, superfluous or impossible.
        """
        self.first = next(iter(sensors))
        self.generation = 0
        self._configs = {name: sensor.registration for name, sensor in sensors.items()}
        self._clouds = frozenset(clouds)
        self._fingerprints: dict[str, object] = {}
        self._files: dict[str, Calibration] = {}
        self._told: dict[str, Camera] = {}
        """What calibrations say."""
        self._sizes: dict[str, tuple[int, int]] = {}
        self._cameras: dict[str, Camera] = {}
        """Those of :attr:`_told`, with the padding of the pictures that are sent."""
        self._optical: dict[str, str] = {}
        """The frames that CameraInfo messages are in, by sensor."""
        for name, config in self._configs.items():
            self._check(name, config, taking_part=sensors[name].enabled)
            if config.calibration:
                self._files[name] = load_calibration(config.calibration, config.rectified)
                self._told[name] = self._cameras[name] = self._files[name].camera
        placed = [name for name in self._configs if self.by_cameras(name)]
        self.by_tf = [n for n in placed if self._configs[n].extrinsics.strip().lower() == BY_TF]
        """The sensors whose places ``/tf_static`` tells, by the frame_id of their messages."""
        self._poses = {name: self._pose(name) for name in placed if name not in self.by_tf}
        self._frames: dict[str, str] = {}
        self._tree = FrameTree()
        self._homographies = {
            name: HomographyView.from_text(config.homography, _path(name, "homography"))
            for name, config in self._configs.items()
            if config.method == "homography"
        }

    def by_cameras(self, sensor: str) -> bool:
        """Whether a sensor is placed by intrinsics and extrinsics."""
        return self._configs[sensor].method in ("cameras", "depth")

    def by_depth(self, sensor: str, reference: str) -> bool:
        """Whether measured distances are to be used between two sensors, and can be.

        A sensor that is registered by a homography has no place in space to measure from.
        """
        methods = {self._configs[sensor].method, self._configs[reference].method}
        return "depth" in methods and "homography" not in methods

    def take_camera_info(self, sensor: str, message: Any) -> None:
        """Take a ``sensor_msgs/CameraInfo`` of a sensor. Repetitions cost next to nothing.

        Autofocus and stabilised lenses jitter from message to message. A camera that shows
        everything within :data:`SAME_WITHIN_PX` of where the known one does is the known one: what
        was made from that need not be made anew. Drift adds up against the one that is kept.

        Raises:
            CalibrationError: the message contradicts itself; what was known before stays.
        """
        try:
            fingerprint = _fingerprint(message)
            if self._fingerprints.get(sensor) == fingerprint:
                return
            camera = camera_from_info(message, self._configs[sensor].rectified)
        except OTHER_TYPES as error:
            raise CalibrationError(other_types(message, error)) from error
        self._fingerprints[sensor] = fingerprint
        frame_id = getattr(getattr(message, "header", None), "frame_id", "")
        self._optical[sensor] = frame_id if isinstance(frame_id, str) else ""
        known = self._told.get(sensor)
        if known is not None and shift_px(known, camera) <= SAME_WITHIN_PX:
            return
        self._told[sensor] = camera
        self._cameras[sensor] = padded(camera, *self._sizes.get(sensor, (0, 0)))
        self.generation += 1

    def take_size(self, sensor: str, height: int, width: int) -> None:
        """Take note of the size of a sensor's pictures; costs next to nothing.

        A picture that an encoder padded shows its camera's in the upper left, not stretched.
        """
        if self._sizes.get(sensor) == (height, width):
            return
        self._sizes = {**self._sizes, sensor: (height, width)}
        if (told := self._told.get(sensor)) is None:
            return
        camera = padded(told, height, width)
        known = self._cameras[sensor]
        if (camera.height, camera.width) != (known.height, known.width):
            self._cameras[sensor] = camera
            self.generation += 1

    def take_transforms(self, message: Any) -> None:
        """Take a ``tf2_msgs/TFMessage`` of ``/tf_static``.

        Raises:
            CalibrationError: a transform of it is none; the others are taken.
        """
        try:
            self._tree.take(message)
        finally:
            self._place()

    def take_frame(self, sensor: str, frame_id: str) -> None:
        """Take note of the frame that a sensor's messages are in; costs next to nothing."""
        if not self.by_tf or self._frames.get(sensor) == frame_id:
            return
        self._frames = {**self._frames, sensor: frame_id}
        self._place()

    def take_cameras_of(self, other: RigGeometry) -> None:
        """Take over the cameras that another geometry has learned from CameraInfo messages."""
        for sensor, fingerprint in other._fingerprints.items():
            if sensor in self._configs and self._configs[sensor] == other._configs[sensor]:
                self._fingerprints[sensor] = fingerprint
                self._told[sensor] = other._told[sensor]
                self._cameras[sensor] = other._cameras[sensor]
                self._optical[sensor] = other._optical[sensor]
        for sensor, size in other._sizes.items():
            self.take_size(sensor, *size)
        self._tree, self._frames = other._tree, {**other._frames}
        self._place()
        self.generation = max(self.generation, other.generation) + 1

    def camera(self, sensor: str) -> Camera:
        """Return the camera whose picture a sensor's image shows.

        Raises:
            UnknownGeometryError: it is not known (yet).
        """
        # An image that is only resized shows what the first sensor's picture shows.
        owner = self.first if self._configs[sensor].method == "resize" else sensor
        if self._configs[owner].method == "homography":
            raise UnknownGeometryError(f"{sensor} is registered by a homography, not by its camera")
        return self._told_camera(owner)

    def own_camera(self, sensor: str) -> Camera:
        """Return the camera of a sensor by its own calibration, or as :meth:`camera` without one.

        Raises:
            UnknownGeometryError: it is not known (yet).
        """
        config = self._configs[sensor]
        owns = config.calibration or config.camera_info
        return self._told_camera(sensor) if owns else self.camera(sensor)

    def _told_camera(self, sensor: str) -> Camera:
        if sensor not in self._cameras:
            topic = self._configs[sensor].camera_info
            waiting = f"no CameraInfo has come on {topic}" if topic else "it has no calibration"
            raise UnknownGeometryError(f"the camera of {sensor} is unknown: {waiting}")
        return self._cameras[sensor]

    def calibrated(self, sensor: str) -> tuple[int, int, str] | None:
        """Return rows, columns and frame of a sensor's pictures, as its calibration tells.

        The frame is empty where that is a file, which tells none; None without a calibration.
        """
        camera = self._cameras.get(sensor)
        if camera is None:
            return None
        return camera.height, camera.width, self._optical.get(sensor, "")

    def first_from(self, sensor: str) -> Transform:
        """Return the pose of a sensor in the first one's optical frame.

        Raises:
            UnknownGeometryError: the sensor is placed by a homography.
        """
        if self._configs[sensor].method == "homography":
            raise UnknownGeometryError(f"{sensor} is registered by a homography: it has no pose")
        if sensor in self.by_tf and sensor not in self._poses:
            raise UnknownGeometryError(self._why_unplaced(sensor))
        return self._poses.get(sensor, np.eye(4))

    def view(self, sensor: str) -> View:
        """Return how a sensor's picture lies in that of the first one.

        Raises:
            UnknownGeometryError: a camera that is needed is not known (yet).
        """
        config = self._configs[sensor]
        if self.by_cameras(sensor):
            return CameraView(
                self.camera(sensor),
                self.camera(self.first),
                self.first_from(sensor),
                config.distance_m or math.inf,
            )
        return self._homographies.get(sensor, HomographyView(np.eye(3)))

    def check_shape(self, sensor: str, height: int, width: int) -> None:
        """Refuse an image that does not show what the sensor's calibration is for.

        An image may have any resolution, but has to have the calibration's shape, apart from what
        :meth:`take_size` knows to be padding, and the region of interest where there is one:
        drivers name one that their images are not cut to.

        Raises:
            UnknownGeometryError: with both sizes.
        """
        camera = self._cameras.get(sensor)
        if camera is None or self._configs[sensor].method == "homography":
            return
        if abs(width * camera.height / (height * camera.width) - 1) > 0.01:
            raise UnknownGeometryError(
                f"the image of {sensor} has {width}x{height} pixels, but its calibration is for "
                f"{camera.width}x{camera.height}: calibrate the format that is sent"
            )
        across, down = camera.cut_from or (math.inf, math.inf)
        if width >= across and height >= down:
            raise UnknownGeometryError(
                f"the image of {sensor} has {width}x{height} pixels, but its CameraInfo has a roi "
                f"of {camera.width}x{camera.height} of {across}x{down}: let the driver send what "
                "it has cut, or leave roi at zeros"
            )

    def _check(self, name: str, config: RegistrationConfig, *, taking_part: bool) -> None:
        """Refuse what is missing, and what would silently not be used.

        A cloud of a sensor that takes no part needs no place; if it is switched on later, every
        mask tells that it has none.
        """
        if config.method not in METHODS:
            raise ConfigError(
                f"{_path(name, 'method')} is {config.method!r}: expected one of "
                f"{', '.join(METHODS)}"
            )
        if config.calibration and config.camera_info:
            raise ConfigError(
                f"{_path(name, 'calibration')} and camera_info are both given: expected one"
            )
        if name == self.first and name in self._clouds:
            raise ConfigError(
                f"{name} is the rig's first sensor, in whose picture the masks are, but it sends "
                "points: name a camera first, in rig.reference"
            )
        if name == self.first and config.method != "resize":
            raise ConfigError(
                f"{_path(name, 'method')} is {config.method!r}, but {name} is the rig's first "
                "sensor, to which the others are registered: expected 'resize'"
            )
        for used, parameter in (
            (config.method == "homography", "homography"),
            (self.by_cameras(name), "extrinsics"),
        ):
            if getattr(config, parameter) and not used:
                raise ConfigError(
                    f"{_path(name, parameter)} is given, but method is {config.method!r}, which "
                    "does not use it"
                )
        if name in self._clouds and config.method != "cameras" and taking_part:
            raise ConfigError(
                f"{_path(name, 'method')} is {config.method!r}: expected 'cameras', since {name} "
                "sends point clouds"
            )
        if self.by_cameras(name):
            for needed in {self.first, name} - self._clouds:
                other = self._configs[needed]
                if not (other.calibration or other.camera_info):
                    raise ConfigError(
                        f"{_path(needed, 'calibration')} is missing: {name} is registered by "
                        f"{config.method!r}; name a file, or a topic as camera_info"
                    )

    def _place(self) -> None:
        """Look up the places that ``/tf_static`` tells, as far as it does."""
        for name in self.by_tf:
            if name not in self._frames or self.first not in self._frames:
                continue
            try:
                pose = self._tree.pose(self._frames[name], self._frames[self.first])
            except LookupError:
                continue  # what was known stays
            known = self._poses.get(name)
            if known is None or not np.allclose(known, pose, rtol=0.0, atol=1e-6):
                self._poses = {**self._poses, name: pose}
                self.generation += 1

    def _why_unplaced(self, sensor: str) -> str:
        for name in (sensor, self.first):
            if name not in self._frames:
                return f"the place of {sensor} is unknown: no message of {name} has come"
            if not self._frames[name]:
                return f"the place of {sensor} is unknown: messages of {name} have no frame_id"
        try:
            self._tree.pose(self._frames[sensor], self._frames[self.first])
        except LookupError as error:
            return str(error)
        return f"the place of {sensor} is not known yet"

    def _pose(self, name: str) -> Transform:
        """Take a sensor's pose from its extrinsics, or from a camchain shared with the first."""
        where = _path(name, "extrinsics")
        text = self._configs[name].extrinsics
        first, own = self._files.get(self.first), self._files.get(name)
        if first is None or own is None or not own.chain or own.chain != first.chain:
            if not text:
                raise ConfigError(f"{where} is missing: expected 'x y z qx qy qz qw'")
            return pose_from_text(text, where)
        if text:
            raise ConfigError(f"{where} is given, but {own.chain} gives it as well: expected one")
        return invert(first.chain_from_camera) @ own.chain_from_camera


def _path(sensor: str, parameter: str) -> str:
    return f"rig.sensors.{sensor}.registration.{parameter}"


def _fingerprint(message: Any) -> object:
    """Return what changes when a CameraInfo does; cheap, because drivers send one per image."""
    parts = []
    for name in ("d", "k", "r", "p"):
        values: Any = getattr(message, name, None)
        if values is None:
            values = getattr(message, name.upper(), ())
        # No sound list is longer: what is, is refused, and needs no more than its length here.
        if hasattr(values, "__len__"):  # islice, for a slice of a mapping is a KeyError
            parts.append((len(values), *itertools.islice(values, _MOST_COMPARED)))
        else:
            parts.append((repr(values),))
    roi = getattr(message, "roi", None)
    cut = tuple(getattr(roi, n, 0) for n in ("x_offset", "y_offset", "width", "height"))
    size = tuple(getattr(message, n, 0) for n in ("width", "height", "binning_x", "binning_y"))
    return (getattr(message, "distortion_model", ""), *parts, cut, size)
