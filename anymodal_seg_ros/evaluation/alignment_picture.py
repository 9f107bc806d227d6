"""A picture that shows how two sensors' pictures lie on each other."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.geometry.alignment import Shift, grey_of

Picture = npt.NDArray[np.uint8]

_RED, _GREEN, _WHITE = (230, 60, 40), (60, 220, 80), (255, 255, 255)


def alignment_picture(
    reference: Image, other: Image, shift: Shift, names: tuple[str, str], height: int, width: int
) -> Picture:
    """Draw the edges of one sensor over the picture of another, as they are and moved back.

    Args:
        reference: of the sensor that is taken to be right.
        other: registered to it.
        shift: as measured at ``height`` x ``width``.
        names: of the two sensors.
        height: rows of each half.
        width: columns of each half.

    Returns:
        uint8 ``[height, 2 * width, 3]`` RGB: left the edges as they are, in red; right the same
        edges moved back by the measured shift, in green.
    """
    ground = np.repeat((eight_bit(reference, height, width) * 0.75)[..., np.newaxis], 3, axis=2)
    edges = _outline(eight_bit(other, height, width))
    back = np.array([[1, 0, -shift.right_px], [0, 1, -shift.down_px]], np.float32)
    moved = cv2.warpAffine(edges, back, (width, height), flags=cv2.INTER_NEAREST)
    halves = []
    for drawn, colour, label in (
        (edges, _RED, f"{names[1]} over {names[0]}: as registered"),
        (
            moved,
            _GREEN,
            f"it lies {shift.right_px:+.1f} px right, {shift.down_px:+.1f} px down "
            f"(likeness {shift.likeness:.2f}): moved back",
        ),
    ):
        half = ground.astype(np.uint8)
        half[drawn > 0] = colour
        scale = max(width / 1100, 0.35)
        half[: int(42 * scale)] //= 4  # so that the text can be read
        at, font = (int(12 * scale), int(30 * scale)), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(half, label, at, font, scale, _WHITE, 1, cv2.LINE_AA)
        halves.append(half)
    return np.hstack(halves)


def eight_bit(image: Image, height: int, width: int) -> Picture:
    """Return any sensor's image as grey ``[height, width]``, its 1 % to 99 % spread to 0 to 255."""
    grey = grey_of(image)
    finite = grey[np.isfinite(grey)]
    low, high = np.quantile(finite, (0.01, 0.99)) if finite.size else (0.0, 1.0)
    spread = np.nan_to_num((grey - low) * (255 / max(float(high - low), 1e-6)))
    return np.asarray(cv2.resize(np.clip(spread, 0, 255).astype(np.uint8), (width, height)))


def _outline(grey: Picture) -> Picture:
    """Return the edges of a picture as 0 or 255, about equally many whatever its contrast."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.5)
    strength = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    high = max(float(np.quantile(strength, 0.93)), 8.0)
    return np.asarray(cv2.Canny(smooth, high / 2, high, L2gradient=True))
