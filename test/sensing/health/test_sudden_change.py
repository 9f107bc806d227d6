"""A picture that means something else at once, or loses a part; and a robot that halts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fixtures.drives import drive

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.frames import Image, Pixels
from anymodal_seg_ros.sensing.health import sensor_health
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker

S = 1_000_000_000
HZ = 10
BEGIN, END = 20, 36

Change = Callable[[Pixels], Pixels]


def told(
    modality: str, change: Change, *, speed: int = 1, end: int = END, seconds: int = 45
) -> list[sensor_health.Fault | None]:
    """Play a drive to the checks of one camera; of some of its pictures something is changed."""
    checker = ContentChecker(modality, ChecksConfig())
    faults = []
    for number in range(seconds):
        image = drive(modality, number, speed)
        if BEGIN <= number < end:
            image = Image(change(image.pixels), image.encoding)
        faults.append(checker.inspect(image, number * S // HZ))
    return faults


def negative(pixels: Pixels) -> Pixels:
    bottom, top = int(pixels.min()), int(pixels.max())
    return np.asarray(bottom + (top - pixels), pixels.dtype)


def tinted(image: Image, *, swapped: bool = False, lost: int | None = None) -> Image:
    """Give a grey picture colours that follow its places and brightness."""
    shown = image.pixels.astype(np.float32)
    ramp = np.linspace(0.5, 1.5, shown.shape[1], dtype=np.float32)[None]
    shown[:, :, 0] *= ramp
    shown[:, :, 2] *= 2.0 - ramp
    pixels = shown.clip(0, 255).astype(np.uint8)
    if lost is not None:
        pixels[:, :, lost] = 0
    return Image(pixels[:, :, ::-1].copy() if swapped else pixels, image.encoding)


@pytest.mark.parametrize("modality", ["rgb", "thermal"])
def test_a_negative_is_told_until_it_is_none(modality: str) -> None:
    found = told(modality, negative)
    assert found[:BEGIN] == [None] * BEGIN
    assert found[BEGIN] is not None and "negative" in found[BEGIN].reason
    assert found[END - 1] is not None and not found[END - 1].withhold
    assert found[END:] == [None] * 9


@pytest.mark.parametrize(
    ("what", "word"), [({"swapped": True}, "red in the place of blue"), ({"lost": 2}, "colour 3")]
)
def test_colours_that_are_exchanged_or_gone_are_told(what: dict[str, int], word: str) -> None:
    checker = ContentChecker("rgb", ChecksConfig())
    for number in range(45):
        broken = BEGIN <= number < END
        image = tinted(drive("rgb", number, 1), **(what if broken else {}))  # type: ignore[arg-type]
        fault = checker.inspect(image, number * S // HZ)
        assert (fault is not None) == broken, number
        assert fault is None or word in fault.reason


@pytest.mark.parametrize("times", [10.0, 0.1])
def test_distances_in_another_unit_are_told(times: float) -> None:
    found = told("depth", lambda mm: np.clip(mm * times, 1, 65534).astype(np.uint16))
    assert found[:BEGIN] == [None] * BEGIN
    assert all(fault is not None for fault in found[BEGIN:END])
    assert found[-1] is None


def test_a_lamp_or_another_exposure_switches_nothing() -> None:
    found = told("rgb", lambda pixels: (pixels * 0.55).astype(np.uint8))
    assert found == [None] * 45


def test_a_quarter_without_depth_is_told() -> None:
    def dead(millimetres: Pixels) -> Pixels:
        pixels = millimetres.copy()
        pixels[:120, 160:] = 0
        return pixels

    found = told("depth", dead)
    assert found[:BEGIN] == [None] * BEGIN
    assert found[BEGIN + 9] is not None and found[BEGIN + 9].kind == "lost"


def test_a_camera_that_smooths_its_noise_at_rest_may_halt_by_and_by() -> None:
    speeds = np.r_[np.full(20, 5.0), 4.0, 2.5, 1.0, np.zeros(30)]
    places = np.cumsum(speeds).astype(int)
    checker = ContentChecker("rgb", ChecksConfig())
    shown: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None = None
    for number, place in enumerate(places):
        image = drive("rgb", int(place), 1, noise=2.0)
        grain = np.random.default_rng((number, 8)).normal(0, 2.0, image.pixels.shape[:2])
        noisy = (drive("rgb", int(place), 1, noise=0.0).pixels + grain[..., None]).astype(
            np.float32
        )
        rests = shown is not None and speeds[number] == 0.0
        shown = shown + np.float32(0.25) * (noisy - shown) if rests and shown is not None else noisy
        pixels = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
        fault = checker.inspect(Image(pixels, image.encoding), number * S // HZ)
        assert fault is None, number
