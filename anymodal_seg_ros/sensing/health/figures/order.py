"""Statistics of a few hundred numbers: those of NumPy, at a tenth of the cost of a call."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_MANY = 1000
"""Numbers of which to find some in their places is less work than to sort all."""


def quantile(values: npt.NDArray[Any], share: float) -> float:
    """Return the value below which a share of the values lies, linear between two of them.

    Args:
        values: of any shape, at least one.
        share: 0 to 1.

    Returns:
        The value; NaN if one of them is.
    """
    if values.size < _MANY:
        return quantile_of_sorted(in_order(values), share)
    at = int(share * (values.size - 1))
    few = sorted({at, min(at + 1, values.size - 1), values.size - 1})
    return quantile_of_sorted(np.partition(values, few, axis=None), share)


def median(values: npt.NDArray[Any]) -> float:
    """Return the middle one of the values, or the mean of the two in the middle."""
    return quantile(values, 0.5)


def mean_of(values: npt.NDArray[Any]) -> float:
    """Return the mean of values ``[N]`` or ``[H, W]`` of 8 or 16 bits or floats, at least one."""
    return cv2.mean(values)[0]


def spread_of(values: npt.NDArray[Any]) -> float:
    """Return by how much the largest of such values exceeds the smallest."""
    low, high, _, _ = cv2.minMaxLoc(values)
    return high - low


def share_of(flags: npt.NDArray[np.bool_]) -> float:
    """Return the share of the flags that are set, of at least one."""
    return int(np.count_nonzero(flags)) / flags.size


def in_order(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a sorted copy ``[N]``, for more than one quantile of the same values."""
    ordered: npt.NDArray[Any] = values.flatten()
    ordered.sort()
    return ordered


def quantile_of_sorted(ordered: npt.NDArray[Any], share: float) -> float:
    """As :func:`quantile`, of values ``[N]`` in order; NaN comes last there."""
    at = share * (ordered.size - 1)
    low = min(int(at), ordered.size - 1)
    if ordered[-1] != ordered[-1]:
        return float("nan")
    one, other = float(ordered[low]), float(ordered[min(low + 1, ordered.size - 1)])
    return one + (at - low) * (other - one)
