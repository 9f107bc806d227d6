"""The picture of the demo: a column per phase, what each camera sent and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anymodal_seg_ros.evaluation.image_files import write_picture
from anymodal_seg_ros.frames import Image, Mask
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.masks.visualize import Rgb, colorize, overlay, viewable

_MARGIN, _TITLE, _LEGEND = 8, 58, 40
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK, _PAPER, _ALARM = (30, 30, 30), (255, 255, 255), (190, 30, 30)


@dataclass(frozen=True, slots=True)
class Column:
    """One phase of the picture.

    Attributes:
        title: of the phase.
        subtitle: a second, smaller line.
        images: what each sensor sees at that instant, whether or not it can say so.
        dead: the sensors whose publisher is gone.
        reference: the sensor whose geometry the mask has.
        mask: uint8 ``[H, W]`` class ids.
        label: uint8 ``[H, W]`` exact class ids.
    """

    title: str
    subtitle: str
    images: Mapping[str, Image]
    dead: Sequence[str]
    reference: str
    mask: Mask
    label: Mask


def draw(columns: Sequence[Column], manifest: Manifest, path: Path) -> None:
    """Write the picture as a PNG."""
    drawn = np.hstack([_draw_column(column, manifest) for column in columns])
    sheet = np.vstack([drawn, _draw_legend(manifest, drawn.shape[1])])
    write_picture(path, sheet[..., ::-1])


def _draw_column(column: Column, manifest: Manifest) -> Rgb:
    tiles = [
        _tile(f"{name} camera", viewable(image), dead=name in column.dead)
        for name, image in column.images.items()
    ]
    over = overlay(column.images[column.reference], column.mask, manifest)
    tiles.append(_tile(f"mask over {column.reference}", over))
    tiles.append(_tile("exact labels", colorize(column.label, manifest)))
    title = np.full((_TITLE, tiles[0].shape[1], 3), _PAPER, np.uint8)
    cv2.putText(title, column.title, (_MARGIN, 26), _FONT, 0.65, _INK, 2, cv2.LINE_AA)
    cv2.putText(title, column.subtitle, (_MARGIN, 48), _FONT, 0.45, _INK, 1, cv2.LINE_AA)
    return np.vstack([title, *tiles])


def _tile(caption: str, pixels: Rgb, dead: bool = False) -> Rgb:
    """Frame one image and write its caption into it."""
    shown = np.full_like(pixels, 60) if dead else pixels.copy()
    (width, _), _ = cv2.getTextSize(caption, _FONT, 0.45, 1)
    cv2.rectangle(shown, (0, 0), (width + 8, 20), _PAPER, -1)
    cv2.putText(shown, caption, (4, 15), _FONT, 0.45, _INK, 1, cv2.LINE_AA)
    if dead:
        center = (shown.shape[1] // 2 - 62, shown.shape[0] // 2 + 10)
        cv2.putText(shown, "KILLED", center, _FONT, 1.1, _ALARM, 3, cv2.LINE_AA)
    edges = ((0, _MARGIN), (_MARGIN // 2, _MARGIN // 2), (0, 0))
    return np.pad(shown, edges, constant_values=255)


def _draw_legend(manifest: Manifest, width: int) -> Rgb:
    """The classes and their colours, in as many lines as it takes."""
    places, left, line = [], _MARGIN, 0
    for spec in manifest.classes:
        needed = 48 + 10 * len(spec.name)
        if left + needed > width and left > _MARGIN:
            left, line = _MARGIN, line + 1
        places.append((left, line * _LEGEND))
        left += needed
    strip = np.full(((line + 1) * _LEGEND, width, 3), _PAPER, np.uint8)
    for spec, (x, y) in zip(manifest.classes, places, strict=True):
        cv2.rectangle(strip, (x, y + 8), (x + 24, y + 30), spec.color, -1)
        cv2.putText(strip, spec.name, (x + 30, y + 25), _FONT, 0.5, _INK, 1, cv2.LINE_AA)
    return strip
