"""What two pictures have in common: much of one world, chance of two, nothing of noise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from fixtures.drives import drive

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.pipeline.cross_check import structure_of
from anymodal_seg_ros.sensing.health.accord.misalignment import LOOKS, Misalignment
from anymodal_seg_ros.sensing.health.accord.structure import (
    CLEAR,
    RunningAccord,
    Structure,
    edge_structure,
)

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
SPECS = {
    "rgb": ModalitySpec(0, "color", ZERO, ONE),
    "thermal": ModalitySpec(1, "thermal", ZERO, ONE),
    "depth": ModalitySpec(2, "depth", ZERO, ONE),
}


def seen(modality: str, number: int, right: int = 0, mirrored: bool = False) -> Structure:
    image = drive(modality, number)
    pixels = np.roll(image.pixels, right, axis=1)
    pixels = pixels[:, ::-1] if mirrored else pixels
    return structure_of(Image(np.ascontiguousarray(pixels), image.encoding), SPECS[modality])


PAIRS = [("rgb", "thermal"), ("rgb", "depth"), ("thermal", "depth")]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_pictures_of_one_world_agree_whatever_the_sensors_measure(one: str, other: str) -> None:
    accord = RunningAccord().add(seen(one, 3), seen(other, 3))
    assert accord.here > 10.0
    assert (accord.right_px, accord.down_px) == pytest.approx((0, 0), abs=1)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_pictures_of_two_worlds_agree_by_chance(one: str, other: str) -> None:
    for changed in (
        seen(other, 70),
        seen(other, 3, right=32),
        seen(other, 3, right=107),
        seen(other, 3, mirrored=True),
    ):
        assert RunningAccord().add(seen(one, 3), changed).here < 7.0


def test_the_best_shift_is_how_far_a_picture_was_moved() -> None:
    accord = RunningAccord().add(seen("rgb", 3), seen("thermal", 3, right=20))
    assert accord.best > 10.0 > accord.here
    assert accord.right_px == pytest.approx(20 * 128 / 320, abs=1)


def test_several_looks_together_tell_more_than_one() -> None:
    dice = np.random.default_rng(2)

    def texture() -> np.ndarray:  # type: ignore[type-arg]
        return cv2.GaussianBlur(dice.normal(0, 1, (96, 128)).astype(np.float32), (0, 0), 1.5)

    alone, together = [], RunningAccord(looks=3)
    for _ in range(3):
        world = texture()
        pair = edge_structure(world + 1.5 * texture()), edge_structure(world + 1.5 * texture())
        alone.append(RunningAccord().add(*pair).here)
        joined = together.add(*pair).here
    assert joined > 1.3 * float(np.mean(alone))


def test_a_lie_is_all_that_counts_once_there_were_enough_looks_at_it() -> None:
    running, fresh = RunningAccord(looks=3), RunningAccord(looks=3)
    for k in range(5):
        running.add(seen("rgb", k), seen("thermal", k))
    for k in range(5, 8):
        lie = seen("thermal", k, mirrored=True)
        last = running.add(seen("rgb", k), lie), fresh.add(seen("rgb", k), lie)
    assert last[0].here == pytest.approx(last[1].here)


def test_noise_of_any_kind_has_nothing_to_tell() -> None:
    dice = np.random.default_rng(0)
    white = dice.normal(0.5, 0.02, (192, 256)).astype(np.float32)
    lone = (dice.random((192, 256)) < 0.01).astype(np.float32)
    flat = np.full((192, 256), 0.3, np.float32)
    shaded = white + np.linspace(0, 0.05, 256, dtype=np.float32)
    for picture in (white, lone, flat, shaded):
        assert edge_structure(picture).clarity < CLEAR
    for modality in SPECS:
        assert seen(modality, 3).clarity > 2 * CLEAR


def test_noise_agrees_with_nothing() -> None:
    flat = np.zeros((192, 256), np.float32)
    accord = RunningAccord().add(edge_structure(flat), edge_structure(flat))
    assert accord.here == accord.best == 0.0


def test_where_a_warped_picture_ends_is_no_edge() -> None:
    image = drive("rgb", 3)
    border = np.zeros((240, 320), np.uint8)
    border[48:, 60:] = 255
    cut = np.array(image.pixels)
    cut[border == 0] = 0
    blind = structure_of(Image(cut, "rgb8"), SPECS["rgb"]).edges
    aware = structure_of(Image(cut, "rgb8"), SPECS["rgb"], covered=border).edges
    where = np.zeros((96, 128), bool)
    where[18:22, 26:] = True  # row 48 of 240 is row 19.2 of 96
    assert np.abs(blind[where]).mean() > 0.3
    assert np.abs(aware[where]).max() == 0.0


def test_a_sensor_that_lies_beside_the_first_is_told_in_pixels() -> None:
    watched = Misalignment(above=0.015)
    for k in range(LOOKS):
        looks = {"rgb": seen("rgb", k), "thermal": seen("thermal", k, right=10)}
        watched.look("rgb", looks, {("rgb", "thermal"): 20.0})
    found = watched.displacement("thermal")
    assert found is not None
    assert found.right == pytest.approx(10 / 320, abs=0.006)
    assert found.down == pytest.approx(0.0, abs=0.006)
    words = watched.words("thermal", (240, 320))
    assert "px to the right" in words
    assert not watched.checks("thermal")[0].passed


def test_a_sensor_that_lies_where_it_should_is_not_told() -> None:
    watched = Misalignment(above=0.015)
    for k in range(LOOKS):
        looks = {"rgb": seen("rgb", k), "thermal": seen("thermal", k)}
        watched.look("rgb", looks, {("rgb", "thermal"): 20.0})
    found = watched.displacement("thermal")
    assert found is not None
    assert found.farthest < 0.01
    assert watched.words("thermal", (240, 320)) == ""


def test_pictures_with_little_in_common_are_not_measured_by() -> None:
    watched = Misalignment(above=0.015)
    looks = {"rgb": seen("rgb", 0), "thermal": seen("thermal", 70)}
    for _ in range(LOOKS):
        watched.look("rgb", looks, {("rgb", "thermal"): 3.0})
    assert watched.displacement("thermal") is None


def test_the_ground_in_depth_is_a_slope_and_no_edge_and_what_stands_far_off_on_it_is_one() -> None:
    """Off the road at night depth shows little else than the ground, steepest where it is near."""
    dice = np.random.default_rng(5)
    rows = np.arange(240, dtype=np.float32)[:, None] - 100.0
    ground = np.broadcast_to(np.where(rows > 2, 150.0 / np.maximum(rows, 2), np.inf), (240, 320))
    metres, light = ground.astype(np.float32), np.full((240, 320), 90.0, np.float32)
    for at in dice.integers(5, 300, 9):
        top, far = int(dice.integers(70, 100)), float(dice.uniform(12.0, 25.0))
        box = slice(top, 100 + round(150.0 / far)), slice(int(at), int(at) + 15)
        metres[box], light[box] = far, 30.0
    metres *= 1 + dice.normal(0, 0.01, metres.shape).astype(np.float32)
    shown = np.clip(light + dice.normal(0, 3, light.shape), 0, 255).astype(np.uint8)
    depth = structure_of(Image(metres, "32FC1"), SPECS["depth"])
    grey = structure_of(Image(shown, "mono8"), SPECS["rgb"])
    assert RunningAccord().add(depth, grey).here > 10.0
    near = np.abs(depth.edges[70:])
    assert float(np.median(near)) < 0.2


def test_where_a_depth_picture_ends_within_that_of_the_masks_is_no_edge_of_it() -> None:
    rows = np.arange(240, dtype=np.float32)[:, None]
    nearness = np.random.default_rng(3).normal(rows / 240, 0.01, (240, 320)).astype(np.float32)
    nearness[:, :80] = 0.0
    covered = np.ones((240, 320), np.uint8)
    covered[:, :80] = 0
    without = np.abs(edge_structure(nearness, slopes=False).edges)
    edges = np.abs(edge_structure(nearness, covered, slopes=False).edges)
    rim, ground = (slice(40, 86), slice(28, 42)), (slice(40, 86), slice(60, 120))
    assert float(without[rim].mean()) > 2.0 * float(without[ground].mean())
    assert float(edges[rim].mean()) < float(edges[ground].mean())
