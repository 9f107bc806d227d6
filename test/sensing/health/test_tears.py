"""Pictures that are torn along a row, and pictures with straight edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from fixtures.drives import drive
from fixtures.healthy_streams import FAMILIES, Pixels, jpeg

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.frames import Image, SensorState
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.figures.line_figures import tear_share, torn_share

HZ, BEGIN = 10, 16
TOLD = 0.4


def torn_once(pixels: Pixels) -> Pixels:
    shown = pixels.copy()
    shown[100:] = np.roll(shown[100:], 90, axis=1)
    return shown


@pytest.mark.parametrize("modality", ["rgb", "thermal"])
def test_a_picture_that_is_torn_once_degrades_its_camera(modality: str) -> None:
    checker = ContentChecker(modality, ChecksConfig())
    told = []
    for k in range(BEGIN + 9):
        image = drive(modality, k)
        pixels = torn_once(image.pixels) if k >= BEGIN else image.pixels
        told.append(checker.inspect(Image(pixels, image.encoding), k * 1_000_000_000 // HZ))
    assert told[:BEGIN] == [None] * BEGIN
    found = told[-1]
    assert found is not None and found.kind == "torn"
    assert found.state is SensorState.DEGRADED and not found.withhold


def street(number: int = 0) -> Pixels:
    return FAMILIES["drive"].picture(0, number / HZ)[..., 1]


def with_bar(level: int) -> Pixels:
    shown = street().copy()
    shown[-60:] = level
    return shown


def wall_of_a_simulator() -> Pixels:
    shown = street().astype(np.float32)
    shown[:, 300:] = 140
    return np.rint(shown + np.random.default_rng(1).normal(0, 2, shown.shape)).astype(np.uint8)


def lorry() -> Pixels:
    """Drawn before the sensor's noise, so that its edges are of one pixel."""
    shown = street().astype(np.float32)
    shown[60:420, 30:] = 120 + 30 * (np.arange(30, 640) // 90 % 2)
    return np.rint(shown + np.random.default_rng(1).normal(0, 2, shown.shape)).astype(np.uint8)


SOUND = {
    "street": street(),
    "black bar": with_bar(0),
    "grey bar": with_bar(110),
    "grey bar through a codec": jpeg(with_bar(110), 60),
    "strong codec": jpeg(street(), 10),
    "enlarged": cv2.resize(street(), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST),
    "wall of a simulator": wall_of_a_simulator(),
    "lorry": lorry(),
    "level edge before a lens": cv2.GaussianBlur(with_bar(110), (0, 0), 0.7),
}


def bars_and_a_shelf() -> Pixels:
    """What goes from edge to edge, and a straight edge across that is of one pixel."""
    shown = street().astype(np.float32)
    shown[:, np.arange(640) % 40 < 6] = 40
    shown[300:] *= 0.6
    return np.rint(shown + np.random.default_rng(1).normal(0, 2, shown.shape)).astype(np.uint8)


SOUND["bars and a shelf"] = bars_and_a_shelf()


@pytest.mark.parametrize("name", SOUND)
def test_edges_that_follow_a_row_are_no_tear(name: str) -> None:
    assert tear_share(SOUND[name]) < TOLD


@pytest.mark.parametrize("rows", [40, 170, 430])
@pytest.mark.parametrize("modality", ["rgb", "thermal"])
def test_a_picture_that_has_rolled_goes_on_at_its_upper_edge(modality: str, rows: int) -> None:
    whole = drive(modality, 3).pixels
    plane = whole[..., 1] if whole.ndim == 3 else whole
    assert tear_share(plane) < TOLD < tear_share(np.roll(plane, rows % len(plane), axis=0))


def test_a_picture_that_rolls_on_from_the_start_degrades_its_camera() -> None:
    checker, told = ContentChecker("rgb", ChecksConfig()), []
    for k in range(9):
        image = drive("rgb", k)
        rolled = Image(np.roll(image.pixels, 11 * k + 30, axis=0), image.encoding)
        told.append(checker.inspect(rolled, k * 1_000_000_000 // HZ))
    found = told[-1]
    assert found is not None and found.kind == "torn" and found.state is SensorState.DEGRADED


def crossing(slopes: tuple[float, ...]) -> Pixels:
    """Light bands on a road that is seen from above, by pixels to the side for each row."""
    row, column = np.mgrid[:240, :360].astype(np.float32)
    shown = np.full(row.shape, 90.0, np.float32)
    for k, slope in enumerate(slopes):
        across = (column - slope * (row - 80 * k - 20)) % 360
        shown += 60 * np.clip((across - 150) / 4, 0, 1) * np.clip((210 - across) / 4, 0, 1)
    return np.clip(shown + np.random.default_rng(2).normal(0, 1.5, shown.shape), 0, 255).astype(
        np.uint8
    )


def test_kerbs_and_crossings_that_lie_aslant_are_no_torn_rows() -> None:
    sound = np.vstack([crossing((slope,))[:80] for slope in (3.0, 5.0, 9.0)])
    assert torn_share(sound, 3) < TOLD


def test_rows_of_an_aslant_crossing_that_are_torn_are_told() -> None:
    """By anything, or all by one length, as where a driver takes rows for longer than they are."""
    sound = np.vstack([crossing((slope,))[:80] for slope in (3.0, 5.0, 9.0)])
    dice = np.random.default_rng(3)
    torn = np.stack([np.roll(row, dice.integers(-40, 40)) for row in sound])
    street = FAMILIES["drive"].picture(0, 0.0)[..., 1]
    sheared = np.stack([np.roll(row, 7 * number) for number, row in enumerate(street)])
    assert torn_share(torn, 3) > TOLD
    assert torn_share(sheared, 3) > TOLD
