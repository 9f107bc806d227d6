"""Every encoding of the published data sets, from files made here in exactly that encoding."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_training.datasets.image_readers import read_image, read_label
from anymodal_seg_training.datasets.layout import (
    ImageLayout,
    LabelLayout,
    check_colors,
    parse_label,
)
from anymodal_seg_training.errors import TrainingError

CLASSES = (ClassSpec("a", (255, 0, 0)), ClassSpec("b", (0, 255, 0)), ClassSpec("c", (0, 0, 9)))
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 8, 3), np.uint8)
COUNTS = RNG.integers(0, 65536, (6, 8), np.uint16)


def written(path: Path, pixels: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        code = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
        swapped = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, code[pixels.shape[2]])
        cv2.imwrite(str(path), swapped)
    return path


@pytest.mark.parametrize(
    ("read", "stored", "encoding", "expected"),
    [
        ("color", RGB, "rgb8", RGB),
        ("color", np.dstack([RGB, RGB[..., :1]]), "rgb8", RGB),
        ("color", RGB[..., 0], "rgb8", np.repeat(RGB[..., :1], 3, 2)),
        ("color", RGB.astype(np.uint16) * 257, "rgb8", RGB),
        ("gray", RGB[..., 0], "mono8", RGB[..., 0]),
        ("fourth", np.dstack([RGB, RGB[..., 1:2]]), "mono8", RGB[..., 1]),
        ("counts", COUNTS, "mono16", COUNTS),
    ],
    ids=["rgb", "rgba", "grey as colour", "16-bit colour", "grey", "fourth", "counts"],
)
def test_image_files(
    read: str, stored: np.ndarray, encoding: str, expected: np.ndarray, tmp_path: Path
) -> None:
    image = read_image([written(tmp_path / "x.png", stored)], ImageLayout("", read))
    assert image.encoding == encoding
    np.testing.assert_array_equal(image.pixels, expected)


def test_depth_in_metres_with_both_marks_of_the_unknown(tmp_path: Path) -> None:
    counts = np.array([[0, 2560, 65535, 1280]], np.uint16)
    layout = ImageLayout("", "depth", metres_per_count=1 / 2560)
    image = read_image([written(tmp_path / "d.png", counts)], layout)
    assert image.encoding == "32FC1"
    np.testing.assert_allclose(image.pixels, [[np.nan, 1.0, np.nan, 0.5]])


def test_three_planes_of_floats_and_columns_cut_off(tmp_path: Path) -> None:
    sine = written(tmp_path / "s.npy", np.array([[9.0, -1.0, 0.0, 1.0]]))
    cosine = written(tmp_path / "c.npy", np.array([[9.0, 1.0, -2.0, 0.5]]))
    image = read_image([sine, cosine, sine], ImageLayout("", "floats"), crop_left=1)
    assert image.encoding == "8UC3"
    np.testing.assert_array_equal(image.pixels[0], [[0, 255, 0], [128, 0, 128], [255, 191, 255]])
    for read in (
        lambda: read_image([sine], ImageLayout("", "floats"), crop_left=4),
        lambda: read_label(sine, LabelLayout(), (), crop_left=4),
    ):
        with pytest.raises(TrainingError, match=r"s\.npy has 4 columns: crop_left is 4, which le"):
            read()


def test_a_palette_image_keeps_its_numbers(tmp_path: Path) -> None:
    """OpenCV would load the palette's colours; VOC-like data sets store ids this way."""
    numbers = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    image = Pillow.fromarray(numbers, "P")
    image.putpalette([200, 100, 50] * 256)
    image.save(tmp_path / "l.png")
    label = read_label(tmp_path / "l.png", LabelLayout(), CLASSES)
    np.testing.assert_array_equal(label, numbers)


