"""Looks at several sensors: from when on they are judged, and of which nothing is concluded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fixtures.accords import normal_accord
from fixtures.drives import drive

from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.pipeline.cross_check import structure_of
from anymodal_seg_ros.sensing.health.accord.comparison import SensorComparison
from anymodal_seg_ros.sensing.health.accord.structure import LOOKS, Structure

S = 1_000_000_000
EVERY_NS = 3 * S // 10
SPECS = {
    kind: ModalitySpec(number, kind, (0.0,) * 3, (1.0,) * 3)
    for number, kind in enumerate(("color", "thermal", "depth"))
}
PLANES = {"rgb": "color", "thermal": "thermal", "depth": "depth"}
KINDS = {"rgb": "rgb", "thermal": "thermal", "depth": "depth", "events": "event"}


def seen(modality: str, number: int) -> Structure:
    return structure_of(drive(modality, number), SPECS[PLANES[modality]])


def noisy(structure: Structure, dice: np.random.Generator) -> Structure:
    """Return what the next look at a scene that stands gives, sensor noise and all."""
    shape = structure.edges.shape
    noise = 0.1 * (dice.normal(size=shape) + 1j * dice.normal(size=shape))
    return replace(structure, edges=(structure.edges + noise).astype(np.complex64))


class Looks:
    """Takes look after look at three cameras and an event camera."""

    def __init__(self) -> None:
        normal = normal_accord(set(KINDS.values()))
        self.comparison = SensorComparison(normal, KINDS, 9.0, 0.0)
        self._now_ns = 0

    def take(self, frame: dict[str, Structure]) -> int:
        """Take one; returns how many accords it gave."""
        self._now_ns += EVERY_NS
        accords = self.comparison.compare(self._now_ns, frame)
        self.comparison.judge(self._now_ns, frame, accords)
        return len(accords)


def cameras(number: int) -> dict[str, Structure]:
    return {name: seen(name, number) for name in PLANES}


@pytest.mark.parametrize("liar", PLANES)
def test_accords_count_from_when_on_as_many_looks_are_added_up_as_was_learned_of(liar: str) -> None:
    looks = Looks()
    for number in range(LOOKS + 8):
        given = looks.take({**cameras(number), liar: seen(liar, 70 - number)})
        assert given == (0 if number < LOOKS - 1 else 3)
        if number < LOOKS:
            assert not looks.comparison.doubted
    assert looks.comparison.blamed == {liar}, "it has lied from the first look on"


def test_an_event_camera_is_judged_by_what_it_shows_while_the_cameras_move() -> None:
    """Where the robot stands only what moves is in its picture: that agrees with little."""
    looks, dice = Looks(), np.random.default_rng(0)
    street = cameras(3)
    for number in range(40):
        shown = {name: noisy(structure, dice) for name, structure in street.items()}
        looks.take({**shown, "events": seen("rgb", 70 - number % 4)})
        assert not looks.comparison.doubted, f"look {number}"
    for number in range(12):
        looks.take({**cameras(4 + number), "events": seen("rgb", 70 - number)})
    assert looks.comparison.blamed == {"events"}
    for number in range(40):
        shown = {name: noisy(structure, dice) for name, structure in street.items()}
        looks.take({**shown, "events": seen("rgb", 70 - number % 4)})
        assert looks.comparison.blamed == {"events"}, "a halt clears nobody"
