"""How like two pictures of the same size are, whatever their brightness and contrast."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.figures.order import mean_of


def likeness(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Return the correlation of two pictures, -1 to 1; 0 of one that is even."""
    one, other = one - mean_of(one), other - mean_of(other)
    norm = cv2.norm(one) * cv2.norm(other)
    return float(np.vdot(one, other)) / norm if norm > 0.0 else 0.0
