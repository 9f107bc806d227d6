"""Pictures of a camera that stands or looks elsewhere, and of another camera."""

from __future__ import annotations

import numpy as np
import pytest

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.kinds import Exchanged, Moved, Turned
from anymodal_seg_ros.faults.other_views import other_view
from anymodal_seg_ros.faults.timeline import FaultTimeline, check_sensors, parse_timeline
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD

HEIGHT, WIDTH = 48, 64


def spot(row: int, column: int) -> Image:
    """Return a dark picture with one bright spot."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint16)
    pixels[row, column] = 1000
    return Image(pixels, "mono16")


def place(image: Image) -> tuple[float, float]:
    """Return where the bright pixels are, on average: row and column."""
    rows, columns = np.nonzero(image.pixels)
    return float(rows.mean()), float(columns.mean())


def test_a_moved_picture_is_moved_by_its_share_of_the_width() -> None:
    assert place(other_view(Moved(share=0.25), spot(20, 30))) == (20, 46)
    assert place(other_view(Moved(share=-0.25), spot(20, 30))) == (20, 14)


@pytest.mark.parametrize(
    ("axis", "sign", "index"), [("yaw", -1, 1), ("pitch", 1, 0)], ids=["yaw", "pitch"]
)
def test_what_a_turned_camera_sees_goes_the_other_way(axis: str, sign: int, index: int) -> None:
    before = (24, 32)
    focal = WIDTH / 2 / np.tan(np.deg2rad(33.0))
    after = place(other_view(Turned(axis=axis, angle_deg=10.0), spot(*before)))
    moved = after[index] - before[index]
    assert moved == pytest.approx(sign * focal * np.tan(np.deg2rad(10.0)), abs=1.0)
    assert after[1 - index] == pytest.approx(before[1 - index], abs=0.6)


def test_a_camera_that_rolls_clockwise_sees_its_right_rise() -> None:
    after = place(other_view(Turned(axis="roll", angle_deg=20.0), spot(24, 56)))
    assert after[0] < 18


def test_encoding_size_and_values_stay() -> None:
    image = Image(np.full((HEIGHT, WIDTH, 3), 7, np.uint8), "rgb8")
    for fault in (Moved(), Turned()):
        shown = other_view(fault, image)
        assert (shown.encoding, shown.pixels.shape, shown.pixels.dtype) == (
            "rgb8",
            image.pixels.shape,
            np.uint8,
        )
        assert set(np.unique(shown.pixels)) <= {0, 7}


def test_clouds_have_no_other_view() -> None:
    with pytest.raises(ConfigError, match="point cloud"):
        other_view(Moved(), Image(np.zeros((1, 4), [("x", np.float32)]), POINT_CLOUD))


def test_an_exchanged_sensor_shows_what_the_other_one_saw_last() -> None:
    timeline = FaultTimeline(0, (Exchanged("one", 1.0, with_sensor="other"),))
    injector = Injector[Image](timeline)
    before, own, other = spot(1, 1), spot(2, 2), spot(3, 3)
    first = injector.push("one", 0, before)
    early = injector.push("one", 1_000_000_000, own)
    injector.push("other", 1_050_000_000, other)
    late = injector.push("one", 1_100_000_000, own)
    assert [d is not None and d.payload for d in (first, early, late)] == [before, own, other]


@pytest.mark.parametrize("partner", ["", "rgb"])
def test_a_sensor_is_exchanged_with_another_one(partner: str) -> None:
    entry = {"sensor": "rgb", "kind": "exchanged", "with_sensor": partner}
    with pytest.raises(ConfigError, match="with_sensor"):
        parse_timeline({"faults": [entry]})


def test_the_other_sensor_must_exist() -> None:
    timeline = FaultTimeline(0, (Exchanged("rgb", with_sensor="left"),))
    with pytest.raises(ConfigError, match="with_sensor is 'left': expected one of rgb, thermal"):
        check_sensors(timeline, {"rgb": None, "thermal": None})
