"""The lazy argmax gives what upsampling and argmax give, at every pixel."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.inference.masks import argmax
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax

Logits = npt.NDArray[np.float32]


@pytest.fixture(autouse=True, params=["cells", "everything"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of making the result must be right, whatever is chosen for its speed."""
    monkeypatch.setattr(argmax, "SMALL", 0)
    monkeypatch.setattr(argmax, "DENSE", 1.0 if request.param == "cells" else -1.0)


def upsampled(logits: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[np.float64]:
    """Interpolate in float64, in our own words: half-pixel centres, edges repeated."""

    def weights(small: int, large: int) -> npt.NDArray[np.float64]:
        matrix = np.zeros((large, small))
        for pixel in range(large):
            place = min(max((pixel + 0.5) * small / large - 0.5, 0.0), small - 1.0)
            low = int(place)
            matrix[pixel, low] += 1.0 - (place - low)
            matrix[pixel, min(low + 1, small - 1)] += place - low
        return matrix

    rows, columns = weights(logits.shape[1], height), weights(logits.shape[2], width)
    result: npt.NDArray[np.float64] = rows @ logits.astype(np.float64) @ columns.T
    return result


def scene(classes: int, height: int, width: int, blur: float) -> Logits:
    """Logits of smooth regions with seams between them."""
    noise = np.random.default_rng(0).standard_normal((classes, height, width)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(plane, (0, 0), blur) / blur for plane in noise])


small, large, seeds = st.integers(1, 9), st.integers(1, 40), st.integers(0, 2**32 - 1)
# The fixture only sets what every example finds the same.
same_way = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@same_way
@given(h=small, w=small, height=large, width=large, classes=st.integers(1, 6), seed=seeds)
def test_the_class_is_largest_at_any_size(
    h: int, w: int, height: int, width: int, classes: int, seed: int
) -> None:
    """Up to the last digit of float32: there the order of the sums decides."""
    logits = np.random.default_rng(seed).normal(0, 10, (classes, h, w)).astype(np.float32)
    values = upsampled(logits, height, width)
    mask = lazy_argmax(logits, height, width)
    chosen = np.take_along_axis(values, mask[None].astype(np.int64), axis=0)[0]
    assert mask.dtype == np.uint8 and mask.shape == (height, width)
    assert (chosen >= values.max(axis=0) - 1e-5 * np.abs(logits).max()).all()


@same_way
@given(h=small, w=small, scale=st.sampled_from([1, 2, 4, 8]), classes=st.integers(1, 6), seed=seeds)
def test_of_equal_classes_the_first_one_wins(
    h: int, w: int, scale: int, classes: int, seed: int
) -> None:
    """With whole numbers and powers of two all sums are exact, and ties are many."""
    logits = np.random.default_rng(seed).integers(-2, 3, (classes, h, w)).astype(np.float32)
    height, width = h * scale, w * scale
    expected = upsampled(logits, height, width).argmax(axis=0)
    assert np.array_equal(lazy_argmax(logits, height, width), expected)


@pytest.mark.parametrize("blur", [1.0, 4.0])
@pytest.mark.parametrize("size", [(480, 640), (260, 346), (720, 1280), (31, 50)])
def test_all_pixels_are_those_of_torch(size: tuple[int, int], blur: float) -> None:
    torch = pytest.importorskip("torch")
    logits = scene(16, 48, 64, blur)
    large = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size, mode="bilinear", align_corners=False
    )[0]
    first, second = large.topk(2, dim=0).values.numpy()
    mask = lazy_argmax(logits, *size)
    clear = first - second > 1e-6  # nearer than that, torch's own roundings decide
    assert np.mean(clear) > 0.9999
    assert np.array_equal(mask[clear], large.argmax(dim=0).numpy()[clear])


def test_a_class_that_is_second_at_every_corner_can_win_between_them() -> None:
    logits = np.zeros((3, 1, 2), np.float32)
    logits[0], logits[1], logits[2] = [[10, 0]], [[0, 10]], [[9, 9]]
    assert lazy_argmax(logits, 1, 8).tolist() == [[0, 0, 2, 2, 2, 2, 1, 1]]


def test_as_many_classes_as_a_byte_can_name() -> None:
    logits = np.zeros((256, 2, 2), np.float32)
    logits[255] = 1.0
    logits[255, 0, 0] = -1.0
    assert set(np.unique(lazy_argmax(logits, 9, 9))) == {0, 255}


def test_the_logits_stay_as_they_are() -> None:
    logits = scene(5, 12, 16, 2.0)
    before = logits.copy()
    logits.flags.writeable = False
    lazy_argmax(logits, 100, 130)
    assert np.array_equal(logits, before)
