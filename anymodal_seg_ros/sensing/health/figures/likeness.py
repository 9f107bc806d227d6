"""How like two pictures of the same size are, whatever their brightness and contrast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def likeness(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Return the correlation of two pictures, -1 to 1; 0 of one that is even."""
    one, other = one.ravel() - one.mean(), other.ravel() - other.mean()
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norm if norm > 0.0 else 0.0
