"""The camera of a mask, and its points in space: for those who put masks into a map."""

from __future__ import annotations

import contextlib
from array import array
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.frames import FrameSet, Prediction
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.masks.labelled_cloud import POINT, LabelledCloud
from anymodal_seg_ros.nodes.messages import to_stamp
from anymodal_seg_ros.sensing.decoding.encodings import in_metres, to_metres
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError, Camera
from anymodal_seg_ros.sensing.geometry.padding import is_padded
from anymodal_seg_ros.sensing.geometry.registration import Registrar
from anymodal_seg_ros.sensing.geometry.rig_geometry import RigGeometry, UnknownGeometryError


class MaskGeometry:
    """Knows whose picture a mask is. The worker's thread asks, the executor's thread tells."""

    def __init__(self, rig: RigConfig, manifest: Manifest) -> None:
        self._rig = rig
        self._geometry = RigGeometry(rig.sensors, self._clouds())
        self._infos: dict[str, Any] = {}
        self._registrar: tuple[tuple[int, int], int, Registrar] | None = None
        self._cloud = LabelledCloud(manifest)

    def take_camera_info(self, sensor: str, message: Any) -> None:
        """Take a CameraInfo that the pipeline has taken; repetitions cost next to nothing."""
        before = self._geometry.generation
        self._geometry.take_camera_info(sensor, message)
        if self._geometry.generation != before:
            self._infos = {**self._infos, sensor: message}

    def take_cameras_of(self, other: MaskGeometry) -> None:
        """Know the cameras and places that another one was told of; nobody may tell again."""
        self._geometry.take_cameras_of(other._geometry)
        before, now = other._rig.sensors, self._rig.sensors
        self._infos = {
            name: info
            for name, info in other._infos.items()
            if name in now and now[name].registration == before[name].registration
        }

    def take_transforms(self, message: Any) -> None:
        """Take a message of ``/tf_static`` that the pipeline has taken."""
        with contextlib.suppress(CalibrationError):  # it was told already
            self._geometry.take_transforms(message)

    def camera_info(self, prediction: Prediction) -> Any:
        """Return the ``sensor_msgs/CameraInfo`` of a mask, with its header and size.

        Raises:
            UnknownGeometryError: the camera whose picture it is is not known (yet), or its
                calibration is for pictures of another shape.
        """
        owner, (height, width) = prediction.owner, prediction.mask.shape
        sample = prediction.frame_set.reference_sample
        info = _info_of(_scaled(self._camera(prediction), width, height))
        driver = self._infos.get(owner)
        if driver is not None and not self._is_cut(owner, driver, width, height):
            info.r, info.p = driver.r, driver.p  # a stereo camera's
        info.header.stamp, info.header.frame_id = to_stamp(sample.stamp_ns), sample.frame_id
        return info

    def points(self, prediction: Prediction) -> Any:
        """Return a mask's pixels as a ``sensor_msgs/PointCloud2`` of its size, frame and stamp.

        Raises:
            UnknownGeometryError: no depth sensor is in this mask, or the camera is not known.
        """
        metres = self._metres(prediction)
        camera = self._camera(prediction)
        points = self._cloud.make(prediction.mask, prediction.confidence, metres, camera)
        sample = prediction.frame_set.reference_sample
        return cloud_message(points, sample.stamp_ns, sample.frame_id)

    def _camera(self, prediction: Prediction) -> Camera:
        """Return the camera of a mask's picture, at any resolution."""
        self._geometry.take_size(prediction.owner, *prediction.mask.shape)
        self._geometry.check_shape(prediction.owner, *prediction.mask.shape)
        return self._geometry.camera(prediction.owner)

    def _metres(self, prediction: Prediction) -> npt.NDArray[np.float32]:
        """Return the distances in the mask's picture."""
        frames, owner = prediction.frame_set, prediction.owner
        depths = [n for n in frames.fused if self._rig.sensors[n].modality == "depth"]
        if not depths:
            raise UnknownGeometryError("no depth sensor is in the mask")
        name = depths[0]
        image = frames.samples[name].image
        if name == frames.reference != owner:
            return to_metres(image)  # it lies in the mask's picture already, in metres
        self._take_frames(frames, owner)
        image = in_metres(image, self._rig.sensors[name].counts)
        size = height, width = prediction.mask.shape
        return to_metres(self._registrar_at(height, width).bring(name, image, owner, size).image)

    def _take_frames(self, frames: FrameSet, owner: str) -> None:
        """Take note of the frames that messages are in, of the mask's picture as well."""
        for name, sample in frames.samples.items():
            # The reference's sample is shown as it lies in the picture, in the frame of that.
            self._geometry.take_frame(owner if name == frames.reference else name, sample.frame_id)

    def _registrar_at(self, height: int, width: int) -> Registrar:
        """Return what brings distances to the mask's picture, at its own size."""
        generation = self._geometry.generation
        if self._registrar is None or self._registrar[:2] != ((height, width), generation):
            sensors = self._rig.sensors
            registrar = Registrar(
                sensors,
                height,
                width,
                depths=[name for name, s in sensors.items() if s.modality == "depth"],
                clouds=self._clouds(),
            )
            registrar.take_cameras_of(self._geometry)
            self._registrar = (height, width), generation, registrar
        return self._registrar[2]

    def _clouds(self) -> list[str]:
        return [name for name, sensor in self._rig.sensors.items() if sensor.sends_points]

    def _is_cut(self, sensor: str, info: Any, width: int, height: int) -> bool:
        """Whether a driver's CameraInfo is not of exactly the picture that the mask is of."""
        own = self._rig.sensors[sensor].registration
        binned = max(info.binning_x, info.binning_y) > 1 or info.roi.width or info.roi.height
        size, mask = (info.height, info.width), (height, width)
        return own.rectified or bool(binned) or not (size == mask or is_padded(size, mask))


