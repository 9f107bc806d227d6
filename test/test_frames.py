from __future__ import annotations

import threading
from dataclasses import FrozenInstanceError

import numpy as np
import numpy.typing as npt
import pytest

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import DeferredImage, Image


def test_a_deferred_image_is_made_once_even_if_threads_race_for_it() -> None:
    made, begin = [], threading.Barrier(4)

    def make() -> npt.NDArray[np.uint8]:
        made.append(1)
        return np.zeros((2, 3), np.uint8)

    image = DeferredImage(2, 3, "mono8", make)
    got: list[npt.NDArray[np.uint8]] = []

    def use() -> None:
        begin.wait(60)
        got.append(image.pixels)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(made) == 1
    assert all(pixels is got[0] for pixels in got)


def test_damage_is_found_once_and_reported_every_time() -> None:
    tried = []

    def make() -> npt.NDArray[np.uint8]:
        tried.append(1)
        raise DecodeError("data is bad")

    image = DeferredImage(2, 3, "mono8", make)
    for _ in range(3):
        with pytest.raises(DecodeError, match="data is bad"):
            _ = image.pixels
    assert len(tried) == 1


def test_what_nobody_foresaw_is_damage_too_and_not_tried_again() -> None:
    """A library that raises on one picture would do so for ever, and nothing after it be made."""
    tried = []

    def make() -> npt.NDArray[np.uint8]:
        tried.append(1)
        raise MemoryError("3 GB\n")

    image = DeferredImage(2, 3, "mono8", make)
    for _ in range(3):
        with pytest.raises(DecodeError, match=r"^data cannot be unpacked: MemoryError 3 GB"):
            _ = image.pixels
    assert len(tried) == 1


def test_looking_comparing_and_hashing_make_nothing() -> None:
    def make() -> npt.NDArray[np.uint8]:
        raise AssertionError("the pixels were made")

    image = DeferredImage(2, 3, "mono8", make)
    assert isinstance(image, Image)
    assert (image.height, image.width, image.encoding) == (2, 3, "mono8")
    assert image == image
    assert image != DeferredImage(2, 3, "mono8", make)
    assert len({image, image}) == 1
    assert repr(image) == "DeferredImage(2, 3, 'mono8')"


def test_a_deferred_image_is_frozen() -> None:
    image = DeferredImage(1, 1, "mono8", lambda: np.zeros((1, 1), np.uint8))
    with pytest.raises(FrozenInstanceError):
        image.encoding = "rgb8"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 1
