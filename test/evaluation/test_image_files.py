from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from anymodal_seg_ros.evaluation.bags import BagError
from anymodal_seg_ros.evaluation.image_files import list_images, load_image, pair_by_name

GREY8 = np.arange(12, dtype=np.uint8).reshape(3, 4)
GREY16 = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
METRES = np.linspace(0.1, 60.0, 12, dtype=np.float32).reshape(3, 4)
RED = np.zeros((3, 4, 3), np.uint8) + np.array([200, 10, 60], np.uint8)
RED_BGR = RED[..., ::-1]
RED_BGRA = np.dstack([RED_BGR, np.full((3, 4), 128, np.uint8)])
RED_RGBA = np.dstack([RED, np.full((3, 4), 128, np.uint8)])


@pytest.mark.parametrize(
    ("stored", "suffix", "asked", "got", "pixels"),
    [
        (GREY8, ".png", "", "mono8", GREY8),
        (GREY8, ".png", "rgb8", "rgb8", np.dstack([GREY8] * 3)),
        (RED_BGR, ".png", "", "rgb8", RED),
        (RED_BGR, ".png", "bgr8", "bgr8", RED_BGR),
        (RED_BGR, ".png", "8UC3", "8UC3", RED),
        (RED_BGRA, ".png", "", "rgba8", RED_RGBA),
        (RED_BGRA, ".png", "rgb8", "rgb8", RED),
        (GREY16, ".png", "", "mono16", GREY16),
        (GREY16, ".png", "16UC1", "16UC1", GREY16),
        (METRES, ".tiff", "", "32FC1", METRES),
    ],
)
def test_pixels_keep_their_values_and_get_the_order_of_the_encoding(
    tmp_path: Path,
    stored: npt.NDArray[np.generic],
    suffix: str,
    asked: str,
    got: str,
    pixels: npt.NDArray[np.generic],
) -> None:
    path = tmp_path / f"image{suffix}"
    assert cv2.imwrite(str(path), stored)
    image = load_image(path, asked)
    assert image.encoding == got
    assert image.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(image.pixels, pixels)


def test_an_encoding_that_would_invent_values_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "thermal.png"
    cv2.imwrite(str(path), GREY16)
    with pytest.raises(BagError, match=r"thermal\.png.*rgb8.*mono16, 16UC1"):
        load_image(path, "rgb8")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG and no more")
    with pytest.raises(BagError, match=r"broken\.png"):
        load_image(path)


def test_lists_by_name_and_passes_over_what_is_no_image(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", "c.depth.png"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(str(tmp_path))] == ["a.JPG", "b.png", "c.depth.png"]
    assert [path.name for path in list_images(f"{tmp_path}/*.depth.png")] == ["c.depth.png"]
    with pytest.raises(BagError, match=r"nowhere.*folder"):
        list_images(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "names",
    [
        ["0007.png", "0008.png", "0010.png"],
        ["frame_2_left.png", "frame_10_left.png", "frame_10_right.png", "g1.png"],
        ["1700000000.25.png", "1700000000.5.png", "1700000001.png"],
        ["999999999.png", "1000000000000000001.png", "1000000000000000002.png"],
        ["a.png", "b (2).png", "b (10).png"],
    ],
)
def test_numbers_in_names_are_numbers(tmp_path: Path, names: list[str]) -> None:
    """Or the tenth picture of a drive would be the second."""
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in list_images(str(tmp_path))] == names
    numbered = [Path(f"{number}.png") for number in (10, 2, 1)]
    assert pair_by_name({"rgb": numbered, "depth": numbered})["rgb"] == numbered[::-1]


def test_pairs_by_the_name_up_to_the_first_dot() -> None:
    paths = {
        "rgb": [Path(f"{n}.color.jpg") for n in ("1", "2", "4")],
        "depth": [Path(f"{n}.depth.png") for n in ("0", "2", "4", "5")],
    }
    paired = pair_by_name(paths)
    assert [path.name for path in paired["rgb"]] == ["2.color.jpg", "4.color.jpg"]
    assert [path.name for path in paired["depth"]] == ["2.depth.png", "4.depth.png"]


def test_pairs_need_common_and_unambiguous_names() -> None:
    with pytest.raises(BagError, match=r"no image name .*rgb: 1\.png, depth: 2\.png: those"):
        pair_by_name({"rgb": [Path("1.png")], "depth": [Path("2.png")]})
    with pytest.raises(BagError, match=r"'rgb' .* 1\.png and 1\.jpg: leave"):
        pair_by_name({"rgb": [Path("1.png"), Path("1.jpg")], "depth": [Path("1.png")]})


def _chunk(kind: bytes, content: bytes) -> bytes:
    end = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + end


def _png(width: int, height: int) -> bytes:
    """A small file that claims any size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = _chunk(b"IDAT", zlib.compress(bytes(10_000)))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + rows + _chunk(b"IEND", b"")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", _png(50_000, 50_000)),
        ("a.png", _png(30_000, 30_000)),
        ("a.bmp", _png(30_000, 30_000)),
        ("a.png", _png(2**31 - 1, 2**31 - 1)),
        ("a.png", _png(0, 0)),
        ("a.png", b""),
        ("a.jpg", b"\xff\xd8" + b"\xff" * 1000),
        ("a.bmp", b"BM" + b"\xff" * 100),
        ("a.bmp", b""),
        ("a.tiff", b"II*\0\x08\0\0\0" + b"\xff" * 100),
        ("a.png", None),
    ],
)
def test_a_file_that_lies_costs_one_line(name: str, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / name
    os.mkfifo(path) if content is None else path.write_bytes(content)
    with pytest.raises(BagError, match=f"cannot read the image .*{name}: ") as said:
        load_image(path)
    assert len(str(said.value)) < 500
