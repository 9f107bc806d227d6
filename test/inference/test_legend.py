from __future__ import annotations

import numpy as np

from anymodal_seg_ros.inference.masks.legend import SensorNote, annotate
from anymodal_seg_ros.inference.model import load_model

NOTES = [SensorNote("rgb", "OK", True, 0.7), SensorNote("thermal", "FAILED", False)]


def test_the_legend_has_the_colours_of_the_classes_that_are_seen() -> None:
    manifest = load_model().manifest
    mask = np.full((240, 320), 3, np.uint8)
    mask[:, 160:] = 8
    picture = np.full((240, 320, 3), 90, np.uint8)
    drawn = annotate(picture, mask, manifest, NOTES)
    assert drawn.shape == picture.shape
    assert (picture == 90).all(), "a copy is drawn on"
    seen = {tuple(int(c) for c in color) for color in drawn[:, 4:15].reshape(-1, 3)}
    assert {manifest.classes[3].color, manifest.classes[8].color} <= seen
    assert manifest.classes[0].color not in seen
    assert (drawn[-8:, :200] != drawn[100:108, :200]).any(), "the strip of sensors"


def test_every_sensor_is_told_however_narrow_the_picture_is() -> None:
    """The last of four was left out at 320 pixels, though the mask rested on it alone."""
    manifest = load_model().manifest
    mask, picture = np.full((240, 320), 3, np.uint8), np.full((240, 320, 3), 90, np.uint8)
    waiting = [SensorNote(name, "WAITING", False) for name in ("rgb", "events", "depth")]
    used = [SensorNote("thermal", "OK", True, 1.0)]
    drawn = annotate(picture, mask, manifest, waiting + used).astype(int)
    green = (drawn[..., 1] > 180) & (drawn[..., 0] < 140) & (drawn[..., 2] < 140)
    assert green[-16:].sum() > 20
    assert (drawn[-32:-16, -8:] == 30).all(), "the line above belongs to the strip"
    many = annotate(picture, mask, manifest, waiting * 20)
    assert many.shape == picture.shape


def test_a_picture_without_room_stays_as_it_is() -> None:
    picture = np.zeros((96, 128, 3), np.uint8)
    mask = np.zeros((96, 128), np.uint8)
    assert annotate(picture, mask, load_model().manifest, NOTES) is picture
