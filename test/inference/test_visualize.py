"""Pictures for people."""

from __future__ import annotations

import numpy as np
import pytest

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.masks.visualize import viewable


@pytest.mark.parametrize(
    ("brightest", "shown"), [(65535, 255), (4095, 255), (1023, 255), (2500, 156), (100, 25)]
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_colours_of_ten_and_twelve_bits_are_no_darker_than_others(
    brightest: int, shown: int, order: str
) -> None:
    pixels = np.zeros((4, 6, 3), np.dtype(np.uint16).newbyteorder(order))
    pixels[1:3] = brightest // 2
    pixels[3] = brightest
    found = viewable(Image(pixels, "rgb16"))
    assert found.shape == (4, 6, 3) and found.dtype == np.uint8
    assert found[0].max() == 0 and abs(int(found[3].min()) - shown) <= 1
    assert abs(int(found[1, 0, 0]) - shown // 2) <= 1


def test_colours_of_eight_bits_are_shown_as_they_are() -> None:
    pixels = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    np.testing.assert_array_equal(viewable(Image(pixels, "bgr8")), pixels[:, :, ::-1])
