"""What people want to know of a picture: which colour is which class, and which sensors saw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from anymodal_seg_ros.frames import Mask, Prediction
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.masks.visualize import Rgb, overlay

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LINE = 16
_SCALE = 0.4
_SMALLEST = 160
"""Rows below which a picture has no room for words."""

_SEEN = 0.002
"""Share of the pixels from which on a class is in the legend."""

_WHITE, _GREEN, _YELLOW, _RED = (255, 255, 255), (120, 230, 120), (240, 220, 90), (255, 110, 110)


@dataclass(frozen=True, slots=True)
class SensorNote:
    """One sensor in the strip below the picture.

    Attributes:
        name: of the sensor.
        state: its health in a word.
        used: whether it is in this mask.
        share: its share of the votes, 0..1; None where the network does not weight its sensors.
    """

    name: str
    state: str
    used: bool
    share: float | None = None


def sensor_notes(prediction: Prediction) -> list[SensorNote]:
    """Return what the strip says of each sensor, in configured order."""
    return [
        SensorNote(
            status.sensor,
            status.state.value,
            status.sensor in prediction.sensors,
            prediction.contributions.get(status.sensor),
        )
        for status in prediction.status
    ]


def annotated_overlay(prediction: Prediction, manifest: Manifest, alpha: float = 0.5) -> Rgb:
    """Return a mask over its reference's picture, with legend and sensors.

    Args:
        prediction: what is drawn.
        manifest: knows names and colours.
        alpha: opacity of the colours, 0..1.
    """
    mask, image = prediction.mask, prediction.frame_set.reference_sample.image
    blended = overlay(image, mask, manifest, alpha)
    return annotate(blended, mask, manifest, sensor_notes(prediction))


def annotate(picture: Rgb, mask: Mask, manifest: Manifest, notes: Sequence[SensorNote]) -> Rgb:
    """Write the legend and the strip of sensors into a copy of a picture.

    Args:
        picture: uint8 ``[H, W, 3]`` RGB; returned as it is where there is no room for words.
        mask: uint8 ``[H, W]``, whose classes the legend names.
        manifest: knows names and colours.
        notes: of the sensors.
    """
    height, width = mask.shape
    if height < _SMALLEST:
        return picture
    drawn: Rgb = np.array(picture, np.uint8, order="C")
    counts = np.bincount(mask.ravel(), minlength=256)
    seen = [n for n in range(len(manifest.classes)) if counts[n] > _SEEN * mask.size]
    rows = (height - _LINE) // _LINE
    seen = sorted(seen, key=lambda n: -counts[n])[: max(rows, 0)]
    for row, number in enumerate(seen):
        spec = manifest.classes[number]
        top = row * _LINE
        cv2.rectangle(drawn, (4, top + 4), (14, top + 14), spec.color, cv2.FILLED)
        _write(drawn, spec.name, 18, top + 13, _WHITE)
    drawn[height - _LINE :] //= 3
    x = 4
    for note in notes:
        share = "" if note.share is None else f" {note.share:.0%}"
        color = _GREEN if note.used else _YELLOW if note.state in ("OK", "WAITING") else _RED
        words = f"{note.name} {note.state}{share}"
        if x + _width(words) > width:
            break
        _write(drawn, words, x, height - 5, color)
        x += _width(words) + 10
    return drawn


def _write(picture: Rgb, words: str, x: int, y: int, color: tuple[int, int, int]) -> None:
    cv2.putText(picture, words, (x, y), _FONT, _SCALE, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, words, (x, y), _FONT, _SCALE, color, 1, cv2.LINE_AA)


def _width(words: str) -> int:
    (width, _), _ = cv2.getTextSize(words, _FONT, _SCALE, 1)
    return int(width)
