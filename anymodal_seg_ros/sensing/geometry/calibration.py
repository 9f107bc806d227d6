"""Calibration files as they come: ROS camera_info, recorded CameraInfo, kalibr camchain.

Each becomes a checked :class:`~anymodal_seg_ros.sensing.geometry.cameras.Camera`. Whatever
contradicts itself is refused with the reason: a wrong calibration is worse than none, its masks
look plausible.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from anymodal_seg_ros.config import read_yaml
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.geometry.camera_info import (
    camera_from_info,
    check_principal_point,
    distortion_of,
    numbers,
    shown,
    whole,
)
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError, Camera
from anymodal_seg_ros.sensing.geometry.extrinsics import Transform, invert, rigid

FORMATS = (
    "a ROS camera_info file (image_width, camera_matrix, …), "
    "a CameraInfo message as 'ros2 topic echo --once' prints it (width, k, …), "
    "or a kalibr camchain (cam0, cam1, …)"
)

_FILE_NAMES = {
    "k": "camera_matrix",
    "d": "distortion_coefficients",
    "r": "rectification_matrix",
    "p": "projection_matrix",
}
"""The fields of CameraInfo in a camera_info file."""

_LINK = re.compile(r"cam[0-9]{1,9}")
"""Names of the cameras of a camchain."""

_MATRICES = ("k", "K", "d", "D", "r", "R", "p", "P")
"""Those of a CameraInfo, by their names in ROS 2 and ROS 1; OpenCV's users have them too."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one calibration says about one camera.

    Attributes:
        camera: its geometry.
        chain: the camchain it is part of, as given; empty if it stands alone.
        chain_from_camera: its pose in the frame of the chain's ``cam0``; identity if it stands
            alone.
    """

    camera: Camera
    chain: str
    chain_from_camera: Transform


def load_calibration(source: str, rectified: bool = False) -> Calibration:
    """Read a calibration file.

    Args:
        source: path of one of the three kinds of YAML files; for a camchain with the camera's
            name behind it, as in ``camchain.yaml#cam1``.
        rectified: as for :func:`camera_from_info`.

    Raises:
        CalibrationError: the file cannot be read, is of no known kind, or is wrong in itself.
    """
    path, _, name = source.partition("#")
    content = _read(path)
    try:
        if any(_LINK.fullmatch(str(key)) for key in content):
            return _from_chain(content, path, name, rectified)
        if name:
            raise CalibrationError(f"this is no kalibr camchain: expected no '#{name}' behind it")
        return Calibration(camera_from_info(_as_message(content), rectified), "", np.eye(4))
    except CalibrationError as error:
        raise CalibrationError(f"{path}: {error}") from error


def _read(path: str) -> Mapping[str, Any]:
    """Read the first YAML document of a file; it must hold named entries."""
    try:
        content = read_yaml(Path(path).expanduser(), "calibration", foreign=True)
    except ConfigError as error:
        raise CalibrationError(f"{error}; expected {FORMATS}") from error
    if not isinstance(content, Mapping):
        raise CalibrationError(f"{path} is free text or a list: expected {FORMATS}")
    return content


def _as_message(content: Mapping[str, Any]) -> SimpleNamespace:
    """Turn either of the two ROS files into what a CameraInfo message looks like."""
    if "camera_matrix" in content or "projection_matrix" in content:
        found = {
            short: _data(content[key], key) for short, key in _FILE_NAMES.items() if key in content
        }
        width, height = content.get("image_width"), content.get("image_height")
    elif {"k", "K", "p", "P"} & set(map(str, content)):
        found = {
            name: _data(value, name) if name in _MATRICES else value
            for name, value in _named(content).items()
        }
        roi = content.get("roi")
        found["roi"] = SimpleNamespace(**_named(roi)) if isinstance(roi, Mapping) else None
        width, height = content.get("width"), content.get("height")
    else:
        entries = quote(", ".join(shown(key).strip("'") for key in list(content)[:20]), 200)
        raise CalibrationError(f"it has the entries {entries}: expected {FORMATS}")
    found |= {"width": width, "height": height}
    found["distortion_model"] = content.get("distortion_model") or ""
    return SimpleNamespace(**found)


def _named(content: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in content.items()}


def _data(entry: Any, where: str) -> Any:
    """Take the numbers out of ``{rows: …, cols: …, data: […]}``, a list, or a list of rows."""
    if isinstance(entry, list):
        return [n for row in entry for n in (row if isinstance(row, list) else [row])]
    if not isinstance(entry, Mapping) or "data" not in entry:
        raise CalibrationError(f"{where} is {shown(entry)}: expected rows, cols and data")
    data, rows, columns = entry["data"], entry.get("rows"), entry.get("cols")
    if isinstance(data, list) and rows is not None and columns is not None:
        expected = whole(rows, f"{where}.rows") * whole(columns, f"{where}.cols")
        if len(data) != expected:
            raise CalibrationError(
                f"{where}.data has {len(data)} numbers: expected rows x cols = {expected}"
            )
    return data


def _from_chain(content: Mapping[str, Any], path: str, name: str, rectified: bool) -> Calibration:
    """Read one camera of a camchain, and follow the chain back to its first camera."""
    if rectified:
        raise CalibrationError("a camchain describes raw images: expected rectified to be false")
    names = sorted(filter(_LINK.fullmatch, map(str, content)), key=lambda link: int(link[3:]))
    if name not in names:
        raise CalibrationError(
            f"the camera {name!r} is asked for: expected {path}# and one of {', '.join(names)}"
        )
    pose = np.eye(4)
    for link in names[1 : names.index(name) + 1]:
        entry = content[link]
        if not isinstance(entry, Mapping) or "T_cn_cnm1" not in entry:
            raise CalibrationError(f"{link}.T_cn_cnm1 is missing: expected the step in the chain")
        pose = pose @ invert(rigid(entry["T_cn_cnm1"], f"{link}.T_cn_cnm1"))
    return Calibration(_chain_camera(content[name], name), path, pose)


def _chain_camera(entry: Any, name: str) -> Camera:
    if not isinstance(entry, Mapping):
        raise CalibrationError(f"{name} is {shown(entry)}: expected named entries")
    if entry.get("camera_model") != "pinhole":
        raise CalibrationError(
            f"{name}.camera_model is {shown(entry.get('camera_model'))}: expected pinhole"
        )
    fx, fy, cx, cy = numbers(entry.get("intrinsics"), 4, f"{name}.intrinsics")
    width, height = numbers(entry.get("resolution"), 2, f"{name}.resolution")
    model, distortion = "plumb_bob", np.empty(0)
    if entry.get("distortion_model") != "none":
        coefficients = numbers(entry.get("distortion_coeffs"), None, f"{name}.distortion_coeffs")
        model, distortion = distortion_of(entry.get("distortion_model"), coefficients)
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    camera = Camera(int(width), int(height), matrix, model, distortion)
    check_principal_point(camera)
    return camera
