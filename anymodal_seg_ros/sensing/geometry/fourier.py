"""Fourier transforms in two dimensions: OpenCV takes a third of the time that NumPy does."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Complexes = npt.NDArray[np.complex64]
"""``[H, W]``."""


def spectrum(field: Complexes) -> Complexes:
    """Return the transform of a field, complex64 ``[H, W]``."""
    return _joined(cv2.dft(_apart(field)))


def correlation(spectra: Complexes) -> npt.NDArray[np.float32]:
    """Return the real part of what has this transform, float32 ``[H, W]``, no shift in the middle.

    Args:
        spectra: the product of the spectrum of one field, conjugate, and that of another.
    """
    shifts = cv2.dft(_apart(spectra), flags=cv2.DFT_INVERSE | cv2.DFT_SCALE)[..., 0]
    return np.asarray(np.fft.fftshift(shifts), np.float32)


def _apart(field: Complexes) -> npt.NDArray[np.float32]:
    """View real and imaginary parts as two channels, as OpenCV has them."""
    whole = np.ascontiguousarray(field, np.complex64)
    return whole.view(np.float32).reshape(*whole.shape, 2)


def _joined(channels: npt.NDArray[np.float32]) -> Complexes:
    return np.asarray(channels.view(np.complex64)[..., 0], np.complex64)
