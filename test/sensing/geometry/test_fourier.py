from __future__ import annotations

import numpy as np
import pytest

from anymodal_seg_ros.sensing.geometry.fourier import correlation, spectrum


def field(height: int, width: int) -> np.ndarray:
    dice = np.random.default_rng(height)
    real, imaginary = dice.normal(size=(2, height, width)).astype(np.float32)
    return real + 1j * imaginary


@pytest.mark.parametrize("size", [(96, 128), (47, 63), (1, 8)])
def test_the_spectrum_is_that_of_numpy_within_rounding(size: tuple[int, int]) -> None:
    found, wanted = spectrum(field(*size)), np.fft.fft2(field(*size))
    assert found.dtype == np.complex64 and found.shape == size
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_of_every_other_pixel_the_spectrum_is_that_of_those_pixels() -> None:
    whole = field(96, 128)
    assert np.array_equal(spectrum(whole[::2, 1::2]), spectrum(whole[::2, 1::2].copy()))


def test_a_field_that_was_moved_correlates_where_it_has_gone() -> None:
    still = field(48, 51)
    moved = np.roll(still, (3, -5), axis=(0, 1))
    found = correlation(np.conj(spectrum(still)) * spectrum(moved))
    assert np.unravel_index(found.argmax(), found.shape) == (48 // 2 + 3, 51 // 2 - 5)
    assert found.max() == pytest.approx(float(np.sum(np.abs(still) ** 2)), rel=1e-5)