def cloud_message(points: npt.NDArray[np.void], stamp_ns: int, frame_id: str) -> Any:
    """Make an organised PointCloud2 of ``[H, W]`` points of :data:`POINT`."""
    height, width = points.shape
    message = PointCloud2(height=height, width=width, is_dense=False)
    message.header.stamp, message.header.frame_id = to_stamp(stamp_ns), frame_id
    message.is_bigendian = False
    message.point_step, message.row_step = POINT.itemsize, POINT.itemsize * width
    message.fields = [_field(name) for name in POINT.names or ()]
    data = array("B")
    data.frombytes(np.ascontiguousarray(points).tobytes())
    message.data = data
    return message


def _field(name: str) -> Any:
    assert POINT.fields is not None
    dtype, offset = POINT.fields[name][:2]
    # Packed colours are a float by convention: RViz and PCL look for exactly that.
    kind = PointField.FLOAT32 if name == "rgb" or dtype.kind == "f" else PointField.UINT8
    return PointField(name=name, offset=offset, datatype=kind, count=1)


def _scaled(camera: Camera, width: int, height: int) -> Camera:
    """Return a camera for a picture of another size that shows the same."""
    if (camera.width, camera.height) == (width, height):
        return camera
    across, down = width / camera.width, height / camera.height
    matrix = camera.matrix.copy()
    matrix[0, 0] *= across
    matrix[1, 1] *= down
    matrix[0, 2] = (matrix[0, 2] + 0.5) * across - 0.5
    matrix[1, 2] = (matrix[1, 2] + 0.5) * down - 0.5
    return Camera(width, height, matrix, camera.model, camera.distortion)


def _info_of(camera: Camera) -> Any:
    """Return a CameraInfo without a header."""
    distortion = [float(value) for value in camera.distortion] or [0.0] * 5
    info = CameraInfo(width=camera.width, height=camera.height, distortion_model=camera.model)
    info.d = distortion
    info.k = camera.matrix.reshape(-1)
    info.r = np.eye(3).reshape(-1)
    info.p = np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(-1)
    return info
