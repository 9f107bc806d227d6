"""What a driver or a decoder makes of a picture that it puts together wrongly."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.faults.kinds import Garbled
from anymodal_seg_ros.frames import Pixels

_BLOCK, _LARGEST = 16, 32
"""Pixels of a block that is elsewhere, and of the largest that are of one count each."""


def garbled(fault: Garbled, pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return what becomes of pixels, ``[H, W]`` or ``[H, W, C]``.

    Args:
        fault: how, and how much of them.
        pixels: as they were.
        rng: dice.
    """
    height, width = pixels.shape[:2]
    if fault.how == "rolled":
        return np.roll(pixels, -round(fault.severity / 2 * height), axis=0)
    if fault.how == "doubled":
        return np.concatenate([pixels[:, : (width + 1) // 2], pixels[:, : width // 2]], axis=1)
    if fault.how == "sheared":
        return np.stack([np.roll(row, number, axis=0) for number, row in enumerate(pixels)])
    if fault.how == "coarse":
        side = max(1, round(fault.severity * _LARGEST))
        coarse = pixels[::side, ::side].repeat(side, axis=0).repeat(side, axis=1)
        return np.ascontiguousarray(coarse[:height, :width])
    result: Pixels = pixels.copy()
    if fault.how == "lines":
        # A column that hangs does so in every picture.
        hit = np.random.default_rng(7).random(width) < fault.severity
        result[:, hit] = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else pixels.max()
        return result
    for top in range(0, height - _BLOCK + 1, _BLOCK):
        for left in range(0, width - _BLOCK + 1, _BLOCK):
            if rng.random() < fault.severity:
                y, x = rng.integers(0, (height - _BLOCK + 1, width - _BLOCK + 1))
                block = pixels[y : y + _BLOCK, x : x + _BLOCK]
                result[top : top + _BLOCK, left : left + _BLOCK] = block
    return result
