"""Order statistics of a few hundred numbers: those of NumPy, at a tenth of the cost of a call."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def quantile(values: npt.NDArray[Any], share: float) -> float:
    """Return the value below which a share of the values lies, linear between two of them.

    Args:
        values: of any shape, at least one.
        share: 0 to 1.

    Returns:
        The value; NaN if one of them is.
    """
    flat = values.ravel()
    at = share * (flat.size - 1)
    low = min(int(at), flat.size - 1)
    high = min(low + 1, flat.size - 1)
    ordered = np.partition(flat, (low, high, flat.size - 1))  # NaN comes last
    if ordered[-1] != ordered[-1]:
        return float("nan")
    one, other = float(ordered[low]), float(ordered[high])
    return one + (at - low) * (other - one)


def median(values: npt.NDArray[Any]) -> float:
    """Return the middle one of the values, or the mean of the two in the middle."""
    return quantile(values, 0.5)
