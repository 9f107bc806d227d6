"""What a driver or a decoder makes of the colours of a picture that it gets wrong."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.kinds import WrongColours
from anymodal_seg_ros.frames import Pixels

_CAST = {"grey": (0, 0, 0), "green": (-1, 1, -1), "magenta": (1, -1, 1)}
"""What is shown beside the grey of a picture whose own colours are lost, in half ranges."""


def wrong_colours(fault: WrongColours, pixels: Pixels) -> Pixels:
    """Return a picture in other colours; transparency stays.

    Args:
        fault: how, and how much of them.
        pixels: ``[H, W, C]``, with red and blue in either order.

    Raises:
        ConfigError: the picture is a grey one.
    """
    if pixels.ndim == 2:
        raise ConfigError(f"{fault.kind} cannot happen to a grey picture: it fits colours")
    top = np.iinfo(pixels.dtype).max
    values = np.asarray(pixels[..., :3], np.float32)
    grey = values.mean(axis=2, keepdims=True)
    if fault.how == "exchanged":
        wrong = values[..., ::-1]
    elif fault.how == "displaced":
        wrong = grey + np.roll(values - grey, len(values) // 3, axis=0)
    else:
        wrong = grey + np.float32(top / 2) * np.array(_CAST[fault.how], np.float32)
    shown = np.rint((1 - fault.severity) * values + fault.severity * wrong)
    result: Pixels = pixels.copy()
    result[..., :3] = np.clip(shown, 0, top).astype(pixels.dtype)
    return result
