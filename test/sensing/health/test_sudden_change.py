"""A picture that means something else at once, or loses a part; and a robot that halts."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from fixtures.drives import drive
from fixtures.healthy_streams import FAMILIES

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


@pytest.mark.parametrize("speed", [1, 3])
@pytest.mark.parametrize("modality", ["rgb", "thermal"])
def test_a_negative_is_told_until_it_is_none(modality: str, speed: int) -> None:
    found = told(modality, negative, speed=speed)
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


def paint(image: Image, factors: tuple[float, float, float]) -> Image:
    """Give a picture with colours others: each so many times as strong."""
    colours = 0.55 * tinted(image).pixels.astype(np.float32) * np.array(factors, np.float32)
    return Image(colours.clip(0, 255).astype(np.uint8), image.encoding)


@pytest.mark.parametrize("speed", [0, 3])
@pytest.mark.parametrize("chroma", [0, 255])
def test_a_picture_all_over_green_or_magenta_is_told_until_its_chroma_is_back(
    chroma: int, speed: int
) -> None:
    def lose(pixels: Pixels) -> Pixels:
        shown = cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)
        shown[..., 0] //= 2  # so that green is nowhere clipped, and magenta has no green
        shown[..., 1:] = chroma
        return np.asarray(cv2.cvtColor(shown, cv2.COLOR_YCrCb2RGB))

    found = told("rgb", lose, speed=speed)
    assert found[:BEGIN] == [None] * BEGIN
    kinds = {fault and fault.kind for fault in found[BEGIN + 2 : END]}
    assert kinds == ({"switched"} if chroma == 0 else {"black"})  # green is what is looked at
    assert found[-1] is None


def test_a_camera_that_comes_into_the_dark_has_lost_no_colour() -> None:
    def dim(pixels: Pixels) -> Pixels:
        return np.asarray(pixels * np.array([0.08, 0.02, 0.004]), np.uint8)

    found = told("rgb", dim)
    assert not any(fault and "without its colour" in fault.reason for fault in found)


@pytest.mark.parametrize("factors", [(1.4, 1.0, 0.8), (0.7, 1.0, 1.3), (1.0, 1.5, 1.0)])
def test_a_white_balance_that_jumps_is_told_until_it_is_taken_back(
    factors: tuple[float, float, float],
) -> None:
    checker = ContentChecker("rgb", ChecksConfig())
    for number in range(45):
        broken = BEGIN <= number < END
        image = paint(drive("rgb", number, 3), factors if broken else (1.0, 1.0, 1.0))
        fault = checker.inspect(image, number * S // HZ)
        if not BEGIN <= number < BEGIN + 4:  # it must be seen to stay
            assert (fault is not None) == broken, number
        assert fault is None or ("colours of another strength" in fault.reason)
        assert fault is None or not fault.withhold


def test_a_white_balance_that_stays_is_the_normal_one_in_the_end() -> None:
    checker = ContentChecker("rgb", ChecksConfig())
    for number in range(150):
        image = paint(drive("rgb", number, 1), (1.4, 1.0, 0.8) if number >= BEGIN else (1, 1, 1))
        fault = checker.inspect(image, number * S // HZ)
    assert fault is None


def test_a_colour_that_comes_by_and_by_or_from_one_side_is_no_setting() -> None:
    from_one_side = np.linspace(0.0, 1.0, 320, dtype=np.float32)[None, :, None]
    for lamp in (False, True):
        checker = ContentChecker("rgb", ChecksConfig())
        for number in range(60):
            share = float(number >= BEGIN) if lamp else min(1.0, max(0, number - BEGIN) / 8)
            image = paint(drive("rgb", number, 3), (1.0, 1.0, 1.0))
            warm = np.array([0.0, -0.3, -0.9], np.float32) * share
            gain = np.exp(warm * (from_one_side if lamp else np.float32(1.0)))
            pixels = (image.pixels * gain).clip(0, 255).astype(np.uint8)
            fault = checker.inspect(Image(pixels, image.encoding), number * S // HZ)
            assert fault is None, (lamp, number)


@pytest.mark.parametrize("speed", [0, 1])
def test_another_lamp_that_shines_from_elsewhere_is_no_setting(speed: int) -> None:
    from_the_left = np.exp(np.linspace(0.35, -0.35, 320, dtype=np.float32))[None, :, None]
    checker = ContentChecker("rgb", ChecksConfig())
    for number in range(40):
        image = paint(drive("rgb", number, speed), (1.4, 1, 0.8) if number >= BEGIN else (1, 1, 1))
        light = 0.9 * (from_the_left if number >= BEGIN else 1 / from_the_left)
        pixels = (image.pixels * light).clip(0, 255).astype(np.uint8)
        assert checker.inspect(Image(pixels, image.encoding), number * S // HZ) is None, number


@pytest.mark.parametrize(("name", "bit"), [("drive", 6), ("drive", 4), ("radiometric, street", 8)])
@pytest.mark.parametrize("level", [0, 1])
def test_a_bit_that_hangs_is_told_on_a_fast_drive(name: str, bit: int, level: int) -> None:
    family = FAMILIES[name]
    checker = ContentChecker(family.modality, ChecksConfig())
    for number in range(30):
        pixels = family.picture(0, 0.3 * number)
        if BEGIN <= number < END:
            one = np.array(1 << bit, pixels.dtype)
            pixels = (pixels | one) ^ (one * (1 - level)).astype(pixels.dtype)
        fault = checker.inspect(Image(pixels, family.encoding), number * S // HZ)
        if BEGIN + 2 <= number < END:
            assert fault is not None and f"bit {bit} the same" in fault.reason, number
        elif not BEGIN <= number < END + 2:
            assert fault is None, number


def test_raw_colours_that_are_read_with_the_wrong_pattern_are_told() -> None:
    def developed(image: Image, code: int) -> Image:
        raw = 0.6 * image.pixels[:, :, 1].astype(np.float32)
        # Green as of leaves in the lower part, between red at 0, 0 and blue at 1, 1.
        leaves = np.linspace(0.8, 1.3, len(raw), dtype=np.float32)[:, None]
        raw[::2, 1::2] *= leaves[::2]
        raw[1::2, ::2] *= leaves[1::2]
        return Image(cv2.cvtColor(raw.astype(np.uint8), code), image.encoding)

    checker = ContentChecker("rgb", ChecksConfig())
    for number in range(45):
        broken = BEGIN <= number < END
        code = cv2.COLOR_BayerGB2RGB if broken else cv2.COLOR_BayerBG2RGB
        fault = checker.inspect(developed(drive("rgb", number, 1), code), number * S // HZ)
        assert (fault is not None) == broken, number
        assert fault is None or "green in the place of red and blue" in fault.reason


@pytest.mark.parametrize(
    ("modality", "bits", "level"),
    [
        ("thermal", 0x8000, 0x8000),
        ("thermal", 0xFF00, 0),
        ("thermal", 0xF000, 0),
        ("thermal", 0x0400, 0x0400),
        ("thermal", 0x0200, 0),
        ("depth", 0x1000, 0x1000),
        ("rgb", 0x80, 0),
    ],
)
def test_bits_that_are_the_same_everywhere_at_once_are_told_until_they_are_free(
    modality: str, bits: int, level: int
) -> None:
    found = told(modality, lambda pixels: (pixels & ~np.array(bits, pixels.dtype)) | level)
    assert found[:BEGIN] == [None] * BEGIN
    lowest = (bits & -bits).bit_length() - 1
    for fault in found[BEGIN + 1 : END]:
        assert fault is not None
    reasons = {fault.reason for fault in found[BEGIN:END] if fault is not None}
    assert any(f"with bit {lowest}" in reason for reason in reasons)
    assert found[-1] is None


def test_bits_that_hang_are_forgotten_when_the_pixels_have_another_type() -> None:
    checker = ContentChecker("thermal", ChecksConfig(format=False))
    for number in range(BEGIN + 4):
        pixels = drive("thermal", number, 1).pixels
        stuck = pixels | np.uint16(0x8000) if number >= BEGIN else pixels
        fault = checker.inspect(Image(stuck, "mono16"), number * S // HZ)
    assert fault is not None and "bit 15" in fault.reason
    for number in range(BEGIN + 4, END):
        eight = ((drive("thermal", number, 1).pixels - 29_000.0) / 7).clip(0, 255)
        fault = checker.inspect(Image(eight.astype(np.uint8), "mono8"), number * S // HZ)
    assert fault is None or "bit" not in fault.reason


@pytest.mark.parametrize("step", [100, 256, 1024, 4000])
def test_a_shutter_that_shifts_all_counts_leaves_no_bits_stuck(step: int) -> None:
    """The offset of a thermal camera is another one after it has closed its shutter."""

    def shifted(pixels: Pixels) -> Pixels:
        return pixels + np.array(step, pixels.dtype)

    for fault in told("thermal", shifted):
        assert fault is None or "bit" not in fault.reason


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


def fog(pixels: Pixels, number: int) -> Pixels:
    """What is left of a picture through a dense fog, with the noise of the camera."""
    grain = np.random.default_rng((number, 7)).normal(0, 2.0, pixels.shape[:2])
    seen = 0.12 * pixels.astype(np.float32) + 0.88 * 190 + grain[..., None]
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def test_a_fog_on_the_glass_is_told_through_the_noise_and_another_exposure_is_not() -> None:
    def faults(change: Callable[[Pixels, int], Pixels]) -> list[sensor_health.Fault | None]:
        checker, found = ContentChecker("rgb", ChecksConfig()), []
        for number in range(45):
            image = drive("rgb", number, 3)
            if BEGIN <= number < END:
                image = Image(change(image.pixels, number), image.encoding)
            found.append(checker.inspect(image, number * S // HZ))
        return found

    found = faults(fog)
    assert found[:BEGIN] == [None] * BEGIN
    assert found[BEGIN + 9] is not None and found[BEGIN + 9].kind == "lost"
    assert found[-1] is None
    assert faults(lambda pixels, _: (pixels * 0.12).astype(np.uint8) + np.uint8(4)) == [None] * 45


@pytest.mark.parametrize("period", [5, 12, 30])
def test_pictures_that_begin_to_come_round_and_round_are_frozen(period: int) -> None:
    checker = ContentChecker("rgb", ChecksConfig())
    first = 40 - period
    for number in range(40):
        assert checker.inspect(drive("rgb", number, 3), number * S // HZ) is None
    for number in range(40, 48):
        again = drive("rgb", first + (number - first) % period, 3)
        fault = checker.inspect(again, number * S // HZ)
    assert fault is not None and fault.kind == "frozen"
    assert checker.inspect(drive("rgb", 48, 3), 48 * S // HZ) is None


@pytest.mark.parametrize("pictures", [7, 35])
def test_a_recording_that_is_played_round_and_round_or_to_and_fro_is_healthy(pictures: int) -> None:
    again, fro = ContentChecker("rgb", ChecksConfig()), ContentChecker("rgb", ChecksConfig())
    for number in range(2 * pictures + 8):
        now_ns = number * S // HZ
        assert again.inspect(drive("rgb", number % pictures, 3), now_ns) is None
        turn = number % (2 * pictures - 2)
        there = min(turn, 2 * pictures - 2 - turn)
        fault = fro.inspect(drive("rgb", 50 + there, 3), now_ns)
        assert fault is None or not fault.lasting  # those next to the turn come again


def without_lines(pixels: Pixels, number: int, *, columns: bool) -> Pixels:
    """A picture of which some packets were lost: other lines each time, all across."""
    found = pixels.copy()
    across = found.swapaxes(0, 1) if columns else found
    lost = np.repeat(np.random.default_rng(number).random(24) < 0.4, across.shape[0] // 24)
    across[: lost.size][lost] = 0
    return found


@pytest.mark.parametrize("modality", ["rgb", "thermal"])
@pytest.mark.parametrize("columns", [False, True])
def test_lines_that_go_dark_all_across_are_told(modality: str, columns: bool) -> None:
    checker = ContentChecker(modality, ChecksConfig())
    for number in range(26):
        image = drive(modality, number, 3)
        if 8 <= number < 16:
            image = Image(without_lines(image.pixels, number, columns=columns), image.encoding)
        fault = checker.inspect(image, number * S // HZ)
        assert (fault is not None) == (8 <= number < 16), number
        assert fault is None or fault.kind == "dark lines"


def test_a_lamp_that_goes_out_leaves_no_dark_lines() -> None:
    light = np.linspace(0.4, 0.0, 240)[:, None, None]
    checker = ContentChecker("rgb", ChecksConfig())
    for number in range(20):
        image = drive("rgb", number, 3)
        if number >= 10:
            image = Image((image.pixels * light).astype(np.uint8), image.encoding)
        assert checker.inspect(image, number * S // HZ) is None, number


def palm(pixels: Pixels, number: int) -> Pixels:
    """A hand right before the lens, light on one side and out of focus, and the camera's noise."""
    height, width = pixels.shape[:2]
    row, column = np.mgrid[:height, :width]
    unit = 1 if pixels.dtype == np.uint8 else 4
    shown = 60 + 90 * column / width + 30 * np.sin(3 * row / height)
    shown = unit * shown + np.random.default_rng(number).normal(0, 2.0, shown.shape)
    shown = shown + (int(pixels.min()) if unit > 1 else 0)
    shown = np.clip(np.rint(shown), 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return shown if pixels.ndim == 2 else np.repeat(shown[..., None], pixels.shape[2], axis=2)


def played(
    modality: str, change: Callable[[Pixels, int], Pixels], begin: int, end: int, speed: int = 2
) -> list[sensor_health.Fault | None]:
    checker, found = ContentChecker(modality, ChecksConfig()), []
    for number in range(60):
        image = drive(modality, number, speed)
        if begin <= number < end:
            image = Image(change(image.pixels, number), image.encoding)
        found.append(checker.inspect(image, number * S // HZ))
    return found


@pytest.mark.parametrize(("modality", "within"), [("rgb", 10), ("thermal", 20)])
def test_a_hand_before_all_of_the_lens_is_told_until_it_is_gone(modality: str, within: int) -> None:
    found = played(modality, palm, BEGIN, BEGIN + 22)
    assert found[:BEGIN] == [None] * BEGIN
    told_of = found[BEGIN + within]
    assert told_of is not None and told_of.kind == "covered"
    assert found[BEGIN + 24 :] == [None] * (60 - BEGIN - 24)


@pytest.mark.parametrize("left", [0.4, 0.6])
def test_a_part_that_a_thermal_camera_shows_fainter_is_not_hidden(left: float) -> None:
    """As through a palette that spreads its counts anew when something hot comes into view."""
    checker = ContentChecker("thermal", ChecksConfig())
    for number in range(45):
        heat = drive("thermal", number, 1).pixels.astype(np.float32)
        heat = (heat - heat.min()) / (heat.max() - heat.min())
        if number >= BEGIN:
            heat[:, :160] *= left
        shown = np.asarray(255 * heat**1.5, np.uint8)
        assert checker.inspect(Image(shown, "mono8"), number * S // HZ) is None, number


@pytest.mark.parametrize("speed", [2, 40])
def test_a_white_cloth_over_all_of_the_lens_is_looked_at_at_any_pace(speed: int) -> None:
    """Not a block is left that could tell whether the rest goes on."""

    def cloth(pixels: Pixels, number: int) -> Pixels:
        grain = np.random.default_rng(number).normal(0, 2, pixels.shape[:2])
        shown = np.rint(np.linspace(215, 250, pixels.shape[1]) + grain).clip(0, 255)
        return np.repeat(shown.astype(np.uint8)[..., None], 3, axis=2)

    found = played("rgb", cloth, BEGIN, BEGIN + 22, speed)
    assert found[:BEGIN] == [None] * BEGIN
    assert {fault.kind for fault in found if fault} == {"covered"}


def test_the_uneven_shutter_of_a_thermal_camera_is_no_hand() -> None:
    assert played("thermal", palm, BEGIN, BEGIN + 12) == [None] * 60


def test_a_lamp_that_goes_out_and_leaves_a_window_is_no_hand() -> None:
    def dim(pixels: Pixels, number: int) -> Pixels:
        window = np.linspace(0.25, 0.02, pixels.shape[1])[None, :, None]
        return np.clip(pixels * window + 3, 0, 255).astype(np.uint8)

    assert played("rgb", dim, BEGIN, 60) == [None] * 60


def bars(number: int, *, moving: int, upright: bool = True) -> Pixels:
    """Eight bars as a driver shows them to test, through the noise of an analogue line."""
    column = np.arange(320) + moving * number
    levels = np.array([235, 170, 130, 190, 60, 110, 80, 20])[column * 8 // 320 % 8]
    shown = levels[None] + np.random.default_rng(number).normal(0, 2, (240, 320))
    if not upright:
        shown = cv2.resize(np.ascontiguousarray(shown.T), (320, 240))
    return np.repeat(shown.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("moving", [0, 7])
def test_bars_in_the_place_of_a_picture_are_told_until_they_are_gone(
    moving: int, upright: bool
) -> None:
    def pattern(_: Pixels, number: int) -> Pixels:
        return bars(number, moving=moving, upright=upright)

    found = played("rgb", pattern, BEGIN, BEGIN + 20)
    assert found[:BEGIN] == [None] * BEGIN
    told_of = [fault for fault in found[BEGIN + 6 : BEGIN + 20] if fault is not None]
    assert len(told_of) == 14
    # What stands may be told as a cover as well: there is hardly an edge in its blocks.
    assert {fault.kind for fault in told_of} <= (
        {"switched"} if moving else {"switched", "covered"}
    )
    assert found[-12:] == [None] * 12


def test_a_fence_that_comes_nearer_is_no_test_pattern() -> None:
    def fence(pixels: Pixels, number: int) -> Pixels:
        """Boards that fill more of the picture each time."""
        shown = pixels.copy()
        seen = min(320, 16 * (number - BEGIN + 1))
        shown[:, :seen] = bars(number, moving=0)[:, :seen]
        return shown

    assert played("rgb", fence, BEGIN, 60) == [None] * 60


def test_a_bright_sky_over_a_dark_meadow_is_no_test_pattern() -> None:
    """As after a fast turn, or where another camera's pictures are passed on."""

    def meadow(_: Pixels, number: int) -> Pixels:
        shown = np.random.default_rng(number).normal(60, 4, (240, 320))
        shown[:168] += 185
        return np.repeat(shown.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)

    found = played("rgb", meadow, BEGIN, 60)
    assert not any(fault and fault.kind == "switched" for fault in found)


def test_a_post_before_a_bright_wall_is_no_test_pattern() -> None:
    """As a robot sees it that comes to its dock, and turns."""

    def post(_: Pixels, number: int) -> Pixels:
        shown = np.random.default_rng(number).normal(210, 3, (240, 320))
        shown[:, 120:200] -= 170
        return np.repeat(shown.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)

    found = played("rgb", post, BEGIN, 60)
    assert not any(fault and fault.kind == "switched" for fault in found)


def test_depth_that_is_one_distance_at_once_is_told_and_a_door_that_closes_is_not() -> None:
    def even(pixels: Pixels, number: int = 0) -> Pixels:
        dice = np.random.default_rng([number, *pixels[::60, 0]])
        return dice.normal(1000, 4, pixels.shape).astype(np.uint16)

    found = told("depth", even)
    assert found[:BEGIN] == [None] * BEGIN
    assert found[BEGIN + 4] is not None and "one and the same distance" in found[BEGIN + 4].reason
    assert found[-1] is None

    checker = ContentChecker("depth", ChecksConfig())
    for number in range(36):
        pixels = drive("depth", number, 1).pixels.copy()
        shut = 16 * max(0, number - 10)
        pixels[:, :shut] = even(pixels, number)[:, :shut]
        fault = checker.inspect(Image(pixels, "16UC1"), number * S // HZ)
        assert fault is None, number


def test_a_robot_that_comes_up_to_a_bright_door_sees_no_fog() -> None:
    """The dark wall on the door's two sides goes out of view in one step."""
    checker = ContentChecker("rgb", ChecksConfig())
    dice = np.random.default_rng(3)
    for number in range(45):
        half = int(500 / max(0.8, 6.0 - 5.2 * number / 30))
        shown = drive("rgb", 0, 0, 0.0).pixels[..., 1].astype(np.float32) / 3
        shown = cv2.resize(shown, (640, 480))
        shown[:, max(0, 320 - half) : 320 + half] = 160
        shown[:, 316:324] = 120
        grey = np.rint(shown + dice.normal(0, 1.2, shown.shape)).clip(0, 255).astype(np.uint8)
        found = checker.inspect(Image(np.dstack([grey] * 3), "rgb8"), number * S // 15)
        assert found is None, f"{number}: {found.reason}"
