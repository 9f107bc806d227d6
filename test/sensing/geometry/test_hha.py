"""HHA of planes whose disparity, height and angle follow from where they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from anymodal_seg_ros.sensing.geometry.cameras import Camera
from anymodal_seg_ros.sensing.geometry.hha import PictureRays, hha_image

HEIGHT, WIDTH, FOCAL = 120, 160, 130.0
CAMERA = Camera(WIDTH, HEIGHT, np.array([[FOCAL, 0, 79.5], [0, FOCAL, 59.5], [0, 0, 1.0]]))
FLOOR, WALL, CEILING = 38, 128, 218
"""The last channel of what faces up, sideways and down."""

Floats = npt.NDArray[np.float64]


def street(camera: Camera, pitch: float, roll: float = 0.0, under_m: float = 1.5) -> Floats:
    """Depth of a floor, a wall 8 m ahead and one 3 m to the left; a positive pitch looks down."""
    rows, columns = np.indices((camera.height, camera.width))
    pixels = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float64)
    rays = camera.rays(pixels)
    rays /= rays[:, 2:]
    (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (pitch, roll))
    level = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    upright = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    turned = rays @ (level @ upright).T  # x right, y along gravity, z ahead
    with np.errstate(divide="ignore"):
        hits = np.stack([under_m / turned[:, 1], 8.0 / turned[:, 2], -3.0 / turned[:, 0]])
    hits[hits <= 0] = np.inf
    return hits.min(0).reshape(camera.height, camera.width)


def encoded(metres: Floats, camera: Camera = CAMERA) -> npt.NDArray[np.int64]:
    image = hha_image(metres.astype(np.float32), PictureRays.of(camera, *metres.shape))
    assert image.encoding == "rgb8"
    return image.pixels.astype(np.int64)


@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (0.2, 0.0), (0.15, -0.1), (-0.1, 0.05)])
def test_floor_and_walls_of_a_tilted_camera(pitch: float, roll: float) -> None:
    metres = street(CAMERA, pitch, roll)
    disparity, height, angle = np.moveaxis(encoded(metres), 2, 0)
    np.testing.assert_allclose(disparity, np.clip(np.rint(310 / metres), 0, 255), atol=1)
    floor = height[-8:, 60:100]
    assert floor.max() <= 4, "the floor is the lowest, as far as gravity is estimated"
    assert np.abs(angle[-8:-3, 60:100] - FLOOR).max() <= 1
    assert np.abs(angle[40:50, 5:20] - WALL).max() <= 1
    assert np.abs(angle[20:40, 80:120] - WALL).max() <= 1
    # The wall ahead in the middle of the picture: 8 m away, as high as the ray leads there.
    if not (pitch or roll):
        assert height[59, 110] == pytest.approx(150 - 100 * 8 * (59 - 59.5) / FOCAL, abs=2)


def test_what_is_over_two_and_a_half_metres_or_very_near_is_full() -> None:
    metres = street(CAMERA, 0.0)
    metres[50:70, 70:90] = 0.4
    found = encoded(metres)
    assert (found[55:65, 75:85, 0] == 255).all(), "nearer than 1 m counts as 1 m: 310"
    assert (found[:5, 100:, 1] == 255).all()


def test_without_ground_in_sight_it_is_taken_to_lie_a_metre_and_thirty_under_the_camera() -> None:
    found = encoded(np.full((HEIGHT, WIDTH), 1.5))
    assert found[59, 80, 1] == pytest.approx(130, abs=1)
    lowest = 130 - 150 * (HEIGHT - 1 - 59.5) / FOCAL
    assert found[-1, 80, 1] == pytest.approx(lowest, abs=1)


def test_a_ceiling_faces_down() -> None:
    rows = np.indices((HEIGHT, WIDTH))[0]
    with np.errstate(divide="ignore"):
        ceiling = 1.0 * FOCAL / (59.5 - rows)
        floor = 1.5 * FOCAL / (rows - 59.5)
    metres = np.where(rows < 60, ceiling, floor)
    metres = np.minimum(metres, 10.0)
    angle = encoded(metres)[..., 2]
    assert np.abs(angle[3:10] - CEILING).max() <= 1 and np.abs(angle[-10:-3] - FLOOR).max() <= 1


@pytest.mark.parametrize("unknown", [np.nan, np.inf, 0.0])
def test_holes_are_filled_but_tell_nothing_of_surfaces(unknown: float) -> None:
    metres = street(CAMERA, 0.1)
    whole = encoded(metres)
    metres[30:60, 90:130] = unknown  # in the wall ahead
    metres[-4:, 60:100] = unknown  # what is filled in there lies under the floor
    found = encoded(metres)
    assert np.abs(found[40:50, 100:120, 0] - whole[40:50, 100:120, 0]).max() <= 1
    assert (found[40:50, 100:120, 2] == CEILING).all(), "unknown, as in the public code"
    elsewhere = np.ones((HEIGHT, WIDTH), bool)
    elsewhere[26:64, 86:134] = elsewhere[-8:, 56:104] = False
    assert np.abs(found - whole)[elsewhere].max() <= 2


def test_a_picture_without_distances_is_black() -> None:
    assert not encoded(np.full((HEIGHT, WIDTH), np.nan)).any()


def test_a_lens_that_bends_the_world_leaves_planes_flat() -> None:
    bent = Camera(WIDTH, HEIGHT, CAMERA.matrix, "plumb_bob", np.array([-0.25, 0.06, 0, 0, 0.0]))
    _, height, angle = np.moveaxis(encoded(street(bent, 0.15), bent), 2, 0)
    assert height[-8:, 20:140].max() <= 3
    assert np.abs(angle[-8:-3, 60:100] - FLOOR).max() <= 2
    assert np.abs(angle[40:50, 5:20] - WALL).max() <= 2


def test_a_picture_of_one_row_is_encoded() -> None:
    assert encoded(np.full((1, 5), 4.0)).shape == (1, 5, 3)
