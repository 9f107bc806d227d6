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

    @property
    def words(self) -> str:
        """What the strip says of it."""
        share = "" if self.share is None else f" {self.share:.0%}"
        return f"{self.name} {self.state}{share}"


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
    strip = _lines(notes, width)
    above = height - _LINE * len(strip)
    seen = sorted(seen, key=lambda n: -counts[n])[: max(above // _LINE, 0)]
    for row, number in enumerate(seen):
        spec = manifest.classes[number]
        top = row * _LINE
        cv2.rectangle(drawn, (4, top + 4), (14, top + 14), spec.color, cv2.FILLED)
        _write(drawn, spec.name, 18, top + 13, _WHITE)
    drawn[max(above, 0) :] //= 3
    for row, line in enumerate(strip, 1):
        for x, note in line:
            color = _GREEN if note.used else _YELLOW if note.state in ("OK", "WAITING") else _RED
            _write(drawn, note.words, x, above + row * _LINE - 5, color)
    return drawn


def _lines(notes: Sequence[SensorNote], width: int) -> list[list[tuple[int, SensorNote]]]:
    """Lay notes and their places out in as many lines as they need: each sensor is told."""
    lines: list[list[tuple[int, SensorNote]]] = [[]]
    x = 4
    for note in notes:
        wide = _width(note.words)
        if lines[-1] and x + wide > width:
            lines.append([])
            x = 4
        lines[-1].append((x, note))
        x += wide + 10
    return lines


def _write(picture: Rgb, words: str, x: int, y: int, color: tuple[int, int, int]) -> None:
    cv2.putText(picture, words, (x, y), _FONT, _SCALE, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, words, (x, y), _FONT, _SCALE, color, 1, cv2.LINE_AA)


def _width(words: str) -> int:
    (width, _), _ = cv2.getTextSize(words, _FONT, _SCALE, 1)
    return int(width)