def test_a_palette_image_has_the_colours_of_its_palette_where_they_are_asked_for(
    tmp_path: Path,
) -> None:
    image = Pillow.fromarray(np.array([[7, 9, 7]], np.uint8), mode="P")
    image.putpalette([0, 0, 0] * 7 + [0, 255, 0] + [0, 0, 0] + [255, 0, 0])
    image.save(tmp_path / "label.png")
    label = read_label(tmp_path / "label.png", LabelLayout("", "colors"), CLASSES)
    np.testing.assert_array_equal(label, [[1, 0, 1]])


def test_colours_of_the_classes_are_not_taken_for_numbers(tmp_path: Path) -> None:
    path, black = tmp_path / "label.png", ClassSpec("d", (0, 0, 0))
    colors = np.array([[CLASSES[0].color, CLASSES[2].color, black.color]], np.uint8)
    written(path, colors)
    with pytest.raises(TrainingError, match=r"label\.png holds the colours .* label\.read to col"):
        read_label(path, LabelLayout("", ignore=(255,)), (*CLASSES, black))


def test_shift_ignore_and_renumber(tmp_path: Path) -> None:
    stored = np.array([[0, 1, 3, 255, 7]], np.uint8)
    layout = LabelLayout(shift=-1, ignore=(0, 255), renumber={7: 2})
    label = read_label(written(tmp_path / "l.png", stored), layout, CLASSES)
    np.testing.assert_array_equal(label, [[255, 0, 2, 255, 1]])


def test_deliver_keeps_its_numbers_in_the_first_channel(tmp_path: Path) -> None:
    stored = np.zeros((2, 3, 4), np.uint8)
    stored[..., 0], stored[..., 3] = [[1, 2, 3], [0, 1, 2]], 255
    layout = LabelLayout(shift=-1, ignore=(0, 255))
    label = read_label(written(tmp_path / "l.png", stored), layout, CLASSES)
    np.testing.assert_array_equal(label, [[0, 1, 2], [255, 0, 1]])


def test_labels_in_colours(tmp_path: Path) -> None:
    stored = np.array([[(255, 0, 0), (0, 0, 9), (0, 255, 0)]], np.uint8)
    layout = LabelLayout(read="colors")
    label = read_label(written(tmp_path / "l.png", stored), layout, CLASSES)
    np.testing.assert_array_equal(label, [[0, 2, 1]])


def test_colours_without_a_class_are_ignored_where_that_is_said(tmp_path: Path) -> None:
    """Void is black in many data sets whose labels are pictures, and no class."""
    stored = np.array([[(255, 0, 0), (0, 0, 0), (224, 224, 192), (0, 255, 0)]], np.uint8)
    path = written(tmp_path / "l.png", stored)
    label = parse_label({"read": "colors", "ignore_colors": [[0, 0, 0], [224, 224, 192]]})
    np.testing.assert_array_equal(read_label(path, label, CLASSES), [[0, 255, 255, 1]])
    with pytest.raises(TrainingError, match=r"\(224, 224, 192\).* to label\.ignore_colors"):
        read_label(path, parse_label({"read": "colors", "ignore_colors": [[0, 0, 0]]}), CLASSES)
    for section, said in (
        ({"read": "colors", "ignore": [255]}, r"belong into label\.ignore_colors"),
        ({"ignore_colors": [[0, 0, 0]]}, "set it to colors"),
        ({"read": "colors", "ignore_colors": [0, 0, 0]}, r"a list of \[red, green, blue\]"),
    ):
        with pytest.raises(ConfigError, match=said):
            parse_label(section)
    with pytest.raises(ConfigError, match=r"\[255, 0, 0\], the colour of class 'a'"):
        check_colors(parse_label({"read": "colors", "ignore_colors": [[255, 0, 0]]}), CLASSES)


def test_a_label_of_one_bit_holds_two_classes(tmp_path: Path) -> None:
    Pillow.fromarray(np.array([[True, False]])).save(tmp_path / "l.png")
    np.testing.assert_array_equal(read_label(tmp_path / "l.png", LabelLayout(), CLASSES), [[1, 0]])


