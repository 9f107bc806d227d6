"""What is earlier, rolls, fogs up or has other colours: faults of buffers, decoders and lenses."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from fixtures.drives import drive
from fixtures.scenes import scene

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.image_faults import apply_image_fault
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.kinds import (
    Covered,
    Drift,
    Hanging,
    ImageFault,
    InjectedFault,
    Mixed,
    Stripes,
    Turned,
    WrongColours,
    WrongGamma,
)
from anymodal_seg_ros.faults.other_views import other_view
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import Image, Pixels

S = 1_000_000_000
RGB = drive("rgb", 0)
STREAMS = {
    "rgb": [drive("rgb", k, speed=20) for k in range(8)],
    "thermal": [drive("thermal", k, speed=20) for k in range(8)],
    "depth": [drive("depth", k, speed=20) for k in range(8)],
    "mono8": [Image(drive("rgb", k, speed=20).pixels[..., 1], "mono8") for k in range(8)],
}


def broken(fault: ImageFault, image: Image = RGB, seed: int = 0) -> Pixels:
    return apply_image_fault(fault, image, np.random.default_rng(seed)).pixels


def stream(images: list[Image], *faults: InjectedFault, modality: str = "") -> list[Pixels]:
    """Push an image every 0.1 s."""
    injector = Injector[Image](FaultTimeline(0, faults), {"one": modality})
    deliveries = [injector.push("one", k * S // 10, image) for k, image in enumerate(images)]
    return [delivery.payload.pixels for delivery in deliveries if delivery is not None]


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize(
    ("how", "share", "row"), [("fields", 0.5, 1), ("lower_half", 0.5, -1), ("bands", 0.5, 16)]
)
@pytest.mark.parametrize("ago", [1, 3])
def test_some_rows_are_of_an_earlier_picture(
    name: str, how: str, share: float, row: int, ago: int
) -> None:
    images = STREAMS[name]
    shown = stream(images, Mixed("one", 0.35, how=how, ago=ago))
    for k in range(4):
        assert shown[k] is images[k].pixels
    for k in range(4, 8):
        new, old = images[k].pixels, images[k - ago].pixels
        assert (shown[k][0] == new[0]).all() and (shown[k][row] == old[row]).all()
        rows = [(shown[k][r] == old[r]).all() for r in range(len(new))]
        assert abs(np.mean(rows) - share) < 0.05
        assert all((shown[k][r] == new[r]).all() for r in range(len(new)) if not rows[r])


def test_every_second_picture_is_an_older_one_and_the_pairs_change_places() -> None:
    images = STREAMS["rgb"]
    shown = stream(images, Mixed("one", 0.25, how="order"))
    order = [next(k for k, i in enumerate(images) if i.pixels is p) for p in shown]
    assert order == [0, 1, 2, 3, 2, 5, 4, 7]


def test_rows_are_those_of_the_camera_as_it_was_with_what_else_is_wrong_with_it() -> None:
    mud = Covered("one", how="mud", severity=0.5)
    images = STREAMS["rgb"]
    shown = stream(images, mud, Mixed("one", 0.05, how="fields"))
    for k in range(1, 8):
        assert (shown[k][1::2] == broken(mud, images[k - 1])[1::2]).all()


def test_what_is_mixed_up_before_it_begins_or_has_another_size_is_left_alone() -> None:
    images = STREAMS["rgb"]
    assert stream(images[:1], Mixed("one"))[0] is images[0].pixels
    small = Image(np.ascontiguousarray(RGB.pixels[::2, ::2]), "rgb8")
    assert (stream([images[0], small], Mixed("one"))[1] == small.pixels).all()


def test_a_stream_that_hangs_after_it_was_mixed_up_does_not_fail() -> None:
    images = STREAMS["rgb"]
    faults = Mixed("one", 0.0, 0.35), Hanging("one", 0.35, how="two_buffers")
    assert len(stream(images, *faults)) == 8


@pytest.mark.parametrize("name", STREAMS)
def test_a_picture_rolls_down_and_in_again_above(name: str) -> None:
    still = STREAMS[name][0]
    shown = stream([still] * 12, Drift("one", what="roll", per_s=0.5), modality=name)
    for k in range(12):
        assert (shown[k] == np.roll(still.pixels, round(0.05 * k * still.height), axis=0)).all()


@pytest.mark.parametrize("name", ["rgb", "thermal", "mono8"])
def test_water_grows_from_the_corners_to_the_middle(name: str) -> None:
    still = STREAMS[name][0]
    fault = Drift("one", what="condensation", per_s=1.0)
    shown = stream([still] * 11, fault, modality="thermal" if name == "thermal" else "rgb")
    wet = [np.mean(pixels != still.pixels) for pixels in shown]
    assert wet[0] == 0.0 and all(a <= b for a, b in pairwise(wet))
    height, width = still.pixels.shape[:2]
    middle = np.s_[height // 2 - 9 : height // 2 + 9, width // 2 - 9 : width // 2 + 9]
    assert (shown[5][middle] == still.pixels[middle]).all()
    assert (shown[5][:20, :20] != still.pixels[:20, :20]).mean() > 0.8
    assert shown[10].std() < 0.4 * still.pixels.std()
    assert shown[10].dtype == still.pixels.dtype


def test_nothing_is_measured_behind_water() -> None:
    still = STREAMS["depth"][0]
    fault = Drift("one", what="condensation", per_s=1.0)
    shown = stream([still] * 11, fault, modality="depth")
    assert not shown[10].any() and not shown[6][:20, :20].any()
    left = shown[6] > 0
    assert left.any() and (shown[6][left] == still.pixels[left]).all()


def test_there_is_no_water_before_events_and_lasers() -> None:
    events = Image(np.full((8, 8, 3), 255, np.uint8), "8UC3")
    with pytest.raises(ConfigError, match="of the encoding 8UC3: it fits picture, 16-bit"):
        stream([events] * 2, Drift("one", what="condensation"), modality="event")


@pytest.mark.parametrize("encoding", ["rgb8", "bgra8", "rgb16"])
def test_colours_that_are_wrong(encoding: str) -> None:
    pixels = scene("rgb", 0, 120, 160)
    pixels = np.dstack([pixels, pixels[..., :1]]) if encoding == "bgra8" else pixels
    image = Image(pixels.astype(np.uint16) * 257 if encoding == "rgb16" else pixels, encoding)
    colours = image.pixels[..., :3]

    def wrong(how: str, severity: float = 1.0) -> Pixels:
        shown = broken(WrongColours("x", how=how, severity=severity), image)
        assert (shown[..., 3:] == image.pixels[..., 3:]).all(), "transparency"
        return shown[..., :3]

    assert (wrong("exchanged") == colours[..., ::-1]).all()
    grey = wrong("grey")
    assert (np.ptp(grey.astype(int), axis=2) == 0).all()
    np.testing.assert_allclose(grey[..., 0], colours.mean(axis=2), atol=0.51)
    means = {how: wrong(how).mean(axis=(0, 1)) for how in ("green", "magenta")}
    assert means["green"][1] > 2 * max(means["green"][[0, 2]])
    assert means["magenta"][1] < min(means["magenta"][[0, 2]]) / 2
    there = wrong("displaced").astype(float)
    inside = (there > 0).all(axis=2) & (there < np.iinfo(image.pixels.dtype).max).all(axis=2)
    grey_there = there.mean(axis=2)
    np.testing.assert_allclose(grey_there[inside], colours.mean(axis=2)[inside], atol=1.0)
    spread = [np.ptp(wrong("grey", s).astype(int), axis=2).mean() for s in (0.2, 0.6, 1.0)]
    assert spread[0] > spread[1] > spread[2] == 0


def test_a_grey_picture_has_no_wrong_colours() -> None:
    with pytest.raises(ConfigError, match="wrong_colours cannot happen to a grey picture"):
        broken(WrongColours("x"), STREAMS["mono8"][0])


@pytest.mark.parametrize("name", STREAMS)
def test_a_wrong_gamma_keeps_the_order_and_the_ends(name: str) -> None:
    if name == "depth":
        return
    image = STREAMS[name][0]
    before = image.pixels.astype(int)
    dark = broken(WrongGamma("x", how="dark", severity=0.6), image).astype(int)
    bright = broken(WrongGamma("x", how="bright", severity=0.6), image).astype(int)
    assert (dark <= before).all() and (bright >= before).all()
    assert dark.mean() < before.mean() < bright.mean()
    order = np.argsort(before, axis=None)
    assert (np.diff(dark.ravel()[order]) >= 0).all()


def test_a_gamma_is_a_power_of_the_share_of_the_range() -> None:
    grey = Image(np.array([[0, 64, 128, 255]], np.uint8), "mono8")
    dark, bright = (broken(WrongGamma("x", how=h, severity=1.0), grey) for h in ("dark", "bright"))
    assert dark.tolist() == [[0, 4, 32, 255]] and bright.tolist() == [[0, 161, 203, 255]]


def test_a_herringbone_is_one_wave_that_runs() -> None:
    flat = Image(np.full((56, 64), 20_000, np.uint16), "mono16")
    fault = Stripes("x", how="herringbone", severity=1.0)
    first, second = (broken(fault, flat, seed).astype(float) for seed in (0, 1))
    assert (first != second).any()
    power = np.abs(np.fft.rfft2(first - first.mean()))
    assert divmod(int(power.argmax()), power.shape[1]) == (4, 8)
    assert (first[:, 8:] == first[:, :-8]).mean() > 0.95


def test_the_edge_of_a_turned_camera_can_look_real() -> None:
    bright = Image(np.full((48, 64), 1000, np.uint16), "mono16")
    for axis in ("roll", "yaw"):
        assert (other_view(Turned(axis=axis, angle_deg=15.0), bright).pixels == 0).any()
        real = other_view(Turned(axis=axis, angle_deg=15.0, edge="mirrored"), bright)
        assert (real.pixels == 1000).all()
