"""Rarer weather, light, rates and formats: no check takes a sound sensor for a broken one.

A minute of each, which takes long, is played by ``benchmarks/healthy.py``.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from fixtures.rare_streams import RARE

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.sensor_health import Fault

LARGE = ("3840x2160", "1920x1080", "1280x720", "128 rings")
SMALL = [name for name in RARE if not any(size in name for size in LARGE)]


def faults(name: str, begin_s: float, end_s: float) -> list[Fault]:
    """Return what is told of a sound sensor between two moments."""
    family = RARE[name]
    checker = ContentChecker(family.modality, ChecksConfig())
    first, last = round(begin_s * family.hz), round(end_s * family.hz)
    told = (checker.inspect(image, ns) for ns, image in islice(family.stream(end_s), first, last))
    return [fault for fault in told if fault is not None and (fault.lasting or fault.withhold)]


@pytest.mark.parametrize("name", SMALL)
def test_the_first_pictures_of_each_are_left_alone(name: str) -> None:
    assert faults(name, 0.0, 4.5 / RARE[name].hz) == []


def test_drops_that_a_wiper_takes_away_have_hidden_nothing() -> None:
    """Their rims, and the wiper's, were edges that are not missed."""
    assert faults("drops strike", 4.0, 8.8) == []


def test_the_mouth_of_a_tunnel_blinds_for_as_long_as_an_exposure_takes() -> None:
    assert faults("mouth of a tunnel", 5.0, 6.8) == []


def test_what_blinds_a_camera_for_longer_is_glare() -> None:
    family, checker = RARE["mouth of a tunnel"], ContentChecker("rgb", ChecksConfig())
    told = []
    for now_ns, image in islice(family.stream(3.0), 0, 30):
        blinded = now_ns >= 1_000_000_000
        bright = np.minimum(image.pixels.astype(np.uint16) * 9, 255).astype(np.uint8)
        fault = checker.inspect(Image(bright, "bgr8") if blinded else image, now_ns)
        told.append((now_ns, fault))
    since = [ns for ns, fault in told if fault and fault.lasting and fault.kind == "glare"]
    assert since and 1_450_000_000 <= since[0] <= 1_700_000_000