def test_a_coloured_picture_read_as_grey_is_as_bright_as_it_looks(tmp_path: Path) -> None:
    stored = np.array([[(255, 0, 0), (0, 0, 255), (7, 7, 7), (255, 255, 255)]], np.uint8)
    read = read_image([written(tmp_path / "l.png", stored)], ImageLayout("", "gray")).pixels
    np.testing.assert_array_equal(read, [[76, 29, 7, 255]])


def test_a_picture_that_lies_on_its_side_is_refused(tmp_path: Path) -> None:
    """Nobody knows whether its label was made of it as stored or as shown."""
    exif = Pillow.Exif()
    for orientation in (1, 3):
        exif[0x0112] = orientation
        Pillow.fromarray(RGB).save(tmp_path / f"{orientation}.jpg", exif=exif)
    read_image([tmp_path / "1.jpg"], ImageLayout("", "color"))
    with pytest.raises(TrainingError, match=r"3\.jpg is stored turned .* 'mogrify -auto-orient"):
        read_image([tmp_path / "3.jpg"], ImageLayout("", "color"))


@pytest.mark.parametrize(
    ("layout", "stored", "message"),
    [
        (
            LabelLayout(),
            np.array([[0, 3, 9]], np.uint8),
            r"ids \[3, 9\], which are no class.*are 3",
        ),
        (LabelLayout(read="colors"), RGB, "which are no class"),
        (LabelLayout(read="colors"), RGB[..., 0], "expected a colour image"),
        (LabelLayout(channel=3), RGB, "label.channel is 3"),
    ],
)
def test_a_label_that_does_not_fit_is_named(
    layout: LabelLayout, stored: np.ndarray, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "l.png", stored)
    with pytest.raises(TrainingError, match=message) as error:
        read_label(path, layout, CLASSES)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["x.png", "x.npy"])
@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n broken"])
def test_missing_and_damaged_files_are_named(
    name: str, content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    read = "floats" if name.endswith("npy") else "color"
    with pytest.raises(TrainingError, match=str(path)):
        read_image([path], ImageLayout("", read))
    with pytest.raises(TrainingError, match=str(path)):
        read_label(path, LabelLayout(), CLASSES)


def test_a_file_of_another_kind_says_what_it_has(tmp_path: Path) -> None:
    path = written(tmp_path / "x.png", RGB)
    with pytest.raises(TrainingError, match="3 channels of uint8: it cannot be read as depth"):
        read_image([path], ImageLayout("", "depth"))


@pytest.mark.parametrize(
    ("angle", "s1", "s2"), [(0, 255, 128), (45, 128, 255), (90, 0, 128), (135, 128, 0)]
)
def test_the_polarisation_of_light_through_a_polariser(
    angle: int, s1: int, s2: int, tmp_path: Path
) -> None:
    """Fully polarised light: Malus's law says what passes at each angle."""
    paths = []
    for at in (0, 45, 90, 135):
        share = np.cos(np.deg2rad(at - angle)) ** 2
        paths.append(tmp_path / f"{at}.png")
        cv2.imwrite(str(paths[-1]), np.full((2, 3, 3), round(200 * share), np.uint8))
    image = read_image(paths, ImageLayout(read="polarisation"))
    assert image.encoding == "8UC3" and image.pixels.shape == (2, 3, 3)
    assert image.pixels[0, 0].tolist() == [s1, s2, 255]
    with pytest.raises(TrainingError, match="3 files of a polariser for one image: expected 4"):
        read_image(paths[:3], ImageLayout(read="polarisation"))
    cv2.imwrite(str(paths[2]), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(TrainingError, match=r"90\.png is uint8 \(4, 4, 3\)"):
        read_image(paths, ImageLayout(read="polarisation"))


def test_black_and_unpolarised_light_has_no_polarisation(tmp_path: Path) -> None:
    for level in (0, 90):
        cv2.imwrite(str(tmp_path / "p.png"), np.full((2, 2, 3), level, np.uint8))
        image = read_image([tmp_path / "p.png"] * 4, ImageLayout(read="polarisation"))
        assert image.pixels[0, 0].tolist() == [128, 128, 0]
