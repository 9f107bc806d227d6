"""What the faults of suffering sensors do to images and to streams of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from fixtures.drives import drive

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.image_faults import apply_image_fault
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.kinds import (
    Covered,
    Defocus,
    Drift,
    Fog,
    Glare,
    Grain,
    Hanging,
    Holes,
    ImageFault,
    InjectedFault,
    Negative,
    Stripes,
    StuckBit,
    StuckLines,
    SwappedBytes,
    Torn,
    WrongUnits,
)
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import Image, Pixels

S = 1_000_000_000
RGB = drive("rgb", 0)
DEPTH = drive("depth", 0)


def broken(fault: ImageFault, image: Image = RGB, seed: int = 0) -> Pixels:
    return apply_image_fault(fault, image, np.random.default_rng(seed)).pixels


def stream(
    fault: InjectedFault, images: list[Image], modality: str = "rgb"
) -> list[tuple[int, Pixels]]:
    """Push an image every 0.1 s; return delays in ms and pixels."""
    injector = Injector[Image](FaultTimeline(0, (fault,)), {"one": modality})
    told = []
    for number, image in enumerate(images):
        delivery = injector.push("one", number * S // 10, image)
        assert delivery is not None
        told.append(((delivery.time_ns - number * S // 10) // 1_000_000, delivery.payload.pixels))
    return told


@pytest.mark.parametrize("how", ["black", "grey", "mud", "hand"])
@pytest.mark.parametrize("severity", [0.25, 0.6])
def test_what_covers_a_lens_covers_its_share_and_stays(how: str, severity: float) -> None:
    fault = Covered("x", how=how, severity=severity)
    first, second = broken(fault), broken(fault, drive("rgb", 9), seed=1)
    changed = (first != RGB.pixels).any(axis=2).mean()
    assert severity - 0.1 < changed < severity + 0.05
    same = (first == second).all(axis=2).mean()
    assert same > severity - 0.02, "dirt does not change from image to image"


def test_lines_that_hang_are_equal() -> None:
    rows = broken(StuckLines("x", how="rows", severity=0.25))
    assert (rows[1:] == rows[:-1]).all(axis=(1, 2)).sum() == 59
    columns = broken(StuckLines("x", how="columns", severity=0.25))
    assert (columns[:, 1:] == columns[:, :-1]).all(axis=(0, 2)).sum() == 79


def test_a_torn_picture_has_the_same_rows_elsewhere() -> None:
    torn = broken(Torn("x", severity=0.5))
    for number in (0, 1, 17):
        assert (torn[number] == np.roll(RGB.pixels[number], 7 * number, axis=0)).all()


def test_stripes_are_the_same_along_each_line() -> None:
    flat = Image(np.full((40, 60), 20_000, np.uint16), "mono16")
    stripes = broken(Stripes("x", how="columns", severity=1.0), flat)
    assert (stripes == stripes[0]).all() and len(np.unique(stripes[0])) > 3


def test_light_that_goes_astray() -> None:
    glare = broken(Glare("x", severity=0.3))
    assert 0.28 < (glare == 255).all(axis=2).mean() < 0.33
    contrast = RGB.pixels.std()
    assert broken(Fog("x", severity=0.9)).std() < 0.2 * contrast
    fine = np.abs(np.diff(RGB.pixels.astype(int), axis=1)).mean()
    soft = np.abs(np.diff(broken(Defocus("x", severity=0.5)).astype(int), axis=1)).mean()
    assert soft < 0.5 * fine
    salt = broken(Grain("x", how="salt", severity=0.2)) != RGB.pixels
    assert 0.08 < salt.any(axis=2).mean() < 0.11


def test_depth_that_is_lost_or_misread() -> None:
    side = broken(Holes("x", how="side", severity=0.4), DEPTH)
    assert not side[:, :128].any() and (side[:, 128:] == DEPTH.pixels[:, 128:]).all()
    holes = broken(Holes("x", how="scattered", severity=0.4), DEPTH) == 0
    assert 0.38 < holes.mean() < 0.42
    metres = broken(WrongUnits("x"), DEPTH)
    np.testing.assert_allclose(metres, DEPTH.pixels / 1000, atol=0.51)
    assert (broken(SwappedBytes("x"), DEPTH).byteswap() == DEPTH.pixels).all()


def test_a_bit_that_hangs_is_the_same_everywhere_and_the_others_are_left() -> None:
    for image in (RGB, DEPTH):
        low, high = (broken(StuckBit("x", bit=5, how=how), image) for how in ("zero", "one"))
        measured = image.pixels > 0
        assert not (low & 32).any() and (high & 32 > 0)[measured].all()
        assert ((low | 32) == (image.pixels | 32))[measured].all()
        assert (high == low + 32)[measured].all()
    assert not broken(StuckBit("x", how="one"), DEPTH)[DEPTH.pixels == 0].any(), "no distance"
    upper = broken(StuckBit("x", bit=3, byte="high", how="one"), DEPTH)
    assert (upper == np.where(DEPTH.pixels > 0, DEPTH.pixels | 0x800, 0)).all()


def test_a_negative_has_the_same_range_and_is_undone_by_another() -> None:
    negative = broken(Negative("x"))
    assert (negative.min(), negative.max()) == (RGB.pixels.min(), RGB.pixels.max())
    assert np.corrcoef(negative.ravel(), RGB.pixels.ravel())[0, 1] < -0.999
    assert (broken(Negative("x"), Image(negative, RGB.encoding)) == RGB.pixels).all()


@pytest.mark.parametrize(("how", "buffers"), [("two_buffers", 2), ("four_buffers", 4)])
def test_buffers_come_in_turn(how: str, buffers: int) -> None:
    images = [drive("rgb", k) for k in range(20)]
    told = stream(Hanging("one", 0.85, how=how), images)
    shown = [next(k for k, i in enumerate(images) if i.pixels is p) for _, p in told]
    assert shown[:9] == list(range(9))
    assert set(shown[9:]) == set(range(9 - buffers, 9))
    assert all(shown[k] == shown[k - buffers] for k in range(9 + buffers, 20))


@pytest.mark.parametrize(
    ("how", "least", "most"),
    [("clock", 0.001, 0.02), ("noise", 0.8, 1.0), ("recompressed", 0.05, 1.0), ("half", 0.4, 0.5)],
)
def test_what_hangs_is_nearly_the_old_image(how: str, least: float, most: float) -> None:
    images = [drive("rgb", k, speed=20) for k in range(14)]
    told = stream(Hanging("one", 0.85, how=how), images)
    different = [(pixels != images[8].pixels).any(axis=2).mean() for _, pixels in told[9:]]
    assert all(least <= share <= most for share in different)
    assert not any((a[1] == b[1]).all() for a, b in pairwise(told[9:]))
    if how == "half":
        assert (told[-1][1][120:] == images[-1].pixels[120:]).all()


@pytest.mark.parametrize("modality", ["rgb", "thermal"])
def test_blocks_that_hang_are_a_quarter_and_the_same_in_each_picture(modality: str) -> None:
    images = [drive(modality, k, speed=20) for k in range(14)]
    told = stream(Hanging("one", 0.85, how="blocks"), images, modality)
    shown = np.stack([pixels.reshape(240, 320, -1) for _, pixels in told[9:]])
    new = np.stack([image.pixels.reshape(240, 320, -1) for image in images[9:]])
    old = images[8].pixels.reshape(240, 320, -1)
    hangs, lives = (shown == old).all(axis=(0, 3)), (shown == new).all(axis=(0, 3))
    assert (hangs | lives).all()
    blocks = lives[:224].reshape(7, 32, 10, 32).all(axis=(1, 3))
    assert (hangs[:224].reshape(7, 32, 10, 32).all(axis=(1, 3)) == ~blocks).all()
    assert 0.65 < blocks.mean() < 0.85


def test_what_drifts_grows_from_nothing() -> None:
    still = [drive("thermal", 0)] * 31
    offsets = stream(Drift("one", 1.0, what="offset", per_s=0.1), still, "thermal")
    means = [float(pixels.mean()) for _, pixels in offsets]
    assert means[:11] == [means[0]] * 11
    span = np.ptp(np.percentile(still[0].pixels, (1, 99)))
    assert means[30] - means[0] == pytest.approx(0.2 * span, rel=0.02)
    gains = stream(Drift("one", what="gain", per_s=0.2), still, "thermal")
    assert gains[30][1].std() == pytest.approx(1.6 * still[0].pixels.std(), rel=0.02)
    delays = stream(Drift("one", 1.0, what="delay", per_s=0.1), still, "thermal")
    assert [delay for delay, _ in delays][::10] == [0, 0, 100, 200]
    assert all(pixels is still[0].pixels for _, pixels in delays)


def test_a_camera_that_works_loose_moves_and_turns() -> None:
    still = [RGB] * 21
    moved = stream(Drift("one", what="shift", per_s=0.05), still)[20][1]
    assert (moved[:, 32:] == RGB.pixels[:, :-32]).all(), "a tenth of 320 pixels after 2 s"
    turned = stream(Drift("one", what="turn", per_s=45.0), still)[20][1]
    middle = RGB.pixels[20:220, 60:260].astype(int)
    there = turned[20:220, 60:260].astype(int)
    assert np.abs(there - np.rot90(middle)).mean() < 0.3 * np.abs(there - middle).mean()


def test_depth_that_drifts_keeps_its_holes() -> None:
    pixels = DEPTH.pixels.copy()
    pixels[:40] = 0
    told = stream(Drift("one", what="gain", per_s=0.1), [Image(pixels, "16UC1")] * 11, "depth")
    assert not told[10][1][:40].any()
    assert (told[10][1][40:] != pixels[40:]).any()


def test_sixteen_bits_cannot_be_compressed_anew() -> None:
    images = [drive("thermal", k) for k in range(12)]
    with pytest.raises(ConfigError, match="recompressed cannot happen to mono16: it fits 8 bits"):
        stream(Hanging("one", 0.85, how="recompressed"), images, "thermal")
