"""Pictures through a polariser at four angles to one image of how light is polarised.

The angle of linear polarisation jumps from 180 to 0 degrees, so it is not stored as a number: the
cosine and the sine of twice the angle, times the degree, are the normalised Stokes parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image

ANGLES = (0, 45, 90, 135)
"""In degrees; the order of the pictures."""


def polarisation_image(pictures: Sequence[npt.NDArray[np.uint8]]) -> Image:
    """Compute the polarisation of light, all colours together.

    Args:
        pictures: at :data:`ANGLES`, each uint8 ``[H, W, 3]``.

    Returns:
        ``8UC3``, uint8 ``[H, W, 3]``: s1 and s2, the degree times the cosine and the sine of twice
        the angle, -1 to 1 as 0 to 255; and the degree of linear polarisation, 0 to 1 as 0 to 255.
        Where it is black, nothing is polarised.
    """
    at_0, at_45, at_90, at_135 = (np.asarray(p, np.float32).sum(axis=2) for p in pictures)
    whole = np.maximum((at_0 + at_45 + at_90 + at_135) / 2.0, 1.0)
    s1 = np.clip((at_0 - at_90) / whole, -1.0, 1.0)
    s2 = np.clip((at_45 - at_135) / whole, -1.0, 1.0)
    degree = np.clip(np.hypot(s1, s2), 0.0, 1.0)
    levels = np.stack([(s1 + 1.0) / 2.0, (s2 + 1.0) / 2.0, degree], axis=2)
    return Image(np.round(255.0 * levels).astype(np.uint8), "8UC3")
