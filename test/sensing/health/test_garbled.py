"""Pictures that are put together wrongly, and sound ones that look a little like that."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from fixtures.drives import drive
from fixtures.healthy_streams import FAMILIES, jpeg

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.kinds import Garbled, InjectedFault, Wrong
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import Image, Pixels, SensorState
from anymodal_seg_ros.sensing.health import sensor_health
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.damage.dead_lines import DeadLinesWatch
from anymodal_seg_ros.sensing.health.damage.rearranged import RearrangedWatch
from anymodal_seg_ros.sensing.health.figures.block_figures import block_edges, halves_alike
from anymodal_seg_ros.sensing.health.figures.image_figures import contrast, grid
from anymodal_seg_ros.sensing.health.figures.line_figures import stripes_share

S = 1_000_000_000
HZ, BEGIN, END, SECONDS = 10, 16, 32, 44

Told = list[sensor_health.Fault | None]


def play(modality: str, fault: InjectedFault | None, *, speed: int = 1) -> Told:
    """Play a drive to the checks of one camera that is garbled for a while."""
    checker = ContentChecker(modality, ChecksConfig())
    faults = () if fault is None else (fault,)
    injector = Injector[Image](FaultTimeline(1, faults), {"one": modality})
    told: Told = []
    for number in range(SECONDS):
        now_ns = number * S // HZ
        delivery = injector.push("one", now_ns, drive(modality, number, speed))
        assert delivery is not None
        told.append(checker.inspect(delivery.payload, now_ns))
    return told


@pytest.mark.parametrize("speed", [0, 2])
@pytest.mark.parametrize("modality", ["rgb", "thermal"])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Wrong("one", BEGIN / HZ, END / HZ, how="mirrored"), "switched"),
        (Wrong("one", BEGIN / HZ, END / HZ, how="upside_down"), "switched"),
        (Garbled("one", BEGIN / HZ, END / HZ, 2 / 3, how="rolled"), "switched"),
        (Garbled("one", BEGIN / HZ, END / HZ, how="sheared"), "switched"),
        (Garbled("one", BEGIN / HZ, END / HZ, how="doubled"), "twice"),
        (Garbled("one", BEGIN / HZ, END / HZ, 0.4, how="blocks"), "blocky"),
        (Garbled("one", BEGIN / HZ, END / HZ, 0.5, how="coarse"), "blocky"),
        (Garbled("one", BEGIN / HZ, END / HZ, 0.12, how="lines"), "dead lines"),
    ],
)
def test_what_is_put_together_wrongly_is_told_until_it_is_right(
    modality: str, speed: int, fault: InjectedFault, kind: str
) -> None:
    told = play(modality, fault, speed=speed)
    assert told[:BEGIN] == [None] * BEGIN
    kinds = {found.kind for found in told[BEGIN : BEGIN + 8] if found is not None}
    assert kind in kinds
    assert told[-5:] == [None] * 5
    states = {found.state for found in told if found is not None and found.kind == kind}
    assert states == {SensorState.DEGRADED}


def test_depth_that_shows_its_half_twice_is_told() -> None:
    told = play("depth", Garbled("one", BEGIN / HZ, END / HZ, how="doubled"), speed=2)
    assert "twice" in {found.kind for found in told[BEGIN:END] if found is not None}


@pytest.mark.parametrize(("pictures", "told"), [(3, 0.0), (5, 0.2)])
def test_lines_that_a_codec_makes_even_for_a_moment_are_not_dead(
    pictures: int, told: float
) -> None:
    watch, shares = DeadLinesWatch(), []
    for number in range(12):
        shown = np.random.default_rng(number).integers(0, 255, (60, 80), dtype=np.uint8)
        if 3 <= number < 3 + pictures:
            shown[:, 2::5] = 90  # with others between them
        shares.append(watch.look(shown))
    assert max(shares) == told


@pytest.mark.parametrize("in_metres", [False, True])
def test_dead_columns_are_told_in_depth_whatever_stands_for_nothing(in_metres: bool) -> None:
    def shown(number: int, *, dead: bool) -> Image:
        depth = drive("depth", number, 2).pixels.copy()
        depth[50:80] = 0
        if dead:
            depth[:, 8::16] = 4000
        if not in_metres:
            return Image(depth, "16UC1")
        return Image(np.where(depth > 0, depth / np.float32(1000), np.float32(np.nan)), "32FC1")

    checker = ContentChecker("depth", ChecksConfig())
    told = [checker.inspect(shown(n, dead=n >= BEGIN), n * S // HZ) for n in range(END)]
    assert told[:BEGIN] == [None] * BEGIN
    assert "dead lines" in {found.kind for found in told[BEGIN : BEGIN + 8] if found is not None}


@pytest.mark.parametrize("speed", [5, 30, 90])
def test_a_picture_that_goes_by_is_not_rearranged(speed: int) -> None:
    watch = RearrangedWatch(framed=True)
    for number in range(12):
        before, now = (drive("rgb", k, speed).pixels[..., 1] for k in (number, number + 1))
        watch.compare(before.astype(np.float32), now.astype(np.float32))
        assert watch.told == []


def through_a_round_lens(shown: Pixels) -> Pixels:
    y, x = np.mgrid[: shown.shape[0], : shown.shape[1]]
    beyond = (x - shown.shape[1] / 2) ** 2 + (y - shown.shape[0] / 2) ** 2 > (
        0.49 * len(shown)
    ) ** 2
    return np.where(beyond, 0, shown).astype(np.float32)


def lit_from_a_side(seed: int, side: str) -> Pixels:
    """Something rough that is lit from the left or the right."""
    rough = np.random.default_rng(seed).normal(0, 1, (240, 320)).astype(np.float32)
    rough = cv2.GaussianBlur(rough, (0, 0), 5)
    across = np.linspace(0, 1, 320) if side == "right" else np.linspace(1, 0, 320)
    return 20 + 180 * np.clip(2 * across - 0.7, 0, 1) * (1 + 0.1 * rough / rough.std())


@pytest.mark.parametrize("seed", range(3))
def test_the_rim_of_a_round_lens_that_is_lit_from_the_other_side_is_not_mirrored(
    seed: int,
) -> None:
    watch = RearrangedWatch(framed=True)
    left, right = (lit_from_a_side(seed + k, side) for k, side in enumerate(("left", "right")))
    watch.compare(through_a_round_lens(left), through_a_round_lens(left))
    watch.compare(through_a_round_lens(left), through_a_round_lens(right))
    assert watch.told == []


def test_a_picture_through_a_round_lens_that_is_mirrored_is_told() -> None:
    rough = np.random.default_rng(3).normal(0, 1, (240, 320)).astype(np.float32)
    shown = 120 + 80 * cv2.GaussianBlur(rough, (0, 0), 5) / 0.056
    watch = RearrangedWatch(framed=True)
    watch.compare(through_a_round_lens(shown), through_a_round_lens(shown))
    watch.compare(through_a_round_lens(shown), through_a_round_lens(shown[:, ::-1]))
    assert watch.told == ["mirrored"]


def test_holes_of_a_depth_picture_are_no_frame() -> None:
    """They stay what they are, nothing, while all else changes."""
    rough = np.random.default_rng(4).normal(0, 1, (240, 320)).astype(np.float32)
    shown = 120 + 80 * cv2.GaussianBlur(rough, (0, 0), 5) / 0.056
    for row in range(20, 240, 48):
        for column in range(28, 320, 60):  # the same in the mirror
            shown[row : row + 24, column : column + 24] = 0
    watch = RearrangedWatch(framed=False)
    watch.compare(shown, shown)
    watch.compare(shown, shown[:, ::-1])
    assert watch.told == ["mirrored"]


def test_a_pattern_that_moves_is_not_rolled() -> None:
    rows = np.arange(240)[:, None] + np.zeros((1, 320))
    watch = RearrangedWatch(framed=True)
    for moved in (0, 5, 12, 30):
        shown = 100 + 60 * np.sin(2 * np.pi * (rows + moved) / 40)
        watch.compare(shown.astype(np.float32), np.roll(shown, 15, 0).astype(np.float32))
    assert watch.told == []


def bricks(side: int, first: int = 5) -> Pixels:
    """A wall of bricks straight on, through a lens and with noise."""
    y, x = np.mgrid[first : first + 480, 3:643]
    row = y // side
    joint = (y % side < 2) | ((x + row % 2 * side) % (2 * side) < 2)
    tone = np.random.default_rng(3).uniform(60, 120, (490 // side + 2, 650 // (2 * side) + 2))
    wall = np.where(joint, 180, tone[row, (x + row % 2 * side) // (2 * side)]).astype(np.float32)
    wall = cv2.GaussianBlur(wall, (0, 0), 0.8) + np.random.default_rng(4).normal(0, 1.5, wall.shape)
    return wall.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", [8, 16, 32])
def test_a_wall_of_bricks_is_neither_blocky_nor_shown_twice(side: int) -> None:
    assert block_edges(bricks(side)) < 0.12
    assert halves_alike(bricks(side)) == 0.0


@pytest.mark.parametrize("quality", [10, 30])
@pytest.mark.parametrize("name", ["drive", "parked", "night", "text", "lorries pass"])
def test_a_codec_leaves_low_steps(name: str, quality: int) -> None:
    for number in range(3):
        shown = jpeg(FAMILIES[name].picture(1, number / 3)[..., 1], quality)
        assert block_edges(shown) < 0.25
        assert halves_alike(shown) == 0.0


def test_blocks_are_told_of_a_camera_that_is_not_like_that_from_the_start() -> None:
    small = [drive("rgb", k, 2).pixels[::8, ::8] for k in range(30)]
    checker = ContentChecker("rgb", ChecksConfig())
    for number, shown in enumerate(small):
        enlarged = shown.repeat(8, axis=0).repeat(8, axis=1)
        found = checker.inspect(Image(enlarged, "rgb8"), number * S // HZ)
        assert found is None or found.kind != "blocky"


Texture = Callable[[], Pixels]


def lawn() -> Pixels:
    grain = np.random.default_rng(2).normal(0, 1, (480, 640)).astype(np.float32)
    return (90 + 60 * cv2.GaussianBlur(grain, (0, 0), 1.2)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("texture", [lawn, lambda: bricks(8), lambda: bricks(8, first=0)])
def test_texture_all_over_is_no_covered_lens(texture: Texture) -> None:
    assert contrast(grid(texture())) > 6.0


def test_noise_all_over_is_nothing_to_see() -> None:
    noise = np.random.default_rng(2).normal(40, 4, (480, 640)).clip(0, 255).astype(np.uint8)
    assert contrast(grid(noise)) < 6.0


def test_a_fine_test_chart_has_no_stripes() -> None:
    y, x = np.mgrid[:480, :640]
    assert stripes_share(((x // 2 + y // 2) % 2 * 200).astype(np.uint8)) < 0.1


def test_a_sky_that_a_thermal_camera_clips_leaves_no_dark_lines() -> None:
    """It ends along roofs, and as the robot drives, whole rows come to show nothing but sky."""
    checker = ContentChecker("thermal", ChecksConfig())
    columns = np.arange(320)
    roofs = 70 + 22 * np.sin(columns / 9) + 14 * np.sin(columns / 31)
    for number in range(30):
        seen = drive("thermal", number, 2).pixels.astype(np.float32)
        shown = ((seen - 28_700) / 12).clip(0, 255).astype(np.uint8)
        horizon = roofs + 12 * (number // 3 % 2)  # a bumpy road
        shown[np.arange(240)[:, None] < horizon[None]] = 0
        found = checker.inspect(Image(shown, "mono8"), number * S // HZ)
        assert found is None or found.kind != "dark lines"


def test_a_dark_picture_has_lines_of_one_count_by_chance() -> None:
    watch, dice = DeadLinesWatch(), np.random.default_rng(5)
    for _ in range(20):
        dark = (dice.random((60, 80)) < 0.02).astype(np.uint8)
        dark[20:40] += dice.integers(30, 90, (20, 80), dtype=np.uint8)
        assert watch.look(dark) == 0.0


@pytest.mark.parametrize("nothing", [0.0, np.nan, np.inf])
def test_depth_in_metres_is_shown_twice_whatever_stands_for_nothing(nothing: float) -> None:
    metres = drive("depth", 3).pixels.astype(np.float32) / 1000
    metres[60:110, 100:150] = nothing
    assert halves_alike(metres) == 0.0
    assert halves_alike(np.hstack([metres[:, :160]] * 2)) > 0.7
    metres[0, 0] = 3e38  # nobody measures that; random bytes may be it
    assert halves_alike(metres) == 0.0
