"""Cameras at work, on fields and in buildings: no check takes a sound one for a broken one.

A minute of each, which takes long, is played by ``benchmarks/healthy.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.working_streams import WORKING

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.sensor_health import Fault

S = 1_000_000_000


def faults(name: str, begin_s: float, end_s: float) -> list[Fault]:
    """Return what is told of a sound sensor between two moments."""
    family = WORKING[name]
    checker = ContentChecker(family.modality, ChecksConfig())
    told = []
    for now_ns, image in family.stream(end_s):
        if now_ns >= begin_s * S:
            told.append(checker.inspect(image, now_ns))
    return [fault for fault in told if fault is not None and fault.lasting]


@pytest.mark.parametrize("name", WORKING)
def test_the_first_pictures_of_each_are_left_alone(name: str) -> None:
    assert faults(name, 0.0, 4.5 / WORKING[name].hz) == []


@pytest.mark.parametrize(("begin_s", "end_s"), [(0.0, 4.0), (5.0, 8.5)])
def test_somebody_in_a_plain_coat_who_walks_by_covers_nothing(begin_s: float, end_s: float) -> None:
    assert faults("work, person close by", begin_s, end_s) == []


def test_plain_doors_that_go_by_on_both_sides_cover_nothing() -> None:
    assert faults("work, corridor, jpeg 60", 0.0, 7.0) == []


@pytest.mark.parametrize("name", ["time of flight, into the sun", "towards a wall"])
def test_depth_that_goes_by_and_by_is_beyond_what_the_camera_measures(name: str) -> None:
    assert faults(f"work, depth, {name}", 1.0, 8.0) == []


def test_depth_that_goes_at_once_is_lost() -> None:
    family, checker = (
        WORKING["work, depth, time of flight"],
        ContentChecker("depth", ChecksConfig()),
    )
    told = []
    for now_ns, image in family.stream(2.0):
        shown = image if now_ns < S else Image(np.zeros_like(image.pixels), image.encoding)
        fault = checker.inspect(shown, now_ns)
        told.append("" if fault is None else fault.kind)
    assert told[:15] == [""] * 15
    assert set(told[15:]) == {"no_depth"}
